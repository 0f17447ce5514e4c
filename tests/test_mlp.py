from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models import NETWORKS, Encoder, NetworkName, Size
from magan_jax.models.mlp import Generator, Trunk

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)


def by_hand(parameters, names, x):
    """Dense layers with leaky rectifiers of slope 0.2, in float64."""
    for name in names:
        layer = parameters[name]
        x = x @ np.asarray(layer["kernel"], np.float64) + np.asarray(layer["bias"], np.float64)
        x = np.where(x > 0, x, 0.2 * x)
    return x


def perturbed(parameters):
    """Biases start at zero: others, so that they are seen."""
    return jax.tree.map(
        lambda p: p + 0.1 * RANDOM.normal(size=p.shape).astype(np.float32), parameters
    )


def test_the_names_of_a_configuration_are_those_of_the_table():
    assert get_args(NetworkName) == tuple(NETWORKS)


def test_the_reports_networks_have_their_sizes():
    generator, trunk = Generator(), Trunk()
    z, images = jnp.zeros((1, 100)), jnp.zeros((1, 28, 28, 1))
    g = jax.eval_shape(lambda: generator.init(KEY, z, training=True))["params"]
    t = jax.eval_shape(lambda: trunk.init(KEY, images))["params"]
    assert [g[n]["kernel"].shape for n in ("hidden_0", "hidden_1", "hidden_2", "image")] == [
        (100, 256), (256, 512), (512, 1024), (1024, 784),
    ]  # fmt: skip
    assert [t[f"hidden_{i}"]["kernel"].shape for i in range(3)] == [
        (784, 1024), (1024, 512), (512, 256),
    ]  # fmt: skip


def test_generator_is_its_layers_and_tanh():
    generator = Generator((7, 5), (2, 3, 2))
    z = RANDOM.normal(size=(4, 6)).astype(np.float32)
    parameters = perturbed(generator.init(KEY, z, training=False)["params"])
    images = generator.apply({"params": parameters}, z, training=True)
    hidden = by_hand(parameters, ("hidden_0", "hidden_1"), z.astype(np.float64))
    last = {k: np.asarray(v, np.float64) for k, v in parameters["image"].items()}
    expected = np.tanh(hidden @ last["kernel"] + last["bias"]).reshape(4, 2, 3, 2)
    np.testing.assert_allclose(images, expected, rtol=1e-4, atol=1e-5)


def test_trunk_is_its_layers():
    trunk = Trunk((7, 5))
    images = RANDOM.normal(size=(4, 2, 3, 2)).astype(np.float32)
    parameters = perturbed(trunk.init(KEY, images)["params"])
    expected = by_hand(
        parameters, ("hidden_0", "hidden_1"), images.reshape(4, -1).astype(np.float64)
    )
    found = trunk.apply({"params": parameters}, images)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_encoder_is_a_trunk_and_a_linear_layer_in_two_parts():
    encoder = Encoder(Trunk((7, 5)), 3, 4)
    images = RANDOM.normal(size=(6, 2, 3, 2)).astype(np.float32)
    parameters = perturbed(encoder.init(KEY, images)["params"])
    continuous, logits = encoder.apply({"params": parameters}, images)
    flat = images.reshape(6, -1).astype(np.float64)
    hidden = by_hand(parameters["trunk"], ("hidden_0", "hidden_1"), flat)
    last = {k: np.asarray(v, np.float64) for k, v in parameters["Dense_0"].items()}
    expected = hidden @ last["kernel"] + last["bias"]
    np.testing.assert_allclose(continuous, expected[:, :3], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected[:, 3:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_families_fit_together(name, batch_norm, dtype):
    family, size = NETWORKS[name], Size(4, (6, 5))
    generator = family.generator(size, (8, 4, 2), None, dtype)
    trunk = family.trunk(size, None, dtype, batch_norm)
    z = jnp.asarray(RANDOM.normal(size=(5, 3)), jnp.float32)
    variables = generator.init(KEY, z, training=False)
    images = generator.apply(variables, z, training=False)
    chex.assert_shape(images, (5, 8, 4, 2))
    assert images.dtype == jnp.float32
    assert float(jnp.abs(images).max()) < 1
    parameters = {"params": trunk.init(KEY, images)["params"]}
    assert "Dense_0" not in parameters["params"]  # it shares its key with a last layer so called
    features, _ = trunk.apply(parameters, images, mutable=["batch_stats"])
    assert features.shape[0] == 5
    assert features.ndim == 2
    assert features.dtype == dtype
    alone, _ = trunk.apply(parameters, images[1:2], mutable=["batch_stats"])
    if name == "mlp" or not batch_norm:
        # The order of sums may tip a rounding, which in bfloat16 is one of 2⁻⁸ in each layer.
        chex.assert_trees_all_close(
            alone,
            features[1:2],
            rtol=2e-2 if dtype != jnp.float32 else 1e-5,
            atol=1e-3 if dtype != jnp.float32 else 1e-6,
        )
    else:
        assert not np.allclose(alone, features[1:2], atol=1e-3)
