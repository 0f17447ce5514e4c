"""Networks as Linen modules: images are `[N, H, W, C]` in [-1, 1], latents `[N, d]`."""

from magan_jax.models.classifier import Classifier
from magan_jax.models.encoder import Encoder
from magan_jax.models.families import NETWORKS, Family, NetworkName, Size

__all__ = ["NETWORKS", "Classifier", "Encoder", "Family", "NetworkName", "Size"]
