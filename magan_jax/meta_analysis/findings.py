"""All that a run finds out about one trained generator."""

from collections.abc import Sequence
from typing import NamedTuple

from magan_jax.latent.rays import RayLabels
from magan_jax.meta_analysis.claims.claim import Claim
from magan_jax.meta_analysis.study import Study
from magan_jax.metrics import Scores
from magan_jax.training.classifier import TrainedClassifier
from magan_jax.training.gan import TrainedGAN


class Findings(NamedTuple):
    """What was trained from one seed, and what its latent space looks like.

    Attributes:
        seed: of everything drawn at random.
        classifier, gan: what was trained.
        scores: metrics of the generated images, in the features of this classifier.
        studies: at the paper's N and at a large N, on which the measured exits shown rest.
        rays: labels along the rays of the large study.
        claims: the paper's, decided; empty for other data.
    """

    seed: int
    classifier: TrainedClassifier
    gan: TrainedGAN
    scores: Scores
    studies: Sequence[Study]
    rays: RayLabels
    claims: Sequence[Claim]
