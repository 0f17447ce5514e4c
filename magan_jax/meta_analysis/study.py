"""What is known of one generator, from which every claim is decided."""

from typing import NamedTuple

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import Clustering
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.purity import Purities


class Study(NamedTuple):
    """What is known of one generator at one N.

    Attributes:
        analysis: class statistics.
        clustering: of the class means; None where there are too few classes.
        invariance: measured exits from these means.
        purities: of random shifts inside the ε of this analysis.
    """

    analysis: Analysis
    clustering: Clustering | None
    invariance: Invariance
    purities: Purities
