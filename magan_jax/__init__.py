"""magan_jax: which class lives where in a generator's latent space, and how sure that is.

Bring any two JAX functions, `generate: z [n, d] -> images` and `classify: images -> logits`, and
ask `analyze` for the statistics of each class, `bisect_epsilon` for how far a shift keeps it.
"""

from magan_jax.data import Dataset, load_dataset
from magan_jax.latent.agreement import Agreement, compare_geometries
from magan_jax.latent.analysis import Analysis, analyze
from magan_jax.latent.ascent import Ascent, ascend
from magan_jax.latent.clustering import Clustering, cluster
from magan_jax.latent.exits import Exits, bisect_epsilon
from magan_jax.latent.invariance import (
    Invariance,
    Purity,
    labels_along_rays,
    measure_invariance,
    measure_purity,
)
from magan_jax.latent.labels import Labels, label_latents
from magan_jax.latent.prior import standard_normal

__version__ = "0.1.0"

__all__ = [
    "Agreement",
    "Analysis",
    "Ascent",
    "Clustering",
    "Dataset",
    "Exits",
    "Invariance",
    "Labels",
    "Purity",
    "analyze",
    "ascend",
    "bisect_epsilon",
    "cluster",
    "compare_geometries",
    "label_latents",
    "labels_along_rays",
    "load_dataset",
    "measure_invariance",
    "measure_purity",
    "standard_normal",
]
