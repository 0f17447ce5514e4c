from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.latent.prior import standard_normal
from magan_jax.parallel import DEVICES
from magan_jax.training.contrast import (
    ContrastConfig,
    check_contrast_config,
    info_nce,
    moved,
    train_contrast,
    two_neighbours,
)
from magan_jax.training.stage import Stage

KEY = jax.random.key(0)
CONFIG = ContrastConfig(
    epochs=3, batch_size=16, width=4, max_shift=1, max_erased=2, brightness=0.1, scale=0.2
)
REAL = np.random.default_rng(0).integers(0, 256, (320, 8, 8, 1)).astype(np.uint8)
PRIOR = standard_normal(2)


def generate(z):
    """The sign of the first coordinate is which half is light; the second is how light it is."""
    left = jnp.arange(8) < 4
    half = jnp.where((z[:, :1] > 0) == left, jax.nn.sigmoid(z[:, 1:]), 0)
    return jnp.broadcast_to(2 * half[:, None, :, None] - 1, (len(z), 8, 8, 1))


def nce(vectors, temperature):
    """In float64: every view against all others but itself."""
    views = np.asarray(vectors, np.float64)
    flat = np.concatenate([views[:, 0], views[:, 1]])
    losses = []
    for i in range(len(flat)):
        logits = np.delete(flat @ flat[i] / temperature, i)
        other = flat[(i + len(views)) % len(flat)] @ flat[i] / temperature
        losses.append(np.log(np.exp(logits).sum()) - other)
    return np.mean(losses)


def unit_vectors(n):
    x = np.random.default_rng(1).normal(size=(n, 2, 5)).astype(np.float32)
    return x / np.linalg.norm(x, axis=2, keepdims=True)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_the_loss_is_info_nce_however_many_devices_share_it(devices):
    vectors = unit_vectors(8)
    shared = vectors.reshape(devices, 8 // devices, 2, 5)
    found = jax.pmap(partial(info_nce, temperature=0.3), axis_name=DEVICES)(shared)
    chex.assert_shape(found, (devices,))
    # The same pairs in another order: the mean over all devices is that of the whole.
    assert np.mean(found) == pytest.approx(nce(vectors, 0.3), rel=1e-5)


def test_its_gradient_is_that_of_the_whole_batch():
    vectors, device_mean = unit_vectors(4), jax.lax.pmean

    def rotated(turn, x):
        return info_nce(x @ turn, 0.3)

    def gradient(turn, x):
        return device_mean(jax.grad(rotated)(turn, x), DEVICES)

    turn = jnp.asarray(np.random.default_rng(2).normal(size=(5, 5)), jnp.float32)
    each = [
        jax.pmap(gradient, axis_name=DEVICES, in_axes=(None, 0))(
            turn, vectors.reshape(n, 4 // n, 2, 5)
        )[0]
        for n in (1, 4)
    ]
    for i, j in ((0, 0), (3, 1)):
        nudge = np.zeros((5, 5))
        nudge[i, j] = 1e-4
        above, below = (nce(vectors @ (np.asarray(turn, float) + n), 0.3) for n in (nudge, -nudge))
        assert each[0][i, j] == pytest.approx((above - below) / 2e-4, rel=1e-3, abs=1e-4)
    chex.assert_trees_all_close(each[0], each[1], rtol=1e-4, atol=1e-5)


def test_neighbours_are_normal_and_as_near_as_the_scale_says():
    keys = jax.random.split(KEY, 20_000)
    config = ContrastConfig(scale=0.5)
    pairs = np.asarray(jax.vmap(partial(two_neighbours, config, standard_normal(3)))(keys))
    chex.assert_shape(pairs, (20_000, 2, 3))
    np.testing.assert_allclose(pairs.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(pairs.std(axis=0), 1, atol=0.02)
    for d in range(3):
        correlation = np.corrcoef(pairs[:, 0, d], pairs[:, 1, d])[0, 1]
        assert correlation == pytest.approx(1 / 1.25, abs=0.015)


def test_a_move_of_nothing_changes_nothing():
    config = ContrastConfig(max_shift=0, max_erased=0, brightness=0)
    image = jnp.asarray(REAL[0] / 127.5 - 1, jnp.float32)
    chex.assert_trees_all_close(moved(config, KEY, image), image, atol=1e-6)


def train(folder=None, num_devices=1, **changes):
    config = ContrastConfig(**(CONFIG.__dict__ | changes))
    stage = Stage(folder, {"contrast": config.__dict__})
    return train_contrast(KEY, config, generate, PRIOR, REAL, stage=stage, num_devices=num_devices)


def test_what_neighbours_share_can_be_read_off_the_features():
    features = train()
    z = np.array(jax.random.normal(jax.random.key(1), (400, 2)))
    z[:, 1] = np.maximum(z[:, 1], -1)  # below, both halves are nearly black
    found = np.asarray(features(generate(jnp.asarray(z))))
    chex.assert_shape(found, (400, 256))
    side = z[:, 0] > 0
    means = np.stack([found[:200][side[:200] == s].mean(axis=0) for s in (False, True)])
    nearest = np.argmin(((found[200:, None] - means) ** 2).sum(-1), axis=1)
    assert np.mean(nearest == side[200:]) > 0.95


def test_over_real_images_features_have_one_scale():
    found = np.asarray(train()((REAL / 127.5 - 1).astype(np.float32)), np.float64)
    alive = found.std(axis=0) > 0
    assert alive.any()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0)[alive], 1, rtol=1e-3)


def test_it_depends_neither_on_resuming_nor_on_the_number_of_devices(tmp_path):
    once, again = train(tmp_path / "one"), train(tmp_path / "one")
    chex.assert_trees_all_equal(once, again)
    several = train(num_devices=4)
    shown = (REAL[:50] / 127.5 - 1).astype(np.float32)
    chex.assert_trees_all_close(once(shown), several(shown), atol=0.05)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "contrast.epochs is 0; it must be a whole number, at least 1"),
        ({"scale": 0}, "contrast.scale is 0; it must be positive"),
        ({"temperature": float("nan")}, "contrast.temperature is nan; it must be positive"),
        ({"brightness": -1}, "contrast.brightness is -1; it must be 0 or more"),
        ({"max_erased": 8}, "contrast.max_erased is 8; it must be at least 0 and less than"),
        ({"batch_size": 1}, "contrast.batch_size is 1; one latent has no other"),
        ({"batch_size": 999}, "contrast.batch_size is 999"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_contrast_config(ContrastConfig(**(CONFIG.__dict__ | changes)), 320, 8, 1)
