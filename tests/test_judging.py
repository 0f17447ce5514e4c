"""How pools are judged, with classifiers known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.augmentation.judging import Judge, judge_pool
from magan_jax.augmentation.rows import SoftBatch

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
