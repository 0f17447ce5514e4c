"""Claims about clusters of the class means: linkages, dendrogram, map."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score

from magan_jax.latent.clustering import LINKAGES, Clustering, cut_map, scale_to_plane
from magan_jax.meta_analysis.claims.claim import (
    PAPER_SAMPLES,
    Claim,
    prediction_interval,
    shown_ends,
    undecided,
)
from magan_jax.meta_analysis.study import Study

PAPER_AVERAGE_COPHENETIC = 0.71

WARD_CLUSTERS = ((9, 8, 5, 7), (4, 2, 6), (0, 1, 3))
"""Section 4: (ankle boot, bag, sandal, sneaker), (coat, pullover, shirt), (top, trousers,
dress)."""

MAP_CLUSTERS = ((1, 3), (6, 2, 4, 0), (7, 5, 9, 8))
"""Section 4: (trousers, dress), (shirt, pullover, coat, top), (sneaker, sandal, ankle boot,
bag)."""

_RESAMPLED = 50
"""Bootstrap samples whose clusters are compared."""


def linkages(
    small: Clustering | None, large: Clustering | None, num_samples: int, names: Sequence[str]
) -> Claim:
    """Which linkage keeps the distances best and which worst, and by how much (Figure 11)."""
    title = (
        "average linkage keeps the distances best, at 0.71; single linkage is the worst",
        "Section 4, Figure 11",
        "average 0.71, single last",
    )
    if not _of_all(names, small, large):
        return undecided(*title)
    assert small is not None
    assert large is not None

    def ordered(clustering: Clustering) -> list[str]:
        return sorted(LINKAGES, key=lambda m: -clustering.dendrograms[m].cophenetic)

    def listed(clustering: Clustering, average: str = "") -> str:
        return ", ".join(
            f"{m} {clustering.dendrograms[m].cophenetic:.2f}{average if m == 'average' else ''}"
            for m in ordered(clustering)
        )

    average = small.dendrograms["average"]
    value = average.cophenetic
    low, high = prediction_interval(
        value, (float(average.cophenetic_interval.low), float(average.cophenetic_interval.high))
    )
    order = ordered(small)
    first, last = order[0] == "average", order[-1] == "single"
    known = np.isfinite([low, high]).all()
    within = bool(low <= PAPER_AVERAGE_COPHENETIC <= high)
    return Claim(
        *title,
        listed(small, f" {shown_ends((low, high))}".rstrip()),
        None,
        None,
        listed(large),
        (first and last and within) if known and num_samples == PAPER_SAMPLES else None,
        f"average is {'first' if first else 'not first'}"
        + (" (it is built to do well on this measure, so that says little)" if first else "")
        + f", single is {'last' if last else 'not last'}, 0.71 is "
        + (
            f"{'inside' if within else 'outside'} the interval of average" if known else "undecided"
        ),
    )


def _of_all(names: Sequence[str], *clusterings: Clustering | None) -> bool:
    """Whether no class is missing in any of them: the claims are about ten."""
    return all(one is not None and len(one.classes) == len(names) for one in clusterings)


def average_cophenetic(study: Study) -> float:
    """The cophenetic coefficient of average linkage; NaN where a class is missing."""
    clustering = study.clustering
    if clustering is None or len(clustering.classes) < len(study.analysis.counts):
        return float("nan")
    return clustering.dendrograms["average"].cophenetic


def ward_clusters(
    small: Clustering | None, large: Clustering | None, names: Sequence[str]
) -> Claim:
    """Three clusters of the ten classes by Ward linkage (Figure 8)."""

    def cut(clustering: Clustering) -> np.ndarray:
        return fcluster(clustering.dendrograms["ward"].merges, 3, "maxclust")

    def cut_means(means: np.ndarray) -> np.ndarray:
        return fcluster(linkage(means, "ward"), 3, "maxclust")

    return _three_clusters("Ward linkage", WARD_CLUSTERS, cut, cut_means, small, large, names)


def map_clusters(small: Clustering | None, large: Clustering | None, names: Sequence[str]) -> Claim:
    """Three clusters of the ten classes on the plane of multidimensional scaling (Figure 10).

    The paper sees them by eye; here the map is cut by average linkage.
    """

    def cut(clustering: Clustering) -> np.ndarray:
        return cut_map(clustering.map, 3)

    def cut_means(means: np.ndarray) -> np.ndarray:
        position, _ = scale_to_plane(squareform(pdist(means)))
        return cut_map(position, 3)

    return _three_clusters("the map (MDS)", MAP_CLUSTERS, cut, cut_means, small, large, names)


def _three_clusters(
    method: str,
    paper: tuple[tuple[int, ...], ...],
    cut: Callable[[Clustering], np.ndarray],
    cut_means: Callable[[np.ndarray], np.ndarray],
    small: Clustering | None,
    large: Clustering | None,
    names: Sequence[str],
) -> Claim:
    """The paper's clusters against those at its N, at a large N and of bootstrap samples.

    `cut` and `cut_means` give clusters `[10]`, of a clustering and of class means `[10, d]`.
    """
    title = (
        f"three clusters by {method}",
        "Section 4, Figures 8 and 10",
        "; ".join("(" + ", ".join(names[k] for k in members) + ")" for members in paper),
    )
    if not _of_all(names, small, large):
        return undecided(*title)
    assert small is not None
    assert large is not None
    here, there = cut(small), cut(large)
    resampled = [cut_means(means) for means in small.bootstrap_means[:_RESAMPLED]]
    theirs = np.zeros(len(names), int)
    for number, members in enumerate(paper):
        theirs[list(members)] = number

    def shown(flat: np.ndarray) -> str:
        return "; ".join(
            "(" + ", ".join(names[int(k)] for k in np.flatnonzero(flat == number)) + ")"
            for number in np.unique(flat)
        )

    stable = np.mean([adjusted_rand_score(here, flat) == 1 for flat in resampled])
    agreement = adjusted_rand_score(theirs, here)
    return Claim(
        *title,
        shown(here),
        None,
        None,
        shown(there),
        bool(np.isclose(agreement, 1)),
        f"adjusted Rand index with the paper's clusters {agreement:.2f}, at the large N "
        f"{adjusted_rand_score(theirs, there):.2f} (1 is equal, 0 is chance); a bootstrap sample "
        f"of our own latents gives our clusters again in {stable:.0%} of the cases",
    )
