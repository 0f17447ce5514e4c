"""Hierarchical clusters and a map of the class means (MAGAN, Section 4, Figures 8, 10 and 11)."""

from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import pdist
from sklearn.manifold import MDS

from magan_jax.errors import check_positive, check_whole
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.geometry import Interval, jackknife
from magan_jax.latent.moments import Moments, merge_all

LINKAGES = ("single", "average", "complete", "ward")
"""The four of the paper's Figure 8."""


class Dendrogram(NamedTuple):
    """One hierarchical clustering of V class means.

    Attributes:
        merges: `[V − 1, 4]`, as `scipy.cluster.hierarchy.linkage` gives them; leaf i is class
            `Clustering.classes[i]`.
        cophenetic: correlation of cophenetic and original distances.
        cophenetic_interval: 95 % jackknife interval of `cophenetic`.
        flat: `[V]`, the cut into `num_clusters` clusters, numbered from 1.
        support: `[V − 1]`, share of bootstrap dendrograms in which the merged set is a cluster.
    """

    merges: np.ndarray
    cophenetic: float
    cophenetic_interval: Interval
    flat: np.ndarray
    support: np.ndarray


class Clustering(NamedTuple):
    """The class means clustered and mapped.

    Attributes:
        classes: `[V]`, the classes with statistics, in the order of the leaves' numbers.
        num_clusters: of the flat cuts.
        dendrograms: by linkage.
        map: `[V, 2]`, metric multidimensional scaling of the distances.
        map_stress: Kruskal's normalised stress-1 of the map; 0 is perfect.
        map_flat: `[V]`, average-linkage clusters of the map.
        bootstrap_means: `[B, V, d]`, class means under resampling of the stream's parts.
    """

    classes: np.ndarray
    num_clusters: int
    dendrograms: dict[str, Dendrogram]
    map: np.ndarray
    map_stress: float
    map_flat: np.ndarray
    bootstrap_means: np.ndarray


def cluster(
    analysis: Analysis, *, num_clusters: int = 3, num_bootstrap: int = 200, seed: int = 0
) -> Clustering:
    """Cluster and map the means of the classes that have statistics.

    A bootstrap sample draws as many parts of the stream as there are, with replacement. Its means
    keep the noise of the analysis and add as much again: the support of clusters that are there
    is about right, that of clusters made by noise is too high (with equal means, at N = 1000, the
    first merge has 28 % where fresh samples show it in 7 %).

    Args:
        analysis: at least three classes with statistics.
        num_clusters: of the flat cuts; the paper speaks of three.
        num_bootstrap: bootstrap dendrograms behind `support`; 0 leaves it NaN.
        seed: of the bootstrap.

    Raises:
        ValueError: for fewer than three classes, or numbers that do not fit.
    """
    classes = np.flatnonzero(analysis.valid)
    if len(classes) < 3:
        raise ValueError(
            f"{len(classes)} class(es) have two or more latents; clustering needs at least 3. "
            "Draw more latents (num_samples)."
        )
    num_clusters = check_positive("num_clusters", num_clusters)
    if num_clusters > len(classes):
        raise ValueError(f"num_clusters is {num_clusters}; it must be 1 to {len(classes)}.")
    num_bootstrap = check_whole("num_bootstrap", num_bootstrap, 0)
    seed = check_whole("seed", seed, 0)
    means = analysis.mean[classes]
    resampled = _bootstrap_means(analysis.replicates, classes, num_bootstrap, seed)
    dendrograms = {}
    for method in LINKAGES:
        merges = linkage(means, method)

        def coefficient(moments: Moments, method: str = method) -> np.ndarray:
            if (moments.count[classes] < 2).any():
                return np.array(np.nan)  # without this part a class is gone
            kept = moments.mean[classes]
            return np.array(cophenet(linkage(kept, method), pdist(kept))[0])

        dendrograms[method] = Dendrogram(
            merges=merges,
            cophenetic=float(cophenet(merges, pdist(means))[0]),
            # A coefficient is a correlation: what the interval has beyond 1 it has not.
            cophenetic_interval=Interval(
                *(np.clip(x, -1, 1) for x in jackknife(coefficient, analysis.replicates))
            ),
            flat=fcluster(merges, num_clusters, "maxclust"),
            support=merge_support(merges, [linkage(m, method) for m in resampled]),
        )
    position, stress = scale_to_plane(analysis.distance[np.ix_(classes, classes)])
    return Clustering(
        classes=classes,
        num_clusters=num_clusters,
        dendrograms=dendrograms,
        map=position,
        map_stress=stress,
        map_flat=cut_map(position, num_clusters),
        bootstrap_means=resampled,
    )


def scale_to_plane(distance: np.ndarray) -> tuple[np.ndarray, float]:
    """Metric multidimensional scaling of distances `[V, V]`: places `[V, 2]` and stress-1.

    SMACOF from the classical solution: nothing is drawn at random, and its stress was below that
    of the best of eight random starts.
    """
    scaling = MDS(
        2,
        metric="precomputed",
        n_init=1,
        init="classical_mds",  # what is given below
        max_iter=1000,
        eps=1e-9,
        normalized_stress=True,
    )
    position = scaling.fit_transform(distance, init=_classical_places(distance))
    return position, float(scaling.stress_)


def _classical_places(distance: np.ndarray) -> np.ndarray:
    """Classical multidimensional scaling of distances `[V, V]` (Torgerson, 1952): `[V, 2]`.

    scikit-learn's takes the root of each eigenvalue as it is. Means on a line have one axis, and
    of the other rounding may leave a negative eigenvalue, which is 0 here.
    """
    centre = np.eye(len(distance)) - 1 / len(distance)
    values, vectors = np.linalg.eigh(-0.5 * centre @ distance**2 @ centre)
    values, vectors = values[:-3:-1], vectors[:, :-3:-1]
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return vectors * np.sign(largest) * np.sqrt(np.maximum(values, 0))


def cut_map(position: np.ndarray, num_clusters: int) -> np.ndarray:
    """Clusters `[V]` of places in the plane, by average linkage, numbered from 1."""
    return fcluster(linkage(position, "average"), num_clusters, "maxclust")


def members_of_merges(merges: np.ndarray) -> list[frozenset[int]]:
    """The leaves under each merge of a linkage matrix."""
    leaves = len(merges) + 1
    members = [frozenset([i]) for i in range(leaves)]
    for left, right in merges[:, :2].astype(int):
        members.append(members[left] | members[right])
    return members[leaves:]


def merge_support(merges: np.ndarray, others: list[np.ndarray]) -> np.ndarray:
    """Share of the dendrograms `others` in which each merged set is a cluster too: `[V − 1]`."""
    if not others:
        return np.full(len(merges), np.nan)
    found = [set(members_of_merges(other)) for other in others]
    return np.array([np.mean([m in f for f in found]) for m in members_of_merges(merges)])


def _bootstrap_means(
    replicates: Moments, classes: np.ndarray, num_bootstrap: int, seed: int
) -> np.ndarray:
    """Class means `[B, V, d]` from parts drawn with replacement; all classes must occur."""
    random = np.random.default_rng(seed)
    parts = len(replicates.count)
    means: list[np.ndarray] = []
    attempts = 0
    while len(means) < num_bootstrap and attempts < 20 * num_bootstrap:
        attempts += 1
        weight = np.bincount(random.integers(0, parts, parts), minlength=parts)
        merged = merge_all(replicates, weight)
        if (merged.count[classes] > 0).all():
            means.append(merged.mean[classes])
    return np.array(means).reshape(-1, len(classes), replicates.mean.shape[-1])
