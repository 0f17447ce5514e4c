"""magan_jax: which class lives where in a generator's latent space, and how sure that is.

Bring any two JAX functions, `generate: z [n, d] -> images` and `classify: images -> logits`, and
ask `analyze` for the statistics of each class, `bisect_epsilon` for how far a shift keeps it, and
`synthesize` for labelled images from within. With an encoder, `class_latents` says where it puts
each class, and `search_scales` how far from there images may be drawn.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from magan_jax.data import Dataset, load_dataset
    from magan_jax.finished import FinishedRun, load_run
    from magan_jax.latent.agreement import Agreement, compare_geometries
    from magan_jax.latent.analysis import Analysis, analyze
    from magan_jax.latent.ascent import Ascent, ascend
    from magan_jax.latent.clustering import Clustering, cluster
    from magan_jax.latent.conditional import (
        ConditionalScores,
        conditional_images,
        score_conditional,
    )
    from magan_jax.latent.encodings import ClassLatents, class_latents
    from magan_jax.latent.exits import Exits, bisect_epsilon
    from magan_jax.latent.invariance import Invariance, measure_invariance
    from magan_jax.latent.labels import Labels, label_latents
    from magan_jax.latent.purity import Purity, measure_purity
    from magan_jax.latent.rays import RayLabels, labels_along_rays
    from magan_jax.latent.regions import Regions, regions_around_anchors, regions_around_means
    from magan_jax.latent.scale_search import (
        ScaleSearch,
        SimpleSearch,
        search_scales,
        search_simple,
    )
    from magan_jax.latent.synthesis import Synthetic, synthesize
    from magan_jax.prior import standard_normal
    from magan_jax.saved_results import load_result, save_result
    from magan_jax.synthetic_files import write_synthetic

__version__ = "0.1.0"

__all__ = [
    "Agreement",
    "Analysis",
    "Ascent",
    "ClassLatents",
    "Clustering",
    "ConditionalScores",
    "Dataset",
    "Exits",
    "FinishedRun",
    "Invariance",
    "Labels",
    "Purity",
    "RayLabels",
    "Regions",
    "ScaleSearch",
    "SimpleSearch",
    "Synthetic",
    "analyze",
    "ascend",
    "bisect_epsilon",
    "class_latents",
    "cluster",
    "compare_geometries",
    "conditional_images",
    "label_latents",
    "labels_along_rays",
    "load_dataset",
    "load_result",
    "load_run",
    "measure_invariance",
    "measure_purity",
    "regions_around_anchors",
    "regions_around_means",
    "save_result",
    "score_conditional",
    "search_scales",
    "search_simple",
    "standard_normal",
    "synthesize",
    "write_synthetic",
]

# Found at their first use: the statistics need libraries that take longer to import than the first
# training step takes to start.
_MODULES = {
    "Dataset": "data",
    "load_dataset": "data",
    "FinishedRun": "finished",
    "load_run": "finished",
    "Agreement": "latent.agreement",
    "compare_geometries": "latent.agreement",
    "Analysis": "latent.analysis",
    "analyze": "latent.analysis",
    "Ascent": "latent.ascent",
    "ascend": "latent.ascent",
    "Clustering": "latent.clustering",
    "cluster": "latent.clustering",
    "ClassLatents": "latent.encodings",
    "ConditionalScores": "latent.conditional",
    "class_latents": "latent.encodings",
    "conditional_images": "latent.conditional",
    "score_conditional": "latent.conditional",
    "Exits": "latent.exits",
    "bisect_epsilon": "latent.exits",
    "Invariance": "latent.invariance",
    "Purity": "latent.purity",
    "RayLabels": "latent.rays",
    "labels_along_rays": "latent.rays",
    "measure_invariance": "latent.invariance",
    "measure_purity": "latent.purity",
    "Labels": "latent.labels",
    "label_latents": "latent.labels",
    "standard_normal": "prior",
    "Regions": "latent.regions",
    "regions_around_anchors": "latent.regions",
    "regions_around_means": "latent.regions",
    "load_result": "saved_results",
    "save_result": "saved_results",
    "ScaleSearch": "latent.scale_search",
    "SimpleSearch": "latent.scale_search",
    "search_scales": "latent.scale_search",
    "search_simple": "latent.scale_search",
    "Synthetic": "latent.synthesis",
    "synthesize": "latent.synthesis",
    "write_synthetic": "synthetic_files",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"magan_jax.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'magan_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
