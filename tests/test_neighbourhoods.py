"""Labels of neighbourhoods beside exits, where both are known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from magan_jax import analyze
from magan_jax.augmentation.arms import Sources
from magan_jax.augmentation.judging import Judge
from magan_jax.augmentation.neighbourhoods import (
    SCALES,
    Neighbourhoods,
    neighbourhood_entry,
    study_neighbourhoods,
)
from magan_jax.augmentation.settings import SynthesisConfig
from magan_jax.latent.prior import standard_normal
from magan_jax.training.engine import Batch

KEY = jax.random.key(0)
CUT = 0.5
"""Latents whose first number is greater are of class 1."""


def generate(z):
    return jnp.clip(z / 4, -1, 1).reshape(-1, 2, 2, 1)


def sure(images):
    """C: class 1 where the first pixel is above the cut, without a doubt."""
    above = images.reshape(-1, 4)[:, 0] > CUT / 4
    return jnp.where(above[:, None], jnp.array([-50.0, 50.0]), jnp.array([50.0, -50.0]))


@pytest.fixture(scope="module")
def studied():
    analysis = analyze(
        KEY, generate, sure, latent_dim=4, num_classes=2, num_samples=4000, num_permutations=0,
        quiet=True,
    )  # fmt: skip
    config = SynthesisConfig(num_neighbours=40, upper=4.0, tolerance=0.001)
    images = np.zeros((2, 2, 2, 1), np.uint8)
    sources = Sources(
        generate, standard_normal(4), sure, sure, (), Batch(images, np.arange(2)), images,
        analysis, 2, config,
    )  # fmt: skip
    judge = Judge(sure, lambda images: images.reshape(-1, 4))
    return analysis, study_neighbourhoods(KEY, sources, judge)


def test_alone_a_classifier_agrees_with_itself(studied):
    _, found = studied
    assert found.right.shape == (len(SCALES), 41, 2)
    np.testing.assert_array_equal(found.right[:, 0], np.tile(found.counts, (len(SCALES), 1)))
    assert found.counts.sum() == 1000
    assert found.counts[1] / 1000 == pytest.approx(norm.sf(CUT), abs=0.05)


def test_a_neighbourhood_is_right_as_far_as_its_middle_keeps_its_side(studied):
    """Of many neighbours the majority is that of z / √(1 + s²): wrong for z between CUT and
    CUT · √(1 + s²), up to the noise of 41 votes."""
    _, found = studied
    for scale, right in zip(SCALES, found.right[:, -1], strict=True):
        lost = norm.cdf(CUT * np.sqrt(1 + scale**2)) - norm.cdf(CUT)
        share = right.sum() / 1000
        assert share == pytest.approx(1 - lost, abs=0.08)
    # Further neighbours blur more.
    assert found.right[0, -1].sum() > found.right[-1, -1].sum()


def test_exits_are_those_of_the_cut(studied):
    """A shift by t σ along random signs crosses for half of them, at t = |z₀ - CUT| / σ₀."""
    analysis, found = studied
    rng = np.random.default_rng(0)
    z = rng.normal(size=200_000)
    for k, own in ((0, z <= CUT), (1, z > CUT)):
        distance = np.abs(z[own] - CUT) / analysis.std[k, 0]
        exits = np.where(rng.random(own.sum()) < 0.5, distance, np.inf)
        exits = np.minimum(exits, 4.0)
        assert found.exits[k] == pytest.approx(np.median(exits), rel=0.3)


def test_an_entry_adds_counts_and_chooses_for_each_class():
    right = np.zeros((len(SCALES), 3, 2), int)
    right[:, 0] = [5, 8]
    right[2, -1] = [9, 7]  # s = 0.6 is best for class 0, none at all for class 1
    one = Neighbourhoods(right, np.array([10, 10]), np.array([0.5, np.nan]))
    two = Neighbourhoods(right, np.array([10, 30]), np.array([0.7, np.nan]))
    entry = neighbourhood_entry([one, two])
    np.testing.assert_allclose(entry["alone"], [0.5, 0.4])
    np.testing.assert_allclose(entry["best"], [0.9, 0.4])
    np.testing.assert_allclose(entry["best_scale"], [0.6, 0])
    np.testing.assert_allclose(entry["exit"], [0.6, np.nan])
    np.testing.assert_allclose(entry["right"][2], [26 / 60, 0, 32 / 60])
    assert entry["rank_correlation"] is None
    assert neighbourhood_entry([None, None]) is None


def test_the_rank_correlation_is_over_classes():
    right = np.zeros((len(SCALES), 2, 4), int)
    for k, place in enumerate((0, 2, 1, 4)):  # best s of each class
        right[place, -1, k] = 10
    exits = np.array([0.1, 0.3, 0.2, 0.9])
    entry = neighbourhood_entry([Neighbourhoods(right, np.full(4, 10), exits)])
    assert entry["rank_correlation"] == pytest.approx(1)
    entry = neighbourhood_entry([Neighbourhoods(right, np.full(4, 10), -exits)])
    assert entry["rank_correlation"] == pytest.approx(-1)
