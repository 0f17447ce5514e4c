import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.images import random_appearance, random_brightness, random_erasing

KEYS = jax.random.split(jax.random.key(0), 2000)
IMAGE = jnp.full((6, 9, 1), 0.25)


def test_what_is_erased_is_a_rectangle_of_every_size_anywhere():
    found = np.asarray(jax.vmap(random_erasing, (0, None, None))(KEYS, IMAGE, 3))
    chex.assert_shape(found, (2000, 6, 9, 1))
    erased = found[..., 0] == -1
    assert set(np.unique(found)) == {-1, 0.25}
    rows, columns = erased.any(axis=2), erased.any(axis=1)
    np.testing.assert_array_equal(erased, rows[:, :, None] & columns[:, None, :])
    sizes = np.stack([rows.sum(axis=1), columns.sum(axis=1)], axis=1)
    there = sizes.all(axis=1)  # no rows or no columns: nothing
    assert set(map(tuple, sizes[there])) == {(i, j) for i in (1, 2, 3) for j in (1, 2, 3)}
    assert np.mean(~there) == pytest.approx(1 - (3 / 4) ** 2, abs=0.04)
    assert erased[:, 0, 0].any()
    assert erased[:, -1, -1].any()
    for line in rows[there]:  # without a gap
        assert np.ptp(np.flatnonzero(line)) + 1 == line.sum()


def test_nothing_is_erased_of_size_zero():
    chex.assert_trees_all_equal(random_erasing(KEYS[0], IMAGE, 0), IMAGE)


def test_light_is_multiplied_and_cut():
    found = np.asarray(jax.vmap(random_brightness, (0, None, None))(KEYS, IMAGE, 0.4), float)
    assert (np.ptp(found, axis=(1, 2, 3)) < 1e-6).all()
    light = (found[:, 0, 0, 0] + 1) / 2
    assert light.max() == 1
    factor = np.log(light[light < 1] / 0.625)
    # log-normal, cut where 0.625 becomes 1: the median and the share that is cut
    assert np.median(np.log(light / 0.625)) == pytest.approx(0, abs=0.04)
    assert np.mean(light == 1) == pytest.approx(0.120, abs=0.03)  # P(N(0, 0.4²) > log 1.6)
    assert factor.min() < -0.9


def test_black_stays_black_and_no_spread_is_no_change():
    chex.assert_trees_all_equal(
        random_brightness(KEYS[0], -jnp.ones((2, 2, 1)), 0.4), -jnp.ones((2, 2, 1))
    )
    chex.assert_trees_all_close(random_brightness(KEYS[0], IMAGE, 0.0), IMAGE, atol=1e-6)


def test_an_appearance_is_a_shift_a_hole_and_a_light():
    """Of a bright square whose parts tell them apart; nothing of each leaves it as it is."""
    image = jnp.full((6, 9, 1), -1.0).at[2:4, 3:6].set(0.0)
    chex.assert_trees_all_close(random_appearance(KEYS[0], image, 0, 0, 0.0), image, atol=1e-6)
    found = np.asarray(
        jax.vmap(random_appearance, (0, None, None, None, None))(KEYS, image, 1, 2, 0.4)
    )
    lit = found[..., 0] > -1
    assert set(np.flatnonzero(lit.any(axis=(0, 2)))) == {1, 2, 3, 4}
    assert set(np.flatnonzero(lit.any(axis=(0, 1)))) == {2, 3, 4, 5, 6}
    assert lit.sum(axis=(1, 2)).min() == 2  # of six, a hole of 2 × 2
    assert lit.sum(axis=(1, 2)).max() == 6
    assert np.unique(found[lit.nonzero()[0], lit.nonzero()[1], lit.nonzero()[2]]).size > 1000
