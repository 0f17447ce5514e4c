"""What each arm's classifiers will learn from."""

import jax
import numpy as np
import pytest

from magan_jax.augmentation.arms import Arm, Variant
from magan_jax.augmentation.drafts import draft_arms, made_or_reason
from magan_jax.augmentation.fitting import SHIFTED, UNMOVED
from magan_jax.augmentation.pools import Derived
from magan_jax.augmentation.rows import SoftBatch
from magan_jax.latent.regions import NoRegionError
from magan_jax.training.engine import Batch

FEW = Batch(np.zeros((2, 2, 2, 1), np.uint8), np.arange(2))


def test_what_has_no_region_says_why_and_other_faults_are_faults():
    def without():
        raise NoRegionError("no region")

    def broken():
        raise ValueError("a fault")

    assert made_or_reason(without) == "no region"
    with pytest.raises(ValueError, match="a fault"):
        made_or_reason(broken)


def test_an_arm_without_a_region_is_fitted_without_images_and_says_why():
    def nowhere(key, sources):
        raise NoRegionError("no region")

    after = Derived(nowhere, lambda *_: pytest.fail("there is nothing to relabel"))
    variants = (Variant(), Variant(pool=nowhere, moves=SHIFTED), Variant(pool=after))
    drafted = draft_arms(jax.random.key(0), {"arm": Arm("arm", variants)}, "sources", FEW)["arm"]
    assert [one.failure for one in drafted] == [None, "no region", "no region"]
    assert [one.fit.synthetic for one in drafted] == [None, None, None]
    assert [one.fit.moves for one in drafted] == [UNMOVED, SHIFTED, UNMOVED]


def test_an_arm_may_move_its_images_as_another_s_choice_and_says_where_there_is_none():
    leader = Arm("leader", (Variant(moves=SHIFTED), Variant()))
    follower = Arm("follower", (Variant(moves="leader", share=0.75),))
    arms = {"follower": follower, "leader": leader}
    drafted = draft_arms(jax.random.key(0), arms, "sources", FEW)
    assert [one.moves_of for one in drafted["leader"]] == [None, None]
    assert [(one.moves_of, one.fit.share) for one in drafted["follower"]] == [("leader", 0.75)]
    second = Arm("second", (Variant(moves="follower"),))
    for wrong in ({"follower": follower}, arms | {"second": second}):
        with pytest.raises(ValueError, match="must be there and have moves of its own: add it"):
            draft_arms(jax.random.key(0), wrong, "sources", FEW)


def test_what_pools_are_derived_from_is_made_once():
    made = []

    def first(key, sources):
        made.append(sources)
        return SoftBatch(np.zeros((4, 2, 2, 1), np.uint8), np.eye(4))

    def relabel(key, sources, pool):
        return pool._replace(probabilities=pool.probabilities[::-1])

    second = Derived(first, relabel)
    arms = {name: Arm(name, (Variant(pool=pool),)) for name, pool in (("b", second), ("a", first))}
    drafted = draft_arms(jax.random.key(0), arms, "sources", FEW)
    assert made == ["sources"]
    found = {name: one.fit for name, (one,) in drafted.items()}
    np.testing.assert_array_equal(found["a"].synthetic.probabilities, np.eye(4))
    np.testing.assert_array_equal(found["b"].synthetic.probabilities, np.eye(4)[::-1])
    assert found["a"].real is found["b"].real is FEW
    assert found["a"].key is found["b"].key
