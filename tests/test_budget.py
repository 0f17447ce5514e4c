"""Few labels of many: what is drawn, and that nothing else is known afterwards."""

import jax
import numpy as np
import pytest
from conftest import striped_images

from magan_jax.augmentation.budget import check_budgets, draw_budget
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
LABELS = np.random.default_rng(1).permutation(np.arange(400) % 10)
TRAIN = Batch(striped_images(np.random.default_rng(0), LABELS)[..., None], LABELS)


def test_n_different_images_of_each_class():
    budget = draw_budget(KEY, TRAIN, 12, 10)
    np.testing.assert_array_equal(np.bincount(budget.labels), np.full(10, 12))
    assert len(set(budget.rows)) == 120
    np.testing.assert_array_equal(budget.images, TRAIN.images[budget.rows])
    np.testing.assert_array_equal(budget.labels, LABELS[budget.rows])


def test_a_fifth_of_each_class_is_kept_for_choices():
    for n, held_out in ((2, 1), (5, 1), (10, 2), (12, 3)):
        budget = draw_budget(KEY, TRAIN, n, 10)
        np.testing.assert_array_equal(np.bincount(budget.validation.labels), np.full(10, held_out))
        assert len(budget.fitting.labels) == 10 * (n - held_out)


def test_a_smaller_budget_is_a_part_of_a_larger_one():
    small, large = (draw_budget(KEY, TRAIN, n, 10) for n in (5, 20))
    assert set(small.rows) < set(large.rows)
    assert set(draw_budget(jax.random.key(1), TRAIN, 5, 10).rows) != set(small.rows)


def test_every_image_of_a_class_is_as_likely():
    counts = np.zeros(400)
    for i in range(200):
        counts[draw_budget(jax.random.fold_in(KEY, i), TRAIN, 4, 10).rows] += 1
    # Each of 40 images of a class is drawn with chance 1/10: 20 ± 4.2 of 200.
    assert counts.mean() == 20
    assert counts.std() == pytest.approx(np.sqrt(200 * 0.1 * 0.9), rel=0.15)
    assert counts.min() > 3
    assert counts.max() < 40


@pytest.mark.parametrize(
    ("n", "message"),
    [(1, "num_per_class is 1; it must be"), (41, "num_per_class is 41, but class 0 has 40")],
)
def test_impossible_budgets_are_refused(n, message):
    with pytest.raises(ValueError, match=message):
        draw_budget(KEY, TRAIN, n, 10)
    with pytest.raises(ValueError, match=message.replace("num_per_class", "budgets")):
        check_budgets([5, n], TRAIN.labels, 10)
