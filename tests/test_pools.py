"""Pools of images and labels, with a generator and features in closed form."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import shift

from magan_jax.augmentation import pools
from magan_jax.augmentation.pools import (
    Sources,
    around_anchors,
    around_means,
    half_made,
    half_real,
    hardened,
    label_by_tuning,
    labelled_by_features,
    labelled_latents,
    paper_shifts,
    pseudo_labelled,
    shifts,
    softly_labelled,
    spread_over_a_graph,
    sure,
)
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.augmentation.spreading import with_shares
from magan_jax.augmentation.tuning import TuningConfig
from magan_jax.latent.regions import Regions
from magan_jax.prior import standard_normal
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


def tuned_pool(rate, scale, **changes):
    plain = {"steps": 200, "max_shift": 0, "max_erased": 0, "brightness": 0.0} | changes
    given = sources(50, 0.8, learning_rate=rate, **plain)
    given = given._replace(config=replace(given.config, neighbour_scale=scale))
    graph = spread_over_a_graph(KEY, given)
    return graph, label_by_tuning(KEY, given, graph)


def test_an_encoder_that_learns_nothing_labels_by_what_it_was():
    graph, pool = tuned_pool(1e-12, 0.0)
    np.testing.assert_array_equal(pool.images, graph.images)
    made, real = half_made(pool), half_real(pool)
    # G's images as they are; in the pool they are of 256 shades.
    np.testing.assert_allclose(made.probabilities, probabilities(made.images), atol=0.01)
    places = [(0, y, x, 0) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    each = [probabilities(shift(real.images, place, order=0, cval=0)) for place in places]
    np.testing.assert_allclose(real.probabilities, np.mean(each, axis=0), atol=1e-5)


def test_a_made_image_has_the_labels_of_its_own_latent_neighbours():
    near, nearer, far = (half_made(tuned_pool(1e-12, s)[1]).probabilities for s in (0.1, 0.05, 3))
    alone = half_made(tuned_pool(1e-12, 0.0)[1]).probabilities
    # The mean step is of the order of s, or s² where steps cancel; none is another image's label.
    assert abs(near - alone).mean() > 1.5 * abs(nearer - alone).mean() > 0
    assert abs(near - alone).mean() < 0.1 * abs(alone - alone[::-1]).mean()
    assert abs(far - alone).mean() > 0.3 * abs(alone - alone[::-1]).mean()


def test_tuning_lowers_its_loss_on_known_and_soft_labels(monkeypatch):
    monkeypatch.setattr(pools, "probabilities_in_nine_places", pools.probabilities_of)
    losses = []
    for rate in (1e-12, 0.05):
        graph, pool = tuned_pool(rate, 0.0)
        told = graph.probabilities**2 / np.sum(graph.probabilities**2, axis=1, keepdims=True)
        soft = -np.mean(np.sum(told * np.log(pool.probabilities), axis=1))
        index = {image.tobytes(): place for place, image in enumerate(pool.images)}
        known = [index[image.tobytes()] for image in FEW.images]  # all real images are in the pool
        hard = -np.mean(np.log(pool.probabilities[known, FEW.labels]))
        losses.append(soft + hard)
    assert losses[1] < losses[0] - 0.1


@pytest.mark.parametrize(("at_least", "number"), [(0.5, 200), (0.93, None), (0.9999, 20)])
def test_confident_labels_are_sure_and_none_that_is_is_left_out(at_least, number):
    given = sources(200, 0.8)
    labelled = labelled_latents(KEY, given)
    pool = sure(KEY, given, labelled, at_least=at_least)
    z = given.latents(jax.random.fold_in(KEY, 0), 400)  # twice as many as are wanted
    found = np.asarray(jax.nn.softmax(logits(generate(z))))
    those = np.flatnonzero(found.max(axis=1) >= at_least)[:200]
    if number == 20:  # none is so sure: the surest twentieth
        assert not len(those)
        those = np.argsort(-found.max(axis=1))[:20]
    assert len(pool.images) == len(those) == (number or len(those))
    assert 20 <= len(those) <= 200
    np.testing.assert_array_equal(pool.images, given.images(z[those]))
    np.testing.assert_array_equal(pool.probabilities, np.eye(2)[found[those].argmax(axis=1)])


def test_labels_are_soft_or_hard_of_the_same_images():
    given = sources(200, 0.8)
    hard, soft = pseudo_labelled(KEY, given), softly_labelled(KEY, given)
    z = given.latents(jax.random.fold_in(KEY, 0), 200).astype(np.float64)
    found = 3 * np.tanh(z)[:, :2]
    found = np.exp(found) / np.exp(found).sum(1, keepdims=True)
    np.testing.assert_allclose(soft.probabilities, found, atol=1e-5)
    np.testing.assert_array_equal(hard.images, soft.images)
    np.testing.assert_array_equal(hard.probabilities, np.eye(2)[found.argmax(1)])
    again = hardened(soft)
    np.testing.assert_array_equal(again.images, soft.images)
    np.testing.assert_array_equal(again.probabilities, hard.probabilities)


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (paper_shifts, [2.0, 4.0]),
        (lambda *given: paper_shifts(*given, debiased=True), [1.0, 3.0]),
        (lambda *given: shifts(*given, around_means(*given)), [0.4, 0.8]),
        (lambda *given: shifts(*given, around_means(*given), reach=0.5), [0.2, 0.4]),
        (lambda *given: shifts(*given, around_anchors(*given)), [0.6, 0.6, 1.0]),
        (lambda *given: shifts(*given, around_anchors(*given), reach=0.5), [0.3, 0.3, 0.5]),
    ],
)
def test_how_far_a_pool_shifts(monkeypatch, pool, expected):
    """Exits are given; what is made of them is looked at."""
    seen = []
    exits = SimpleNamespace(measured=np.array([0.4, 0.8]))
    anchors = Regions(np.array([0, 0, 1]), np.zeros((3, 4)), np.ones((3, 4)), np.r_[0.6, 0.6, 1.0])

    def synthesize(key, generate, classify, regions, *, num_per_class, classes, shape):
        assert classes == (0, 1)
        seen.append((regions.epsilon, shape))
        return SimpleNamespace(images=REAL[:2], labels=np.array([0, 1]))

    monkeypatch.setattr(pools, "synthesize", synthesize)
    monkeypatch.setattr(pools, "measure_invariance", lambda *_, **__: exits)
    monkeypatch.setattr(pools, "regions_around_anchors", lambda *_, **__: anchors)
    analysis = SimpleNamespace(
        epsilon=np.array([2.0, 4.0]), epsilon_debiased=np.array([1.0, 3.0]),
        valid=np.ones(2, bool), counts=np.array([5, 5]), mean=np.zeros((2, 4)), std=np.ones((2, 4)),
    )  # fmt: skip
    pool(KEY, sources(20, 0.8)._replace(analysis=analysis))
    ((epsilon, shape),) = seen
    np.testing.assert_allclose(epsilon, expected)
    assert shape == ("segment" if expected[0] >= 1 else "signs")
