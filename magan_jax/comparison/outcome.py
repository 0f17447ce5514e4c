"""What became of each system, and what exploring their latent spaces showed."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from magan_jax.comparison.systems import System
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.ascent import Ascent
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.partition import PartitionScores
from magan_jax.metrics import Scores
from magan_jax.outcome import Outcome
from magan_jax.training.gan import TrainedGAN


class JudgedGAN(NamedTuple):
    """One trained generator of a system.

    Attributes:
        seed: it was trained from.
        gan: what was trained.
        scores: metrics of its images at the end of training.
        analysis: of its latent space.
        exits: where shifts from the class means leave the class.
        partition: how well its encoder groups the test images; None without encoder.
    """

    seed: int
    gan: TrainedGAN
    scores: Scores
    analysis: Analysis
    exits: Invariance
    partition: PartitionScores | None


GANOutcome = Outcome[System, JudgedGAN]
Outcomes = Mapping[str, GANOutcome]
"""By name."""


class Embedding(NamedTuple):
    """Points in the plane.

    Attributes:
        points: `[N, 2]`.
        labels: int `[N]`, their classes.
    """

    points: np.ndarray
    labels: np.ndarray


class Exploration(NamedTuple):
    """The latent exploration of the clustering report.

    Attributes:
        starts: latents before the ascent, `[n, d]`, in the order of `ascent`.
        ascent: each start towards each class, start by start; None without an unclustered GAN.
        ascent_of: title of the system whose latents climbed.
        embeddings: t-SNE by title.
    """

    starts: np.ndarray | None
    ascent: Ascent | None
    ascent_of: str
    embeddings: Mapping[str, Embedding]
