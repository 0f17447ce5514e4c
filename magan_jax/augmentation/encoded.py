"""Images drawn around the encodings of few labelled images, by an autoencoder without labels.

The VAE report's samplers (`magan_jax.latent.conditional`) where labels are few: the autoencoder
has seen all images and no label, and class means and deviations are those of the few.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.pools import Sources
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.images import quantise_images, scale_images
from magan_jax.latent.conditional import conditional_images
from magan_jax.latent.encodings import ClassLatents, class_latents
from magan_jax.latent.regions import NoRegionError
from magan_jax.sampling import images_in_blocks
from magan_jax.training.vae import TrainedVAE

# Streams of a pool's key, after those of `pools`.
_AROUND_MEANS, _AROUND_IMAGES = 7, 8


class EncodedClasses(NamedTuple):
    """Few labelled images as an autoencoder sees them.

    Attributes:
        vae: the autoencoder.
        codes: `[n, d]`, the mean of q(z|x) of each image.
        latents: mean and deviation of each class.
    """

    vae: TrainedVAE
    codes: np.ndarray
    latents: ClassLatents


def encoded_classes(key: jax.Array, sources: Sources) -> EncodedClasses:
    """What all pools around encodings share; nothing is drawn.

    Raises:
        NoRegionError: for a class with fewer than two images to learn from.
    """
    del key
    vae, labels = sources.autoencoder, np.asarray(sources.few.labels)
    if vae is None:
        raise ValueError("sources.autoencoder is None; this pool needs one that is trained.")
    count = np.bincount(labels, minlength=sources.num_classes)
    if count.min() < 2:
        raise NoRegionError(
            f"class {np.argmin(count)} has {count.min()} images to learn from; deviations of "
            "encodings need 2: take more labels."
        )
    images = np.asarray(scale_images(sources.few.images))
    latents = class_latents(vae.encode, images, labels, sources.num_classes)
    return EncodedClasses(vae, np.asarray(vae.encode(jnp.asarray(images))[0]), latents)


def encoded_means(
    key: jax.Array, sources: Sources, classes: EncodedClasses, *, theta: float
) -> SoftBatch:
    """Around each class's mean encoding, with θ times its deviations (Section 3.5.1, n = 1)."""
    images = conditional_images(
        jax.random.fold_in(key, _AROUND_MEANS),
        classes.vae.generate,
        classes.latents,
        theta,
        num_samples=_per_class(sources),
    )
    return _labelled(images.reshape(-1, *images.shape[2:]), sources)


def encoded_images(
    key: jax.Array, sources: Sources, classes: EncodedClasses, *, theta: float
) -> SoftBatch:
    """Around the encodings of single labelled images, each as often as it comes by lot.

    With θ times the deviations of the image's class.
    """
    labels = np.asarray(sources.few.labels)
    key, number = jax.random.fold_in(key, _AROUND_IMAGES), _per_class(sources)
    z = []
    for k in range(sources.num_classes):
        chosen, noise = jax.random.split(jax.random.fold_in(key, k))
        own = classes.codes[labels == k]
        centre = own[np.asarray(jax.random.randint(chosen, (number,), 0, len(own)))]
        normal = np.asarray(jax.random.normal(noise, centre.shape, jnp.float32))
        z.append(centre + np.float32(theta * classes.latents.std[k]) * normal)
    return _labelled(images_in_blocks(classes.vae.generate, np.concatenate(z)), sources)


def _per_class(sources: Sources) -> int:
    return -(-sources.config.num_images // sources.num_classes)


def _labelled(images: np.ndarray, sources: Sources) -> SoftBatch:
    """Of as many images of each class, class by class."""
    label = np.repeat(np.arange(sources.num_classes), len(images) // sources.num_classes)
    return SoftBatch(
        quantise_images(images, name="generated images"), np.eye(sources.num_classes)[label]
    )
