"""What became of each autoencoder and its samplers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.conditional.systems import System
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.exits import Exits
from magan_jax.latent.scale_search import SimpleSearch
from magan_jax.metrics import Scores
from magan_jax.outcome import Outcome
from magan_jax.training.classifier import TrainedClassifier
from magan_jax.training.vae import TrainedVAE


class Sampler(NamedTuple):
    """A sampler that a search chose, and what it reaches on draws that the search did not see.

    Attributes:
        kind: in `SAMPLERS`.
        accuracy_weight: of the objective that it was chosen by.
        theta: `[K, d]`.
        num_draws: n.
        searched: its objective on the search's own draws, mean over classes.
        scores: on others, by the classifier of reconstructions, `[1, K]`.
        judged: the same draws by a classifier of real images.
        metrics: of its images beside real ones.
    """

    kind: str
    accuracy_weight: float
    theta: np.ndarray
    num_draws: int
    searched: float
    scores: ConditionalScores
    judged: ConditionalScores
    metrics: Scores


class JudgedVAE(NamedTuple):
    """One trained autoencoder of a system.

    Attributes:
        seed: it was trained from.
        vae: what was trained.
        classifier: of its reconstructions.
        train_accuracy: the classifier's, on reconstructions of the training images.
        reconstruction: −log p(x|z) of the test images in nats, z the mean of q(z|x).
        latents: where it puts the classes of the training images.
        reconstructed: accuracy and cosine of reconstructed test images, `[1, K]`.
        grid: Simple's whole grid on draws that no search saw.
        grid_judged: the same by the classifier of real images.
        samplers: chosen ones.
        prior_metrics: metrics of images of random latents of the prior.
        exits: where draws around each class mean leave the class, in units of θ.
        analysis: Algorithm 1 of the MAGAN paper on latents of the prior.
    """

    seed: int
    vae: TrainedVAE
    classifier: TrainedClassifier
    train_accuracy: float
    reconstruction: float
    latents: ClassLatents
    reconstructed: ConditionalScores
    grid: SimpleSearch
    grid_judged: ConditionalScores
    samplers: Sequence[Sampler]
    prior_metrics: Scores
    exits: Exits
    analysis: Analysis

    def chosen(self, kind: str, accuracy_weight: float) -> Sampler:
        """The sampler of this kind and weight."""
        return next(
            s for s in self.samplers if s.kind == kind and s.accuracy_weight == accuracy_weight
        )


VAEOutcome = Outcome[System, JudgedVAE]
Outcomes = Mapping[str, VAEOutcome]
