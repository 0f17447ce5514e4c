"""How variants are chosen, with classifiers known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_judging import identity, pool_of, told

from magan_jax.augmentation import trial
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.drafts import Draft, attempt
from magan_jax.augmentation.fitting import UNMOVED, FittingConfig, Moves
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.trial import try_drafts


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
    key, given, done = jax.random.key(0), [], []

    def fit_all(fits, config, num_classes):
        # Of a first draft none is right, of a second an arm's are as told, and a bound is always.
        for one, share in zip(fits, [*[0] * (1 + len(shares)), 0, *shares, 1], strict=True):
            given.append(one)
            yield right_on(share)

    monkeypatch.setattr(trial, "fit_all", fit_all)
    one = [attempt(key, budget.fitting, None, UNMOVED)]
    variants = [
        attempt(key, budget.fitting, pool, Moves(place)) for place, pool in enumerate(pools)
    ]
    drafts = [
        Draft(4, 10, 4, budget, {"one": one, "arm": variants}, {}),
        Draft(5, 10, 4, budget, {"one": one, "arm": variants}, {"bound": one}),
    ]
    first, second = try_drafts(
        drafts, FittingConfig(), Judge(told, identity), lambda: done.append(None)
    )
    assert len(done) == len(given)
    assert (first.seed, second.seed, second.num_per_class) == (4, 5, 10)
    assert set(first.arms["arm"].validation) == {0}
    assert second.arms["one"].validation == (0,)
    assert second.bounds["bound"].validation == (1,)
    return second.arms["arm"], given[-1 - len(shares) : -1]


def test_validation_images_choose_and_are_never_learned_from(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    found, given = tried(monkeypatch, [0.3, 0.8, 0.8], [None, pool, None])
    assert found.validation == pytest.approx((0.3, 0.8, 0.8))
    assert found.chosen == 1  # of equals the first
    assert found.pool.size == 30
    for place, one in enumerate(given):
        assert len(one.real.labels) == 10  # those that are not held out
        assert one.moves == Moves(place)
        assert (one.synthetic is pool) == (place == 1)


def test_a_variant_without_images_is_chosen_only_among_its_like(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    found, given = tried(monkeypatch, [0.9, 0.2], ["no region", pool])
    assert (found.chosen, found.failures) == (1, ("no region", None))
    assert given[0].synthetic is None
    found, _ = tried(monkeypatch, [0.1, 0.2], ["no region", "none"])
    assert (found.chosen, found.pool) == (1, None)


def test_images_move_as_those_of_the_leader_s_chosen_variant(monkeypatch):
    images = np.zeros((20, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.tile(np.arange(10), 2)
    budget = Budget(images, np.zeros(20, np.int32), np.arange(20) < 10, np.arange(20))
    key, given, done = jax.random.key(0), [], []

    def fit_all(fits, config, num_classes):
        given.append([one.moves for one in fits])
        # The leader's shares, of the first draft and of the second; of followers every one.
        shares = [0.2, 0.7, 0.9, 0.7] if len(given) == 1 else [1] * len(fits)
        return (right_on(share) for _, share in zip(fits, shares, strict=True))

    monkeypatch.setattr(trial, "fit_all", fit_all)
    leader = [attempt(key, budget.fitting, None, Moves(place)) for place in (3, 4)]
    follower = [attempt(key, budget.fitting, None, "leader")] * 2
    arms = {"follower": follower, "leader": leader}
    drafts = [Draft(seed, 10, 4, budget, arms, {"bound": follower[:1]}) for seed in (0, 1)]
    found = try_drafts(
        drafts, FittingConfig(), Judge(told, identity), lambda: done.append(len(given))
    )
    assert given == [[Moves(3), Moves(4)] * 2, [Moves(4)] * 3 + [Moves(3)] * 3]
    assert done == [1] * 4 + [2] * 6
    assert [list(one.arms) for one in found] == [["follower", "leader"]] * 2
    assert [one.arms["leader"].chosen for one in found] == [1, 0]
    assert [one.bounds["bound"].validation for one in found] == [(1,)] * 2


def test_unmoved_is_no_move():
    assert Moves(0, False) == UNMOVED
