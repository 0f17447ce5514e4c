"""Labelled images from regions, on a generator whose classes are known in closed form."""

import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax import analyze, measure_invariance
from magan_jax.latent.regions import (
    NoRegionError,
    Regions,
    regions_around_anchors,
    regions_around_means,
)
from magan_jax.latent.synthesis import synthesize

KEY = jax.random.key(0)
pytestmark = pytest.mark.filterwarnings("ignore:class 3 of 4 has no region")


def generate(z):
    """Images of 2×3 pixels, whose values are the latent's."""
    return jnp.tanh(z).reshape(-1, 2, 3, 1)


def classify(images):
    """The largest of the first three pixels is the class; of class 3 there is no image."""
    logits = 4 * images.reshape(-1, 6)[:, :3]
    return jnp.pad(logits, ((0, 0), (0, 1)), constant_values=-50.0)


@pytest.fixture(scope="module")
def analysis():
    return analyze(
        KEY, generate, classify, latent_dim=6, num_classes=4, num_samples=3000, num_permutations=0
    )


def test_means_give_a_region_for_each_class_with_an_epsilon(analysis):
    regions = regions_around_means(analysis, np.array([0.1, np.nan, 0.3, 0.2]))
    np.testing.assert_array_equal(regions.label, [0, 2])  # no latent is of class 3
    np.testing.assert_array_equal(regions.centre, analysis.mean[[0, 2]])
    np.testing.assert_array_equal(regions.epsilon, [0.1, 0.3])


def test_anchors_are_latents_of_their_class_with_their_own_exits(analysis):
    regions = regions_around_anchors(
        KEY, generate, classify, analysis, num_anchors=20, num_directions=32, tolerance=1e-3
    )
    np.testing.assert_array_equal(np.bincount(regions.label), [20, 20, 20])
    assert len(np.unique(regions.centre, axis=0)) == 60
    for label, centre, scale, epsilon in zip(*regions, strict=True):
        first = centre[:3]
        assert first.argmax() == label
        np.testing.assert_array_equal(scale, analysis.std[label].astype(np.float32))
        # Along signs u the pair (own, other) meets where own − other + p (u_o σ_o − u_j σ_j) = 0;
        # the soonest meeting of all signs is where own falls and other rises.
        other = np.delete(np.arange(3), label)
        meets = (first[label] - first[other]) / (scale[label] + scale[other])
        assert epsilon <= 3
        # 32 directions miss the quarter that takes this pair together with chance (3/4)^32.
        assert epsilon == pytest.approx(min(meets.min(), 3), abs=2e-3)


def test_images_are_those_of_the_shifts_that_the_provenance_tells(analysis):
    regions = regions_around_anchors(
        KEY, generate, classify, analysis, num_anchors=5, num_directions=32
    )
    made = synthesize(KEY, generate, classify, regions, num_per_class=200)
    chex.assert_shape(made.images, (600, 2, 3, 1))
    assert made.images.dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(made.labels), [200, 200, 200])
    region, position, direction, judged, confidence = made.provenance
    np.testing.assert_array_equal(regions.label[region], made.labels)
    assert np.bincount(region).tolist() == [40] * 15
    assert (position >= 0).all()
    assert (position <= regions.epsilon[region]).all()
    assert set(np.unique(direction)) == {-1, 1}
    latents = regions.centre[region] + position[:, None] * direction * regions.scale[region]
    np.testing.assert_allclose(made.latents, latents, atol=1e-6)
    exact = np.tanh(latents).reshape(-1, 2, 3, 1)
    np.testing.assert_array_equal(made.images, np.rint((exact + 1) * 127.5))
    logits = 4 * np.tanh(latents[:, :3])
    # C judges the stored image: a grey value moves a logit by 4/255 at most.
    clear = np.diff(np.sort(logits, axis=1)[:, -2:], axis=1)[:, 0] > 0.05
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(judged[clear], logits.argmax(1)[clear])
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(confidence, share.max(1), atol=0.02)
    # ε is the exit of the worst direction: every shift inside keeps its class, but for the
    # bracket's width.
    assert np.mean(judged == made.labels) > 0.99


def test_a_class_without_a_region_is_told_of(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    with pytest.warns(UserWarning, match="class 3 of 4 has no region .* no images are made of it"):
        synthesize(KEY, generate, classify, regions, num_per_class=2)
    with warnings.catch_warnings(action="error"):
        synthesize(KEY, generate, classify, regions, num_per_class=2, classes=(0, 1, 2))


def test_a_segment_has_one_sign_for_all_dimensions(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    made = synthesize(KEY, generate, classify, regions, num_per_class=50, shape="segment")
    direction = made.provenance.direction
    np.testing.assert_array_equal(direction, np.repeat(direction[:, :1], 6, axis=1))
    assert 15 < (direction[:50, 0] == 1).sum() < 35


def test_positions_are_uniform_up_to_epsilon(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    position = synthesize(KEY, generate, classify, regions, num_per_class=4000).provenance.position
    assert position.mean() == pytest.approx(0.25, abs=0.01)
    assert position.max() == pytest.approx(0.5, abs=0.01)


def test_a_class_draws_the_same_whatever_the_others_do(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    made = synthesize(KEY, generate, classify, regions, num_per_class=30)
    alone = synthesize(KEY, generate, classify, regions, num_per_class=30, classes=(1,))
    np.testing.assert_array_equal(alone.images, made.images[made.labels == 1])


@pytest.mark.filterwarnings("ignore:prior draws other latents")  # one class's are left out
def test_an_anchor_has_the_same_directions_whatever_the_others_have(analysis):
    settings = {"num_anchors": 20, "num_directions": 2}  # so few that they decide ε
    all_classes = regions_around_anchors(KEY, generate, classify, analysis, **settings)
    others = analysis._replace(counts=np.where(np.arange(4) == 0, 0, analysis.counts))
    fewer = regions_around_anchors(KEY, generate, classify, others, **settings)
    assert 0 not in fewer.label
    of_those = all_classes.label != 0
    chex.assert_trees_all_close(tuple(fewer), tuple(x[of_those] for x in all_classes), atol=1e-6)


def test_measured_epsilon_keeps_nineteen_of_twenty_directions(analysis):
    measured = measure_invariance(KEY, generate, classify, analysis, num_directions=500).measured
    regions = regions_around_means(analysis, measured)
    made = synthesize(jax.random.key(1), generate, classify, regions, num_per_class=1000)
    assert np.mean(made.provenance.judged == made.labels) >= 0.95


def test_what_is_not_a_key_or_an_epsilon_is_named(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    with pytest.raises(ValueError, match=r"key is 0; one key is needed, such as jax.random.key"):
        synthesize(0, generate, classify, regions, num_per_class=5)
    exits = measure_invariance(
        KEY, generate, classify, analysis, num_directions=4, upper=3.0, tolerance=0.1
    )
    with pytest.raises(ValueError, match="epsilon is Invariance; pass its numbers"):
        regions_around_means(analysis, exits)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": (0, 3)}, "class 3 has no region: no latents in the analysis, or an eps"),
        ({"num_per_class": 0}, "num_per_class is 0"),
        ({"classes": ()}, "name at least one class, and none twice"),
        ({"classes": (1, 1)}, "name at least one class, and none twice"),
        ({"shape": "ball"}, "shape is 'ball'; choose signs or segment"),
    ],
)
def test_what_cannot_be_drawn_is_refused(analysis, changes, message):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    with pytest.raises(ValueError, match=message):
        synthesize(KEY, generate, classify, regions, **({"num_per_class": 5} | changes))


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_classifier_of_no_numbers_is_refused(analysis, value):
    regions = regions_around_means(analysis, np.full(4, 0.5))

    def unsure(images):
        return classify(images).at[:, 3].set(jnp.where(images[:, 0, 0, 0] > 0, value, 0))

    with pytest.raises(ValueError, match=r"values that are not finite for \d+ of 15 images"):
        synthesize(KEY, generate, unsure, regions, num_per_class=5)


def test_regions_of_another_classifier_are_refused(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.5))
    with pytest.raises(ValueError, match="classes go from 0 to 2, but classify gives logits for 2"):
        synthesize(KEY, generate, lambda x: classify(x)[:, :2], regions, num_per_class=5)


def test_an_epsilon_of_zero_is_refused(analysis):
    with pytest.raises(NoRegionError, match="no class has both statistics and an epsilon above 0"):
        regions_around_means(analysis, np.zeros(4))
    with pytest.raises(ValueError, match="one non-negative number for each of 4 classes"):
        regions_around_means(analysis, np.zeros(3))
    one = np.zeros(1)
    with pytest.raises(ValueError, match="epsilon of the regions goes from 0.0"):
        synthesize(
            KEY, generate, classify, Regions(one.astype(int), one[None], one[None], one),
            num_per_class=5,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classify": lambda x: classify(x)[:, :3]}, "3 classes, but the analysis is of 4"),
        ({"prior": lambda key, n: jnp.ones((n, 6))}, "prior gives the same latent for every key"),
        ({"prior": 3}, "prior is 3; a function is needed"),
        ({"prior": lambda key, n: jnp.ones((7, 6))}, r"prior\(key, 1\) gave \(7, "),
    ],
)
def test_anchors_of_what_does_not_fit_the_analysis_are_refused(analysis, changes, message):
    given = {"generate": generate, "classify": classify, "analysis": analysis} | changes
    with pytest.raises(ValueError, match=message):
        regions_around_anchors(KEY, **given, num_anchors=2)


def test_confidences_are_those_of_float32_whatever_logits_are(analysis):
    regions = regions_around_means(analysis, np.full(4, 0.2))
    half, full = (
        synthesize(KEY, generate, network, regions, num_per_class=5).provenance.confidence
        for network in (lambda x: classify(x).astype(jnp.bfloat16), classify)
    )
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.02)


def test_anchors_without_room_are_refused(analysis):
    only = analysis._replace(counts=np.array([0, 0, 0, 9]))
    with pytest.raises(NoRegionError, match="none of 10 latents is of a class that the analysis"):
        regions_around_anchors(KEY, generate, classify, only, num_anchors=2, max_draws=10)
    with pytest.raises(NoRegionError, match="anchors lie within 500 of a border"):
        regions_around_anchors(
            KEY, generate, classify, analysis, num_anchors=2, upper=1000, tolerance=500
        )


def test_anchors_of_another_prior_are_warned_of(analysis):
    def narrow(key, n):
        return 0.3 * jax.random.normal(key, (n, analysis.mean.shape[1]))

    settings = {"num_anchors": 5, "num_directions": 2}
    with pytest.warns(UserWarning, match="prior draws other latents than those of the analysis"):
        regions_around_anchors(KEY, generate, classify, analysis, prior=narrow, **settings)
    with warnings.catch_warnings(action="error"):
        regions_around_anchors(KEY, generate, classify, analysis, **settings)


def test_anchors_of_the_same_prior_are_not_warned_of_where_dimensions_hardly_vary():
    def prior(key, n):  # a condition beside the noise, and scales as of principal components
        z = jax.random.normal(key, (n, 4)) * jnp.array([3.0, 1.0, 3e-2, 3e-4])
        return jnp.concatenate([z, jnp.ones((n, 1))], axis=1)

    def signs(x):
        return jnp.stack([x[:, 0], -x[:, 0]], axis=-1)

    networks = (lambda z: z, signs)
    found = analyze(
        KEY, *networks, latent_dim=5, num_classes=2, num_samples=1000, prior=prior,
        num_permutations=0,
    )  # fmt: skip
    with warnings.catch_warnings(action="error"):
        regions_around_anchors(KEY, *networks, found, num_anchors=5, num_directions=2, prior=prior)


def test_one_of_several_hosts_may_make_images(analysis, monkeypatch):
    """What asks all hosts together, as labelling does, must not be asked by one."""
    regions = regions_around_means(analysis, np.full(4, 0.5))
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    assert len(synthesize(KEY, generate, classify, regions, num_per_class=3).labels) == 9


def test_images_of_whole_numbers_are_refused(analysis):
    """What is stored is judged in floats in [-1, 1], which such a classifier may not take."""
    regions = regions_around_means(analysis, np.full(4, 0.5))
    with pytest.raises(ValueError, match="generate gives images of type uint8; it must give float"):
        synthesize(
            KEY,
            lambda z: ((generate(z) + 1) * 127.5).astype(jnp.uint8),
            lambda x: classify(x / 127.5 - 1),
            regions,
            num_per_class=3,
        )
