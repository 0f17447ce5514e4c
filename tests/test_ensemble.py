"""Many seeds at once: each must come out as it does alone."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from magan_jax.parallel import DEVICES
from magan_jax.training.classifier import train_classifier, train_classifiers
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.engine import Batch, chunk_function, train
from magan_jax.training.ensemble import for_each_seed, member, stacked
from magan_jax.training.gan import train_gan, train_gans
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan
from magan_jax.training.stage import Stage

SHAPE = (8, 8, 1)
CONFIG = GANConfig(
    latent_dim=5, epochs=2, batch_size=8, generator_width=4, discriminator_width=4,
)  # fmt: skip
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (64, *SHAPE)).astype(np.uint8)
DATA = Batch(IMAGES, np.arange(64, dtype=np.int32) % 4)
KEYS = jax.random.split(jax.random.key(3), 3)
NOWHERE = Stage(None, {})


@pytest.mark.parametrize("num_devices", [1, 2])
def test_each_gan_of_an_ensemble_is_the_one_trained_alone(num_devices):
    together = train_gans(KEYS, CONFIG, IMAGES, stage=NOWHERE, num_devices=num_devices)
    for key, one in zip(KEYS, together, strict=True):
        alone = train_gan(key, CONFIG, IMAGES, stage=NOWHERE, num_devices=num_devices)
        chex.assert_trees_all_close(one.progress.state, alone.progress.state, atol=1e-5)
        chex.assert_trees_all_close(one.progress.history, alone.progress.history, atol=1e-5)
        latents = jax.random.normal(KEYS[0], (3, 5))
        chex.assert_trees_all_close(one.generate(latents), alone.generate(latents), atol=1e-5)


def test_each_curve_is_that_of_its_own_generator():
    latents = jax.random.normal(jax.random.key(9), (4, 5))

    def total(generate):
        return float(generate(latents).sum())

    found = train_gans(
        KEYS, CONFIG, IMAGES, stage=NOWHERE,
        evaluate=lambda index, generate, prior: {"index": float(index), "total": total(generate)},
    )  # fmt: skip
    for i, one in enumerate(found):
        np.testing.assert_array_equal(one.progress.history["index"], [i, i])
        last = one.progress.history["total"][-1]
        np.testing.assert_allclose(last, total(one.generate), rtol=1e-5)
    assert len({one.progress.history["total"][-1] for one in found}) == 3


def test_each_classifier_of_an_ensemble_is_the_one_trained_alone():
    config = ClassifierConfig(epochs=2, batch_size=8, width=4, mirror=True)
    settings = {"num_classes": 4, "stage": NOWHERE}
    together = train_classifiers(KEYS[:2], config, DATA, DATA, **settings)
    for key, one in zip(KEYS, together, strict=False):
        alone = train_classifier(key, config, DATA, DATA, **settings)
        chex.assert_trees_all_close(one.progress.state, alone.progress.state, atol=1e-5)
        chex.assert_shape(one.progress.history["test_accuracy"], (2,))
        assert one.test_accuracy == alone.test_accuracy


def chunk_of_gans(dtype=None):
    step = gan_step(replace(CONFIG, dtype=dtype), SHAPE)
    states = stacked([init_gan(key, CONFIG, SHAPE) for key in KEYS])
    return for_each_seed(chunk_function(step, 64, 8, 2)), (states, DATA, KEYS, jnp.uint32(0))


def on_one_device(function):
    mesh = jax.make_mesh((1,), (DEVICES,), devices=jax.devices()[:1])
    return jax.jit(
        jax.shard_map(function, mesh=mesh, in_specs=jax.P(), out_specs=jax.P(), check_vma=False)
    )


def test_accelerators_take_the_seeds_at_once_and_to_the_same_end(monkeypatch):
    """The form that a CPU does not choose, run on a CPU."""
    function, arguments = chunk_of_gans()
    in_turn = on_one_device(function)(*arguments)
    monkeypatch.setattr(
        jax.lax, "platform_dependent", lambda *arguments, default, **_: default(*arguments)
    )
    at_once = on_one_device(lambda *arguments: function(*arguments))(*arguments)
    chex.assert_trees_all_close(at_once, in_turn, atol=3e-5)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_an_ensemble_lowers_for_every_platform(dtype):
    function, arguments = chunk_of_gans(dtype)
    platforms = ("cpu", "cuda", "tpu")
    lowered = export.export(on_one_device(function), platforms=platforms)(*arguments)
    assert lowered.platforms == platforms


def test_members_of_stacked_states():
    states = [{"a": jnp.full((2,), i), "b": (jnp.float32(i),)} for i in range(3)]
    chex.assert_trees_all_equal(member(stacked(states), 1), states[1])


def test_the_seed_that_diverges_is_named():
    def step(state, batch, key):
        bad = jnp.where(state >= 3, jnp.nan, 1.0)
        return state + 1, {"loss": jax.lax.pmean(bad, DEVICES)}

    starts = stacked([jnp.float32(0), jnp.float32(1), jnp.float32(0)])
    with pytest.raises(FloatingPointError, match=r"at step 2 \(training 2 of 3\)"):
        train(KEYS, step, starts, DATA, num_epochs=1, batch_size=8, quiet=True)


def test_an_interrupted_ensemble_goes_on_to_the_same_bits(tmp_path):
    stage = Stage(tmp_path / "gan", {"what": "an ensemble"})
    short = GANConfig(**{**CONFIG.__dict__, "epochs": 1})
    train_gans(KEYS, short, IMAGES, stage=stage)
    resumed = train_gans(KEYS, CONFIG, IMAGES, stage=stage)
    whole = train_gans(KEYS, CONFIG, IMAGES, stage=NOWHERE)
    for a, b in zip(resumed, whole, strict=True):
        chex.assert_trees_all_equal(a.progress.state, b.progress.state)
        chex.assert_trees_all_equal(a.progress.history, b.progress.history)
