from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.parallel import DEVICES
from magan_jax.prior import standard_normal
from magan_jax.training import stage as stage_module
from magan_jax.training.contrast import (
    ContrastConfig,
    check_contrast_config,
    contrast_step,
    info_nce,
    init_contrast,
    train_contrast,
    two_neighbours,
)
from magan_jax.training.engine import Batch
from magan_jax.training.engine import train as train_engine
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
    vectors = unit_vectors(4)

    def rotated(turn, x):
        return info_nce(x @ turn, 0.3)

    def gradient(turn, x):
        return jax.lax.pmean(jax.grad(rotated)(turn, x), DEVICES)

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


def train(folder=None, num_devices=1, **changes):
    config = ContrastConfig(**(CONFIG.__dict__ | changes))
    stage = Stage(folder, {"contrast": config.__dict__})
    return train_contrast(KEY, config, generate, PRIOR, REAL, stage=stage, num_devices=num_devices)


def losses(**changes):
    """Of all steps of a training, and its parameters."""
    config = ContrastConfig(**(CONFIG.__dict__ | changes))
    state, num_steps = init_contrast(KEY, config, REAL.shape[1:], len(REAL))
    found = train_engine(
        KEY,
        contrast_step(config, generate, PRIOR, num_steps),
        state,
        Batch(REAL, np.zeros(len(REAL), np.int32)),
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=1,
        quiet=True,
    )
    return found.history["loss"], found.state.parameters


def test_it_learns_which_two_images_belong_together():
    loss, _ = losses()
    chance = np.log(2 * CONFIG.batch_size - 1)
    assert loss[0] > chance - 0.5
    # To know which half is light rules out half of the others: it has learned more than that.
    assert loss[-10:].mean() < np.log(CONFIG.batch_size - 1)
    # Views of latents that have nothing to do with each other cannot be told better than by chance.
    far, _ = losses(scale=1e3)
    assert far[-10:].mean() > chance - 0.1


def test_over_real_images_features_have_one_scale():
    found = np.asarray(train()((REAL / 127.5 - 1).astype(np.float32)), np.float64)
    alive = found.std(axis=0) > 0
    assert alive.any()
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0)[alive], 1, rtol=1e-3)


def test_an_interrupted_training_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(stage_module, "CHECKPOINT_SECONDS", 0.0)
    whole, real = train(), stage_module._save

    def interrupted(*arguments):
        real(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage_module, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "contrast")
    monkeypatch.setattr(stage_module, "_save", real)
    chex.assert_trees_all_equal(train(tmp_path / "contrast"), whole)


def test_the_number_of_devices_changes_nothing():
    # One step: Adam's division by the square root of the gradient lets later ones grow apart.
    few, config = REAL[:16], ContrastConfig(**(CONFIG.__dict__ | {"epochs": 1}))
    state, num_steps = init_contrast(KEY, config, few.shape[1:], len(few))
    data = Batch(few, np.zeros(16, np.int32))
    one, four = (
        train_engine(
            KEY, contrast_step(config, generate, PRIOR, num_steps), state, data,
            num_epochs=1, batch_size=16, num_devices=n, quiet=True,
        )
        for n in (1, 4)
    )  # fmt: skip
    assert one.history["loss"] == pytest.approx(four.history["loss"], rel=1e-5)
    moments = [p.state.optimizer[0].mu for p in (one, four)]  # (1 - β₁) times the gradient
    chex.assert_trees_all_close(*moments, rtol=1e-3, atol=1e-7)


def test_other_priors_are_refused():
    with pytest.raises(ValueError, match="neighbours are those of the standard normal"):
        train_contrast(
            KEY, CONFIG, generate, lambda key, n: PRIOR(key, n), REAL, stage=Stage(None, {})
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "contrast.epochs is 0; it must be a whole number, at least 1"),
        ({"scale": 0}, "contrast.scale is 0; it must be positive"),
        ({"temperature": float("nan")}, "contrast.temperature is nan; it must be positive"),
        ({"brightness": -1}, "contrast.brightness is -1; it must be 0 or more"),
        ({"max_erased": 8}, "contrast.max_erased is 8; it must be less than the images' shorter"),
        ({"max_shift": 1.5}, "contrast.max_shift is 1.5; it must be a whole number, at least 0"),
        ({"max_erased": True}, "contrast.max_erased is True; it must be a whole number"),
        ({"epochs": float("nan")}, "contrast.epochs is nan; it must be a whole number"),
        ({"batch_size": 96.5}, "contrast.batch_size is 96.5; it must be a whole number"),
        ({"batch_size": 1}, "contrast.batch_size is 1; one latent has no other"),
        ({"batch_size": 999}, "contrast.batch_size is 999"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_contrast_config(ContrastConfig(**(CONFIG.__dict__ | changes)), REAL.shape, 1)
