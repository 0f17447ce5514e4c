"""Layer and batch normalisation beside float64, Flax and automatic differentiation."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.models.normalisation import BatchNorm, LayerNorm, batch_norm, layer_norm

pytestmark = pytest.mark.optimized

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
        expected = jax.jit(gradients, static_argnums=0)(as_written, *wide)
        expected = jax.tree.map(np.asarray, expected)
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

    found, expected = (
        jax.jit(jax.grad(lambda x, f=f: penalty(f, x)))(x) for f in (layer_norm, as_written)
    )
    chex.assert_trees_all_close(found, expected, rtol=2e-3, atol=2e-3)


def test_rows_of_many_seeds_are_their_own():
    x, scale, bias = given((3, 4, 16))
    scales = jnp.stack([scale, 2 * scale, -scale])
    found = jax.jit(jax.vmap(layer_norm, (0, 0, None)))(x, scales, bias)
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


@pytest.fixture(params=["cpu", "accelerators"])
def form(request, monkeypatch):
    """What a CPU computes, and what accelerators do, computed here."""
    if request.param == "accelerators":
        monkeypatch.setattr(
            jax.lax, "platform_dependent", lambda *arrays, default, **_: default(*arrays)
        )


def batches_as_written(x, scale, bias, batches):
    parts = x.reshape(batches, -1, *x.shape[1:])
    axes = tuple(range(1, x.ndim))
    centred = parts - jnp.mean(parts, axis=axes, keepdims=True)
    deviation = jnp.sqrt(jnp.mean(centred**2, axis=axes, keepdims=True) + 1e-5)
    return (centred / deviation * scale + bias).reshape(x.shape)


BATCHES = [((6, 16), 1), ((6, 16), 2), ((8, 4, 4, 32), 1), ((8, 3, 5, 32), 2)]


@pytest.mark.parametrize(("shape", "batches"), BATCHES)
def test_each_batch_is_normalised_by_itself(form, shape, batches):
    own = given(shape)
    found, mean, variance = jax.jit(lambda *own: batch_norm(*own, batches))(*own)
    x, scale, bias = (np.asarray(each, np.float64) for each in own)
    with jax.enable_x64(True):
        expected = jax.jit(lambda *own: batches_as_written(*own, batches))(x, scale, bias)
        expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, atol=2e-5, rtol=1e-5)
    rows = x.reshape(batches, -1, shape[-1])
    np.testing.assert_allclose(mean, rows.mean(1), atol=1e-5)
    np.testing.assert_allclose(variance, rows.var(1), rtol=1e-5)


@pytest.mark.parametrize(("shape", "batches"), BATCHES)
def test_gradients_of_batches_are_those_of_automatic_differentiation(form, shape, batches):
    weight, own = jax.random.normal(KEYS[3], shape), given(shape)

    def gradients(function, weight, own):
        gradient = jax.grad(lambda *own: jnp.sum(weight * function(*own)), (0, 1, 2))
        return jax.jit(gradient)(*own)

    found = gradients(lambda *own: batch_norm(*own, batches)[0], weight, own)
    wide = jax.tree.map(lambda x: np.asarray(x, np.float64), (weight, own))
    with jax.enable_x64(True):
        expected = gradients(lambda *own: batches_as_written(*own, batches), *wide)
        expected = jax.tree.map(np.asarray, expected)
    for one, right in zip(found, expected, strict=True):
        assert right.dtype == np.float64
        np.testing.assert_allclose(one, right, atol=2e-5 * np.abs(right).max())


def test_gradients_of_gradients_of_batches_are_too(form):
    x, scale, bias = given((8, 4, 4, 3))
    weight = jax.random.normal(KEYS[3], x.shape)

    def penalty(function, x):
        inner = jax.grad(lambda x: jnp.sum(weight * function(x) ** 2))(x)
        return jnp.sum(inner**2)

    functions = (
        lambda x: batch_norm(x, scale, bias, 2)[0],
        lambda x: batches_as_written(x, scale, bias, 2),
    )
    found, expected = (jax.jit(jax.grad(lambda x, f=f: penalty(f, x)))(x) for f in functions)
    chex.assert_trees_all_close(found, expected, rtol=2e-3, atol=2e-3)


def test_a_large_mean_of_a_batch_cancels_nothing(form):
    x = np.float32(1e4) + np.asarray(jax.random.normal(KEYS[0], (64, 4, 4, 3)))
    exact = np.asarray(x, np.float64)
    expected = (exact - exact.mean((0, 1, 2))) / exact.std((0, 1, 2))
    found = batch_norm(x, jnp.ones(3), jnp.zeros(3))[0]
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_a_constant_feature_stays_where_its_bias_is(form):
    found, _, variance = batch_norm(jnp.full((6, 2), 1e4), jnp.ones(2), jnp.array([0.0, 3.0]))
    chex.assert_trees_all_equal(found, jnp.broadcast_to(jnp.array([0.0, 3.0]), (6, 2)))
    assert not np.any(variance)


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_on_devices_are_one_batch_with_one_gradient(parts):
    """The same function under vmap(axis_name=...), values and gradients of the mean of losses."""
    x, scale, bias = given((8, 4, 4, 3))
    weight = jax.random.normal(KEYS[3], x.shape)

    def loss(x, scale, bias, weight, axis_name):
        result = batch_norm(x, scale, bias, 1, axis_name)[0]
        return jnp.mean(weight * result), result

    def gradient(*own, axis_name=None):
        function = jax.grad(loss, (0, 1, 2), has_aux=True)
        (of_x, *others), result = function(*own, axis_name)
        return (of_x, jax.lax.pmean(others, axis_name) if axis_name else others), result

    whole, result = jax.jit(gradient)(x, scale, bias, weight)
    cut = [each.reshape(parts, -1, *each.shape[1:]) for each in (x, weight)]
    together = jax.vmap(
        lambda x, weight: gradient(x, scale, bias, weight, axis_name="parts"), axis_name="parts"
    )
    of_parts, result_of_parts = jax.jit(together)(*cut)
    chex.assert_trees_all_close(result_of_parts.reshape(x.shape), result, atol=1e-5)
    # Each part's loss is a mean over so many fewer numbers.
    chex.assert_trees_all_close(of_parts[0].reshape(x.shape) / parts, whole[0], atol=1e-6)
    for one, right in zip(of_parts[1], whole[1], strict=True):
        chex.assert_trees_all_close(one[0], right, atol=1e-6)


def test_batch_norm_has_the_parameters_statistics_and_results_of_flax():
    x, scale, bias = given((8, 4, 4, 3))
    ours = BatchNorm(training=True, momentum=0.9)
    flax = nn.BatchNorm(use_running_average=False, momentum=0.9, use_fast_variance=False)
    at_first = ours.init(KEYS[0], x)
    chex.assert_trees_all_equal(at_first, flax.init(KEYS[0], x))
    learned = {**at_first, "params": {"scale": scale, "bias": bias}}
    found, expected = (net.apply(learned, x, mutable=["batch_stats"]) for net in (ours, flax))
    chex.assert_trees_all_close(found, expected, atol=2e-5)
    in_use = {"params": learned["params"], **expected[1]}
    chex.assert_trees_all_close(
        BatchNorm(training=False, momentum=0.9).apply(in_use, x),
        nn.BatchNorm(use_running_average=True).apply(in_use, x),
        atol=1e-5,
    )


def test_batches_leave_the_statistics_of_the_last():
    x, *_ = given((8, 4, 4, 3))
    norm = BatchNorm(training=True, momentum=0.0)
    _, seen = norm.apply(norm.init(KEYS[0], x), x, 2, mutable=["batch_stats"])
    last = np.asarray(x[4:], np.float64)
    np.testing.assert_allclose(seen["batch_stats"]["mean"], last.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(seen["batch_stats"]["var"], last.var((0, 1, 2)), rtol=1e-5)
