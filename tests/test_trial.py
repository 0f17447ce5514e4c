"""How variants are chosen, with classifiers known in closed form."""

from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_judging import identity, pool_of, told

from magan_jax.augmentation import trial
from magan_jax.augmentation.arms import Arm, Variant
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import UNMOVED, FittingConfig, Moves
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.pools import Relabelled
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.augmentation.trial import made_or_reason, try_all, try_arms
from magan_jax.latent.regions import NoRegionError


def test_what_has_no_region_says_why_and_other_faults_are_faults():
    def without():
        raise NoRegionError("no region")

    def broken():
        raise ValueError("a fault")

    assert made_or_reason(without) == "no region"
    with pytest.raises(ValueError, match="a fault"):
        made_or_reason(broken)


def right_on(share):
    """A classifier that is right on the first images of the class-0 budget below."""
    return jax.tree_util.Partial(
        lambda limit, images: jax.nn.one_hot(
            jnp.where(jnp.rint((images[:, 0, 0, 0] + 1) * 127.5) < limit, 0, 1), 2
        ),
        jnp.float32(10 * share),
    )


def tried(monkeypatch, shares, pools):
    """One arm, its classifiers right on given shares of the validation images."""
    images = np.zeros((20, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.tile(np.arange(10), 2)
    budget = Budget(images, np.zeros(20, np.int32), np.arange(20) < 10, np.arange(20))
    given = []

    def fit_all(fits, config, real, num_classes):
        for one, share in zip(fits, [0, 0, *shares], strict=True):
            given.append((real, one.synthetic, one.moves))
            yield right_on(share)

    monkeypatch.setattr(trial, "fit_all", fit_all)
    variants = [(pool, Moves(i)) for i, pool in enumerate(pools)]
    arms = {"one": [(None, UNMOVED)] * 2, "arm": variants}
    judge = Judge(told, identity)
    found = try_all(jax.random.key(0), arms, budget, 4, FittingConfig(), judge)
    assert found["one"].validation == (0, 0)
    return found["arm"], given[2:]


def test_validation_images_choose_and_are_never_learned_from(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    found, given = tried(monkeypatch, [0.3, 0.8, 0.8], [None, pool, None])
    assert found.validation == pytest.approx((0.3, 0.8, 0.8))
    assert found.chosen == 1  # of equals the first
    assert found.pool.size == 30
    for place, (real, synthetic, moves) in enumerate(given):
        assert len(real.labels) == 10  # those that are not held out
        assert moves == Moves(place)
        assert (synthetic is pool) == (place == 1)


def test_a_variant_without_images_is_chosen_only_among_its_like(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    found, given = tried(monkeypatch, [0.9, 0.2], ["no region", pool])
    assert (found.chosen, found.failures) == (1, ("no region", None))
    assert given[0][1] is None
    found, _ = tried(monkeypatch, [0.1, 0.2], ["no region", "none"])
    assert (found.chosen, found.pool) == (1, None)


def test_unmoved_is_no_move():
    assert Moves(0, False) == UNMOVED


def test_a_pool_that_another_relabels_is_made_once(monkeypatch):
    made = []

    def first(key, sources):
        made.append(sources)
        return SoftBatch(np.zeros((4, 2, 2, 1), np.uint8), np.eye(4))

    def relabel(key, sources, pool):
        return pool._replace(probabilities=pool.probabilities[::-1])

    second = Relabelled(first, relabel)
    given = []

    def try_all(key, arms, *_):
        given.append(arms)

    monkeypatch.setattr(trial, "try_all", try_all)
    arms = {name: Arm(name, (Variant(pool=pool),)) for name, pool in (("b", second), ("a", first))}
    sources = Mock(num_classes=4)
    try_arms(jax.random.key(0), arms, sources, None, FittingConfig(), None)
    assert made == [sources]
    np.testing.assert_array_equal(given[0]["a"][0][0].probabilities, np.eye(4))
    np.testing.assert_array_equal(given[0]["b"][0][0].probabilities, np.eye(4)[::-1])
