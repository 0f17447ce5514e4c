import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.collectives import collective_bytes
from magan_jax.parallel import DEVICES, on_devices
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan

KEY = jax.random.key(0)


def compiled(function, *arguments):
    mesh = jax.make_mesh((4,), (DEVICES,))
    mapped = jax.shard_map(
        function, mesh=mesh, in_specs=jax.P(), out_specs=jax.P(), check_vma=False
    )
    return jax.jit(mapped).lower(*arguments).compile().as_text()


def of_training(step, state):
    data = Batch(np.zeros((64, 8, 8, 1), np.uint8), np.zeros(64, np.int32))
    chunk = chunk_function(step, 64, 16, 2)
    return sum(collective_bytes(compiled(chunk, state, data, KEY, jnp.uint32(0))))


def size(tree):
    return sum(x.nbytes for x in jax.tree.leaves(tree))


def test_bytes_are_those_of_the_collectives():
    def function(x):
        return jax.lax.psum(x, DEVICES), jax.lax.all_gather(x[:3], DEVICES)

    assert sorted(collective_bytes(compiled(function, jnp.ones(10)))) == [4 * 10, 4 * 4 * 3]
    assert collective_bytes(compiled(lambda x: x + 1, jnp.ones(10))) == []


def test_a_classifier_step_exchanges_its_gradients_and_two_numbers():
    config = ClassifierConfig(batch_size=16, width=4)
    state = init_classifier(KEY, config, (8, 8, 1), 10, 4)
    assert of_training(classifier_step(config, 10, 4), state) == size(state.parameters) + 2 * 4


def test_a_gan_step_exchanges_its_gradients_and_the_sums_of_batchnorm():
    config = GANConfig(latent_dim=6, batch_size=16, generator_width=4, discriminator_width=4)
    state = init_gan(KEY, config, (8, 8, 1))
    # G has BatchNorm of 8 and of 4 channels, seen in one pass (fake images are made once); D of 8,
    # seen in three (real, fake, fake for G). Each pass: mean and variance forward, two sums back.
    sums = 4 * 4 * (8 + 4 + 3 * 8)
    gradients = size((state.generator, state.discriminator))
    found = of_training(gan_step(config, (8, 8, 1)), state)
    assert gradients < found <= gradients + sums + 4 * 4


@pytest.mark.parametrize("num_devices", [0, 5])
def test_a_number_of_devices_that_is_not_there_is_refused(num_devices):
    with pytest.raises(ValueError, match=f"num_devices is {num_devices}, but this process has 4"):
        on_devices(lambda x: x, num_devices=num_devices)
