"""How pools are judged and variants chosen, with classifiers known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.augmentation import trial
from magan_jax.augmentation.budget import Budget
from magan_jax.augmentation.fitting import UNMOVED, FittingConfig, Moves, SoftBatch
from magan_jax.augmentation.trial import Judge, judge_pool, made_or_reason, try_variants
from magan_jax.latent.regions import NoRegionError

COUNT = 400


def told(images):
    """The class is the first pixel, in steps of ten grey values."""
    level = jnp.rint((images[:, 0, 0, 0] + 1) * 12.75).astype(int)
    return jax.nn.one_hot(level, 4)


def identity(images):
    """Each value of the second pixel is a direction of its own."""
    return jax.nn.one_hot(jnp.rint((images[:, 0, 1, 0] + 1) * 127.5).astype(int), 256)


def pool_of(labels, of_class, values):
    images = np.zeros((len(labels), 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = 10 * of_class
    images[:, 0, 1, 0] = values
    return SoftBatch(images, 0.6 * np.eye(4)[labels] + 0.1)


def test_purity_is_the_judges_agreement_and_classes_are_counted():
    of_class = np.arange(COUNT) % 4
    labels = np.where(np.arange(COUNT) < 100, (of_class + 1) % 4, of_class)
    found = judge_pool(pool_of(labels, of_class, 0), Judge(told, identity), 4)
    assert (found.size, found.purity) == (COUNT, 0.75)
    np.testing.assert_array_equal(found.of_class, np.bincount(labels, minlength=4))


@pytest.mark.parametrize(("different", "least", "most"), [(1, 1, 1), (5, 4, 5), (256, 23, 25)])
def test_diversity_counts_different_images_of_a_class(different, least, most):
    # Of 25 images, each one of m orthogonal ones, the Vendi score is exp of the entropy of their
    # shares: m where they are equally frequent, a little less where they are drawn.
    labels = np.zeros(COUNT, int)
    pool = pool_of(labels, labels, np.arange(COUNT) % different)
    found = judge_pool(pool, Judge(told, identity), 4)
    assert least - 1e-6 <= found.diversity <= most + 1e-6


def test_few_images_have_no_diversity():
    labels = np.arange(12) % 4
    assert np.isnan(judge_pool(pool_of(labels, labels, 0), Judge(told, identity), 4).diversity)


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
    """`try_variants` with classifiers that are right on given shares of the validation images."""
    images = np.zeros((20, 2, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.tile(np.arange(10), 2)
    budget = Budget(images, np.zeros(20, np.int32), np.arange(20) < 10, np.arange(20))
    given = []

    def fit(key, config, real, num_classes, *, synthetic, moves):
        given.append((real, synthetic, moves))
        return right_on(shares[len(given) - 1])

    monkeypatch.setattr(trial, "fit", fit)
    variants = [(pool, Moves(i)) for i, pool in enumerate(pools)]
    found = try_variants(
        jax.random.key(0), variants, budget, 4, FittingConfig(), Judge(told, identity), lambda: None
    )
    return found, given


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
