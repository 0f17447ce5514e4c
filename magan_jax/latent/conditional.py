"""Images of a wanted class, from where an encoder puts that class's images.

The VAE report (seeds: "Categorical generation of images via analysis of learned latent vectors",
Section 3.5) draws latents of class y around the mean of its encoded images, with its standard
deviation times θ, and asks of their images two things: that a classifier sees y, and that they
differ from each other.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import NetworkOutputError, check_key, check_positive, warn
from magan_jax.images import BLACK
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.labels import check_finite, label_and_finite, warn_of_networks
from magan_jax.networks import (
    Classify,
    Generate,
    Networks,
    check_generator,
    check_networks,
    chosen_batch_size,
    take_apart,
)
from magan_jax.parallel import DEVICES, device_count, local_part, on_devices
from magan_jax.sampling import images_in_blocks

_GREY = (1 - BLACK) / 2
"""Light of the least value of images in [0, 1]."""

MOST_DRAWS = 10_000
"""Of which a latent may be the mean."""


class ConditionalScores(NamedTuple):
    """What M samplers of K classes reach.

    Attributes:
        accuracy: `[M, K]`, share of the images of a class that the classifier gives to it.
        cosine: `[M, K]`, mean cosine of different images of a class, as vectors of light.
    """

    accuracy: np.ndarray
    cosine: np.ndarray

    def objective(self, accuracy_weight: float = 1.0) -> np.ndarray:
        """`[M, K]`: E cos + w E[1 − accuracy], to be made small; the report's Eq. 4 has w = 1."""
        return self.cosine + accuracy_weight * (1 - self.accuracy)


def draw_of_class(
    key: jax.Array, mean: jax.Array, deviation: jax.Array, weights: jax.Array, num_samples: int
) -> jax.Array:
    """z_y, the weighted mean of draws of N(μ, deviation²) (VAE report, Eq. 3): `[n, d]`.

    With equal weights 1/n the mean of n draws of N(μ_y, θ σ_y) is one draw of N(μ_y, θ σ_y / √n):
    the report's second parameter is the first one on another scale. Its text has θ multiply the
    observed variance, its Eq. 3 writes N(μ_y, θ σ_y); σ as a deviation is our reading, to which the
    cosines of its Table 4 are nearer than to √θ σ.

    Args:
        key: of the draws, which are the same for every mean, deviation and number of weights.
        mean: `[d]`, μ_y.
        deviation: `[d]`, θ σ_y.
        weights: `[D]` of D draws, summing to one.
        num_samples: n.
    """

    def draw(number: jax.Array) -> jax.Array:
        return jax.random.normal(
            jax.random.fold_in(key, number), (num_samples, *mean.shape), jnp.float32
        )

    noise = jax.vmap(draw)(jnp.arange(len(weights)))
    # A sum, not a product of matrices: those are rounded on accelerators.
    return mean[None] + deviation[None] * jnp.sum(weights[:, None, None] * noise, axis=0)


def conditional_images(
    key: jax.Array,
    generate: Generate,
    latents: ClassLatents,
    theta: np.ndarray | float,
    *,
    num_draws: int = 1,
    num_samples: int = 1000,
) -> np.ndarray:
    """Images of every class by one sampler: `[K, n, H, W, C]`, on the host.

    Args:
        key: of the draws.
        generate: `[n, d] -> images`.
        latents: of the K classes.
        theta: θ, `[K, d]` or what broadcasts to it.
        num_draws: n of Eq. 3.
        num_samples: images of each class.

    Raises:
        ValueError: for θ, numbers or shapes that cannot be.
        NetworkOutputError: for images that are not finite.
    """
    check_key(key)
    num_samples = check_positive("num_samples", num_samples)
    num_draws = check_positive("num_draws", num_draws)
    latents = checked_latents(latents)
    num_classes, latent_dim = latents.mean.shape
    theta, _ = _samplers(latents, theta, num_draws)
    if len(theta) > 1:
        raise ValueError(f"theta is of {len(theta)} samplers; one is needed, [K, d].")
    check_generator(generate, latent_dim)
    weights = jnp.full(num_draws, 1 / num_draws)
    z = [
        draw_of_class(jax.random.fold_in(key, k), latents.mean[k], deviation, weights, num_samples)
        for k, deviation in enumerate(theta[0] * latents.std)
    ]
    images = images_in_blocks(generate, np.concatenate(z))
    lost = np.sum(~np.isfinite(images.reshape(len(images), -1)).all(axis=1))
    if lost:
        raise NetworkOutputError(
            f"generate gave values that are not finite for {lost} of {len(images)} latents; look "
            "at its parameters and at theta."
        )
    return images.reshape(num_classes, num_samples, *images.shape[1:])


def score_conditional(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: ClassLatents,
    theta: np.ndarray | float,
    *,
    num_draws: int | np.ndarray = 1,
    num_samples: int = 1000,
    num_devices: int | None = None,
) -> ConditionalScores:
    """Accuracy and likeness of the images that samplers draw of every class.

    Samplers are compared on the same draws, so that their difference is theirs, and a sampler's
    numbers do not depend on those beside it.

    Args:
        key: of the draws.
        generate: `[n, d] -> images` in [-1, 1], JAX-traceable; compiled once (see `analyze`).
        classify: `images -> logits [n, K]`, JAX-traceable.
        latents: of the K classes.
        theta: θ of M samplers, `[M, K, d]` or what broadcasts to it.
        num_draws: n of each sampler, `[M]` or one for all.
        num_samples: images of each class and sampler.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for θ that is negative or not finite, numbers and shapes that cannot be.
        NetworkOutputError: for images that are not finite, beyond [-1, 1], or wholly dark, which
            have no cosine.

    Warns:
        UserWarning: for images from 0 to 1, and for networks to which the rest of a batch
            matters, as `label_latents` does.
    """
    check_key(key)
    num_samples = check_positive("num_samples", num_samples)
    if num_samples < 2:
        raise ValueError("num_samples is 1; a pair of images needs 2.")
    latents = checked_latents(latents)
    theta, draws = _samplers(latents, theta, num_draws)
    num_classes, latent_dim = latents.mean.shape
    weights = (np.arange(draws.max()) < draws[:, None]) / draws[:, None]
    warn_of_networks(  # a few images, since a search asks for many scores
        generate, classify, latents.mean, num_classes, num_devices, confidences=False
    )
    pairs = _score_pairs(
        key,
        generate,
        classify,
        latents,
        np.tile(np.arange(num_classes), len(theta)),
        theta.reshape(-1, latent_dim),
        np.repeat(weights, num_classes, axis=0),
        num_samples,
        num_devices,
    )
    return ConditionalScores(*(x.reshape(len(theta), num_classes) for x in pairs))


def checked_latents(latents: ClassLatents) -> ClassLatents:
    """The same as arrays; what cannot be is refused in a sentence."""
    mean, std = (np.asarray(x, np.float64) for x in (latents.mean, latents.std))
    if mean.ndim != 2 or not mean.size or mean.shape != std.shape:
        raise ValueError(
            f"latents have means {mean.shape} and deviations {std.shape}; both must be [K, d]."
        )
    if not np.isfinite([mean, std]).all() or (std < 0).any():
        raise ValueError(
            "latents have means or deviations that are not finite, or deviations below 0; leave "
            "out classes without statistics."
        )
    return latents._replace(mean=mean, std=std)


def _samplers(
    latents: ClassLatents, theta: np.ndarray | float, num_draws: int | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """θ `[M, K, d]` and n `[M]` of M samplers; what cannot be is refused in a sentence."""
    mean, theta = latents.mean, np.asarray(theta, np.float64)
    if not (np.isfinite(theta).all() and (theta >= 0).all()):
        raise ValueError("theta has values that are negative or not finite; it scales deviations.")
    draws = np.asarray(num_draws)
    whole = np.isfinite(draws) & (draws == np.floor(draws)) & (draws >= 1)
    if draws.dtype == bool or not whole.all() or draws.max() > MOST_DRAWS:
        raise ValueError(
            f"num_draws is {num_draws}; whole numbers, 1 to {MOST_DRAWS:,}, are needed."
        )
    shape = theta.shape
    theta = theta if theta.ndim >= 3 else theta[None]
    num_samplers = max(len(theta), draws.size) if len(theta) == 1 else len(theta)
    try:
        every = np.broadcast_to(theta, (num_samplers, *mean.shape))
    except ValueError:
        every = np.empty(0)
    if not every.size:
        raise ValueError(
            f"theta has the shape {shape}; of M samplers [M, K, d] = "
            f"[M, {mean.shape[0]}, {mean.shape[1]}] is needed, or what broadcasts to it."
        )
    if draws.shape not in ((), (1,), (num_samplers,)):
        raise ValueError(
            f"num_draws has the shape {draws.shape}; one number for all or one for each of "
            f"{num_samplers} samplers is needed."
        )
    return every, np.broadcast_to(draws.astype(np.int64), num_samplers)


def _score_pairs(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: ClassLatents,
    label: np.ndarray,
    theta: np.ndarray,
    weights: np.ndarray,
    num_samples: int,
    num_devices: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and cosine `[P]` of pairs of a class `[P]` and its θ `[P, d]`, weights `[P, D]`.

    All pairs in one compiled call, shared over the devices; see `score_conditional`.
    """
    networks, arrays = take_apart(generate, classify)
    num_classes, latent_dim = latents.mean.shape
    compiled = _compiled_scores(networks, latent_dim, num_classes, num_samples, num_devices)
    padding = -len(label) % device_count(num_devices)
    rows: list[np.ndarray] = [
        np.asarray(label, np.int32),
        np.asarray(latents.mean[label], np.float32),
        np.asarray(theta * latents.std[label], np.float32),
        np.asarray(weights, np.float32),
    ]
    rows = [np.concatenate([x, np.repeat(x[:1], padding, axis=0)]) for x in rows]
    accuracy, cosine, bad, beyond, dark, least = jax.device_get(compiled(arrays, key, *rows))
    check_finite(int(bad[: len(label)].sum()), len(label) * num_samples)
    if beyond[: len(label)].any():
        raise NetworkOutputError(
            f"generate gave {int(beyond[: len(label)].sum())} images with values beyond [-1, 1], "
            "between which a cosine measures light from -1 on; let it give 2 x - 1 of images in "
            "[0, 1]."
        )
    if (least >= _GREY).all():
        warn(
            "no image of generate has a value below 0; they are taken to lie in [-1, 1], where 0 "
            "is grey, by which all are alike: let it give 2 x - 1 of images in [0, 1]."
        )
    if dark[: len(label)].any():
        raise NetworkOutputError(
            f"generate gave {int(dark[: len(label)].sum())} images that are dark (-1) everywhere; "
            "a cosine needs images that have a direction. Look at the generator's images."
        )
    return accuracy[: len(label)].astype(np.float64), cosine[: len(label)].astype(np.float64)


@lru_cache(maxsize=16)
def _compiled_scores(
    networks: Networks, latent_dim: int, num_classes: int, num_samples: int, num_devices: int | None
) -> Callable[..., Any]:
    check_networks(networks, latent_dim, num_classes)

    def score(arrays: Any, key: jax.Array, *rows: jax.Array) -> Any:
        generate, classify = networks.functions(arrays)

        def of_pair(pair: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            label, mean, deviation, weights = pair
            own = jax.random.fold_in(key, label)
            z = draw_of_class(own, mean, deviation, weights, num_samples)
            # In full float32, as all labels are (see `magan_jax.latent.labels`).
            with jax.default_matmul_precision("highest"):
                images = generate(z)
                logits = classify(images).astype(jnp.float32)
            found, finite = label_and_finite(logits)
            light = (images.reshape(num_samples, -1).astype(jnp.float32) + 1) / 2
            finite &= jnp.isfinite(light).all(-1)
            beyond = (jnp.abs(light - 0.5) > 0.5 + 1e-5).any(-1)
            length = jnp.linalg.norm(light, axis=-1)
            total = jnp.sum(light / jnp.maximum(length, 1e-30)[:, None], axis=0)
            among = (jnp.sum(total**2) - num_samples) / (num_samples * (num_samples - 1))
            return (
                jnp.mean(found == label),
                among,
                jnp.sum(~finite),
                jnp.sum(beyond),
                jnp.sum(length == 0),
                jnp.min(light),
            )

        together = max(1, chosen_batch_size(None, networks, latent_dim) // num_samples)
        mine = jax.lax.map(of_pair, tuple(map(local_part, rows)), batch_size=together)
        return jax.lax.all_gather(mine, DEVICES, tiled=True)

    return on_devices(score, num_devices=num_devices)
