"""Accuracy against likeness: the curve of the VAE report's Figure 1."""

import numpy as np

from magan_jax.latent.conditional import ConditionalScores


def trade_off(scores: ConditionalScores) -> tuple[np.ndarray, np.ndarray]:
    """Mean cosine and accuracy over classes of M samplers, by rising cosine: `[M], [M]`."""
    cosine, accuracy = scores.cosine.mean(axis=1), scores.accuracy.mean(axis=1)
    order = np.argsort(cosine, kind="stable")
    return cosine[order], accuracy[order]


def accuracy_at(scores: ConditionalScores, cosine: np.ndarray | float) -> np.ndarray:
    """The accuracy that samplers reach at a mean cosine, between two of them a straight line.

    Args:
        scores: of M samplers, which differ in one scale.
        cosine: of the images wanted, any shape.

    Returns:
        The same shape; NaN outside of what the samplers span.
    """
    found, accuracy = trade_off(scores)
    return np.interp(cosine, found, accuracy, left=np.nan, right=np.nan)
