"""Labelled images: shifts inside the regions that a class fills (MAGAN, Sections 3 and 5)."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.blocks import in_blocks
from magan_jax.errors import check_key, check_positive, warn
from magan_jax.images import quantise_images, scale_images
from magan_jax.latent.labels import check_finite, warn_of_networks
from magan_jax.latent.regions import Regions
from magan_jax.latent.shifts import random_signs
from magan_jax.networks import (
    Classify,
    Generate,
    as_pytree,
    check_networks,
    image_shapes,
    take_apart,
)
from magan_jax.sampling import images_in_blocks

_BLOCK = 500
"""Images judged at once."""

Shape = Literal["signs", "segment"]
"""`signs`: shifts by random signs of each dimension's unit; `segment`: all dimensions together,
to both sides (the paper's μ ± pσ)."""


class Provenance(NamedTuple):
    """Where each of N images comes from: z = centre + position · direction ∘ scale.

    Attributes:
        region: int `[N]`, its row in the `Regions`.
        position: `[N]`, p, at most the region's ε.
        direction: int8 `[N, d]`, signs.
        judged: int `[N]`, the class that C sees in the uint8 image.
        confidence: `[N]`, how sure C is of `judged`.
    """

    region: np.ndarray
    position: np.ndarray
    direction: np.ndarray
    judged: np.ndarray
    confidence: np.ndarray


class Synthetic(NamedTuple):
    """Labelled images, class by class.

    Attributes:
        images: uint8 `[N, H, W, C]`.
        labels: int32 `[N]`, of their regions.
        latents: float32 `[N, d]`.
        provenance: where they come from.
    """

    images: np.ndarray
    labels: np.ndarray
    latents: np.ndarray
    provenance: Provenance


def synthesize(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    regions: Regions,
    *,
    num_per_class: int,
    classes: tuple[int, ...] | None = None,
    shape: Shape = "signs",
) -> Synthetic:
    """Draw labelled images from the regions of each class.

    A class's regions take turns. In each, p is uniform in [0, ε] and the direction random: signs
    of all dimensions, or one sign for all of them (`shape`).

    Args:
        key: class k draws from `fold_in(key, k)`, whatever the other classes are.
        generate, classify: see `analyze`; G's images `[n, H, W, C]` must lie in [-1, 1], and C
            judges them, and decides nothing.
        regions: from `regions_around_means` or `regions_around_anchors`.
        num_per_class: images of each class.
        classes: which; default all that have a region.
        shape: of the shifts.

    Raises:
        ValueError: for a class without a region, named twice or unknown to C, ε that is not
            positive, functions whose shapes do not fit, images of whole numbers, or images or
            logits that are not finite.

    Warns:
        UserWarning: for a class without a region, and as `label_latents` does.
    """
    check_key(key)
    num_per_class = check_positive("num_per_class", num_per_class)
    if shape not in ("signs", "segment"):
        raise ValueError(f"shape is {shape!r}; choose signs or segment.")
    if not (np.isfinite(regions.epsilon) & (regions.epsilon > 0)).all():
        raise ValueError(
            f"epsilon of the regions goes from {regions.epsilon.min()} to {regions.epsilon.max()}; "
            "it must be positive and finite, or all images of a region are the same."
        )
    wanted = _wanted_classes(classes, regions, _checked_networks(generate, classify, regions))
    parts = [
        _draw(jax.random.fold_in(key, int(k)), regions, k, num_per_class, shape) for k in wanted
    ]
    region, position, direction = (np.concatenate(x) for x in zip(*parts, strict=True))
    shifts = position[:, None] * direction * regions.scale[region]
    latents = (regions.centre[region] + shifts).astype(np.float32)
    if jax.process_count() == 1:  # this host may be the only one that asks
        warn_of_networks(generate, classify, latents, confidences=True)
    images = quantise_images(images_in_blocks(generate, latents), name="generated images")
    function = as_pytree(classify, "classify")
    judged, confidence, finite = in_blocks(lambda block: _judged(function, block), images, _BLOCK)
    check_finite(int(np.sum(~finite)), len(images), "images")
    return Synthetic(
        images,
        regions.label[region].astype(np.int32),
        latents,
        Provenance(region, position, direction, judged, confidence),
    )


def _checked_networks(generate: Generate, classify: Classify, regions: Regions) -> int:
    """The number of classes; refuses functions that do not fit, before anything is computed."""
    networks, _ = take_apart(generate, classify)
    latent_dim = regions.centre.shape[1]
    num_classes = check_networks(networks, latent_dim)
    kind = image_shapes(networks, latent_dim).dtype
    if not jnp.issubdtype(kind, jnp.floating):
        raise ValueError(
            f"generate gives images of type {kind}; it must give floats in [-1, 1], which classify "
            "is asked of, too: of stored images x / 127.5 - 1."
        )
    return num_classes


def _wanted_classes(
    classes: tuple[int, ...] | None, regions: Regions, num_classes: int
) -> np.ndarray:
    """The classes asked for, or all that have a region; refuses those that C does not know and
    those without a region, and warns of those where all are wanted."""
    there = np.unique(regions.label)
    wanted = there if classes is None else np.atleast_1d(classes)
    if not len(wanted) or len(np.unique(wanted)) < len(wanted):
        raise ValueError(f"classes is {classes}; name at least one class, and none twice.")
    for k in wanted:
        if k not in there:
            raise ValueError(
                f"class {k} has no region: no latents in the analysis, or an epsilon of 0; draw "
                "more latents, take another epsilon, or leave it out of classes."
            )
    if wanted.min() < 0 or wanted.max() >= num_classes:
        raise ValueError(
            f"classes go from {wanted.min()} to {wanted.max()}, but classify gives logits for "
            f"{num_classes} classes; use regions that were found with this classifier."
        )
    without = sorted(set(range(num_classes)) - set(there.tolist()))
    if without and classes is None:
        warn(
            f"class {', '.join(map(str, without))} of {num_classes} has no region (no latents in "
            "the analysis, or an epsilon of 0), so no images are made of it."
        )
    return wanted


@jax.jit
def _judged(classify: Any, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of uint8 images, as they will be stored: label, confidence, and whether logits are finite."""
    with jax.default_matmul_precision("highest"):
        logits = classify(scale_images(images)).astype(jnp.float32)
    probabilities = jax.nn.softmax(logits, axis=-1)
    finite = jnp.isfinite(logits).all(-1)
    return jnp.argmax(logits, axis=-1), jnp.max(probabilities, axis=-1), finite


def _draw(
    key: jax.Array, regions: Regions, k: int, count: int, shape: Shape
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Region, position and direction of the images of class k."""
    position_key, sign_key = jax.random.split(key)
    own = np.flatnonzero(regions.label == k)
    region = own[np.arange(count) % len(own)]
    position = (
        np.asarray(jax.random.uniform(position_key, (count,), jnp.float32))
        * regions.epsilon[region]
    )
    latent_dim = regions.centre.shape[1]
    signs = random_signs(sign_key, count, latent_dim if shape == "signs" else 1)
    direction = np.broadcast_to(signs, (count, latent_dim)).astype(np.int8)
    return region, position, direction
