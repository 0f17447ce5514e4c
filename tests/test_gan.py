from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from magan_jax.images import scale_images
from magan_jax.models.dcgan import Generator, Trunk
from magan_jax.objectives import Constants
from magan_jax.parallel import DEVICES, on_devices
from magan_jax.training.engine import Batch, train
from magan_jax.training.gan import generator_function, train_gan
from magan_jax.training.gan_config import GANConfig, check_gan_config
from magan_jax.training.gan_step import gan_step, init_gan
from magan_jax.training.stage import Stage

pytestmark = pytest.mark.optimized

SHAPE = (8, 8, 1)
CONFIG = GANConfig(
    latent_dim=5,
    epochs=2,
    batch_size=8,
    generator_width=2,
    discriminator_width=2,
    learning_rate=1e-3,
)
IMAGES = np.random.default_rng(0).integers(0, 256, (32, *SHAPE)).astype(np.uint8)
DATA = Batch(IMAGES, np.zeros(32, np.int32))
KEY = jax.random.key(0)


def train_on(num_devices, **changes):
    return train(
        KEY,
        gan_step(CONFIG, SHAPE),
        init_gan(KEY, CONFIG, SHAPE),
        DATA,
        num_epochs=2,
        batch_size=8,
        num_devices=num_devices,
        quiet=True,
        **changes,
    )


def logits(parameters, images):
    """A trunk of width 2 and a linear last layer."""
    trunk = {"params": parameters["trunk"]}
    features = Trunk(2).apply(trunk, images, mutable=["batch_stats"])[0]
    last = parameters["last"]["Dense_0"]
    return features @ last["kernel"][:, 0] + last["bias"][0]


def reference_step(state, images, key):
    """One update of D and one of G, written out without the engine, on one device."""
    generator = Generator(2, SHAPE)
    z = jax.random.normal(key, (8, 5))

    def fake_of(parameters):
        images, new = generator.apply(
            {"params": parameters, "batch_stats": state.statistics},
            z,
            training=True,
            mutable=["batch_stats"],
        )
        return images, new["batch_stats"]

    real = images.astype(np.float32) / 127.5 - 1
    fake, statistics = fake_of(state.generator)

    def loss_d(parameters):
        p_real = jax.nn.sigmoid(logits(parameters, real))
        p_fake = jax.nn.sigmoid(logits(parameters, fake))
        return -jnp.mean(jnp.log(p_real)) - jnp.mean(jnp.log(1 - p_fake))

    adam = optax.adam(1e-3, b1=0.5)
    updates, _ = adam.update(jax.grad(loss_d)(state.discriminator), state.discriminator_optimizer)
    new_d = optax.apply_updates(state.discriminator, updates)

    def loss_g(parameters):
        return -jnp.mean(jnp.log(jax.nn.sigmoid(logits(new_d, fake_of(parameters)[0]))))

    # E has no parameters here; its moments stand beside G's.
    gradient = jax.grad(loss_g)(state.generator), {}
    (updates, _), _ = adam.update(gradient, state.generator_optimizer)
    return optax.apply_updates(state.generator, updates), new_d, statistics


def test_a_step_is_one_update_of_d_then_one_of_g():
    state = init_gan(KEY, CONFIG, SHAPE)
    run = on_devices(gan_step(CONFIG, SHAPE), num_devices=1)
    new, info = run(state, jax.tree.map(lambda x: x[:8], DATA), KEY)
    generator, discriminator, statistics = jax.jit(reference_step)(state, IMAGES[:8], KEY)
    chex.assert_trees_all_close(new.discriminator, discriminator, atol=2e-5)
    chex.assert_trees_all_close(new.generator, generator, atol=2e-5)
    chex.assert_trees_all_close(new.statistics, statistics, rtol=1e-5, atol=1e-6)
    assert set(info) == {
        "discriminator_loss",
        "generator_loss",
        "real_taken_for_real",
        "fake_taken_for_real",
    }


@pytest.mark.parametrize("num_devices", [2, 4])
def test_devices_train_the_same_networks(num_devices):
    chex.assert_trees_all_close(train_on(num_devices).state, train_on(1).state, atol=1e-5)


def test_same_seed_same_bits():
    chex.assert_trees_all_equal(train_on(4).state, train_on(4).state)
    chex.assert_trees_all_equal(train_on(4).state, train_on(4, chunk_steps=1).state)


def test_compiled_gradients_equal_eager_ones():
    images = jax.random.normal(KEY, (8, *SHAPE))
    parameters = init_gan(KEY, CONFIG, SHAPE).discriminator

    def loss(p):
        return jnp.mean(jax.nn.softplus(logits(p, images)))

    with jax.disable_jit():
        eager = jax.grad(loss)(parameters)
    chex.assert_trees_all_close(jax.jit(jax.grad(loss))(parameters), eager, atol=1e-5)


def test_each_device_of_a_batch_draws_its_part_of_one_noise():
    """The same body under vmap(axis_name=...) as under pmap."""
    state = init_gan(KEY, CONFIG, SHAPE)
    step = gan_step(CONFIG, SHAPE)
    halves = jax.tree.map(lambda x: x[:8].reshape(2, 4, *x.shape[1:]), DATA)
    mapped, _ = jax.jit(jax.vmap(step, (None, 0, None), axis_name=DEVICES))(state, halves, KEY)
    whole, _ = on_devices(step, num_devices=1)(state, jax.tree.map(lambda x: x[:8], DATA), KEY)
    for half in range(2):
        chex.assert_trees_all_close(jax.tree.map(lambda x, h=half: x[h], mapped), whole, atol=2e-5)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_trained_generator_is_a_function_of_latents(dtype):
    trained = train_gan(KEY, replace(CONFIG, dtype=dtype), IMAGES, stage=Stage(None, {}))
    z = jax.random.normal(KEY, (3, 5))
    images = trained.generate(z)
    chex.assert_shape(images, (3, *SHAPE))
    again = generator_function(CONFIG, SHAPE, trained.progress.state)(z)
    chex.assert_trees_all_equal(images, again)
    assert trained.progress.epochs == 2


def test_images_are_scaled_to_minus_one_and_one():
    np.testing.assert_array_equal(scale_images(np.array([0, 255], np.uint8)), [-1, 1])


@pytest.mark.parametrize(
    ("changes", "shape", "message"),
    [
        ({"network": "mlp"}, (600, 8, 8), "gan.network 'mlp' needs"),
        ({"latent_dim": 0}, (600, *SHAPE), "gan.latent_dim is 0"),
        ({"epochs": 0}, (600, *SHAPE), "gan.epochs is 0"),
        ({"generator_width": -1}, (600, *SHAPE), "gan.generator_width is -1"),
        ({"learning_rate": 0.0}, (600, *SHAPE), "gan.learning_rate is 0.0"),
        ({"learning_rate": float("nan")}, (600, *SHAPE), "gan.learning_rate is nan"),
        ({"beta1": 1.0}, (600, *SHAPE), "gan.beta1 is 1.0"),
        ({"beta2": -0.1}, (600, *SHAPE), "gan.beta2 is -0.1"),
        ({"objective": "magic"}, (600, *SHAPE), "'magic'; choose one of vanilla, wasserstein, was"),
        ({"network": "vit"}, (600, *SHAPE), "gan.network is 'vit'; choose one of dcgan, mlp"),
        ({"optimizer": "sgd"}, (600, *SHAPE), "gan.optimizer is 'sgd'; choose one of adam, rmsp"),
        ({"prior": "flat"}, (600, *SHAPE), "gan.prior is 'flat'; choose one of normal, cluster"),
        ({"sampling_prior": "flat"}, (600, *SHAPE), "gan.sampling_prior is 'flat'; choose one of"),
        ({"prior": "cluster", "latent_dim": 10}, (600, *SHAPE), "latent_dim is 10 and num_clust"),
        ({"sampling_prior": "mixture", "latent_dim": 9}, (600, *SHAPE), "latent_dim is 9 and num"),
        ({"objective": "cluster"}, (600, *SHAPE), "gan.prior is 'normal', but gan.objective 'clu"),
        ({"critic_steps": 0}, (600, *SHAPE), "gan.critic_steps is 0"),
        ({"critic_steps": 5}, (600, *SHAPE), "gan.critic_steps is 5, with gan.batch_size 128 mor"),
        ({"generator_layers": ()}, (600, *SHAPE), r"gan.generator_layers is \(\)"),
        ({"discriminator_layers": (4, 0)}, (600, *SHAPE), r"gan.discriminator_layers is \(4, 0\)"),
        ({"constants": Constants(clip=0)}, (600, *SHAPE), "gan.constants.clip is 0"),
        ({"dtype": "float16"}, (600, *SHAPE), "gan.dtype is 'float16'; choose one of float32, bf"),
        ({}, (9, 10, 8, 1), "divisible by 4"),
        ({}, (600, 8, 8), "divisible by 4"),
        ({"batch_size": 6}, (600, 8, 8, 1), "gan.batch_size is 6, which 4 devices"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        check_gan_config(GANConfig(**changes), shape)
