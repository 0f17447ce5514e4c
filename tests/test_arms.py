"""Pools of images and labels, with a generator and features in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.augmentation.arms import (
    Sources,
    half_made,
    half_real,
    labelled_by_features,
    labelled_by_tuning,
    spread_over_a_graph,
)
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.augmentation.spreading import with_shares
from magan_jax.augmentation.tuning import TuningConfig
from magan_jax.latent.prior import standard_normal
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
REAL = np.random.default_rng(0).integers(0, 256, (30, 2, 2, 1)).astype(np.uint8)
FEW = Batch(REAL[:3], np.array([0, 1, 0]))


def generate(z):
    return jnp.tanh(z).reshape(-1, 2, 2, 1)


def logits(images):
    return 3 * images.reshape(-1, 4)[:, :2]


def linear(weights, images):
    return images.reshape(-1, 4) @ weights


def sources(num_images, weight, **tuning):
    config = SynthesisConfig(
        num_images=num_images, graph_neighbours=4, graph_weight=weight,
        tuning=TuningConfig(**{"max_shift": 1, "max_erased": 1, "steps": 30} | tuning),
    )  # fmt: skip
    features = [lambda x: x.reshape(-1, 4)]
    probes = [jax.tree_util.Partial(linear, 3 * jnp.eye(4, 2))]
    prior = standard_normal(4)
    nothing = None  # of an analysis: these pools ask for none
    return Sources(generate, prior, logits, features, probes, FEW, REAL, nothing, 2, config)


def probabilities(images):
    return np.asarray(jax.nn.softmax(logits(images / 127.5 - 1)))


@pytest.mark.parametrize("num_images", [20, 50])  # fewer than the real ones, and more
def test_a_graph_s_pool_is_g_s_images_and_then_real_ones_each_with_its_label(num_images):
    given = sources(num_images, 0.0)
    pool = spread_over_a_graph(KEY, given)
    made, real = half_made(pool), half_real(pool)
    alone = labelled_by_features(KEY, given)
    np.testing.assert_array_equal(made.images, alone.images)
    assert len(real.images) == num_images
    index = {image.tobytes(): place for place, image in enumerate(REAL)}
    drawn = [index[image.tobytes()] for image in real.images]
    assert len(set(drawn)) == min(num_images, len(REAL))  # each once before any twice

    # Without weight a label is the image's own, up to the shares of all images in the graph.
    distinct = min(num_images, len(REAL))
    own = np.concatenate([alone.probabilities, probabilities(real.images[:distinct])])
    expected = with_shares(own, np.array([2, 1]) / 3)
    found = np.concatenate([made.probabilities, real.probabilities[:distinct]])
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_neighbours_change_labels():
    with_graph, without = (spread_over_a_graph(KEY, sources(20, w)) for w in (0.8, 0.0))
    np.testing.assert_array_equal(with_graph.images, without.images)
    assert abs(with_graph.probabilities - without.probabilities).max() > 0.05


def test_the_tuned_encoder_labels_the_images_of_the_graph():
    """By what it was before, where it learns nothing; else its loss on the labels falls."""
    plain = {"steps": 200, "max_shift": 0, "max_erased": 0, "brightness": 0.0}
    losses = []
    for rate in (1e-12, 0.05):
        given = sources(50, 0.8, learning_rate=rate, **plain)
        graph, pool = (make(KEY, given) for make in (spread_over_a_graph, labelled_by_tuning))
        np.testing.assert_array_equal(pool.images, graph.images)
        np.testing.assert_allclose(pool.probabilities.sum(axis=1), 1, rtol=1e-5)
        if rate < 1e-9:
            np.testing.assert_allclose(pool.probabilities, probabilities(pool.images), atol=1e-5)
        told = graph.probabilities**2 / np.sum(graph.probabilities**2, axis=1, keepdims=True)
        soft = -np.mean(np.sum(told * np.log(pool.probabilities), axis=1))
        index = {image.tobytes(): place for place, image in enumerate(pool.images)}
        known = [index[image.tobytes()] for image in FEW.images]  # all real images are in the pool
        hard = -np.mean(np.log(pool.probabilities[known, FEW.labels]))
        losses.append(soft + hard)
    assert losses[1] < losses[0] - 0.1
