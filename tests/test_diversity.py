import numpy as np
import pytest

from magan_jax.metrics import mean_pairwise_cosine, vendi_score

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("shape", [(200, 7), (7, 40), (5000, 3)])
def test_cosine_is_the_mean_over_pairs(shape):
    features = (RANDOM.normal(size=shape) + 0.3).astype(np.float32)
    unit = features.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(shape[0], 1)]
    assert mean_pairwise_cosine(features) == pytest.approx(pairs.mean(), abs=1e-12)


def test_cosine_of_known_sets():
    assert mean_pairwise_cosine(np.ones((9, 4))) == pytest.approx(1)
    assert mean_pairwise_cosine(np.eye(6)) == pytest.approx(0, abs=1e-15)
    assert mean_pairwise_cosine([[1.0, 0], [-3, 0]]) == pytest.approx(-1)
    lengths = RANDOM.uniform(1e-100, 1e100, (6, 1))
    assert mean_pairwise_cosine(lengths * np.eye(6)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("shape", [(60, 9), (9, 60), (4500, 3)])
def test_vendi_score_is_that_of_the_whole_kernel(shape):
    features = RANDOM.normal(size=shape) + 0.2
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    singular = np.linalg.svd(unit, compute_uv=False) ** 2 / len(unit)
    expected = np.exp(-np.sum(singular * np.log(singular)))
    assert vendi_score(features) == pytest.approx(expected, rel=1e-10)


def test_vendi_score_counts_what_is_different():
    assert vendi_score(np.eye(7)) == pytest.approx(7)
    assert vendi_score(np.repeat(np.eye(7), 30, axis=0)) == pytest.approx(7)
    assert vendi_score(np.ones((30, 7))) == pytest.approx(1)
    two = np.repeat(np.eye(7)[:2], [30, 10], axis=0)
    assert vendi_score(two) == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))


@pytest.mark.parametrize("function", [mean_pairwise_cosine, vendi_score])
def test_rows_without_a_direction_are_refused(function):
    features = np.ones((5, 3))
    features[[1, 4]] = 0
    with pytest.raises(ValueError, match=r"features has 2 row\(s\) of zeros, the first row 1"):
        function(features)
    with pytest.raises(ValueError, match="2 values that are not finite .* the first in row 3"):
        function(np.where(np.arange(6)[:, None] == 3, np.nan, np.ones((6, 2))))


def test_one_row_has_no_pairs():
    with pytest.raises(ValueError, match="features has 1 row"):
        mean_pairwise_cosine(np.ones((1, 3)))
