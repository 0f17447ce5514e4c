"""What the devices exchange in one step of the GAN, read off the program compiled for four."""

import os
from typing import NamedTuple

from throughput.turns import printed_by

_PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from magan_jax.collectives import collective_bytes
from magan_jax.parallel import DEVICES
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan
config, shape = GANConfig(), (28, 28, 1)
state = init_gan(jax.random.key(0), config, shape)
data = Batch(np.zeros((256, *shape), np.uint8), np.zeros(256, np.int32))
chunk = chunk_function(gan_step(config, shape), 256, config.batch_size, 2)
mapped = jax.shard_map(chunk, mesh=jax.make_mesh((4,), (DEVICES,)), in_specs=jax.P(),
                       out_specs=jax.P(), check_vma=False)
lowered = jax.jit(mapped).lower(state, data, jax.random.key(1), jnp.uint32(0))
sent = collective_bytes(lowered.compile().as_text())
gradients = sum(x.nbytes for x in jax.tree.leaves((state.generator, state.discriminator)))
flops = lowered.cost_analysis()["flops"] / (config.batch_size // 4)
print(sum(sent), gradients, len(sent), flops)
"""


class Exchange(NamedTuple):
    """One training step of the paper's GAN on several devices.

    Attributes:
        bytes: that each device hands to collectives.
        gradient_bytes: of these, the gradients of G and D.
        collectives: how many there are; most wait for one another.
        flops_per_image: XLA's count, before optimisation.
    """

    bytes: int
    gradient_bytes: int
    collectives: int
    flops_per_image: float


def exchange_of_gan_step() -> Exchange:
    """Compile for four CPU devices in a process of its own, and read the program."""
    four = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    sent, gradients, collectives, flops = printed_by(_PROGRAM, environment=four)
    return Exchange(int(sent), int(gradients), int(collectives), float(flops))
