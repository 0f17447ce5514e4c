"""Dropout, and its bits beside those of JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models.dropout import bernoulli, drop

KEY = jax.random.key(0)


def of_jax(keys, p, count):
    return jax.vmap(lambda key: jax.random.bernoulli(key, p, (count,)))(keys)


@pytest.mark.parametrize("p", [0.7, 0.5, 0.3, 1.0, 0.999999, 1e-6, 2.0**-23])
@pytest.mark.parametrize("rows", [1, 2, 5])
def test_bits_are_those_of_jax(rows, p):
    keys, count = jax.random.split(KEY, rows), 20_000
    for function in (bernoulli, jax.jit(bernoulli, static_argnums=(1, 2))):
        np.testing.assert_array_equal(function(keys, p, count), of_jax(keys, p, count))


def test_bits_are_those_of_jax_under_a_map_of_seeds():
    keys = jax.random.split(KEY, (3, 4))
    mapped = jax.jit(jax.vmap(lambda own: bernoulli(own, 0.7, 50)))(keys)
    np.testing.assert_array_equal(mapped, jax.vmap(lambda own: of_jax(own, 0.7, 50))(keys))


def test_bits_are_those_of_jax_with_another_generator():
    keys = jax.random.split(jax.random.key(0, impl="rbg"), 4)
    np.testing.assert_array_equal(bernoulli(keys, 0.7, 50), of_jax(keys, 0.7, 50))


def test_bits_are_those_of_jax_where_it_draws_them_as_it_once_did():
    keys = jax.random.split(KEY, 4)
    now = bernoulli(keys, 0.7, 50)
    with jax.threefry_partitionable(False):
        once = of_jax(keys, 0.7, 50)
        np.testing.assert_array_equal(bernoulli(keys, 0.7, 50), once)
    assert not np.array_equal(now, once)


def test_bits_are_those_of_jax_where_it_draws_64_of_them():
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 4)
        np.testing.assert_array_equal(bernoulli(keys, 0.7, 50), of_jax(keys, 0.7, 50))


def test_dropout_keeps_the_mean_and_drops_the_rate():
    x = jnp.ones((200, 300))
    keys = jax.random.split(KEY, 200)
    dropped = drop(keys, 0, 0.25, x)
    assert float(jnp.mean(dropped == 0)) == pytest.approx(0.25, abs=0.01)
    np.testing.assert_allclose(np.unique(dropped), [0, 4 / 3], rtol=1e-6)
    other = drop(keys, 1, 0.25, x)
    assert float(jnp.mean((dropped == 0) == (other == 0))) < 0.7  # layers draw apart


def test_nothing_is_dropped_without_keys_or_at_a_rate_of_0():
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(drop(None, 0, 0.5, x), x)
    np.testing.assert_array_equal(drop(jax.random.split(KEY, 2), 0, 0.0, x), x)
