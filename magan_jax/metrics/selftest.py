"""The metrics against closed forms and direct computation in float64, on this machine."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from magan_jax.metrics.density_coverage import density_coverage, expected_coverage
from magan_jax.metrics.diversity import mean_pairwise_cosine, vendi_score
from magan_jax.metrics.frechet import FeatureStatistics, frechet_distance
from magan_jax.metrics.precision_recall import precision_recall


class Check(NamedTuple):
    """One number beside what it must be.

    Attributes:
        name: what is checked.
        value: as computed here.
        expected: from a closed form or a direct computation.
        tolerance: largest difference allowed; 0 where the numbers are shares of decided pairs.
    """

    name: str
    value: float
    expected: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the value is what it must be; not-a-number never is."""
        return abs(self.value - self.expected) <= self.tolerance


def checks() -> Iterator[Check]:
    """All checks, one by one."""
    yield from _frechet_checks()
    yield from _neighbour_checks()
    yield from _diversity_checks()


def _frechet_checks() -> Iterator[Check]:
    random = np.random.default_rng(0)
    features = random.normal(size=(500, 16)) @ random.normal(size=(16, 16))
    shift = random.normal(size=16)
    trace = float(np.trace(np.cov(features.T)))

    def distance(fake: np.ndarray) -> float:
        return frechet_distance(real=features, fake=fake)

    rounding = 1e-10 * trace  # float64, through two eigenvalue decompositions
    yield Check("Fréchet distance, identical sets", distance(features), 0, rounding)
    expected = float(shift @ shift)
    yield Check(
        "Fréchet distance, shifted by v: |v|²", distance(features + shift), expected, rounding
    )
    about_mean = features.mean(axis=0) + 3 * (features - features.mean(axis=0))
    yield Check("Fréchet distance, spread × 3: 4 tr Σ", distance(about_mean), 4 * trace, rounding)
    first, second = random.uniform(0, 2, (2, 16))
    diagonal = frechet_distance(
        real=FeatureStatistics(np.zeros(16), np.diag(first), 500),
        fake=FeatureStatistics(np.zeros(16), np.diag(second), 500),
    )
    expected = float(np.sum((np.sqrt(first) - np.sqrt(second)) ** 2))
    yield Check("Fréchet distance, diagonal: Σ(√a − √b)²", diagonal, expected, 1e-10)


def _neighbour_checks() -> Iterator[Check]:
    random = np.random.default_rng(1)
    centres = 20 * random.normal(size=(8, 16))
    real = (centres[random.integers(0, 8, 1500)] + random.normal(size=(1500, 16))).astype(
        np.float32
    )
    fake = (centres[random.integers(0, 6, 1300)] + random.normal(size=(1300, 16))).astype(
        np.float32
    )
    fake[:200] = real[random.integers(0, 1500, 200)]  # copies of real points, on many borders
    real[:100] = real[100]  # duplicates: balls of radius 0
    for inclusive, sign in ((True, "≤"), (False, "<")):
        expected = _direct(real, fake, inclusive)
        found = {
            **precision_recall(real=real, fake=fake, inclusive=inclusive)._asdict(),
            **density_coverage(real=real, fake=fake, inclusive=inclusive)._asdict(),
        }
        for name, value in found.items():
            yield Check(f"{name} ({sign}), clusters and copies", value, expected[name], 1e-12)
    collapsed = np.repeat(real[500:501], 200, axis=0)
    one = precision_recall(real=real, fake=collapsed)
    yield Check("precision, one real image again and again", one.precision, 1, 0)
    yield Check("recall, one real image again and again", one.recall, 1 / 1500, 1e-12)
    same = precision_recall(real=real, fake=real)
    yield Check("precision, identical sets", same.precision, 1, 0)
    yield Check("recall, identical sets", same.recall, 1, 0)
    normal = random.normal(size=(2, 2000, 8))
    alike = density_coverage(real=normal[0], fake=normal[1])
    # About four standard deviations between pairs of such sets.
    yield Check("density of equal distributions", alike.density, 1, 0.09)
    yield Check("coverage of them", alike.coverage, expected_coverage(2000, 2000), 0.02)


def _diversity_checks() -> Iterator[Check]:
    random = np.random.default_rng(2)
    features = random.normal(size=(300, 12)) + 1
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(300, 1)]
    cosine = mean_pairwise_cosine(features)
    yield Check("mean pairwise cosine", cosine, float(np.mean(pairs)), 1e-12)
    yield Check("Vendi score of 12 orthogonal rows", vendi_score(3 * np.eye(12)), 12, 1e-9)
    alike = vendi_score(np.ones((50, 12)))
    yield Check("Vendi score of equal rows", alike, 1, 1e-9)


def _direct(
    real: np.ndarray, fake: np.ndarray, inclusive: bool, k: tuple[int, int] = (3, 5)
) -> dict[str, float]:
    """The definitions, with all distances at once, in float64."""
    within, between = _all_squared(real, real), _all_squared(real, fake)
    within_fake = _all_squared(fake, fake)

    def radius(squared: np.ndarray, k: int) -> np.ndarray:
        np.fill_diagonal(squared, np.inf)
        return np.sort(squared, axis=1)[:, k - 1]

    compare = np.less_equal if inclusive else np.less
    in_real = compare(between, radius(within, k[0])[:, None])
    in_fake = compare(between, radius(within_fake, k[0])[None, :])
    in_dense = compare(between, radius(within, k[1])[:, None])
    return {
        "precision": float(np.mean(in_real.any(axis=0))),
        "recall": float(np.mean(in_fake.any(axis=1))),
        "density": float(in_dense.sum() / (k[1] * len(fake))),
        "coverage": float(np.mean(in_dense.any(axis=1))),
    }


def _all_squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`[n, m]` from differences, dimension after dimension."""
    squared = np.zeros((len(a), len(b)))
    for x, y in zip(a.T.astype(np.float64), b.T.astype(np.float64), strict=True):
        squared += np.square(x[:, None] - y)
    return squared
