"""Networks as Linen modules: images are `[N, H, W, C]` in [-1, 1], latents `[N, d]`."""

from magan_jax.models.classifier import Classifier
from magan_jax.models.dcgan import Discriminator, Generator

__all__ = ["Classifier", "Discriminator", "Generator"]
