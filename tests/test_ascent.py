"""Gradient ascent on latents."""

import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.latent.ascent import _compiled_ascent, ascend

WEIGHTS = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.2], [0.0, 0.7]])


def generate(z: jax.Array) -> jax.Array:
    return z


def classify(images: jax.Array) -> jax.Array:
    return images @ jnp.asarray(WEIGHTS, jnp.float32)


def climbed(
    z: np.ndarray, target: np.ndarray, step: float, steps: int, pull: float, radius: float
) -> np.ndarray:
    """The same ascent by hand, in float64: the gradient of log softmax is W[:, t] − W p."""
    z = z.astype(np.float64)
    for _ in range(steps):
        logits = z @ WEIGHTS
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        length = np.linalg.norm(z, axis=1, keepdims=True)
        inward = pull * (length - radius) * z / np.maximum(length, 1e-6)
        z = z + step * (WEIGHTS.T[target] - p @ WEIGHTS.T - inward)
    return z


@pytest.mark.parametrize(("pull", "radius"), [(0.0, None), (0.5, None), (0.2, 3.0)])
def test_follows_the_gradient(pull: float, radius: float | None) -> None:
    random = np.random.default_rng(0)
    z, target = random.normal(size=(11, 4)), random.integers(0, 2, 11)
    found = ascend(
        generate,
        classify,
        z,
        target,
        step_size=0.2,
        num_steps=7,
        pull=pull,
        radius=radius,
        batch_size=4,
    )
    expected = climbed(z, target, 0.2, 7, pull, 2.0 if radius is None else radius)
    chex.assert_trees_all_close(found.latents, expected.astype(np.float32), atol=1e-5)
    logits = expected @ WEIGHTS
    for given, wanted in ((found.before, z @ WEIGHTS), (found.after, logits)):
        probability = 1 / (1 + np.exp(-np.diff(wanted)[:, 0] * (2 * target - 1)))
        chex.assert_trees_all_close(given, probability.astype(np.float32), atol=1e-5)
    np.testing.assert_array_equal(found.label, logits.argmax(1))
    np.testing.assert_array_equal(found.reached, logits.argmax(1) == target)


def test_every_latent_reaches_a_class_that_lies_uphill() -> None:
    z = np.random.default_rng(1).normal(size=(50, 4))
    for target in (0, 1):
        found = ascend(generate, classify, z, target, step_size=0.5, num_steps=50)
        assert found.reached.all()
        assert (found.after >= found.before).all()


def test_a_strong_pull_ends_on_the_shell() -> None:
    z = np.random.default_rng(2).normal(size=(20, 4))
    found = ascend(generate, classify, z, 0, step_size=0.05, num_steps=400, pull=10.0, radius=2.5)
    # At rest the pull balances a gradient of at most ‖w₀ − w₁‖: 10 · |‖z‖ − 2.5| ≤ 2.87.
    assert np.abs(np.linalg.norm(found.latents, axis=1) - 2.5).max() < 0.29


def test_neither_batches_nor_devices_change_the_end() -> None:
    z = np.random.default_rng(3).normal(size=(13, 4))
    ends = [
        ascend(generate, classify, z, 1, num_steps=5, batch_size=b, num_devices=d)
        for b, d in ((13, 1), (3, 1), (2, 2))
    ]
    for other in ends[1:]:
        chex.assert_trees_all_close(ends[0], other, rtol=1e-6)


def test_other_settings_need_no_new_program() -> None:
    z = np.zeros((3, 4)) + 0.1
    compiled_before = _compiled_ascent.cache_info().misses
    for steps, step_size in ((1, 0.1), (9, 0.3)):
        ascend(generate, classify, z, 0, num_steps=steps, step_size=step_size, num_devices=1)
    assert _compiled_ascent.cache_info().misses <= compiled_before + 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 2}, "knows 0 to 1"),
        ({"target": np.array([0, 1])}, "one class, or one for"),
        ({"target": 0.5}, "as integers"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"step_size": np.nan}, "step_size is nan"),
        ({"num_steps": 0}, "num_steps is 0"),
        ({"pull": -1.0}, "pull is -1.0"),
        ({"radius": np.inf}, "radius is inf"),
        ({"latents": np.full((2, 4), np.nan)}, "not finite"),
    ],
)
def test_what_cannot_work_is_refused(arguments: dict, message: str) -> None:
    given = {"latents": np.zeros((3, 4)), "target": 0} | arguments
    with pytest.raises(ValueError, match=message):
        ascend(generate, classify, **given)


def through_numpy(z: jax.Array) -> jax.Array:
    shape = jax.ShapeDtypeStruct(z.shape, z.dtype)
    return jax.pure_callback(np.tanh, shape, z, vmap_method="expand_dims")


def test_functions_without_a_gradient_are_refused() -> None:
    with pytest.raises(ValueError, match=r"has no gradient .*callback.*needs jax\.custom_vjp"):
        ascend(through_numpy, classify, np.ones((3, 4)), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"classify": lambda x: classify(x).astype(int)},
        {"generate": jnp.round},
        {"step_size": 1e-50},
    ],
)
def test_where_nothing_can_climb_it_is_said(changes: dict) -> None:
    given = {"generate": generate, "classify": classify, "step_size": 0.1} | changes
    with pytest.warns(UserWarning, match="no latent moves: the gradient of every probability is 0"):
        found = ascend(latents=np.ones((3, 4)), target=0, **given)
    np.testing.assert_array_equal(found.latents, np.ones((3, 4)))


def test_a_latent_that_is_sure_already_may_stay() -> None:
    sure = np.array([[200.0, 0.0, 0.0, 0.0]])
    with warnings.catch_warnings(action="error"):
        found = ascend(generate, classify, sure, 0, num_steps=2)
    np.testing.assert_array_equal(found.latents, sure)
    assert found.after == 1


def test_a_generator_that_overflows_is_named() -> None:
    starts = np.array([[0.0] * 4, [3.0] * 4, [5.0] * 4])
    with pytest.raises(ValueError, match="not finite for 2 of 3"):
        ascend(lambda z: jnp.where(z > 2, jnp.inf, z), classify, starts, 0, num_steps=1)
