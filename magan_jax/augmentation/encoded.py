"""Images drawn around the encodings of few labelled images, by an autoencoder without labels.

The VAE report's samplers (`magan_jax.latent.conditional`) where labels are few: the autoencoder
has seen all images and no label, and class means and deviations are those of the few.
"""

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.augmentation.pools import Sources
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.latent.conditional import ClassLatents, class_latents, conditional_images
from magan_jax.latent.regions import NoRegionError
from magan_jax.latent.sampling import images_in_blocks
from magan_jax.metrics.features import quantise_images
from magan_jax.training.images import scale_images
from magan_jax.training.vae import TrainedVAE

# Streams of a pool's key, after those of `pools`.
_AROUND_MEANS, _AROUND_IMAGES = 7, 8


def encoded_means(key: jax.Array, sources: Sources, *, theta: float) -> SoftBatch:
    """Around each class's mean encoding, with θ times its deviations: the report's Simple, n = 1.

    Raises:
        NoRegionError: for a class with fewer than two images to learn from.
    """
    vae, latents = _encoded_classes(sources)
    images = conditional_images(
        jax.random.fold_in(key, _AROUND_MEANS),
        vae.generate,
        latents,
        theta,
        num_samples=_per_class(sources),
    )
    return _labelled(images.reshape(-1, *images.shape[2:]), sources)


def encoded_images(key: jax.Array, sources: Sources, *, theta: float) -> SoftBatch:
    """Around the encodings of single labelled images, each as often as it comes by lot.

    With θ times the deviations of the image's class.

    Raises:
        NoRegionError: for a class with fewer than two images to learn from.
    """
    vae, latents = _encoded_classes(sources)
    labels = np.asarray(sources.few.labels)
    codes = vae.encode(jnp.asarray(scale_images(sources.few.images)))[0]
    key, number = jax.random.fold_in(key, _AROUND_IMAGES), _per_class(sources)
    z = []
    for k in range(sources.num_classes):
        chosen, noise = jax.random.split(jax.random.fold_in(key, k))
        own = codes[labels == k]
        centre = own[jax.random.randint(chosen, (number,), 0, len(own))]
        z.append(centre + theta * latents.std[k] * jax.random.normal(noise, centre.shape))
    return _labelled(images_in_blocks(vae.generate, np.concatenate(z)), sources)


def _encoded_classes(sources: Sources) -> tuple[TrainedVAE, ClassLatents]:
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
    return vae, class_latents(vae.encode, images, labels, sources.num_classes)


def _per_class(sources: Sources) -> int:
    return -(-sources.config.num_images // sources.num_classes)


def _labelled(images: np.ndarray, sources: Sources) -> SoftBatch:
    """Of as many images of each class, class by class."""
    label = np.repeat(np.arange(sources.num_classes), len(images) // sources.num_classes)
    return SoftBatch(
        quantise_images(images, name="generated images"), np.eye(sources.num_classes)[label]
    )
