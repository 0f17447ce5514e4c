"""A classifier of few real images and many synthetic ones."""

import chex
import jax
import numpy as np
import pytest
from conftest import striped_images

from magan_jax.augmentation.fitting import (
    SHIFTED,
    Fit,
    FittingConfig,
    Moves,
    SoftBatch,
    check_fitting_config,
    fit,
    fit_all,
    fit_at_once,
)
from magan_jax.images import scale_images
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
CONFIG = FittingConfig(steps=150, batch_size=32, width=4, dropout=0.0, learning_rate=1e-2)
WILD = FittingConfig(steps=20, batch_size=32, width=4, learning_rate=1e30)


def striped(seed, n=200, classes=10):
    labels = np.arange(n) % classes
    return Batch(striped_images(np.random.default_rng(seed), labels)[..., None], labels)


def rows(*places):
    """Images of one bright row each."""
    images = np.zeros((len(places), 8, 8, 1), np.uint8)
    images[np.arange(len(places)), places] = 255
    return images


def probabilities_of(classify, images):
    return np.asarray(jax.nn.softmax(classify(scale_images(images))))


def test_it_learns_what_it_is_shown():
    classify = fit(KEY, CONFIG, striped(0), 10)
    test = striped(1)
    assert np.mean(probabilities_of(classify, test.images).argmax(1) == test.labels) > 0.95


def test_a_soft_label_is_what_it_comes_to_believe():
    pool = SoftBatch(rows(0, 3), np.array([[0.3, 0.7, 0.0], [0.5, 0.1, 0.4]]))
    real = Batch(rows(6), np.array([2]))
    classify = fit(KEY, CONFIG, real, 3, synthetic=pool)
    np.testing.assert_allclose(
        probabilities_of(classify, rows(0, 3, 6)), [*pool.probabilities, [0, 0, 1]], atol=0.04
    )


@pytest.mark.parametrize("share", [0.25, 0.9])
def test_of_two_opinions_it_believes_each_by_its_share_of_a_batch(share):
    """Two real images, alike, say 1 and 2, many synthetic ones 0: of 32 in a batch 8, or 29."""
    real = Batch(rows(4, 4), np.array([1, 2]))
    pool = SoftBatch(rows(*[4] * 30), np.eye(3)[np.zeros(30, int)])
    synthetic = round(32 * share) / 32
    expected = [synthetic, (1 - synthetic) / 2, (1 - synthetic) / 2]
    found = probabilities_of(fit(KEY, CONFIG, real, 3, synthetic=pool, share=share), rows(4))
    np.testing.assert_allclose(found[0], expected, atol=0.04)
    assert found[0, 0] == pytest.approx(synthetic, abs=0.02)
    alone = probabilities_of(fit(KEY, CONFIG, real, 3, share=share), rows(4))
    assert alone[0, 0] < 0.02  # without a pool a batch is real


@pytest.mark.parametrize("share", [0, 1, -0.5, float("nan")])
def test_a_share_that_leaves_no_image_of_one_kind_is_refused(share):
    with pytest.raises(ValueError, match="it must be above 0 and below 1"):
        fit(KEY, CONFIG, striped(0), 10, synthetic=striped_pool(30), share=share)
    with pytest.raises(ValueError, match="it must be above 0 and below 1"):
        fit_at_once([Fit(KEY, striped(0), striped_pool(30), share=share)], CONFIG, 10)


def one_side(n, right):
    """Images with a bright column at the left or at the right edge."""
    images = np.zeros((n, 8, 8, 1), np.uint8)
    images[:, :, -2:] = 255 * np.asarray(right)[:, None, None, None]
    images[:, :, :2] = 255 * (1 - np.asarray(right))[:, None, None, None]
    return images


@pytest.mark.parametrize(("mirror", "expected"), [(False, 0.98), (True, 0.5)])
def test_mirrored_images_say_nothing_of_sides(mirror, expected):
    right = np.arange(40) % 2
    real = Batch(one_side(40, right), right)
    found = probabilities_of(fit(KEY, CONFIG, real, 2, moves=Moves(mirror=mirror)), real.images)
    own = found[np.arange(40), right]
    assert own.mean() == pytest.approx(expected, abs=0.08)


def test_synthetic_images_are_moved_as_real_ones_are():
    """Mirrored, a side says nothing of the class; unmoved it does."""
    right = np.arange(40) % 2
    pool = SoftBatch(one_side(40, right), np.eye(2)[right])
    real = Batch(rows(2, 5), np.array([0, 1]))
    sure = {}
    for mirror in (False, True):
        found = probabilities_of(
            fit(KEY, CONFIG, real, 2, synthetic=pool, moves=Moves(mirror=mirror)), pool.images
        )
        sure[mirror] = found[np.arange(40), right].mean()
    assert sure[False] > 0.9
    assert sure[True] == pytest.approx(0.5, abs=0.05)


def test_shifted_images_are_known_when_shifted():
    images = np.zeros((2, 8, 8, 1), np.uint8)
    images[0, 3], images[1, :, 3] = 255, 255  # a row, a column
    real = Batch(images, np.array([0, 1]))
    seen = np.concatenate([np.roll(images, s, axis=a) for s in (-2, 2) for a in (1, 2)])
    wanted = np.tile([0, 1], 4)
    moved, still = (
        np.mean(
            probabilities_of(fit(KEY, CONFIG, real, 2, moves=Moves(max_shift=s)), seen)[
                np.arange(8), wanted
            ]
        )
        for s in (2, 0)
    )
    assert moved > 0.95
    assert moved > still


def test_the_same_key_gives_the_same_classifier_and_another_another():
    first, again, other = (
        probabilities_of(fit(key, CONFIG, striped(0), 10), striped(1).images)
        for key in (KEY, KEY, jax.random.key(1))
    )
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 1e-3


def striped_pool(n):
    images, labels = striped(2, n)
    return SoftBatch(images, np.eye(10)[labels])


def test_several_at_a_time_are_what_each_is_alone():
    fits = [
        Fit(jax.random.key(1), striped(0)),
        Fit(KEY, striped(0), striped_pool(30), SHIFTED),
        Fit(KEY, striped(3)),
        Fit(KEY, striped(0), moves=SHIFTED),
        Fit(KEY, striped(0), striped_pool(30), share=0.75),
    ]
    config = FittingConfig(steps=20, batch_size=32, width=4)

    def alone(one):
        more = {"synthetic": one.synthetic, "moves": one.moves, "share": one.share}
        return fit(one.key, config, one.real, 10, **more).args

    for one, found in zip(fits, fit_all(fits, config, 10), strict=True):
        chex.assert_trees_all_equal(found.args, alone(one))
    # As an accelerator takes them, sets of any size together.
    fits.insert(0, Fit(KEY, striped(0), striped_pool(1100), Moves(max_shift=3, mirror=True)))
    fits.append(Fit(KEY, striped(0, 1100), striped_pool(30)))
    found = [one.args for one in fit_at_once(fits, config, 10)]
    chex.assert_trees_all_close(found, [alone(one) for one in fits], atol=1e-4)
    with pytest.raises(FloatingPointError, match=r"lower fitting\.learning_rate"):
        list(fit_all([Fit(KEY, striped(3))], WILD, 10))


def test_a_training_that_diverges_says_so():
    with pytest.raises(FloatingPointError, match=r"lower fitting\.learning_rate, 1e\+30"):
        fit(KEY, WILD, striped(0), 10)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "fitting.steps is 0"),
        ({"width": 0}, "fitting.width is 0"),
        ({"batch_size": 9}, "fitting.batch_size is 9; it must be at least 10"),
        ({"learning_rate": -1.0}, "fitting.learning_rate is -1.0"),
        ({"learning_rate": float("inf")}, "fitting.learning_rate is inf; it must be positive"),
        ({"weight_decay": float("nan")}, "fitting.weight_decay is nan; it must be 0 or more"),
        ({"dropout": 1.0}, "fitting.dropout is 1.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_fitting_config(FittingConfig(**changes), (600, 28, 28, 1))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="shape .600, 30, 30, 1.; the classifier needs"):
        check_fitting_config(FittingConfig(), (600, 30, 30, 1))
