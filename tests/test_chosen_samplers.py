"""Samplers chosen by one thing and judged by another: which key, classifier and θ goes where."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.conditional import samplers
from magan_jax.conditional.samplers import Chosen, choose_samplers, judge_samplers, score_images
from magan_jax.conditional.settings import SamplingConfig, search_description
from magan_jax.errors import NetworkOutputError
from magan_jax.latent import scale_search
from magan_jax.latent.conditional import conditional_images, score_conditional
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.scale_search import ScaleSearch, search_simple
from magan_jax.latent.settings import DirectionsConfig, LatentSpaceConfig, check_latent_space_config

KEYS = jax.random.split(jax.random.key(3), 3)
SIDES = ClassLatents(
    np.array([10, 10]), np.array([[-1.0, 0.0], [1.0, 0.5]]), np.array([[1.0, 0.5], [2.0, 0.7]])
)
CONFIG = SamplingConfig(num_searched=40, num_judged=50, accuracy_weights=(0.01, 30.0), max_sweeps=4)


def generate(z):
    light = jax.nn.sigmoid(jnp.concatenate([z, jnp.ones((len(z), 2))], axis=1))
    return (2 * light - 1).reshape(-1, 2, 2, 1)


def classify(images):
    first = images[:, 0, 0, 0]
    return jnp.stack([-first, first], axis=1)


def other(images):
    """Another view of the classes, so that it matters who is asked."""
    return classify(images + 0.4)


@pytest.fixture
def searches(monkeypatch):
    """What each search of scales was asked; it finds a θ that tells who asked."""
    asked = []

    def search_scales(key, *networks, **settings):
        asked.append({"key": key, "networks": networks, **settings})
        theta = np.full((2, 2), len(asked) / 10)
        return ScaleSearch(theta, np.array([9.0, 1.0, float(len(asked))]), 1)

    monkeypatch.setattr(samplers, "search_scales", search_scales)
    return asked


def test_each_weight_has_its_own_samplers(searches):
    grid, chosen = choose_samplers(
        KEYS[0], generate, classify, SIDES, CONFIG, num_devices=1, title="made up"
    )
    expected = search_simple(KEYS[0], generate, classify, SIDES, num_samples=40, num_devices=1)
    chex.assert_trees_all_close(grid, expected)
    assert [(one.kind, one.accuracy_weight) for one in chosen] == [
        (kind, weight) for weight in (0.01, 30.0) for kind in ("simple", "medium1", "medium2")
    ]
    starts = []
    for simple in chosen[::3]:
        weight = simple.accuracy_weight
        objective = (grid.scores.cosine + weight * (1 - grid.scores.accuracy)).mean(axis=1)
        best = np.argmin(objective)
        np.testing.assert_array_equal(simple.theta, np.full((2, 2), grid.theta[best]))
        assert simple.num_draws == grid.num_draws[best]
        assert simple.searched == pytest.approx(objective.min())
        single = np.where(grid.num_draws == 1, objective, np.inf)
        starts += [grid.theta[np.argmin(single)]] * 2
    assert len(set(starts)) == 2  # the weight matters
    assert [one["start"] for one in searches] == starts
    assert [one["accuracy_weight"] for one in searches] == [0.01, 0.01, 30.0, 30.0]
    assert [one["per_class"] for one in searches] == [False, True] * 2
    assert [one["title"] for one in searches] == ["made up Medium 1", "made up Medium 2"] * 2
    for one in searches:
        assert (one["num_samples"], one["max_sweeps"], one["num_devices"]) == (40, 4, 1)
        assert one["networks"][:2] == (generate, classify)
        assert one["networks"][2] is SIDES
        np.testing.assert_array_equal(jax.random.key_data(one["key"]), jax.random.key_data(KEYS[0]))
    mediums = [one for one in chosen if one.kind != "simple"]
    for i, one in enumerate(mediums, 1):
        np.testing.assert_array_equal(one.theta, i / 10)
        assert (one.num_draws, one.searched) == (1, float(i))


def test_judged_on_other_draws_by_both_classifiers():
    chosen = [
        Chosen("simple", 1.0, np.full((2, 2), 0.8), 3, 0.5),
        Chosen("medium2", 1.0, np.array([[0.1, 1.0], [0.6, 0.3]]), 1, 0.4),
    ]
    seen = []

    def metrics(images):
        seen.append(images)
        return {"number": len(seen)}

    found = judge_samplers(
        KEYS[1:], generate, classify, other, SIDES, chosen, metrics,
        num_samples=50, num_images=13, num_devices=1,
    )  # fmt: skip
    for i, (one, sampler) in enumerate(zip(chosen, found, strict=True)):
        assert sampler[:5] == one
        for scores, by in ((sampler.scores, classify), (sampler.judged, other)):
            expected = score_conditional(
                KEYS[1], generate, by, SIDES, one.theta,
                num_draws=one.num_draws, num_samples=50, num_devices=1,
            )  # fmt: skip
            chex.assert_trees_all_close(scores, expected, atol=1e-6)
        assert not np.allclose(sampler.scores.accuracy, sampler.judged.accuracy)
        images = conditional_images(
            KEYS[2], generate, SIDES, one.theta, num_draws=one.num_draws, num_samples=7
        )
        np.testing.assert_array_equal(seen[i], images.reshape(14, 2, 2, 1))
        assert sampler.metrics == {"number": i + 1}
    # θ and n tell: not the same images for all samplers.
    assert not np.allclose(seen[0], seen[1])


def test_scores_of_given_images():
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (60, 2, 2, 1)).astype(np.float32)
    labels = np.arange(60) % 2
    found = score_images(classify, images, labels, 2)
    for k in range(2):
        mine = images[labels == k]
        right = (mine[:, 0, 0, 0] > 0) == k
        assert found.accuracy[0, k] == pytest.approx(np.mean(right))
        light = (np.float64(mine).reshape(30, 4) + 1) / 2
        unit = light / np.linalg.norm(light, axis=1, keepdims=True)
        pairs = [unit[i] @ unit[j] for i in range(30) for j in range(i)]
        assert found.cosine[0, k] == pytest.approx(np.mean(pairs), rel=1e-5)


def test_images_without_a_score_are_refused():
    images = np.zeros((6, 2, 2, 1), np.float32)
    labels = np.arange(6) % 2
    dark = images.copy()
    dark[4] = -1
    with pytest.raises(NetworkOutputError, match="1 of 6 images are dark everywhere.* number 4"):
        score_images(classify, dark, labels, 2)
    broken = images.copy()
    broken[2:, 0, 1] = np.nan
    with pytest.raises(NetworkOutputError, match="4 of 6 images are not finite.* number 2"):
        score_images(classify, broken, labels, 2)
    with pytest.raises(NetworkOutputError, match="6 of 6 images are not finite, or have logits"):
        score_images(lambda x: classify(x) / 0, images, labels, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [("THETAS", np.linspace(0, 1, 21)), ("NUM_DRAWS", (1, 2)), ("WHOLE_GRID", 11)],
)
def test_a_search_over_another_grid_is_another_search(monkeypatch, name, value):
    from magan_jax.conditional import settings

    before = search_description(CONFIG, 0, (), SIDES)
    assert before == search_description(CONFIG, 0, (), SIDES)
    assert hasattr(scale_search, name)
    monkeypatch.setattr(settings, name, value)
    assert str(search_description(CONFIG, 0, (), SIDES)) != str(before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 1}, "analysis.num_samples is 1"),
        ({"tolerance": 3.0}, "analysis.tolerance is 3.0; it must lie between"),
        ({"batch_size": 0}, "analysis.batch_size is 0"),
    ],
)
def test_what_cannot_be_asked_of_a_latent_space_is_refused(settings, message):
    check_latent_space_config(LatentSpaceConfig())
    with pytest.raises(ValueError, match=message):
        check_latent_space_config(LatentSpaceConfig(**settings))
    with pytest.raises(ValueError, match="analysis.num_directions is 0"):
        check_latent_space_config(DirectionsConfig(num_directions=0))
