"""The two functions that an analysis asks, as something to compile once for many parameters.

A plain function is compiled with whatever it closes over. A function that is a pytree (a
`jax.tree_util.Partial` with its parameters, an Equinox module) hands its arrays to the compiled
program as arguments instead: other parameters, the next seed's for example, need no new program.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import is_whole

Generate = Callable[[jax.Array], jax.Array]
Classify = Callable[[jax.Array], jax.Array]


class Networks(NamedTuple):
    """All of `generate` and `classify` but their arrays; hashable.

    Attributes:
        structure: of the pair as a pytree.
        static: its leaves, None in place of each array.
        shapes: of the arrays.
    """

    structure: Any
    static: tuple[Any, ...]
    shapes: tuple[jax.ShapeDtypeStruct, ...]

    def functions(self, arrays: Any) -> tuple[Generate, Classify]:
        """`generate` and `classify` with these arrays."""
        remaining = iter(arrays)
        leaves = [next(remaining) if leaf is None else leaf for leaf in self.static]
        generate, classify = self.structure.unflatten(leaves)
        return generate, classify


def take_apart(generate: Generate, classify: Classify) -> tuple[Networks, tuple[jax.Array, ...]]:
    """What to compile for, and the arrays to call it with."""
    for name, function in (("generate", generate), ("classify", classify)):
        _check_hashable(name, function)
    leaves, structure = jax.tree.flatten((generate, classify))
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = tuple(jnp.asarray(x) for x, array in zip(leaves, is_array, strict=True) if array)
    static = tuple(None if array else x for x, array in zip(leaves, is_array, strict=True))
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in arrays)
    return Networks(structure, static, shapes), arrays


def _check_hashable(name: str, function: Any) -> None:
    """Refuse a function by which no compiled program can be found again."""
    leaves, structure = jax.tree.flatten(function)
    try:
        hash((structure, *(x for x in leaves if not isinstance(x, jax.Array | np.ndarray))))
    except TypeError as error:
        raise ValueError(
            f"{name} is a {type(function).__name__}, which a compiled program cannot be kept for "
            f"({error}); pass jax.tree_util.Partial(function, parameters), or a lambda around it."
        ) from error


def chosen_batch_size(batch_size: int | None) -> int:
    """Latents in one forward pass: what was asked for, or what suits this machine.

    On a CPU 125, whose activations stay in its caches (the paper's networks label a quarter to a
    third more latents per second than with 1000); on an accelerator 4000, which fill it.

    Raises:
        ValueError: for a size below one.
    """
    if batch_size is None:
        return 125 if jax.default_backend() == "cpu" else 4000
    if not is_whole(batch_size, 1):
        raise ValueError(
            f"batch_size is {batch_size}; it must be a whole number, at least 1, or None for what "
            "suits the machine."
        )
    return int(batch_size)


def check_networks(networks: Networks, latent_dim: int, num_classes: int | None = None) -> int:
    """Refuse functions whose shapes do not fit, without computing anything.

    Returns:
        The number of classes.

    Raises:
        ValueError: naming the function, its shape and the shape needed, or why it has none.
    """
    n = 2
    latents = jax.ShapeDtypeStruct((n, latent_dim), jnp.float32)
    images = _shape_of("generate", 0, networks, latents)
    if not isinstance(images, jax.ShapeDtypeStruct) or images.shape[:1] != (n,):
        shape = getattr(images, "shape", type(images).__name__)
        raise ValueError(
            f"generate gave {shape} for latents {(n, latent_dim)}; it must give one image for "
            "each latent, an array [n, ...]."
        )
    logits = _shape_of("classify", 1, networks, images)
    if (
        not isinstance(logits, jax.ShapeDtypeStruct)
        or len(logits.shape) != 2
        or logits.shape[0] != n
    ):
        shape = getattr(logits, "shape", type(logits).__name__)
        raise ValueError(
            f"classify gave {shape} for {n} images; it must give logits [n, num_classes]."
        )
    if num_classes is not None and logits.shape[1] != num_classes:
        raise ValueError(
            f"num_classes is {num_classes}, but classify gives logits for {logits.shape[1]} "
            f"classes; pass num_classes={logits.shape[1]} or another classifier."
        )
    return logits.shape[1]


def _shape_of(name: str, place: int, networks: Networks, given: jax.ShapeDtypeStruct) -> Any:
    """What one of the two functions gives for an array, by tracing alone."""
    try:
        return jax.eval_shape(
            lambda arrays, x: networks.functions(arrays)[place](x), networks.shapes, given
        )
    except Exception as error:  # whatever a function of the user's may raise
        reason = str(error).strip().partition("\n")[0]
        of = "latents" if name == "generate" else "images"
        hint = "latent_dim" if name == "generate" else "its input, and that it is not generate,"
        raise ValueError(
            f"{name} fails for {of} of the shape {given.shape} ({type(error).__name__}: {reason}); "
            f"look at {hint}, and note that it is called with batches of any size under a JAX "
            "trace: a NumPy or PyTorch function needs jax.pure_callback around it, with "
            'vmap_method="expand_dims", and takes batches with an axis more in front.'
        ) from error
