"""Intervals of distances of many classes, by changes in float32, beside the float64 jackknife."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import t

from magan_jax.latent.analysis import analyze
from magan_jax.latent.geometry import geometry, jackknife
from magan_jax.latent.intervals import estimates, intervals_of, intervals_of_many
from magan_jax.latent.moments import FEW_GROUPS, Moments, merge_all

PARTS, CLASSES, DIMENSIONS = 6, 40, 5


def drawn(offset=0.0, apart=0.3, count=None):
    """Moments of parts of a stream, float32 as a device leaves them."""
    random = np.random.default_rng(0)
    if count is None:
        count = random.integers(2, 40, (PARTS, CLASSES))
    centres = offset + apart * random.normal(size=(CLASSES, DIMENSIONS))
    mean, scatter = np.zeros((2, PARTS, CLASSES, DIMENSIONS))
    for r, k in np.ndindex(PARTS, CLASSES):
        z = centres[k] + random.normal(size=(count[r, k], DIMENSIONS)) * (1 + k % 3)
        if len(z):
            mean[r, k], scatter[r, k] = z.mean(axis=0), ((z - z.mean(axis=0)) ** 2).sum(axis=0)
    return Moments(np.int32(count), np.float32(mean), np.float32(scatter))


def few_here_and_there():
    count = np.full((PARTS, CLASSES), 9)
    count[:, 3] = 0  # none at all
    count[:, 5] = [1, 0, 0, 0, 0, 0]  # one: no deviation
    count[:, 7] = [9, 0, 0, 0, 0, 0]  # nothing is left without the first part
    count[:, 8] = [9, 1, 0, 0, 0, 0]  # one is left
    count[2] = 0  # an empty part
    return drawn(count=count)


def joined(scale=1.0, offset=1e3):
    """Of very many latents, in float64: the parts' means differ by little."""
    random = np.random.default_rng(1)
    count = random.integers(10**7, 10**9, (PARTS, CLASSES))
    centres = offset + random.normal(size=(CLASSES, DIMENSIONS))
    mean = centres + random.normal(size=(PARTS, CLASSES, DIMENSIONS)) / np.sqrt(count)[..., None]
    noise = 1 + random.normal(size=mean.shape) * np.sqrt(2 / count)[..., None]
    return Moments(count, scale * mean, scale**2 * count[..., None] * noise)


@pytest.mark.parametrize(
    ("parts", "tolerance"),
    [
        (drawn(), 1e-4),
        (drawn(apart=0.0), 1e-4),  # means that differ by sampling only
        (drawn(offset=30.0), 1e-4),
        (few_here_and_there(), 1e-4),
        (joined(), 1e-4),
        (joined(scale=1e13), 1e-4),
        (joined(scale=1e-13), 1e-4),
    ],
)
def test_changes_give_the_jackknifes_intervals(parts, tolerance):
    whole = merge_all(parts)
    found = geometry(whole)
    expected = jackknife(lambda moments: estimates(geometry(moments)), parts)
    for name, one, other in zip(
        expected._fields, intervals_of_many(parts, whole, found), expected, strict=True
    ):
        np.testing.assert_array_equal(np.isnan(one.low), np.isnan(other.low), err_msg=name)
        np.testing.assert_allclose(one.low + one.high, other.low + other.high, err_msg=name)
        width = other.high - other.low
        np.testing.assert_allclose(
            one.high - one.low, width, rtol=tolerance, atol=1e-6 * np.nanmax(width), err_msg=name
        )


def test_the_nearest_of_two_about_equally_near_is_that_of_float64():
    """Their distances differ by less than float32 can tell, their spreads by much."""
    parts = joined(offset=0.0)
    mean = parts.mean - parts.mean[:, :3].mean(axis=0, keepdims=True).mean(axis=1, keepdims=True)
    mean[:, 0], mean[:, 1], mean[:, 2] = 0, [1e-4, 0, 0, 0, 0], [0, 1e-4 * (1 + 1e-10), 0, 0, 0]
    mean[:, 3:, 4] += 50
    scatter = parts.scatter.copy()
    scatter[:, 2] *= 1e6
    tied = Moments(parts.count, mean, scatter)
    whole = merge_all(tied)
    found = geometry(whole)
    assert found.nearest[0] == 1
    ends = intervals_of_many(tied, whole, found).nearest_squared_debiased
    expected = jackknife(lambda moments: geometry(moments).nearest_squared_debiased, tied)
    for one, other in zip(ends, expected, strict=True):
        np.testing.assert_allclose(one[0], other[0], rtol=1e-4)


def test_a_class_is_no_distance_from_itself():
    parts = Moments(*(x[..., :1] if x.ndim == 3 else x for x in drawn(apart=100.0)))
    whole = merge_all(parts)
    found = intervals_of_many(parts, whole, geometry(whole))
    for ends in (*found.distance, *found.squared_debiased):
        np.testing.assert_array_equal(np.diagonal(ends), 0)


def test_both_ways_are_taken():
    parts = drawn()
    few = Moments(*(x[:, :FEW_GROUPS] for x in parts))
    for chosen in (parts, few):
        whole = merge_all(chosen)
        found = geometry(whole)
        many = intervals_of_many(chosen, whole, found).distance
        expected = jackknife(lambda moments: estimates(geometry(moments)), chosen).distance
        taken = intervals_of(chosen, whole, found).distance
        exact, rounded = (np.array_equal(taken.low, x.low) for x in (expected, many))
        assert (exact, rounded) == ((True, False) if chosen is few else (False, True))


def test_many_classes_of_a_stream_have_intervals_by_their_parts():
    """Distances without each part in turn, by NumPy and SciPy from the parts' moments alone."""
    found = analyze(
        jax.random.key(0),
        lambda z: z,
        lambda x: 3 * x @ np.random.default_rng(1).normal(size=(4, CLASSES)).astype(np.float32),
        latent_dim=4,
        num_classes=CLASSES,
        num_samples=40_000,
        num_permutations=0,
        num_devices=1,
        quiet=True,
    )
    count = np.float64(found.replicates.count)
    sums = count[..., None] * found.replicates.mean
    valid = np.flatnonzero((count.sum(0) - count >= 2).all(axis=0))
    assert len(valid) > 20
    without = [
        (sums.sum(0) - sums[r])[valid] / (count.sum(0) - count[r])[valid, None]
        for r in range(len(count))
    ]
    distance = np.array([cdist(mean, mean) for mean in without])
    reach = t.ppf(0.975, len(count) - 1) * np.sqrt(
        (len(count) - 1) * distance.var(axis=0)
    )  # (R − 1)/R times the sum of squares
    square = np.ix_(valid, valid)
    half = (found.distance_interval.high - found.distance_interval.low)[square] / 2
    np.testing.assert_allclose(half, reach, rtol=1e-3, atol=1e-6)
