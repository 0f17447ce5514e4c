"""Each loss against its equation in float64, and each gradient against what it must be."""

from typing import get_args

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, logsumexp

from magan_jax.objectives import (
    OBJECTIVES,
    Constants,
    Discriminated,
    Made,
    ObjectiveName,
    check_constants,
)
from magan_jax.objectives.objective import LINEAR
from magan_jax.objectives.perceptual import feature_distance
from magan_jax.objectives.san import direction_view, function_view, sliced_logits
from magan_jax.objectives.wasserstein import gradient_penalty
from magan_jax.parallel import DEVICES

KEY = jax.random.key(0)
RANDOM = np.random.default_rng(0)
REAL, FAKE = RANDOM.normal(1, 2, 50), RANDOM.normal(-1, 2, 30)
CONSTANTS = Constants(
    clip=0.3, penalty=7.0, direction=2.5, perceptual=0.5, continuous=3.0, label=4.0
)


def seen(logits):
    """Images of which only the logits matter."""
    return Discriminated(jnp.zeros((len(logits), 2, 2, 1)), jnp.zeros((len(logits), 3)), {}, logits)


def discriminator_loss(name, real, fake):
    return OBJECTIVES[name](CONSTANTS).discriminator(KEY, seen, seen(real), seen(fake))


def generator_loss(name, fake, **others):
    return OBJECTIVES[name](CONSTANTS).generator(Made(seen(fake), None, None, **others))


def log_sigmoid(x):
    return np.log(expit(x))


EQUATIONS = {
    # Eq. 1 with D = sigmoid(f); D maximises it, so the loss is its negative.
    "vanilla": (
        lambda r, f: -log_sigmoid(r).mean() - np.log(1 - expit(f)).mean(),
        lambda f: -log_sigmoid(f).mean(),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda f: -f.mean()),
    "hinge": (
        lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        lambda f: -f.mean(),
    ),
}


def test_the_names_of_a_configuration_are_those_of_the_table():
    assert get_args(ObjectiveName) == tuple(OBJECTIVES)


@pytest.mark.parametrize("name", EQUATIONS)
def test_losses_equal_their_equations_in_float64(name):
    of_discriminator, of_generator = EQUATIONS[name]
    found = discriminator_loss(name, REAL, FAKE)
    np.testing.assert_allclose(found, of_discriminator(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(generator_loss(name, FAKE), of_generator(FAKE), rtol=1e-5)


def test_vanilla_gradients_are_those_of_the_sigmoid_and_stay_finite():
    logits = np.array([-200.0, -1.0, 0.0, 3.0, 200.0], np.float32)
    gradient = jax.grad(lambda f: generator_loss("vanilla", f))(logits)
    np.testing.assert_allclose(gradient, -expit(-logits.astype(np.float64)) / 5, atol=1e-6)
    both = jax.grad(lambda r, f: discriminator_loss("vanilla", r, f), (0, 1))(logits, logits)
    chex.assert_tree_all_finite(both)


def test_hinge_has_no_gradient_beyond_its_margins():
    logits = np.array([-3.0, -0.5, 0.5, 3.0], np.float32)
    real, fake = jax.grad(lambda r, f: discriminator_loss("hinge", r, f), (0, 1))(logits, logits)
    np.testing.assert_allclose(real, [-0.25, -0.25, -0.25, 0])
    np.testing.assert_allclose(fake, [0, 0.25, 0.25, 0.25])


def test_where_d_cannot_tell_vanilla_losses_are_at_their_equilibrium():
    zero = np.zeros(5, np.float32)
    found = discriminator_loss("vanilla", zero, zero), generator_loss("vanilla", zero)
    np.testing.assert_allclose(found, OBJECTIVES["vanilla"](CONSTANTS).equilibrium, rtol=1e-6)


def test_the_last_layer_is_linear_with_a_bias():
    parameters = LINEAR.init(KEY, 400)
    kernel = np.asarray(parameters["Dense_0"]["kernel"], np.float64)
    assert kernel.std() == pytest.approx(0.02, rel=0.15)  # four deviations of a std of 400
    features = RANDOM.normal(size=(5, 400)).astype(np.float32)
    shifted = {"Dense_0": parameters["Dense_0"] | {"bias": jnp.array([3.0])}}
    expected = features.astype(np.float64) @ kernel[:, 0] + 3
    np.testing.assert_allclose(LINEAR.logits(shifted, features), expected, rtol=1e-5)
    assert LINEAR.logits(shifted, features.astype(jnp.bfloat16)).dtype == jnp.float32


def test_clipping_bounds_every_parameter_and_moves_no_other():
    parameters = {"trunk": {"w": RANDOM.normal(size=(4, 5))}, "last": {"b": np.array([-0.1, 9])}}
    clipped = OBJECTIVES["wasserstein"](CONSTANTS).constrain(parameters)
    expected = jax.tree.map(lambda x: np.minimum(np.maximum(x, -0.3), 0.3), parameters)
    chex.assert_trees_all_close(clipped, expected, rtol=1e-6)
    kept = OBJECTIVES["wasserstein_gp"](CONSTANTS).constrain(parameters)
    chex.assert_trees_all_equal(kept, parameters)
    assert Constants().clip == 0.01


def linear_critic(weights):
    def judge(images):
        logits = images.reshape(len(images), -1) @ weights
        return Discriminated(images, images, {}, logits)

    return judge


IMAGES = RANDOM.normal(size=(6, 2, 3, 1)).astype(np.float32)


def test_the_penalty_of_a_linear_critic_is_that_of_its_norm():
    weights = RANDOM.normal(size=6).astype(np.float32)
    norm = np.linalg.norm(weights.astype(np.float64))
    penalty, gradient = jax.value_and_grad(
        lambda w: gradient_penalty(linear_critic(w), jnp.asarray(IMAGES))
    )(weights)
    np.testing.assert_allclose(penalty, (norm - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(gradient, 2 * (norm - 1) * weights / norm, rtol=1e-5)


def test_the_penalty_is_one_and_its_gradient_finite_where_the_critic_is_flat():
    penalty, gradient = jax.value_and_grad(
        lambda w: gradient_penalty(linear_critic(w), jnp.asarray(IMAGES))
    )(jnp.zeros(6))
    np.testing.assert_allclose(penalty, 1, rtol=1e-5)
    chex.assert_tree_all_finite(gradient)


def on_axis(function, *arguments, parts=1):
    """Over `parts` devices, the mean of their results."""
    split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), arguments)
    mapped = jax.vmap(lambda *x: jax.lax.pmean(function(*x), DEVICES), axis_name=DEVICES)
    return jax.tree.map(lambda x: x[0], mapped(*split))


def quadratic_critic(images):
    """f = |x|²/2, whose gradient is x."""
    return Discriminated(images, images, {}, jnp.sum(jnp.square(images), (1, 2, 3)) / 2)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_penalty_is_taken_between_real_and_fake_on_any_number_of_devices(parts):
    """With f = |x|²/2 the norm at αx + (1 − α)y is |αx + (1 − α)y|."""
    loss = OBJECTIVES["wasserstein_gp"](CONSTANTS).discriminator
    real, fake = IMAGES, RANDOM.normal(3, 1, IMAGES.shape).astype(np.float32)

    def of_part(x, y):
        return loss(KEY, quadratic_critic, quadratic_critic(x), quadratic_critic(y))

    found = on_axis(of_part, real, fake, parts=parts)
    alpha = np.asarray(jax.random.uniform(KEY, (6, 1, 1, 1)), np.float64)
    norms = np.sqrt(np.square(alpha * real + (1 - alpha) * fake).sum((1, 2, 3)))
    values = [np.square(x.astype(np.float64)).sum((1, 2, 3)).mean() / 2 for x in (fake, real)]
    expected = values[0] - values[1] + 7 * np.square(norms - 1).mean()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert not OBJECTIVES["wasserstein_gp"](CONSTANTS).batch_norm


FEATURES = {name: RANDOM.normal(size=(7, 4)).astype(np.float32) for name in ("real", "fake")}
LAST = {"direction": np.array([1.0, -2.0, 2.0, 0.5], np.float32), "scale": np.float32(1.7)}


def test_both_views_of_san_are_f():
    w = LAST["direction"].astype(np.float64)
    expected = FEATURES["real"].astype(np.float64) @ (w / np.linalg.norm(w)) * 1.7
    for view in (sliced_logits, function_view, direction_view):
        np.testing.assert_allclose(view(LAST, FEATURES["real"]), expected, rtol=1e-5)


def of_view(view):
    """Gradients of Σᵢ cᵢ·view for unequal c, in the last layer and in the features."""
    weights = np.linspace(-1, 2, 7).astype(np.float32)
    return jax.grad(lambda last, h: jnp.sum(weights * view(last, h)), (0, 1))(
        LAST, FEATURES["real"]
    )


def test_fun_trains_features_and_scale_and_dir_the_direction_alone():
    exact, exact_features = of_view(sliced_logits)
    fun, fun_features = of_view(function_view)
    np.testing.assert_array_equal(fun["direction"], 0)
    np.testing.assert_allclose(fun["scale"], exact["scale"], rtol=1e-5)
    np.testing.assert_allclose(fun_features, exact_features, rtol=1e-5)
    direction, direction_features = of_view(direction_view)
    np.testing.assert_array_equal(direction_features, 0)
    np.testing.assert_array_equal(direction["scale"], 0)
    np.testing.assert_allclose(direction["direction"], exact["direction"], rtol=1e-5)
    assert np.linalg.norm(direction["direction"]) > 0.1


def test_the_gradient_of_dir_is_orthogonal_to_w_and_that_of_the_sphere():
    direction, _ = of_view(direction_view)
    w, weights = LAST["direction"].astype(np.float64), np.linspace(-1, 2, 7)
    total = 1.7 * weights @ FEATURES["real"].astype(np.float64)
    norm = np.linalg.norm(w)
    expected = (np.eye(4) - np.outer(w, w) / norm**2) @ total / norm
    np.testing.assert_allclose(direction["direction"], expected, rtol=1e-4, atol=1e-6)
    assert abs(direction["direction"] @ w) < 1e-5 * np.linalg.norm(expected) * norm


def sliced(features):
    return Discriminated(None, features, LAST, sliced_logits(LAST, features))


def test_losses_of_san_equal_their_equations():
    objective = OBJECTIVES["san"](CONSTANTS)
    w = LAST["direction"].astype(np.float64)
    real, fake = (
        FEATURES[name].astype(np.float64) @ w / np.linalg.norm(w) * 1.7 for name in ("real", "fake")
    )
    hinge = np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
    expected = hinge + 2.5 * (fake.mean() - real.mean())
    judged = sliced(FEATURES["real"]), sliced(FEATURES["fake"])
    np.testing.assert_allclose(objective.discriminator(KEY, sliced, *judged), expected, rtol=1e-5)
    found = objective.generator(Made(judged[1], None, None))
    np.testing.assert_allclose(found, -fake.mean(), rtol=1e-5)


def test_san_starts_from_and_returns_to_a_unit_direction():
    objective = OBJECTIVES["san"](CONSTANTS)
    last = objective.last.init(KEY, 50)
    assert np.linalg.norm(last["direction"]) == pytest.approx(1, rel=1e-5)
    assert last["scale"] == 1
    parameters = {"trunk": {"kernel": np.full(3, 9.0)}, "last": LAST}
    kept = objective.constrain(parameters)
    np.testing.assert_allclose(
        kept["last"]["direction"], LAST["direction"] / np.linalg.norm(LAST["direction"]), rtol=1e-6
    )
    assert kept["last"]["scale"] == LAST["scale"]
    chex.assert_trees_all_equal(kept["trunk"], parameters["trunk"])
    before, after = (sliced_logits(x, FEATURES["real"]) for x in (LAST, kept["last"]))
    np.testing.assert_allclose(before, after, rtol=1e-5)


def test_perceptual_distance_sums_the_squares_of_all_layers():
    def features(x):
        return 2 * x, x.reshape(len(x), -1)[:, :2] ** 2

    real, fake = IMAGES, RANDOM.normal(size=IMAGES.shape).astype(np.float32)
    made = Made(seen(FAKE)._replace(images=fake), real, None, features=features)
    a, b = real.astype(np.float64), fake.astype(np.float64)
    first = np.square(2 * a - 2 * b).sum((1, 2, 3))
    second = np.square((a**2 - b**2).reshape(6, -1)[:, :2]).sum(1)
    distance = (first + second).mean()
    np.testing.assert_allclose(feature_distance(made), distance, rtol=1e-5)
    objective = OBJECTIVES["perceptual"](CONSTANTS)
    expected = EQUATIONS["vanilla"][1](FAKE) + 0.5 * distance
    np.testing.assert_allclose(objective.generator(made), expected, rtol=1e-5)
    assert objective.needs_features
    found = objective.discriminator(KEY, seen, seen(REAL), seen(FAKE))
    np.testing.assert_allclose(found, EQUATIONS["vanilla"][0](REAL, FAKE), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "adversarial"), [("cluster", "vanilla"), ("cluster_wasserstein_gp", "wasserstein")]
)
def test_the_encoder_adds_its_squares_and_its_cross_entropy(name, adversarial):
    wanted, cluster = RANDOM.normal(size=(5, 3)), np.array([0, 1, 1, 3, 2])
    found, logits = RANDOM.normal(size=(5, 3)), RANDOM.normal(size=(5, 4))
    fake = FAKE[:5]

    def loss(found, logits):
        return generator_loss(
            name,
            fake,
            split=lambda z: (wanted.astype(np.float32), cluster),
            encode=lambda images: (found, logits),
        )

    squares = np.square(wanted - found).mean()
    entropy = (logsumexp(logits, axis=1) - logits[np.arange(5), cluster]).mean()
    expected = EQUATIONS[adversarial][1](fake) + 3 * squares + 4 * entropy
    arrays = found.astype(np.float32), logits.astype(np.float32)
    np.testing.assert_allclose(loss(*arrays), expected, rtol=1e-5)
    of_found, of_logits = jax.grad(loss, (0, 1))(*arrays)
    np.testing.assert_allclose(of_found, 3 * 2 * (found - wanted) / 15, rtol=1e-4, atol=1e-6)
    shares = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
    np.testing.assert_allclose(of_logits, 4 * (shares - np.eye(4)[cluster]) / 5, atol=1e-5)
    assert OBJECTIVES[name](CONSTANTS).encodes


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": 0.0}, "gan.constants.clip is 0"),
        ({"clip": -1.0}, "gan.constants.clip is -1.0"),
        ({"penalty": float("nan")}, "gan.constants.penalty is nan; it must be 0 or more"),
        ({"label": float("inf")}, "gan.constants.label is inf"),
    ],
)
def test_constants_without_sense_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_constants(Constants(**changes), "gan.constants")
