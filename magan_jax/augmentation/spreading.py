"""Labels spread over a graph of images that features learned without labels make alike."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from magan_jax.training.standardised import Features, features_of_images

_DIRECTIONS = 64
"""Principal components that are kept of each kind of features."""
_REST = 1e-6
"""Spreading ends when no more than this share of a label is still on its way."""
_NEAR = 1e-4
"""Shares of the classes are met to this part of each."""
_MOST_ROUNDS = 500
"""Of scaling columns and rows in turn."""
_LEAST = 1e-9
"""No probability is less, so that every column can be scaled."""


def spread_labels(
    vectors: np.ndarray,
    probabilities: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray,
    *,
    num_neighbours: int,
    weight: float,
) -> np.ndarray:
    """Class probabilities of images by their own and their neighbours', and by a few known labels.

    Zhou et al. (2004): F = (1 - α) (I - α S)⁻¹ Y, where Y has the probabilities of the images and
    the known labels, and S = D^(-1/2) W D^(-1/2) the nearest neighbours' likeness,
    W = exp(-(distance / s)²) with s the median distance to the last neighbour, of either side.
    We depart from it in that the unlabelled start from probabilities rather than from nothing, and
    in that these are scaled before and after so that the classes have the shares they have among
    the known labels (`with_shares`): without that, large clusters swallow the small.

    Args:
        vectors: `[n, F]`, of the images (`image_vectors`).
        probabilities: `[n, K]`, what a classifier takes them for.
        known: `[m, F]`, vectors of the labelled images.
        labels: int `[m]`, theirs; every class at least once.
        num_neighbours: of each image in the graph, among all others.
        weight: α, the share of a label that is its neighbours'; below 1.

    Returns:
        `[n, K]`, each row sums to 1. Time and memory of the search grow with (n + m)².

    Raises:
        ValueError: for a weight that is not in [0, 1), as many neighbours as images, or a class
            without a known label.
    """
    num_classes = probabilities.shape[1]
    missing = np.setdiff1d(np.arange(num_classes), labels)
    if len(missing):
        raise ValueError(f"labels has no image of class {missing[0]}; give at least one of each.")
    everyone = np.concatenate([vectors, known])
    if not 0 <= weight < 1:
        raise ValueError(f"weight is {weight}; it must lie in [0, 1).")
    if not 1 <= num_neighbours < len(everyone):
        raise ValueError(
            f"num_neighbours is {num_neighbours}; with {len(everyone)} images it must lie in "
            f"1..{len(everyone) - 1}."
        )
    shares = np.bincount(labels, minlength=num_classes) / len(labels)
    start = np.concatenate([with_shares(probabilities, shares), np.eye(num_classes)[labels]])
    likeness = neighbour_graph(everyone, num_neighbours)
    found, remaining = start, 1.0
    while remaining > _REST and weight:
        found = weight * (likeness @ found) + (1 - weight) * start
        remaining *= weight
    return with_shares(found[: len(vectors)], shares)


def neighbour_graph(vectors: np.ndarray, num_neighbours: int) -> sparse.csr_array:
    """S of `spread_labels`, `[n, n]`, symmetric, with a greatest eigenvalue of 1."""
    count = len(vectors)
    search = NearestNeighbors(n_neighbors=num_neighbours, algorithm="brute").fit(vectors)
    distance, index = search.kneighbors()  # of the others: no image is its own neighbour
    scale = max(float(np.median(distance[:, -1])), np.finfo(np.float32).tiny)
    entries = np.exp(-np.minimum((distance / scale) ** 2, 100)).ravel()
    rows = np.repeat(np.arange(count), num_neighbours)
    one_way = sparse.csr_array((entries, (rows, index.ravel())), shape=(count, count))
    weights = one_way.maximum(one_way.T)
    normal = sparse.diags_array(1 / np.sqrt(weights.sum(axis=1)))
    return sparse.csr_array(normal @ weights @ normal)


def with_shares(probabilities: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Probabilities whose mean over the rows is that of the classes, by scaling the columns.

    The nearest table (in relative entropy) with these sums of rows and columns, found by scaling
    either in turn (Sinkhorn and Knopp, 1967), until each share is met to a part in 10,000, or as
    near as 500 rounds come: where nearly all rows are certain, little can be scaled.

    Args:
        probabilities: `[n, K]`, none negative.
        shares: `[K]`, positive, of sum 1.

    Returns:
        `[n, K]`, each row sums to 1.
    """
    found = np.maximum(np.asarray(probabilities, np.float64), _LEAST)
    found = found / found.sum(axis=1, keepdims=True)
    for _ in range(_MOST_ROUNDS):
        mean = found.mean(axis=0)
        if np.all(np.abs(mean - shares) <= _NEAR * shares):
            break
        found = found * (shares / mean)
        found = found / found.sum(axis=1, keepdims=True)
    return found


def image_vectors(features: Sequence[Features], *sets: np.ndarray) -> list[np.ndarray]:
    """Images as vectors whose distances count every kind of features alike.

    Args:
        features: each `images in [-1, 1] -> [n, F]`.
        sets: uint8 images `[n, H, W, C]`; the principal components are those of the first set.

    Returns:
        Of each set `[n, 64 or fewer per kind]`: the principal components of each kind of features,
        at length 1.

    Raises:
        ValueError: for no features.
    """
    if not features:
        raise ValueError("features is empty; give at least one function of images.")
    kinds = []
    for one in features:
        found = [features_of_images(one, images) for images in sets]
        first = found[0]
        components = PCA(min(_DIRECTIONS, *first.shape), svd_solver="covariance_eigh").fit(first)
        kinds.append([_of_length_one(components.transform(x)) for x in found])
    return [np.concatenate(of_a_set, axis=1) for of_a_set in zip(*kinds, strict=True)]


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(length, np.finfo(vectors.dtype).tiny)
