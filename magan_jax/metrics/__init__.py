"""How good generated samples are, from features `[n, d]` of real and generated ones.

Everything here takes arrays (or, `evaluate_images`, images and any function to features) and
knows nothing of the networks behind them. `python -m magan_jax.metrics selftest` checks the
numbers on this machine.
"""

from magan_jax.blocks import evenly_spaced
from magan_jax.images import quantise_images
from magan_jax.metrics.cache import RealStatistics, real_statistics, statistics_folder
from magan_jax.metrics.density_coverage import DensityCoverage, density_coverage, expected_coverage
from magan_jax.metrics.diversity import mean_pairwise_cosine, vendi_score
from magan_jax.metrics.evaluate import (
    Reference,
    Score,
    Scores,
    evaluate_against,
    evaluate_images,
    reference_of,
)
from magan_jax.metrics.features import Extractor, features_of
from magan_jax.metrics.frechet import (
    FeatureStatistics,
    FrechetInfinity,
    feature_statistics,
    frechet_distance,
    frechet_distance_infinity,
)
from magan_jax.metrics.methods import METHODS
from magan_jax.metrics.precision_recall import PrecisionRecall, precision_recall

__all__ = [
    "METHODS",
    "DensityCoverage",
    "Extractor",
    "FeatureStatistics",
    "FrechetInfinity",
    "PrecisionRecall",
    "RealStatistics",
    "Reference",
    "Score",
    "Scores",
    "density_coverage",
    "evaluate_against",
    "evaluate_images",
    "evenly_spaced",
    "expected_coverage",
    "feature_statistics",
    "features_of",
    "frechet_distance",
    "frechet_distance_infinity",
    "mean_pairwise_cosine",
    "precision_recall",
    "quantise_images",
    "real_statistics",
    "reference_of",
    "statistics_folder",
    "vendi_score",
]
