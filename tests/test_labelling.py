"""Labels of generated images, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import shift
from scipy.special import softmax
from scipy.stats import norm

from magan_jax.augmentation.fitting import SHIFTED, FittingConfig, fit
from magan_jax.augmentation.labelling import (
    ensemble,
    fit_ensembles,
    neighbourhood_probabilities,
    opinion_pool,
    probabilities_in_nine_places,
    probabilities_of,
)
from magan_jax.images import scale_images
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
LATENTS = np.random.default_rng(0).normal(size=(700, 4)).astype(np.float32)


def generate(z):
    return z.reshape(-1, 2, 2, 1)


def logits_of(parameters, images):
    return images.reshape(-1, 4) @ parameters


def test_an_ensemble_has_the_mean_of_its_members_probabilities():
    weights = np.random.default_rng(1).normal(size=(3, 4, 5)).astype(np.float32)
    together = ensemble([jax.tree_util.Partial(logits_of, w) for w in weights])
    images = generate(LATENTS)
    each = np.exp(np.einsum("nd,edk->enk", LATENTS.astype(float), weights))
    expected = (each / each.sum(-1, keepdims=True)).mean(0)
    np.testing.assert_allclose(jax.nn.softmax(together(images)), expected, rtol=1e-4)


def test_ensembles_that_are_fitted_together_have_the_members_that_each_has_alone():
    config = FittingConfig(steps=3, batch_size=8, width=2)
    rng = np.random.default_rng(7)
    sets = [Batch(rng.integers(0, 256, (6, 8, 8, 1), np.uint8), np.arange(6) % 3) for _ in "ab"]
    keys = [jax.random.key(5), jax.random.key(6)]
    found = fit_ensembles(keys, config, sets, 3, 2)
    images = scale_images(sets[0].images)
    assert len(found) == 2
    for key, few, together in zip(keys, sets, found, strict=True):
        members = [
            fit(jax.random.fold_in(key, i), config, few, 3, moves=SHIFTED)(images) for i in range(2)
        ]
        expected = softmax(np.array(members, float), axis=-1).mean(0)
        np.testing.assert_allclose(jax.nn.softmax(together(images)), expected, atol=1e-5)


def test_an_opinion_pool_has_the_geometric_mean_of_its_members():
    first, second = np.random.default_rng(2).normal(size=(2, 4, 5)).astype(np.float32)
    pool = opinion_pool([jax.tree_util.Partial(logits_of, first), lambda x: logits_of(second, x)])
    product = np.exp(LATENTS.astype(float) @ ((first + second).astype(float) / 2))
    expected = product / product.sum(-1, keepdims=True)
    np.testing.assert_allclose(jax.nn.softmax(pool(generate(LATENTS))), expected, rtol=1e-4)


def test_probabilities_of_stored_images():
    images = np.random.default_rng(3).integers(0, 256, (1100, 2, 2, 1)).astype(np.uint8)
    weights = np.random.default_rng(4).normal(size=(4, 3)).astype(np.float32)
    found = probabilities_of(lambda x: logits_of(weights, x), images)
    each = np.exp((images.reshape(-1, 4) / 127.5 - 1) @ weights.astype(float))
    np.testing.assert_allclose(found, each / each.sum(1, keepdims=True), rtol=1e-4)


def sure_of_sign(images):
    """Class 1 where the first pixel is positive, without a doubt."""
    positive = images.reshape(-1, 4)[:, 0] > 0
    return jnp.where(positive[:, None], jnp.array([-50.0, 50.0]), jnp.array([50.0, -50.0]))


def test_probabilities_of_a_neighbourhood_tend_to_its_probability():
    scale, m = 0.8, 800
    found = neighbourhood_probabilities(
        KEY, generate, sure_of_sign, LATENTS, scale=scale, num_neighbours=m
    )
    # z' > 0 where η > -z / s.
    expected = norm.cdf(LATENTS[:, 0].astype(float) / scale)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    error = (found[:, 1] - expected) / np.sqrt(expected * (1 - expected) / m + 1 / m**2)
    assert abs(error).max() < 5
    assert error.std() == pytest.approx(1, abs=0.15)


def test_without_neighbours_it_is_the_classifiers_own_word():
    found = neighbourhood_probabilities(
        KEY, generate, sure_of_sign, LATENTS, scale=0.8, num_neighbours=0
    )
    np.testing.assert_array_equal(found[:, 1], LATENTS[:, 0] > 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": -1.0}, "scale is -1.0"),
        ({"scale": float("nan")}, "scale is nan"),
        ({"num_neighbours": -2}, "num_neighbours is -2"),
    ],
)
def test_impossible_neighbourhoods_are_refused(changes, message):
    given = {"scale": 1.0, "num_neighbours": 2} | changes
    with pytest.raises(ValueError, match=message):
        neighbourhood_probabilities(KEY, generate, sure_of_sign, LATENTS, **given)


def test_nine_places_have_the_mean_of_their_probabilities():
    images = np.random.default_rng(3).integers(0, 256, (600, 2, 2, 1)).astype(np.uint8)
    weights = np.random.default_rng(4).normal(size=(4, 3)).astype(np.float32)
    found = probabilities_in_nine_places(jax.tree_util.Partial(logits_of, weights), images)
    places = [(0, y, x, 0) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    moved = np.array([shift(images, place, order=0, cval=0) for place in places])
    each = softmax((moved / 127.5 - 1).reshape(9, -1, 4) @ weights, axis=-1)
    np.testing.assert_allclose(found, each.mean(axis=0), rtol=1e-4)
