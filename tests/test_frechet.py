import warnings
from functools import partial

import jax
import numpy as np
import pytest

from magan_jax.metrics import (
    FeatureStatistics,
    feature_statistics,
    frechet_distance,
    frechet_distance_infinity,
)

RANDOM = np.random.default_rng(0)
REAL = RANDOM.normal(size=(400, 12)) @ RANDOM.normal(size=(12, 12)) + 5
FAKE = RANDOM.normal(size=(300, 12)) @ RANDOM.normal(size=(12, 12)) + 4


def by_eigenvalues_of_the_product(a, b):
    """Another way to the same number, good for full rank: tr (ΣΣ')^½ from general eigenvalues."""
    first, second = np.cov(a.T), np.cov(b.T)
    roots = np.sqrt(np.linalg.eigvals(first @ second).astype(complex)).real.sum()
    shift = a.mean(0) - b.mean(0)
    return shift @ shift + np.trace(first) + np.trace(second) - 2 * roots


def test_moments_are_those_of_numpy_in_float64():
    features = (RANDOM.normal(size=(9000, 3)) + np.array([0, 1e3, -1e3])).astype(np.float32)
    found = feature_statistics(features)  # three parts, one of them partial
    exact = features.astype(np.float64)
    np.testing.assert_allclose(found.mean, exact.mean(0), rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(found.covariance, np.cov(exact.T), rtol=1e-9, atol=1e-12)
    assert found.num_samples == 9000
    assert found.mean.dtype == found.covariance.dtype == np.float64


def test_agrees_with_another_formula_and_is_symmetric():
    expected = by_eigenvalues_of_the_product(REAL, FAKE)
    assert frechet_distance(real=REAL, fake=FAKE) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(real=FAKE, fake=REAL) == pytest.approx(expected, rel=1e-10)
    statistics = feature_statistics(REAL)
    assert frechet_distance(real=statistics, fake=FAKE) == pytest.approx(expected, rel=1e-10)


def test_closed_forms():
    trace = np.trace(np.cov(REAL.T))
    shift = RANDOM.normal(size=12)
    assert frechet_distance(real=REAL, fake=REAL) == pytest.approx(0, abs=1e-9 * trace)
    shifted = frechet_distance(real=REAL, fake=REAL + shift)
    assert shifted == pytest.approx(shift @ shift, abs=1e-9 * trace)
    scaled = REAL.mean(0) + 0.25 * (REAL - REAL.mean(0))
    assert frechet_distance(real=REAL, fake=scaled) == pytest.approx(0.75**2 * trace, rel=1e-10)
    a, b = RANDOM.uniform(0, 3, (2, 12))
    diagonal = frechet_distance(
        real=FeatureStatistics(np.zeros(12), np.diag(a), 100),
        fake=FeatureStatistics(np.zeros(12), np.diag(b), 100),
    )
    assert diagonal == pytest.approx(np.sum((np.sqrt(a) - np.sqrt(b)) ** 2), rel=1e-10)


@pytest.mark.filterwarnings("ignore:fake has")
def test_singular_covariances_lose_nothing():
    """Fewer samples than dimensions, and dead features: rounding must not be rooted twice."""
    few = RANDOM.normal(size=(20, 64))
    few[:, 50:] = 0
    trace = np.trace(np.cov(few.T))
    with pytest.warns(UserWarning, match="real has 20 rows for 64 features"):
        found = frechet_distance(real=few, fake=few)
    assert found == pytest.approx(0, abs=1e-10 * trace)
    # A rotation into directions without variance: the two share nothing.
    a = np.zeros((30, 40))
    b = np.zeros((30, 40))
    a[:, :20] = RANDOM.normal(size=(30, 20))
    b[:, 20:] = RANDOM.normal(size=(30, 20))
    shift = a.mean(0) - b.mean(0)
    expected = shift @ shift + np.trace(np.cov(a.T)) + np.trace(np.cov(b.T))
    with pytest.warns(UserWarning, match="covariance is singular"):
        assert frechet_distance(real=a, fake=b) == pytest.approx(expected, rel=1e-12)
    # One image again and again has no covariance at all.
    same = np.repeat(few[:1, :8], 30, axis=0)
    expected = np.sum((REAL[:, :8].mean(0) - same[0]) ** 2) + np.trace(np.cov(REAL[:, :8].T))
    assert frechet_distance(real=REAL[:, :8], fake=same) == pytest.approx(expected, rel=1e-10)


def test_infinity_takes_out_the_bias_of_n():
    """Equal normal distributions: the distance at N is far above 0, the intercept is not."""
    width = 16
    real = FeatureStatistics(np.zeros(width), np.eye(width), 10**9)
    fake = RANDOM.normal(size=(4000, width))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = frechet_distance_infinity(jax.random.key(0), real=real, fake=fake)
    assert len(found.sizes) == len(set(found.sizes)) == len(found.distances) == 15
    assert found.sizes[0] == 400
    assert found.sizes[-1] == 4000
    assert found.distances[-1] == pytest.approx(frechet_distance(real=real, fake=fake), rel=1e-9)
    # E FD = tr Σ/n + (d² + d)/(4 n)·… to first order: d/n from the mean, d(d + 1)/(4 n) from Σ.
    first_order = width / 4000 + width * (width + 1) / (4 * 4000)
    assert found.distances[-1] == pytest.approx(first_order, rel=0.35)
    assert abs(found.value) < first_order / 3
    assert 0 < found.standard_error < first_order / 3
    again = frechet_distance_infinity(jax.random.key(0), real=real, fake=fake)
    np.testing.assert_array_equal(again.distances, found.distances)
    other = frechet_distance_infinity(jax.random.key(1), real=real, fake=fake)
    assert (other.distances[:-1] != found.distances[:-1]).all()


def test_infinity_is_the_intercept_of_a_line():
    found = frechet_distance_infinity(
        jax.random.key(0), real=REAL, fake=FAKE, num_sizes=5, smallest=100
    )
    np.testing.assert_array_equal(found.sizes, [100, 150, 200, 250, 300])
    design = np.stack([np.ones(5), 1 / found.sizes], 1)
    line, residual, *_ = np.linalg.lstsq(design, found.distances)
    assert found.value == pytest.approx(line[0])
    error = np.sqrt(residual[0] / 3 * np.linalg.inv(design.T @ design)[0, 0])
    assert found.standard_error == pytest.approx(error)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (REAL[:, :5], FAKE, "real has 5 features per row and fake has 12"),
        (REAL[:0], FAKE, r"real has the shape \(0, 12\)"),
        (REAL[0], FAKE, r"real has the shape \(12,\)"),
        (REAL[:1], FAKE, "real has 1 row; a covariance needs at least 2"),
        (REAL, np.where(np.arange(12) == 3, np.nan, FAKE), "fake has 300 values that are not fin"),
        (REAL, FAKE.astype(complex), "fake is of type complex128"),
    ],
)
def test_features_that_cannot_be_compared_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(real=real, fake=fake)


def test_few_real_rows_are_warned_of_by_both_distances():
    for distance in (frechet_distance, partial(frechet_distance_infinity, jax.random.key(0))):
        with pytest.warns(UserWarning, match="real has 12 rows for 12 features, so its covariance"):
            distance(real=REAL[:12], fake=FAKE)


def test_as_few_rows_as_there_are_sizes_above_the_features_will_do():
    found = frechet_distance_infinity(jax.random.key(0), real=REAL, fake=FAKE[:27])
    np.testing.assert_array_equal(found.sizes, np.arange(13, 28))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_sizes": 2}, "num_sizes is 2"),
        ({"smallest": 12}, "smallest is 12, .* 15 different sizes need a whole number, 13 to 286"),
        ({"smallest": 50.5}, "smallest is 50.5, but fake has 300 rows of 12 features"),
        ({"smallest": 290}, "smallest is 290, but fake has 300 rows"),
        ({"fake": FAKE[:20]}, "fake has 20 rows of 12 features; 15 different sizes, .* 27 rows"),
        ({"fake": FAKE[:3]}, "fake has 3 rows of 12 features; 15 different sizes, .* 27 rows"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance_infinity(jax.random.key(0), **({"real": REAL, "fake": FAKE} | changes))
