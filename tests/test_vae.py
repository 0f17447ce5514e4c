"""Training of autoencoders."""

from dataclasses import replace
from types import SimpleNamespace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.errors import NetworkOutputError
from magan_jax.parallel import on_devices
from magan_jax.training.engine import Batch, train
from magan_jax.training.stage import Stage
from magan_jax.training.vae import (
    VAEConfig,
    check_vae_config,
    init_vae,
    reconstructed,
    reconstruction_loss,
    train_vaes,
    vae_step,
)

pytestmark = pytest.mark.optimized

KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
CONFIG = VAEConfig(
    latent_dim=2, layers=(16, 12), epochs=8, batch_size=16, learning_rate=3e-3, mmd_weight=10.0
)
DIVERGENCES = ("elbo", "mmd")


def two_kinds(count=320):
    """Images that are bright above or below, more or less: two latent dimensions tell them."""
    random = np.random.default_rng(0)
    light = random.integers(60, 256, count)
    above = random.integers(0, 2, count).astype(bool)
    images = np.zeros((count, *SHAPE), np.uint8)
    for image, value, up in zip(images, light, above, strict=True):
        image[slice(0, 4) if up else slice(4, 8)] = value
    return images


IMAGES = two_kinds()


def test_reconstructions_that_are_not_finite_are_no_black_images():
    vae = SimpleNamespace(
        encode=jax.tree_util.Partial(lambda x: (x[:, :2, 0, 0], x[:, :2, 0, 0])),
        generate=jax.tree_util.Partial(lambda z: z[:, :1, None, None] / (z[:, :1, None, None] + 1)),
    )
    images = np.full((5, *SHAPE), 200, np.uint8)
    assert reconstructed(vae, images).shape == (5, 1, 1, 1)
    images[2:4] = 0  # −1, where one divides by nought
    with pytest.raises(NetworkOutputError, match="reconstructions of 2 of 5 images are not finite"):
        reconstructed(vae, images)


def progress_of(divergence, num_devices=1, images=IMAGES, chunk_steps=128, **changes):
    config = replace(CONFIG, divergence=divergence, **changes)
    return train(
        KEY,
        vae_step(config, SHAPE),
        init_vae(KEY, config, SHAPE),
        Batch(images, np.zeros(len(images), np.int32)),
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=num_devices,
        chunk_steps=chunk_steps,
        quiet=True,
    )


def trained(divergence, keys=KEY[None], folder=None, **changes):
    config = replace(CONFIG, divergence=divergence, **changes)
    stage = Stage(folder, {"vae": config.__dict__})
    return train_vaes(keys, config, IMAGES, stage=stage, num_devices=1)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_logged_numbers_are_those_of_float64(divergence):
    """Reconstruction and divergence of the first step, from the state before it."""
    config = replace(CONFIG, divergence=divergence)
    state = init_vae(KEY, config, SHAPE)
    batch = Batch(IMAGES[:16], np.zeros(16, np.int32))
    step = on_devices(vae_step(config, SHAPE), num_devices=1)
    _, info = step(state, batch, KEY)
    noise, prior = (
        np.asarray(jax.random.normal(k, (16, 2)), np.float64) for k in jax.random.split(KEY)
    )

    def network(parameters, x, last):
        parameters = jax.tree.map(np.float64, parameters)
        for name in ("hidden_0", "hidden_1"):
            x = np.logaddexp(0, x @ parameters[name]["kernel"] + parameters[name]["bias"])
        return x @ parameters[last]["kernel"] + parameters[last]["bias"]

    light = IMAGES[:16].reshape(16, -1) / 255
    mean, log_variance = np.split(network(state.parameters["encoder"], light, "posterior"), 2, 1)
    z = mean + np.exp(log_variance / 2) * noise
    p = 1 / (1 + np.exp(-network(state.parameters["decoder"], z, "image")))
    reconstruction = -(light * np.log(p) + (1 - light) * np.log1p(-p)).sum(1).mean()
    kl = 0.5 * (mean**2 + np.exp(log_variance) - log_variance - 1).sum(1).mean()

    def kernel(a, b):
        return np.exp(-((a[:, None] - b) ** 2).sum(-1) / 4)

    def within(a):
        return (kernel(a, a).sum() - 16) / (16 * 15)

    mmd = within(z) + within(prior) - 2 * kernel(z, prior).mean()
    assert float(info["reconstruction"]) == pytest.approx(reconstruction, rel=1e-5)
    apart, weight = (kl, 1) if divergence == "elbo" else (mmd, 10)
    assert float(info[divergence]) == pytest.approx(apart, rel=1e-3, abs=1e-5)
    assert float(info["loss"]) == pytest.approx(reconstruction + weight * apart, rel=1e-5)


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_the_number_of_devices_changes_nothing(divergence):
    # One step: Adam's division by the square root of the gradient lets later ones grow apart.
    one, four = (progress_of(divergence, n, IMAGES[:16], epochs=1).state.parameters for n in (1, 4))
    chex.assert_trees_all_close(one, four, atol=1e-5)
    # And the gradient of that step is one gradient, not one for each device.
    before = init_vae(KEY, replace(CONFIG, divergence=divergence), SHAPE).parameters
    moved = [
        np.abs(np.asarray(a) - np.asarray(b)).max()
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(before), strict=True)
    ]
    assert min(moved) > 1e-3


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_gradients_do_not_depend_on_the_devices(divergence):
    """Adam's first moment after a step is a tenth of the gradient."""
    first = [
        progress_of(divergence, n, IMAGES[:16], epochs=1).state.optimizer[0].mu for n in (1, 2, 4)
    ]
    for other in first[1:]:
        chex.assert_trees_all_close(first[0], other, rtol=1e-3, atol=1e-5)


def test_chunks_change_nothing():
    chex.assert_trees_all_equal(
        progress_of("elbo", epochs=2).state.parameters,
        progress_of("elbo", epochs=2, chunk_steps=5).state.parameters,
    )


@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_it_learns_to_reconstruct_and_keeps_near_the_prior(divergence):
    (vae,) = trained(divergence, epochs=30)
    history = vae.progress.history
    assert history["reconstruction"][-20:].mean() < 0.8 * history["reconstruction"][:5].mean()
    light = IMAGES / 255.0
    # Better than the best image that is the same for all.
    constant = np.mean((light - light.mean(axis=0)) ** 2)
    assert np.mean((reconstructed(vae, IMAGES) / 255.0 - light) ** 2) < 0.3 * constant
    mean, log_variance = vae.encode(jnp.asarray(2 * light - 1, jnp.float32))
    variance = np.var(mean, axis=0) + np.exp(log_variance).mean(axis=0)
    assert variance.min() > 0.2
    assert variance.max() < 3


def test_the_reconstruction_loss_is_that_of_the_encoders_mean():
    (vae,) = trained("elbo", epochs=1)
    images = (IMAGES / 127.5 - 1).astype(np.float32)
    logits = np.asarray(vae.decode(vae.encode(jnp.asarray(images))[0]), np.float64)
    light = IMAGES / 255.0
    losses = np.logaddexp(0, logits) - light * logits
    expected = losses.sum(axis=(1, 2, 3)).mean()
    assert reconstruction_loss(vae, images) == pytest.approx(expected, rel=1e-5)


def test_images_are_the_light_of_their_logits():
    (vae,) = trained("elbo", epochs=1)
    z = jax.random.normal(KEY, (5, 2))
    light = 1 / (1 + np.exp(-np.asarray(vae.decode(z), np.float64)))
    chex.assert_shape(vae.generate(z), (5, *SHAPE))
    np.testing.assert_allclose((np.asarray(vae.generate(z)) + 1) / 2, light, atol=1e-6)


def test_seeds_together_are_seeds_alone_and_a_finished_training_is_kept(tmp_path, capsys):
    keys = jax.random.split(KEY, 2)
    both = trained("mmd", keys, tmp_path / "both", epochs=2)
    for i in range(2):
        (alone,) = trained("mmd", keys[i : i + 1], epochs=2)
        chex.assert_trees_all_close(
            both[i].progress.state.parameters, alone.progress.state.parameters, atol=1e-5
        )
    again = trained("mmd", keys, tmp_path / "both", epochs=2)
    assert "kept from" in capsys.readouterr().out
    chex.assert_trees_all_equal(again[1].progress.state, both[1].progress.state)


def test_divergence_of_a_training_is_told():
    with pytest.raises(FloatingPointError, match="became .* at step"):
        trained("elbo", learning_rate=1e30)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"divergence": "kl"}, "vae.divergence is 'kl'; choose one of elbo, mmd"),
        ({"latent_dim": 0}, "vae.latent_dim is 0; it must be at least 1"),
        ({"layers": ()}, "vae.layers is .*; at least one hidden layer"),
        ({"layers": (5, 0)}, "vae.layers is"),
        ({"learning_rate": float("nan")}, "vae.learning_rate is nan; it must be positive"),
        ({"mmd_weight": -1.0}, "vae.mmd_weight is -1.0"),
        ({"batch_size": 1}, "vae.batch_size is 1; a discrepancy"),
        ({"batch_size": 1000}, "vae.batch_size is 1000"),
        ({"dtype": "float16"}, "vae.dtype is 'float16'"),
    ],
)
def test_what_cannot_work_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_vae_config(replace(CONFIG, **changes), IMAGES.shape, 1)
