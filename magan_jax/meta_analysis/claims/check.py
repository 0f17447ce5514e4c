"""Every claim of the paper, in its order."""

from collections.abc import Callable, Sequence

from magan_jax.data import Dataset, is_published
from magan_jax.meta_analysis.claims.claim import Claim
from magan_jax.meta_analysis.claims.clusters import (
    PAPER_AVERAGE_COPHENETIC,
    average_cophenetic,
    linkages,
    map_clusters,
    ward_clusters,
)
from magan_jax.meta_analysis.claims.invariance import (
    along_sigma,
    beyond_epsilon,
    shifts_of_random_signs,
)
from magan_jax.meta_analysis.claims.means import (
    TOP,
    TROUSERS,
    distinct_means,
    epsilon_of_top,
    first_distance,
    nearest_of_top,
    own_labels,
)
from magan_jax.meta_analysis.study import Study

DATASET = "fashion_mnist"

PAPER_NUMBERS: tuple[tuple[str, float, Callable[[Study], float]], ...] = (
    ("d(T-shirt/top, trousers)", 2.26, lambda s: s.analysis.distance[TOP, TROUSERS]),
    (
        "distance of T-shirt/top to its nearest class",
        2.0,
        lambda s: s.analysis.nearest_distance[TOP],
    ),
    ("ε of T-shirt/top", 0.2010, lambda s: s.analysis.epsilon[TOP]),
    ("cophenetic coefficient of average linkage", PAPER_AVERAGE_COPHENETIC, average_cophenetic),
)
"""Every number in Section 4, and how to take it from a study at the paper's N."""


def speaks_of(dataset: Dataset) -> bool:
    """Whether the paper's claims are about these data: Fashion-MNIST as published."""
    return is_published(dataset, DATASET)


def check_claims(small: Study, large: Study, class_names: Sequence[str]) -> list[Claim]:
    """Hold every claim against a study at the paper's N and one at a large N.

    Always the same claims in the same order: what classes without latents leave open is open.

    Args:
        small: decides.
        large: what sampling noise hid.
        class_names: the ten names.
    """
    pair = small.clustering, large.clustering
    return [
        own_labels(small.analysis, large.analysis, class_names),
        first_distance(small.analysis, large.analysis),
        nearest_of_top(small.analysis, large.analysis, class_names),
        epsilon_of_top(small.analysis, large.analysis),
        along_sigma(small, large, class_names),
        beyond_epsilon(small, large, class_names),
        shifts_of_random_signs(small.purities.paper, large.purities.paper, class_names),
        distinct_means(small.analysis, large.analysis),
        linkages(*pair, small.analysis.num_samples, class_names),
        ward_clusters(*pair, class_names),
        map_clusters(*pair, class_names),
    ]
