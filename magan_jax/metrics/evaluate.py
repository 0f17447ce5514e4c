"""All metrics of a set of generated images, each number with what it depends on."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.metrics.cache import RealStatistics, real_statistics
from magan_jax.metrics.checks import check_k, check_same_width
from magan_jax.metrics.density_coverage import density_coverage
from magan_jax.metrics.diversity import mean_pairwise_cosine, vendi_score
from magan_jax.metrics.features import Extractor, features_of
from magan_jax.metrics.frechet import frechet_distance, frechet_distance_infinity
from magan_jax.metrics.precision_recall import precision_recall

METHODS = (
    "frechet_distance",
    "precision_recall",
    "density_coverage",
    "mean_pairwise_cosine",
    "vendi_score",
    "frechet_distance_infinity",
)
"""What `evaluate_images` can compute, by the names of the functions."""


class Score(NamedTuple):
    """One number and all that it depends on.

    Attributes:
        value: of the generated images.
        yardstick: the same number of real images in their place; None without any.
        extractor: whose features.
        test_accuracy: the extractor's, as a classifier of the data; None where it is none.
        k: the neighbour that balls reach to; None where there are no balls.
        num_real: real images compared with; None for a number of one set alone.
        num_fake: generated images.
        num_yardstick: real images behind `yardstick`; None without it.
        standard_error: of the value; None where it has no estimate.
    """

    value: float
    yardstick: float | None
    extractor: str
    test_accuracy: float | None
    k: int | None
    num_real: int | None
    num_fake: int
    num_yardstick: int | None
    standard_error: float | None = None


Scores = dict[str, Score]
"""Scores by name: `frechet_distance`, `precision`, `recall`, `density`, `coverage`, …"""


class _Number(NamedTuple):
    """A value of one set of features, before it is put beside its yardstick."""

    value: float
    k: int | None = None
    compared: bool = True
    standard_error: float | None = None


def evaluate_images(
    extractor: Extractor,
    *,
    real: np.ndarray,
    fake: np.ndarray,
    held_out: np.ndarray | None = None,
    methods: Sequence[str] = METHODS[:-1],
    k_precision: int = 3,
    k_density: int = 5,
    batch_size: int = 500,
    key: jax.Array | None = None,
    cache_folder: Path | None = None,
) -> Scores:
    """Compare generated images with real ones, by the features of one extractor.

    The yardstick answers how good a number could be: it is the number of real images that are not
    among `real`, as many as there are generated ones, since most of these numbers depend on N.

    Args:
        extractor: see `Extractor`.
        real: `[N, H, W, C]`, uint8 (or floats in [-1, 1]).
        fake: `[M, H, W, C]`, uint8 or floats in [-1, 1], which are rounded to uint8's grid.
        held_out: real images for the yardstick, the data's test images for example. Of more than
            M images, M evenly spaced ones are taken. Without them there is a yardstick for the
            diversity only, which then speaks of `real`.
        methods: some of `METHODS`; default all but FD∞, which needs a key and M well above d.
        k_precision: of precision and recall.
        k_density: of density and coverage.
        batch_size: images that the extractor sees at once.
        key: for FD∞.
        cache_folder: keeps the statistics of the real features (`statistics_folder`).

    Raises:
        ValueError: for an unknown method, a missing key, and whatever the functions named in
            `methods` refuse.
    """
    _check_methods(methods, key)
    features = {
        name: features_of(extractor.function, images, batch_size=batch_size, name=name)
        for name, images in (("real", real), ("fake", fake), ("held_out", held_out))
        if images is not None
    }
    count = len(features["fake"])
    check_same_width(features["real"].shape[1], features["fake"].shape[1])
    statistics = _statistics(methods, features["real"], k_precision, k_density, cache_folder)
    found = _numbers(
        methods, features["real"], features["fake"], statistics, k_precision, k_density, key
    )
    with warnings.catch_warnings():  # of too few rows it has been warned already
        warnings.simplefilter("ignore", UserWarning)
        if held_out is not None:
            others = _evenly_spaced(features["held_out"], count)
            beside = _numbers(
                methods, features["real"], others, statistics, k_precision, k_density, key
            )
        else:
            others = _evenly_spaced(features["real"], count)
            alone = [m for m in methods if m in _OF_ONE_SET]
            beside = {m: _Number(_OF_ONE_SET[m](others)) for m in alone}
    return {
        name: Score(
            value=number.value,
            yardstick=beside[name].value if name in beside else None,
            extractor=extractor.name,
            test_accuracy=extractor.test_accuracy,
            k=number.k,
            num_real=len(features["real"]) if number.compared else None,
            num_fake=count,
            num_yardstick=len(others) if name in beside else None,
            standard_error=number.standard_error,
        )
        for name, number in found.items()
    }


_OF_ONE_SET: dict[str, Callable[[np.ndarray], float]] = {
    "mean_pairwise_cosine": mean_pairwise_cosine,
    "vendi_score": vendi_score,
}


def _check_methods(methods: Sequence[str], key: jax.Array | None) -> None:
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; choose among {', '.join(METHODS)}.")
    if "frechet_distance_infinity" in methods and key is None:
        raise ValueError(
            "key is None, but frechet_distance_infinity draws subsets; pass a key, "
            "jax.random.key(0) for example."
        )


def _statistics(
    methods: Sequence[str],
    real: np.ndarray,
    k_precision: int,
    k_density: int,
    cache_folder: Path | None,
) -> RealStatistics | None:
    """Of the real features, with as many neighbours as are asked for; None if nobody asks."""
    asked = {
        "frechet_distance": 1,
        "frechet_distance_infinity": 1,
        "precision_recall": k_precision,
        "density_coverage": k_density,
    }
    wanted = [asked[method] for method in methods if method in asked]
    for k in wanted:
        check_k("real", len(real), k)
    return real_statistics(real, k=max(wanted), folder=cache_folder) if wanted else None


def _numbers(
    methods: Sequence[str],
    real: np.ndarray,
    fake: np.ndarray,
    statistics: RealStatistics | None,
    k_precision: int,
    k_density: int,
    key: jax.Array | None,
) -> dict[str, _Number]:
    """The numbers of one set of features, by name."""
    found: dict[str, _Number] = {}
    for method in methods:
        if method in _OF_ONE_SET:
            found[method] = _Number(_OF_ONE_SET[method](fake), compared=False)
            continue
        assert statistics is not None
        moments, near = statistics
        if method == "frechet_distance":
            found[method] = _Number(frechet_distance(real=moments, fake=fake))
        elif method == "precision_recall":
            both = precision_recall(real=real, fake=fake, k=k_precision, real_neighbours=near)
            found |= {n: _Number(v, k_precision) for n, v in both._asdict().items()}
        elif method == "density_coverage":
            two = density_coverage(real=real, fake=fake, k=k_density, real_neighbours=near)
            found |= {n: _Number(v, k_density) for n, v in two._asdict().items()}
        elif method == "frechet_distance_infinity":
            assert key is not None
            limit = frechet_distance_infinity(key, real=moments, fake=fake)
            found[method] = _Number(limit.value, standard_error=limit.standard_error)
    return found


def _evenly_spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` rows, spread over all of them: a set may be sorted by class."""
    if len(rows) <= count:
        return rows
    return rows[np.arange(count) * len(rows) // count]
