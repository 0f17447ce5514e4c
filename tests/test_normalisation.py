"""Layer normalisation beside float64, beside Flax, and as automatic differentiation has it."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models.normalisation import LayerNorm, layer_norm

KEYS = jax.random.split(jax.random.key(0), 4)
SHAPES = [(5, 16), (3, 4, 4, 32), (2, 7)]


def given(shape):
    x = 3 * jax.random.normal(KEYS[0], shape) + 1
    scale, bias = (jax.random.normal(key, shape[-1:]) for key in KEYS[1:3])
    return x, scale, bias


def as_written(x, scale, bias):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(centred**2, axis=-1, keepdims=True)
    return centred / jnp.sqrt(variance + 1e-6) * scale + bias


@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_those_of_float64(shape):
    x, scale, bias = (np.asarray(each, np.float64) for each in given(shape))
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    expected = (x - x.mean(axis=-1, keepdims=True)) / deviation * scale + bias
    found = jax.jit(layer_norm)(*given(shape))
    chex.assert_shape(found, shape)
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=1e-5)


def test_a_large_mean_cancels_nothing():
    """E[x²] − E[x]² would lose all of a deviation of 1 beside a mean of 10⁴."""
    x = np.float32(1e4) + np.asarray(jax.random.normal(KEYS[0], (8, 64)))
    exact = np.asarray(x, np.float64)
    expected = (exact - exact.mean(1, keepdims=True)) / exact.std(1, keepdims=True)
    np.testing.assert_allclose(layer_norm(x, jnp.ones(64), jnp.zeros(64)), expected, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_those_of_automatic_differentiation(shape):
    weight, own = jax.random.normal(KEYS[3], shape), given(shape)

    def gradients(function, weight, own):
        return jax.grad(lambda *own: jnp.sum(weight * function(*own)), (0, 1, 2))(*own)

    found = jax.jit(gradients, static_argnums=0)(layer_norm, weight, own)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), (weight, own))
    with jax.enable_x64(True):
        expected = jax.tree.map(np.asarray, gradients(as_written, *wide))
    for one, right in zip(found, expected, strict=True):
        assert right.dtype == np.float64
        np.testing.assert_allclose(one, right, atol=1e-5 * np.abs(right).max())


def test_gradients_of_gradients_are_too():
    """An objective that differentiates f(x), such as a gradient penalty, needs them."""
    x, scale, bias = given((4, 8))
    weight = jax.random.normal(KEYS[3], x.shape)

    def penalty(function, x):
        inner = jax.grad(lambda x: jnp.sum(weight * function(x, scale, bias) ** 2))(x)
        return jnp.sum(inner**2)

    found, expected = (jax.grad(lambda x, f=f: penalty(f, x))(x) for f in (layer_norm, as_written))
    chex.assert_trees_all_close(found, expected, rtol=2e-3, atol=2e-3)


def test_rows_of_many_seeds_are_their_own():
    x, scale, bias = given((3, 4, 16))
    scales = jnp.stack([scale, 2 * scale, -scale])
    found = jax.vmap(layer_norm, (0, 0, None))(x, scales, bias)
    for one, own, result in zip(x, scales, found, strict=True):
        chex.assert_trees_all_close(result, layer_norm(one, own, bias), atol=1e-6)


def test_parameters_and_results_are_those_of_flax():
    x, scale, bias = given((3, 4, 4, 32))
    ours, flax = LayerNorm(), nn.LayerNorm()
    at_first = ours.init(KEYS[0], x)
    chex.assert_trees_all_equal(at_first, flax.init(KEYS[0], x))
    learned = {"params": {"scale": scale, "bias": bias}}
    chex.assert_trees_all_close(ours.apply(learned, x), flax.apply(learned, x), atol=1e-5)


def test_half_precision_is_normalised_in_float32():
    x, scale, bias = given((3, 4, 32))
    learned, half = {"params": {"scale": scale, "bias": bias}}, x.astype(jnp.bfloat16)
    found = LayerNorm(dtype=jnp.bfloat16).apply(learned, half)
    assert found.dtype == jnp.bfloat16
    exact = layer_norm(half.astype(jnp.float32), scale, bias)
    chex.assert_trees_all_equal(found, exact.astype(jnp.bfloat16))
