"""The networks of an autoencoder and what it minimises."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from magan_jax.models.variational import Decoder, Encoder
from magan_jax.objectives.variational import (
    DIVERGENCES,
    Encoded,
    bernoulli_loss,
    kl_to_standard_normal,
    maximum_mean_discrepancy,
)

KEY = jax.random.key(0)


def kl_by_quadrature(mean, deviation):
    def integrand(z):
        return norm.pdf(z, mean, deviation) * (
            norm.logpdf(z, mean, deviation) - norm.logpdf(z, 0, 1)
        )

    return quad(integrand, mean - 12 * deviation, mean + 12 * deviation)[0]


def test_kl_is_that_of_the_integral_summed_over_dimensions():
    mean, deviation = np.array([[0.0, 1.5], [-2.0, 0.3]]), np.array([[1.0, 0.2], [2.5, 0.9]])
    found = kl_to_standard_normal(jnp.asarray(mean), jnp.asarray(2 * np.log(deviation)))
    expected = [
        sum(kl_by_quadrature(m, s) for m, s in zip(*row, strict=True))
        for row in zip(mean, deviation, strict=True)
    ]
    chex.assert_shape(found, (2,))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_reconstruction_sums_over_pixels_and_averages_over_images():
    random = np.random.default_rng(0)
    logits, light = random.normal(size=(3, 4, 4, 1)) * 3, random.uniform(size=(3, 4, 4, 1))
    p = 1 / (1 + np.exp(-logits))
    expected = -(light * np.log(p) + (1 - light) * np.log1p(-p)).sum(axis=(1, 2, 3)).mean()
    found = bernoulli_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(light, jnp.float32))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_saturated_pixel_costs_its_logit_and_not_infinity():
    wrong = bernoulli_loss(jnp.full((1, 1, 1, 1), 300.0), jnp.zeros((1, 1, 1, 1)))
    assert float(wrong) == pytest.approx(300.0)
    gradient = jax.grad(lambda x: bernoulli_loss(x, jnp.zeros((1, 1, 1, 1))))(
        jnp.full((1, 1, 1, 1), 300.0)
    )
    assert float(gradient[0, 0, 0, 0]) == pytest.approx(1.0)


def discrepancy_by_pairs(a, b):
    """Eq. 2 with sums over different pairs, one pair after another."""

    def kernel(x, y):
        return np.exp(-np.sum((x - y) ** 2) / (2 * len(x)))

    def within(rows):
        return np.mean(
            [kernel(x, y) for i, x in enumerate(rows) for j, y in enumerate(rows) if i != j]
        )

    return within(a) + within(b) - 2 * np.mean([kernel(x, y) for x in a for y in b])


def test_the_discrepancy_is_that_of_all_pairs():
    random = np.random.default_rng(1)
    a, b = random.normal(size=(7, 3)) + 0.5, random.normal(size=(5, 3))
    found = maximum_mean_discrepancy(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32))
    assert float(found) == pytest.approx(discrepancy_by_pairs(a, b), rel=1e-4)


@pytest.mark.parametrize("distance", [0.0, 1.0, 3.0])
def test_its_mean_is_that_of_two_normal_distributions(distance):
    """E k over N(m, I) and N(0, I) is (1 + 2/d)^(-d/2) exp(-‖m‖²/(2(d + 2)))."""
    d, n, repeats = 4, 50, 400
    keys = jax.random.split(KEY, repeats)

    def once(key):
        a, b = jax.random.normal(key, (2, n, d))
        return maximum_mean_discrepancy(a.at[:, 0].add(distance), b)

    found = np.asarray(jax.vmap(once)(keys))
    expected = 2 * (1 + 2 / d) ** (-d / 2) * (1 - np.exp(-(distance**2) / (2 * (d + 2))))
    error = found.std(ddof=1) / np.sqrt(repeats)
    assert abs(found.mean() - expected) < 4 * error
    if distance == 0:  # of equal distributions it is negative about as often as not
        assert 0.3 < np.mean(found < 0) < 0.8


def test_each_divergence_looks_at_its_own_part():
    zero, one = jnp.zeros((4, 2)), jnp.ones((4, 2))
    spread = jnp.asarray(np.random.default_rng(2).normal(size=(4, 2)), jnp.float32)
    encoded = Encoded(one, zero, spread, -spread)
    assert float(DIVERGENCES["elbo"].of(encoded)) == pytest.approx(1.0)  # ½ Σ μ² over 2 dimensions
    assert float(DIVERGENCES["mmd"].of(encoded)) == pytest.approx(
        discrepancy_by_pairs(np.asarray(spread), -np.asarray(spread)), rel=1e-4
    )


def softplus(x):
    return np.logaddexp(0, x)


def layers(parameters, x, last):
    """The report's Tables 1 and 2 in float64."""
    for name in sorted(n for n in parameters if n.startswith("hidden")):
        x = softplus(x @ np.float64(parameters[name]["kernel"]) + parameters[name]["bias"])
    return x @ np.float64(parameters[last]["kernel"]) + parameters[last]["bias"]


def test_the_networks_are_the_tables():
    images = np.random.default_rng(3).uniform(-1, 1, (5, 4, 4, 1)).astype(np.float32)
    encoder, decoder = Encoder((6, 7), 3), Decoder((7, 6), (4, 4, 1))
    parameters = encoder.init(KEY, images)["params"]
    mean, log_variance = encoder.apply({"params": parameters}, images)
    chex.assert_shape([mean, log_variance], (5, 3))
    expected = layers(parameters, (images.reshape(5, -1) + 1) / 2, "posterior")
    np.testing.assert_allclose(np.hstack([mean, log_variance]), expected, rtol=1e-4, atol=1e-5)
    parameters = decoder.init(KEY, mean)["params"]
    logits = decoder.apply({"params": parameters}, mean)
    chex.assert_shape(logits, (5, 4, 4, 1))
    expected = layers(parameters, np.asarray(mean, np.float64), "image")
    np.testing.assert_allclose(logits.reshape(5, -1), expected, rtol=1e-4, atol=1e-5)


def test_the_reports_networks_have_its_sizes():
    shapes = jax.eval_shape(
        lambda: Encoder((500, 500), 20).init(KEY, jnp.zeros((1, 28, 28, 1)))["params"]
    )
    sizes = {name: layer["kernel"].shape for name, layer in shapes.items()}
    assert sizes == {"hidden_0": (784, 500), "hidden_1": (500, 500), "posterior": (500, 40)}


def test_bfloat16_keeps_statistics_in_float32():
    encoder = Encoder((6,), 3, jnp.bfloat16)
    images = jnp.zeros((2, 4, 4, 1))
    parameters = encoder.init(KEY, images)
    chex.assert_type(jax.tree.leaves(parameters), jnp.float32)
    chex.assert_type(list(encoder.apply(parameters, images)), jnp.float32)
