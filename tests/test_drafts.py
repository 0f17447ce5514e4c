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


def test_an_arm_may_move_its_images_as_another_s_choice():
    arms = {
        "leader": Arm("leader", (Variant(moves=SHIFTED), Variant())),
        "follower": Arm("follower", (Variant(moves="leader", share=0.75),)),
    }
    drafted = draft_arms(jax.random.key(0), arms, "sources", FEW)
    assert [one.moves_of for one in drafted["leader"]] == [None, None]
    assert [(one.moves_of, one.fit.share) for one in drafted["follower"]] == [("leader", 0.75)]


def test_what_pools_share_is_made_once():
    made = []

    def first(key, sources):
        made.append("first")
        return SoftBatch(np.zeros((4, 2, 2, 1), np.uint8), np.eye(4))

    def turned(key, sources, pool):
        made.append("turned")
        return pool._replace(probabilities=pool.probabilities[::-1])

    def unsure(key, sources, pool):
        made.append("unsure")
        raise NoRegionError("none is sure")

    def two(pool):
        return SoftBatch(pool.images[:2], pool.probabilities[:2])

    one, another = Derived(first, turned), Derived(first, unsure)
    arms = {
        "b": Arm("b", (Variant(pool=one), Variant(pool=one, part=two), Variant(pool=another))),
        "a": Arm("a", (Variant(pool=first), Variant(pool=one, part=two, share=0.9))),
    }
    drafted = draft_arms(jax.random.key(0), arms, "sources", FEW)
    assert made == ["first", "turned", "unsure"]
    (whole, part, failed), (plain, again) = drafted["b"], drafted["a"]
    np.testing.assert_array_equal(plain.fit.synthetic.probabilities, np.eye(4))
    np.testing.assert_array_equal(whole.fit.synthetic.probabilities, np.eye(4)[::-1])
    np.testing.assert_array_equal(part.fit.synthetic.probabilities, np.eye(4)[::-1][:2])
    assert part.fit.synthetic is again.fit.synthetic  # on the device once
    assert (failed.failure, failed.fit.synthetic) == ("none is sure", None)
    assert {id(x.fit.real) for x in (whole, part, failed, plain, again)} == {id(FEW)}
    assert whole.fit.key is plain.fit.key


def test_what_cannot_be_shared_is_tried_once():
    tried = []

    def nowhere(key, sources):
        tried.append(key)
        raise NoRegionError("no region")

    variants = tuple(
        Variant(pool=Derived(nowhere, then))
        for then in (lambda *_: pytest.fail("of nothing"), lambda *_: pytest.fail("of nothing"))
    )
    drafted = draft_arms(jax.random.key(0), {"arm": Arm("arm", variants)}, "sources", FEW)["arm"]
    assert [one.failure for one in drafted] == ["no region"] * 2
    assert len(tried) == 1
