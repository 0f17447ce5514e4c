"""Labels spread over a graph, against its definition in NumPy and closed forms."""

import jax
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from magan_jax.augmentation.spreading import (
    image_vectors,
    neighbour_graph,
    spread_labels,
    with_shares,
)

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 3))
KNOWN = RNG.normal(size=(6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 0])
PROBABILITIES = RNG.dirichlet(np.ones(3), 40)
SHARES = np.array([3, 2, 1]) / 6


def reference_graph(vectors, k):
    distance = cdist(vectors, vectors)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :k]
    scale = np.median(np.sort(distance, axis=1)[:, k - 1])
    weights = np.zeros_like(distance)
    for i, row in enumerate(nearest):
        for j in row:
            weights[i, j] = weights[j, i] = np.exp(-((distance[i, j] / scale) ** 2))
    degree = weights.sum(1)
    return weights / np.sqrt(np.outer(degree, degree))


def test_the_graph_is_that_of_the_nearest_neighbours():
    found = neighbour_graph(VECTORS, 4).toarray()
    np.testing.assert_allclose(found, reference_graph(VECTORS, 4), atol=1e-12)
    assert np.linalg.eigvalsh(found)[-1] == pytest.approx(1)


def test_equal_images_have_a_graph():
    assert np.isfinite(neighbour_graph(np.ones((5, 2)), 2).toarray()).all()


def test_spread_labels_solve_the_linear_system():
    found = spread_labels(VECTORS, PROBABILITIES, KNOWN, LABELS, num_neighbours=4, weight=0.9)
    graph = reference_graph(np.concatenate([VECTORS, KNOWN]), 4)
    start = np.concatenate([with_shares(PROBABILITIES, SHARES), np.eye(3)[LABELS]])
    solved = np.linalg.solve(np.eye(46) - 0.9 * graph, 0.1 * start)[:40]
    np.testing.assert_allclose(found, with_shares(solved, SHARES), rtol=1e-4, atol=1e-6)


def test_without_weight_neighbours_say_nothing():
    found = spread_labels(VECTORS, PROBABILITIES, KNOWN, LABELS, num_neighbours=4, weight=0)
    expected = with_shares(with_shares(PROBABILITIES, SHARES), SHARES)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_one_known_label_names_its_cluster():
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    of_cluster = np.repeat(np.arange(3), 50)
    vectors = centres[of_cluster] + RNG.normal(size=(150, 2))
    found = spread_labels(
        vectors, np.full((150, 3), 1 / 3), centres, np.arange(3), num_neighbours=8, weight=0.99
    )
    np.testing.assert_array_equal(found.argmax(1), of_cluster)


def test_shares_are_met_by_the_nearest_table():
    found = with_shares(PROBABILITIES, SHARES)
    np.testing.assert_allclose(found.sum(1), 1)
    np.testing.assert_allclose(found.mean(0), SHARES, rtol=1e-4)

    # The nearest in relative entropy, by its dual: row sums hold for any column weights w.
    def dual(w):
        return np.mean(np.log(PROBABILITIES @ np.exp(w))) - w @ SHARES

    w = minimize(dual, np.zeros(3), tol=1e-12).x
    expected = PROBABILITIES * np.exp(w)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_shares_are_met_though_most_rows_are_nearly_certain():
    logits = np.log([0.25, 0.4, 0.35]) + RNG.gumbel(size=(4000, 3))
    sharp = np.exp(6 * logits)
    sharp /= sharp.sum(1, keepdims=True)
    assert np.mean(sharp.max(1)) > 0.9
    np.testing.assert_allclose(with_shares(sharp, SHARES).mean(0), SHARES, rtol=1e-4)


def test_a_class_that_nothing_is_taken_for_leaves_no_nan():
    certain = np.eye(3)[np.zeros(20, int)]
    assert np.isfinite(with_shares(certain, SHARES)).all()


def test_vectors_keep_the_angles_of_features():
    """As many components as features: a rotation about the mean, then length 1, kind by kind."""
    images, others = (RNG.integers(0, 256, (n, 2, 2, 1)).astype(np.uint8) for n in (30, 7))
    kinds = [RNG.normal(size=(4, width)).astype(np.float32) for width in (2, 3)]

    def features(weights, x):
        return x.reshape(len(x), 4) @ weights

    found = image_vectors([jax.tree_util.Partial(features, w) for w in kinds], images, others)
    expected = []
    for part in (images, others):
        columns = []
        for w in kinds:
            first, x = ((i.reshape(-1, 4) / 127.5 - 1) @ w.astype(float) for i in (images, part))
            x = x - first.mean(0)
            columns.append(x / np.linalg.norm(x, axis=1, keepdims=True))
        expected.append(np.concatenate(columns, axis=1))
    for a in range(2):
        assert found[a].shape == (len((images, others)[a]), 5)
        for b in range(2):
            np.testing.assert_allclose(
                found[a] @ found[b].T, expected[a] @ expected[b].T, atol=1e-4
            )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": 1.0}, "weight is 1.0; it must lie in"),
        ({"weight": float("nan")}, "weight is nan; it must lie in"),
        ({"num_neighbours": 46}, "num_neighbours is 46; with 46 images it must lie in 1..45"),
        ({"num_neighbours": 0}, "num_neighbours is 0; with 46 images"),
        ({"labels": np.array([0, 0, 2, 0, 2, 0])}, "labels has no image of class 1"),
        ({"known": KNOWN[:0], "labels": LABELS[:0]}, "labels has no image of class 0"),
    ],
)
def test_what_cannot_be_spread_is_refused(changes, message):
    settings = {"known": KNOWN, "labels": LABELS, "num_neighbours": 4, "weight": 0.8}
    with pytest.raises(ValueError, match=message):
        spread_labels(VECTORS, PROBABILITIES, **(settings | changes))


def test_without_features_there_are_no_vectors():
    with pytest.raises(ValueError, match="features is empty"):
        image_vectors([], np.zeros((2, 2, 2, 1), np.uint8))
