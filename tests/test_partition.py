"""Agreement of groups with classes."""

from itertools import permutations

import numpy as np
import pytest

from magan_jax.latent.partition import partition_scores


def test_a_renumbered_partition_is_perfect() -> None:
    classes = np.array([0, 0, 1, 1, 2, 2, 2])
    assert partition_scores(np.array([5, 5, 0, 0, 9, 9, 9]), classes) == (1.0, 1.0, 1.0, 1.0)


def test_more_groups_help_purity_but_not_the_matching() -> None:
    classes = np.array([0, 0, 0, 0, 1, 1])
    scores = partition_scores(np.arange(6), classes)
    assert scores.purity == 1.0
    assert scores.hungarian == pytest.approx(2 / 6)
    assert scores.ari == pytest.approx(0.0)


def test_one_group_knows_nothing() -> None:
    scores = partition_scores(np.zeros(5, int), np.array([0, 0, 0, 1, 2]))
    assert scores == (0.6, 0.6, 0.0, 0.0)


def test_against_every_matching_and_entropies_by_hand() -> None:
    random = np.random.default_rng(0)
    classes, groups = random.integers(0, 4, 200), random.integers(0, 4, 200)
    groups = np.where(random.random(200) < 0.5, (classes + 1) % 4, groups)
    scores = partition_scores(groups, classes)
    best = max(np.mean(np.array(p)[groups] == classes) for p in permutations(range(4)))
    assert scores.hungarian == pytest.approx(best)
    joint = np.array(
        [[np.mean((classes == c) & (groups == g)) for g in range(4)] for c in range(4)]
    )
    assert scores.purity == pytest.approx(joint.max(axis=0).sum())

    def entropy(p: np.ndarray) -> float:
        return float(-np.sum(p[p > 0] * np.log(p[p > 0])))

    both = entropy(joint.sum(0)) + entropy(joint.sum(1))
    assert scores.nmi == pytest.approx(2 * (both - entropy(joint.ravel())) / both)


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="same n"):
        partition_scores(np.zeros(3, int), np.zeros(4, int))
    with pytest.raises(ValueError, match="same n"):
        partition_scores(np.zeros(0, int), np.zeros(0, int))
