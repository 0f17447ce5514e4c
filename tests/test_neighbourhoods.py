"""Labels of neighbourhoods beside exits, where both are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm, spearmanr

from magan_jax import analyze
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.neighbourhoods import (
    SCALES,
    Neighbourhoods,
    _rank_correlation,
    distance_of,
    neighbourhood_entry,
    study_neighbourhoods,
)
from magan_jax.augmentation.pools import Sources
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.prior import standard_normal
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
CUT = 1.0
"""Latents whose first number is further from 0 are of class 1."""


def generate(z):
    return jnp.clip(z / 4, -1, 1).reshape(-1, 2, 2, 1)


def sure(images):
    """C: class 1 where the first number of z is further from 0 than the cut, without a doubt."""
    beyond = abs(images.reshape(-1, 4)[:, 0]) > CUT / 4
    return jnp.where(beyond[:, None], jnp.array([-50.0, 50.0]), jnp.array([50.0, -50.0]))


@pytest.fixture(scope="module")
def studied():
    analysis = analyze(
        KEY, generate, sure, latent_dim=4, num_classes=2, num_samples=4000, num_permutations=0,
        quiet=True,
    )  # fmt: skip
    config = SynthesisConfig(num_neighbours=40, upper=4.0, tolerance=0.001)
    images = np.zeros((2, 2, 2, 1), np.uint8)
    sources = Sources(
        generate, standard_normal(4), sure, (), (), Batch(images, np.arange(2)), images,
        analysis, 2, config,
    )  # fmt: skip
    judge = Judge(sure, lambda images: images.reshape(-1, 4))
    return analysis, study_neighbourhoods(KEY, sources, judge)


def test_alone_a_classifier_agrees_with_itself(studied):
    _, found = studied
    assert found.right.shape == (2, len(SCALES), 41, 2)
    for half in range(2):
        # Images are stored in 256 steps: a latent at the cut may change its side.
        assert abs(found.right[half, :, 0] - found.counts[half]).max() <= 5
    np.testing.assert_array_equal(found.counts.sum(axis=1), [500, 500])
    assert found.counts[:, 1].sum() / 1000 == pytest.approx(2 * norm.sf(CUT), abs=0.05)


def test_a_neighbourhood_is_right_as_often_as_its_votes_say(studied):
    """41 certain votes, the latent's own and those of z' ~ N(z / √(1 + s²), s² / (1 + s²))."""
    _, found = studied
    z = np.random.default_rng(0).normal(size=20_000)
    for place, scale in enumerate(SCALES):
        middle, width = z / np.sqrt(1 + scale**2), scale / np.sqrt(1 + scale**2)
        inside = norm.cdf((CUT - middle) / width) - norm.cdf((-CUT - middle) / width)
        own = np.abs(z) <= CUT
        same = np.where(own, inside, 1 - inside)
        expected = binom.sf(20 - 1, 40, same)  # with its own vote 21 of 41
        for k in range(2):
            here = expected[own == (k == 0)].mean()
            counts = found.counts[:, k].sum()
            share = found.right[:, place, -1, k].sum() / counts
            error = np.sqrt(here * (1 - here) / counts + 1 / counts**2)
            assert abs(share - here) < 4 * error, (scale, k)


def test_distances_of_neighbours():
    rng = np.random.default_rng(1)
    z, noise = rng.normal(size=(2, 400_000))
    for scale in SCALES:
        neighbour = (z + scale * noise) / np.sqrt(1 + scale**2)
        rms = np.sqrt(np.mean((neighbour - z) ** 2))
        assert distance_of(scale) == pytest.approx(rms, rel=0.01)


def test_exits_are_those_of_the_cut(studied):
    """From within, every shift by t σ along random signs crosses one side or the other."""
    analysis, found = studied
    rng = np.random.default_rng(0)
    z = rng.normal(size=400_000)
    z = z[np.abs(z) <= CUT]
    exits = (CUT - rng.choice([-1, 1], len(z)) * z) / analysis.std[0, 0]
    assert found.exits[0] == pytest.approx(np.median(exits), rel=0.1)


def test_an_entry_adds_counts_and_reports_what_it_did_not_choose_on():
    right = np.zeros((2, len(SCALES), 3, 2), int)
    right[:, :, 0] = [5, 8]
    right[0, 2, -1] = [9, 7]  # first half: s = 0.6 is best for class 0, none at all for class 1
    right[1, 2, -1] = [4, 9]
    one = Neighbourhoods(right, np.full((2, 2), 10), np.array([0.5, np.nan]))
    two = Neighbourhoods(right, np.array([[10, 30], [10, 30]]), np.array([0.7, np.nan]))
    entry = neighbourhood_entry([one, None, two])
    np.testing.assert_allclose(entry["counts"], [40, 80])
    np.testing.assert_allclose(entry["alone"], [20 / 40, 32 / 80])
    np.testing.assert_allclose(entry["best_scale"], [0.6, 0])
    np.testing.assert_allclose(entry["best"], [8 / 20, 16 / 40])
    np.testing.assert_allclose(entry["best_alone"], [10 / 20, 16 / 40])
    np.testing.assert_allclose(entry["exit"], [0.6, np.nan])
    np.testing.assert_allclose(entry["right"][2], [52 / 120, 0, 58 / 120])
    np.testing.assert_allclose(entry["of_class"][2], [26 / 40, 32 / 80])
    assert entry["rank_correlation"] is None
    assert entry["rank_correlation_reason"] == "1 classes are too few"
    assert neighbourhood_entry([None, None]) is None


def test_the_rank_correlation_is_over_classes():
    right = np.zeros((2, len(SCALES), 2, 4), int)
    for k, place in enumerate((0, 2, 1, 4)):  # best s of each class
        right[:, place, -1, k] = 10
    exits, counts = np.array([0.1, 0.3, 0.2, 0.9]), np.full((2, 4), 10)
    for sign in (1, -1):
        entry = neighbourhood_entry([Neighbourhoods(right, counts, sign * exits)])
        assert entry["rank_correlation"]["value"] == pytest.approx(sign)
        assert entry["rank_correlation"]["p_value"] == pytest.approx(2 / 24)  # of 4! orders
    entry = neighbourhood_entry([Neighbourhoods(right, counts, np.full(4, 3.0))])
    assert entry["rank_correlation_reason"] == "the median exit is the same for all classes"


def test_the_rank_correlation_of_equal_scales_has_the_p_value_of_its_orders():
    best, exits = np.array([0, 0, 0, 0, 0, 0, 0, 0.2, 0.2, 0.6]), np.arange(10.0)
    found, _ = _rank_correlation(best, exits)
    assert found["value"] == pytest.approx(spearmanr(best, exits).statistic)
    # One of the 10 · 9 · 8 / 2 ways of placing the three is as good; and two sides.
    assert found["p_value"] == pytest.approx(2 / 360, abs=0.004)
    assert _rank_correlation(best, exits[::-1])[0]["value"] == pytest.approx(-found["value"])
