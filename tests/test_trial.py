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
    """A classifier that is right on the first of the ten validation images of `budget`, and on the
    others of the images that are learned from."""

    def classify(limit, images):
        number = jnp.rint((images[:, 0, 0, 0] + 1) * 127.5)
        right = jnp.where(number < 10, number < limit, number - 10 >= limit)
        return jax.nn.one_hot(jnp.where(right, 0, 1), 2)

    return jax.tree_util.Partial(classify, jnp.float32(10 * share))


def budget():
    """Images 0 to 9 choose, 10 to 19 are learned from; all are of class 0."""
    images = np.zeros((20, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(20)
    return Budget(images, np.zeros(20, np.int32), np.arange(20) < 10, np.arange(20))


def tried(monkeypatch, shares, pools):
    """One arm, its classifiers right on given shares of the validation images."""
    few = budget()
    key, given, done = jax.random.key(0), [], []

    def fit_all(fits, config, num_classes):
        # Of a first draft none is right, of a second an arm's are as told, and a bound is always.
        for one, share in zip(fits, [*[0] * (1 + len(shares)), 0, *shares, 1], strict=True):
            given.append(one)
            yield right_on(share)

    monkeypatch.setattr(trial, "fit_all", fit_all)
    one = [attempt(key, few.fitting, None, UNMOVED)]
    variants = [attempt(key, few.fitting, pool, Moves(place)) for place, pool in enumerate(pools)]
    drafts = [
        Draft(4, 10, 4, few, {"one": one, "arm": variants}, {}),
        Draft(5, 10, 4, few, {"one": one, "arm": variants}, {"bound": one}),
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


def test_validation_images_choose(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    found, given = tried(monkeypatch, [0.3, 0.8, 0.8], [None, pool, None])
    assert found.validation == pytest.approx((0.3, 0.8, 0.8))
    assert found.chosen == 1  # of equals the first
    assert found.pool.size == 30
    for place, one in enumerate(given):
        np.testing.assert_array_equal(one.real.images[:, 0, 0, 0], np.arange(10, 20))
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


def follow(monkeypatch, leader, follower, shares, bound=None):
    """Two drafts of a leader and a follower; the leader's classifiers are as right as told."""
    few, given, done = budget(), [], []

    def fit_all(fits, config, num_classes):
        given.append(list(fits))
        of_this = shares if len(given) == 1 else [1] * len(fits)
        return (right_on(share) for _, share in zip(fits, of_this, strict=True))

    monkeypatch.setattr(trial, "fit_all", fit_all)
    key = jax.random.key(0)
    arms = {
        "follower": [attempt(key, few.fitting, *one) for one in follower],
        "leader": [attempt(key, few.fitting, *one) for one in leader],
    }
    bounds = {} if bound is None else {"bound": [attempt(key, few.fitting, *bound)]}
    drafts = [Draft(seed, 10, 4, few, arms, bounds) for seed in (0, 1)]
    judge = Judge(told, identity)
    found = try_drafts(drafts, FittingConfig(), judge, lambda: done.append(len(given)))
    return found, given, done, arms


def test_images_move_as_those_of_the_leader_s_chosen_variant(monkeypatch):
    labels = np.zeros(30, int)
    pool = pool_of(labels, labels, 0)
    follower = [(pool, "leader", 0.75), ("no region", "leader"), (pool, Moves(7))]
    found, given, done, arms = follow(
        monkeypatch,
        leader=[(None, Moves(3)), (None, Moves(4))],
        follower=follower,
        shares=[0.2, 0.7, 0.9, 0.7],
        bound=(None, "leader"),
    )
    assert [one.moves for one in given[0]] == [Moves(3), Moves(4)] * 2
    expected = [Moves(4), Moves(4), Moves(7), Moves(4), Moves(3), Moves(3), Moves(7), Moves(3)]
    assert [one.moves for one in given[1]] == expected
    assert done == [1] * 4 + [2] * 8
    # All else is as it was.
    for place, one in enumerate(arms["follower"]):
        for fitted in (given[1][place], given[1][4 + place]):
            assert fitted.synthetic is one.fit.synthetic
            assert (fitted.share, fitted.key) == (one.fit.share, one.fit.key)
    assert [list(one.arms) for one in found] == [["follower", "leader"]] * 2
    assert [one.arms["leader"].chosen for one in found] == [1, 0]
    assert [one.arms["follower"].failures for one in found] == [(None, "no region", None)] * 2
    assert [one.bounds["bound"].validation for one in found] == [(1,)] * 2


def test_a_leader_s_variant_that_failed_does_not_lead(monkeypatch):
    labels = np.zeros(30, int)
    leader = [("no region", Moves(3)), (pool_of(labels, labels, 0), Moves(4))]
    found, given, _, _ = follow(monkeypatch, leader, [(None, "leader")], [0.9, 0.2] * 2)
    assert [one.moves for one in given[1]] == [Moves(4)] * 2
    assert [one.arms["leader"].chosen for one in found] == [1, 1]


@pytest.mark.parametrize(
    ("leader", "follower", "bound"),
    [
        ([(None, Moves(3))], [(None, "none")], None),
        ([(None, "follower")], [(None, Moves(3))], (None, "leader")),
        ([(None, Moves(3))], [(None, Moves(3))], (None, "none")),
    ],
)
def test_who_follows_one_that_is_not_there_or_follows_is_refused(
    monkeypatch, leader, follower, bound
):
    with pytest.raises(ValueError, match=r"no other, and has follower, leader(, bound)?: add it"):
        follow(monkeypatch, leader, follower, [], bound)


def test_unmoved_is_no_move():
    assert Moves(0, False) == UNMOVED
