"""The two functions that an analysis asks, as something to compile once for many parameters.

A plain function is compiled with whatever it closes over. A function that is a pytree (a
`jax.tree_util.Partial` with its parameters, an Equinox module) hands its arrays to the compiled
program as arguments instead: other parameters, the next seed's for example, need no new program.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from numbers import Number
from types import MethodType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import cause, is_whole

Generate = Callable[[jax.Array], jax.Array]
Classify = Callable[[jax.Array], jax.Array]

_PROBED = 2
"""Latents that shapes are traced for."""

STREAM_BLOCK = 1000
"""Latents of a stream (`magan_jax.latent.stream`) that belong together."""

_PIXELS = 28 * 28
"""Of an image for which batches were measured."""


class Skeleton(NamedTuple):
    """All of a pytree but its arrays; hashable, and equal only where the same program serves.

    Attributes:
        structure: of the pytree.
        static: its leaves, None in place of each array.
        numbers: of those that are numbers as they are written, since True == 1 == 1.0.
    """

    structure: Any
    static: tuple[Any, ...]
    numbers: tuple[str, ...]

    def whole(self, arrays: Any) -> Any:
        """The pytree with these arrays."""
        remaining = iter(arrays)
        return self.structure.unflatten(
            [next(remaining) if leaf is None else leaf for leaf in self.static]
        )

    def __call__(self, arrays: Any, *arguments: Any) -> Any:
        """Where the pytree is a function: what it gives, with these arrays."""
        return self.whole(arrays)(*arguments)


class Networks(NamedTuple):
    """All of `generate` and `classify` but their arrays; hashable.

    Attributes:
        skeleton: of the pair.
        shapes: of the arrays.
    """

    skeleton: Skeleton
    shapes: tuple[jax.ShapeDtypeStruct, ...]

    def functions(self, arrays: Any) -> tuple[Generate, Classify]:
        """`generate` and `classify` with these arrays."""
        generate, classify = self.skeleton.whole(arrays)
        return generate, classify


def take_apart(generate: Generate, classify: Classify) -> tuple[Networks, tuple[jax.Array, ...]]:
    """What to compile for, and the arrays to call it with."""
    pair = _of_owner(generate), _of_owner(classify)
    for name, function in zip(("generate", "classify"), pair, strict=True):
        check_function(name, function)
    skeleton, arrays = _apart(pair)
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)
    return Networks(skeleton, shapes), arrays


def as_pytree(function: Callable[..., Any], name: str = "the function") -> Any:
    """One function as a pytree of its arrays alone, for `jax.jit`: nothing is compiled anew for the
    same network with others, and what is no array (a flag, a text) stays as it is."""
    function = _of_owner(function)
    check_function(name, function)
    skeleton, arrays = _apart(function)
    return jax.tree_util.Partial(skeleton, arrays)


def _of_owner(function: Callable[..., Any]) -> Callable[..., Any]:
    """A method of a pytree, an NNX module's for example, as a function of that: two of them are
    equal where the module is the same, whatever its arrays are by then."""
    if isinstance(function, MethodType) and not jax.tree_util.all_leaves([function.__self__]):
        return jax.tree_util.Partial(function.__func__, function.__self__)
    return function


def _apart(pytree: Any) -> tuple[Skeleton, tuple[jax.Array, ...]]:
    leaves, structure = jax.tree.flatten(pytree)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = tuple(jnp.asarray(x) for x, array in zip(leaves, is_array, strict=True) if array)
    static = tuple(None if array else x for x, array in zip(leaves, is_array, strict=True))
    numbers = tuple(repr(x) for x in static if isinstance(x, Number))
    return Skeleton(structure, static, numbers), arrays


def check_function(name: str, function: Any) -> None:
    """Refuse what cannot be called, or by which no compiled program can be found again."""
    if not callable(function):
        raise ValueError(f"{name} is {function!r}; a function is needed.")
    leaves, structure = jax.tree.flatten(function)
    try:
        hash((structure, *(x for x in leaves if not isinstance(x, jax.Array | np.ndarray))))
    except TypeError as error:
        raise ValueError(
            f"{name} is a {type(function).__name__}, which a compiled program cannot be kept for "
            f"({error}); pass jax.tree_util.Partial(function, parameters), or a lambda around it."
        ) from error


def chosen_batch_size(batch_size: int | None, networks: Networks, latent_dim: int) -> int:
    """Latents in one forward pass: what was asked for, or what suits machine and images.

    On a CPU 125, whose activations stay in its caches (the paper's networks label a quarter to a
    third more latents per second than with 1000); on an accelerator 4000, which fill it. Of images
    of more pixels than the paper's fewer, about in proportion, not below 4: by their activations
    (on two cores DCGAN's networks label 1.2 times as many latents of 64 × 64 or 128 × 128 pixels
    per second so as in batches of 100 or more).

    Raises:
        ValueError: for a size below one, or if the images have no shape (see `check_networks`).
    """
    if batch_size is None:
        at_most = 125 if jax.default_backend() == "cpu" else 4000
        shape = image_shapes(networks, latent_dim).shape[1:]
        colours = min(shape) if len(shape) == 3 and min(shape) <= 4 else 1  # first or last
        pixels = math.prod(shape) // max(colours, 1)
        wanted = max(4, min(at_most, at_most * _PIXELS // max(pixels, 1)))
        if wanted >= STREAM_BLOCK:
            return wanted // STREAM_BLOCK * STREAM_BLOCK
        # What divides a block leaves no remainder, for which all would be compiled once more.
        fitting = [n for n in range(1, STREAM_BLOCK + 1) if STREAM_BLOCK % n == 0]
        return min(fitting, key=lambda n: abs(math.log(n / wanted)))
    if not is_whole(batch_size, 1):
        raise ValueError(
            f"batch_size is {batch_size}; it must be a whole number, at least 1, or None for what "
            "suits the machine."
        )
    return int(batch_size)


@lru_cache(maxsize=16)  # tracing a large network takes a while
def check_networks(networks: Networks, latent_dim: int, num_classes: int | None = None) -> int:
    """Refuse functions whose shapes do not fit, without computing anything.

    Returns:
        The number of classes.

    Raises:
        ValueError: naming the function, its shape and the shape needed, or why it has none.
    """
    images = image_shapes(networks, latent_dim)
    logits = traced_shape(
        "classify", lambda arrays, x: networks.functions(arrays)[1](x), networks.shapes, images
    )
    if (
        not isinstance(logits, jax.ShapeDtypeStruct)
        or len(logits.shape) != 2
        or logits.shape[0] != _PROBED
    ):
        shape = getattr(logits, "shape", type(logits).__name__)
        raise ValueError(
            f"classify gave {shape} for {_PROBED} images; it must give logits [n, num_classes]."
        )
    if logits.shape[1] == 1:
        raise ValueError(
            "classify gives one logit for each image; it must give one for each class: of two "
            "classes jnp.concatenate([-x, x], axis=1) / 2, where the sigmoid of x is the second's."
        )
    if num_classes is not None and logits.shape[1] != num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but classify gives logits for {logits.shape[1]} "
            f"classes; pass num_classes={logits.shape[1]} or another classifier."
        )
    return logits.shape[1]


def check_generator(generate: Generate, latent_dim: int) -> None:
    """Refuse a generator whose shapes do not fit, without computing anything.

    Raises:
        ValueError: see `check_networks`.
    """
    networks, _ = take_apart(generate, _no_classifier)
    image_shapes(networks, latent_dim)


def _no_classifier(images: jax.Array) -> jax.Array:
    return images


@lru_cache(maxsize=16)
def image_shapes(networks: Networks, latent_dim: int) -> jax.ShapeDtypeStruct:
    """Shape and type of a few images `[n, ...]`, by tracing alone; raises as `check_networks`."""
    latents = jax.ShapeDtypeStruct((_PROBED, latent_dim), jnp.float32)
    images = traced_shape(
        "generate", lambda arrays, z: networks.functions(arrays)[0](z), networks.shapes, latents
    )
    if not isinstance(images, jax.ShapeDtypeStruct) or images.shape[:1] != (_PROBED,):
        shape = getattr(images, "shape", type(images).__name__)
        raise ValueError(
            f"generate gave {shape} for latents {latents.shape}; it must give one image for each "
            "latent, an array [n, ...]."
        )
    return images


def traced_shape(
    name: str, function: Callable[..., Any], arrays: Any, given: jax.ShapeDtypeStruct
) -> Any:
    """What `function(arrays, given)` gives, by tracing alone; whatever it raises in a sentence."""
    try:
        return jax.eval_shape(function, arrays, given)
    except Exception as error:  # whatever a function of the user's may raise
        of = "latents" if name == "generate" else "images"
        hint = "latent_dim" if name == "generate" else "its input, and that it is not generate"
        raise ValueError(
            f"{name} fails for {of} of the shape {given.shape} ({cause(error)}); look at {hint}, "
            "and note that it is called with batches of any size (a function of one example needs "
            "jax.vmap around it, a module its mode of use: train=False, or module.eval()) under a "
            "JAX trace: a NumPy or PyTorch function needs jax.pure_callback around it, with "
            'vmap_method="expand_dims", and takes batches with an axis more in front.'
        ) from error
