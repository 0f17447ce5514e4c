"""Classifiers that learn on: linear ones of a few pixels, whose optimum is known."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.augmentation.rows import SoftBatch
from magan_jax.augmentation.tuning import TuningConfig, check_tuning_config, fine_tune, sharpened
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
STILL = TuningConfig(
    steps=400, batch_size=16, learning_rate=0.1, max_shift=0, max_erased=0, brightness=0.0
)
SOFT = np.array([[0.6, 0.3, 0.1]])


def logits(weights, images):
    """Linear in the light of each pixel; black ones count for nothing."""
    return (images.reshape(len(images), -1) + 1) @ weights


def nothing_known(pixels):
    return jax.tree_util.Partial(logits, jnp.zeros((pixels, 3)))


def one_pixel(row, column, size=2):
    image = np.zeros((1, size, size, 1), np.uint8)
    image[0, row, column] = 255
    return image


def probabilities(classify, images):
    return np.asarray(jax.nn.softmax(classify(images / np.float32(127.5) - 1)))


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_it_comes_to_say_what_it_is_told(power):
    few, pool = Batch(one_pixel(0, 0), np.array([2])), SoftBatch(one_pixel(1, 1), SOFT)
    tuned = fine_tune(KEY, replace(STILL, sharpness=power), nothing_known(4), few, pool)
    expected = SOFT**power / np.sum(SOFT**power)
    np.testing.assert_allclose(probabilities(tuned, pool.images), expected, atol=0.01)
    assert probabilities(tuned, few.images)[0, 2] > 0.99


def test_known_labels_weigh_as_much_as_soft_ones():
    """Of one image that is told both ways it says the mean, though one row in four is known."""
    few, pool = Batch(one_pixel(0, 0), np.array([2])), SoftBatch(one_pixel(0, 0), SOFT)
    tuned = fine_tune(KEY, replace(STILL, sharpness=1.0), nothing_known(4), few, pool)
    expected = (SOFT + np.array([[0, 0, 1]])) / 2
    np.testing.assert_allclose(probabilities(tuned, pool.images), expected, atol=0.01)


@pytest.mark.parametrize(
    ("changes", "reach"), [({}, 0), ({"max_shift": 1}, 1), ({"max_erased": 2}, 0)]
)
def test_images_are_moved_as_far_as_they_may_be(changes, reach):
    """Of one bright pixel, the weights that learn are those of the places it was seen in."""
    few, pool = Batch(one_pixel(3, 3, 7), np.array([2])), SoftBatch(one_pixel(3, 3, 7), SOFT)
    config = replace(STILL, weight_decay=0.0, **changes)
    tuned = fine_tune(KEY, config, nothing_known(49), few, pool)
    learned = np.abs(np.asarray(tuned.args[0])).sum(axis=1).reshape(7, 7) > 0
    expected = np.zeros((7, 7), bool)
    expected[3 - reach : 4 + reach, 3 - reach : 4 + reach] = True
    np.testing.assert_array_equal(learned, expected)


def test_all_parameters_learn_and_the_argument_is_left_alone():
    def deep(arrays, bias, images):
        return jnp.tanh(images.reshape(len(images), -1) @ arrays["inner"]) @ arrays["outer"] + bias

    shapes = {"inner": (4, 5), "outer": (5, 3)}
    keys = dict(zip(shapes, jax.random.split(KEY), strict=True))
    arrays = {name: jax.random.normal(keys[name], shape) for name, shape in shapes.items()}
    before = jax.tree_util.Partial(deep, arrays, jnp.zeros(3))
    kept = jax.tree.map(np.array, before)
    few, pool = Batch(one_pixel(0, 0), np.array([2])), SoftBatch(one_pixel(1, 1), SOFT)
    tuned = fine_tune(KEY, replace(STILL, steps=1), before, few, pool)
    chex.assert_trees_all_equal_structs(tuned, before)
    chex.assert_trees_all_equal(jax.tree.map(np.array, before), kept)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(tuned), strict=True):
        assert not np.array_equal(a, b)


def test_it_does_not_matter_where_the_parameters_lie():
    """Copied to several devices, as a training there leaves them, or on the host."""
    weights = np.asarray(jax.random.normal(KEY, (4, 3)))
    mesh = jax.make_mesh((4,), ("devices",))
    everywhere = jax.device_put(weights, jax.NamedSharding(mesh, jax.P()))
    few, pool = Batch(one_pixel(0, 0), np.array([2])), SoftBatch(one_pixel(1, 1), SOFT)
    found = [
        fine_tune(KEY, STILL, jax.tree_util.Partial(logits, w), few, pool).args[0]
        for w in (weights, everywhere)
    ]
    chex.assert_trees_all_equal(*found)
    assert all(len(w.devices()) == 1 for w in found)


def test_the_size_of_a_set_is_not_compiled():
    traced = chex.assert_max_traces(logits, n=2)  # what a scan takes
    classify = jax.tree_util.Partial(traced, jnp.zeros((4, 3)))
    for size in (2, 5):
        few = Batch(np.repeat(one_pixel(0, 0), size, 0), np.zeros(size, int))
        pool = SoftBatch(np.repeat(one_pixel(1, 1), size, 0), np.repeat(SOFT, size, 0))
        fine_tune(KEY, STILL, classify, few, pool)


def test_sharpened_is_a_power_of_sum_one_even_of_tiny_numbers():
    np.testing.assert_allclose(sharpened(SOFT, 1), SOFT)
    np.testing.assert_allclose(sharpened(SOFT, 2), [[36 / 46, 9 / 46, 1 / 46]])
    tiny = np.array([[1e-200, 2e-200, 0]])
    np.testing.assert_allclose(sharpened(tiny, 2), [[0.2, 0.8, 0]])


def test_a_training_that_diverges_says_so():
    few, pool = Batch(one_pixel(0, 0), np.array([2])), SoftBatch(one_pixel(1, 1), SOFT)
    with pytest.raises(FloatingPointError, match=r"lower synthesis\.tuning\.learning_rate"):
        fine_tune(KEY, replace(STILL, learning_rate=1e38), nothing_known(4), few, pool)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"synthesis\.tuning\.steps is 0"),
        ({"batch_size": 18}, "batch_size is 18; it must be a multiple of 4"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"sharpness": 0.0}, "sharpness is 0.0; it must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be 0 or more"),
        ({"brightness": float("inf")}, "brightness is inf"),
        ({"max_shift": -1}, "max_shift is -1; it must be 0 or more"),
        ({"max_erased": 28}, "max_erased is 28; .* shorter side, 28"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    check_tuning_config(TuningConfig(), (1, 28, 30, 1))
    with pytest.raises(ValueError, match=message):
        check_tuning_config(replace(TuningConfig(), **changes), (1, 28, 30, 1))
