"""Scalar losses with their equations; each takes logits and knows nothing of networks."""

from magan_jax.objectives.adversarial import ADVERSARIAL, Adversarial

__all__ = ["ADVERSARIAL", "Adversarial"]
