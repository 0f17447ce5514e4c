"""All metrics of a set of generated images, each number with what it depends on."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.errors import check_positive
from magan_jax.metrics.cache import RealStatistics, real_statistics
from magan_jax.metrics.checks import check_k, check_same_width
from magan_jax.metrics.density_coverage import density_coverage
from magan_jax.metrics.diversity import mean_pairwise_cosine, vendi_score
from magan_jax.metrics.features import Extractor, features_of
from magan_jax.metrics.frechet import (
    NUM_SIZES,
    FeatureStatistics,
    frechet_distance,
    frechet_distance_infinity,
)
from magan_jax.metrics.precision_recall import PrecisionRecall, precision_recall

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
        standard_error: of FD∞, of the line fitted to subsets that overlap: less than it would be
            over new samples; None for the other numbers.
        reason: why the value, or else the yardstick, is not a number; None where both are.
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
    reason: str | None = None


Scores = dict[str, Score]
"""Scores by name: `frechet_distance`, `precision`, `recall`, `density`, `coverage`, …"""


class _Number(NamedTuple):
    """A value of one set of features, before it is put beside its yardstick."""

    value: float
    k: int | None = None
    compared: bool = True
    standard_error: float | None = None
    reason: str | None = None


class Reference(NamedTuple):
    """Real images as an extractor sees them, computed once for all that is compared with them.

    Attributes:
        extractor: whose features.
        features: `[N, d]`, of the real images.
        held_out: `[L, d]`, of those behind the yardstick; None for no yardstick.
        statistics: moments and neighbours of `features`; None where no method asks for them.
        k_precision: of precision and recall.
        k_density: of density and coverage.
        image_shape: of the real images, `(H, W, C)`.
    """

    extractor: Extractor
    features: np.ndarray
    held_out: np.ndarray | None
    statistics: RealStatistics | None
    k_precision: int
    k_density: int
    image_shape: tuple[int, ...]


def reference_of(
    extractor: Extractor,
    *,
    real: np.ndarray,
    held_out: np.ndarray | None = None,
    methods: Sequence[str] = METHODS[:-1],
    k_precision: int = 3,
    k_density: int = 5,
    batch_size: int = 500,
    cache_folder: Path | None = None,
) -> Reference:
    """What `evaluate_against` compares with; the arguments are those of `evaluate_images`."""
    _check_methods(methods)
    k_precision = check_positive("k_precision", k_precision)
    k_density = check_positive("k_density", k_density)
    features = features_of(extractor.function, real, batch_size=batch_size, name="real")
    others = None
    if held_out is not None:
        others = features_of(extractor.function, held_out, batch_size=batch_size, name="held_out")
    statistics = _statistics(methods, features, k_precision, k_density, cache_folder)
    shape = tuple(np.shape(real)[1:])
    return Reference(extractor, features, others, statistics, k_precision, k_density, shape)


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
    To compare several generators, make a `reference_of` the real images once and hold each against
    it with `evaluate_against`.

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

    A number that these features do not have is NaN, with a `reason`: a diversity of rows that are
    all zero (see `mean_pairwise_cosine`), FD∞ of too few rows. So is a yardstick of fewer held-out
    images than it needs.

    Raises:
        ValueError: for an unknown method, a missing key, images of two sizes, and whatever the
            other functions named in `methods` refuse.
    """
    _check_methods(methods)
    _check_key(methods, key)
    reference = reference_of(
        extractor,
        real=real,
        held_out=held_out,
        methods=methods,
        k_precision=k_precision,
        k_density=k_density,
        batch_size=batch_size,
        cache_folder=cache_folder,
    )
    return evaluate_against(reference, fake, methods=methods, batch_size=batch_size, key=key)


def evaluate_against(
    reference: Reference,
    fake: np.ndarray,
    *,
    methods: Sequence[str] = METHODS[:-1],
    batch_size: int = 500,
    key: jax.Array | None = None,
) -> Scores:
    """`evaluate_images` with the real images' part already done.

    Args:
        reference: made for these methods (or more).
        fake, methods, batch_size, key: see `evaluate_images`.
    """
    _check_methods(methods)
    _check_key(methods, key)
    _check_reference(methods, reference)
    if np.shape(fake)[1:] != reference.image_shape:
        raise ValueError(
            f"fake images are {np.shape(fake)[1:]}, the real ones {reference.image_shape}; both "
            "must be (H, W, C) of one size."
        )
    extractor, real = reference.extractor, reference.features
    features = features_of(extractor.function, fake, batch_size=batch_size, name="fake")
    check_same_width(real.shape[1], features.shape[1])
    keys = (None, None) if key is None else jax.random.split(key)
    found = _numbers(methods, reference, features, keys[0])
    count = len(features)
    if reference.held_out is not None:
        others = evenly_spaced(reference.held_out, count)
        beside = _yardstick(methods, reference, others, keys[1], warned_of=count)
    else:
        others = evenly_spaced(real, count)
        beside = {m: _of_one_set(m, others) for m in methods if m in _OF_ONE_SET}
    return {
        name: Score(
            value=number.value,
            yardstick=beside[name].value if name in beside else None,
            extractor=extractor.name,
            test_accuracy=extractor.test_accuracy,
            k=number.k,
            num_real=len(real) if number.compared else None,
            num_fake=count,
            num_yardstick=len(others) if name in beside else None,
            standard_error=number.standard_error,
            reason=number.reason or (beside[name].reason if name in beside else None),
        )
        for name, number in found.items()
    }


_OF_ONE_SET: dict[str, Callable[[np.ndarray], float]] = {
    "mean_pairwise_cosine": mean_pairwise_cosine,
    "vendi_score": vendi_score,
}


def _of_one_set(method: str, features: np.ndarray) -> _Number:
    """A number that features without direction (rows of zeros) do not have: it says so itself,
    since the other numbers are none the worse for them."""
    try:
        return _Number(_OF_ONE_SET[method](features), compared=False)
    except ValueError as error:
        return _Number(float("nan"), compared=False, reason=str(error))


def _check_methods(methods: Sequence[str]) -> None:
    for method in methods:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; choose among {', '.join(METHODS)}.")


def _check_key(methods: Sequence[str], key: jax.Array | None) -> None:
    if "frechet_distance_infinity" in methods and key is None:
        raise ValueError(
            "key is None, but frechet_distance_infinity draws subsets; pass a key, "
            "jax.random.key(0) for example."
        )


def _check_reference(methods: Sequence[str], reference: Reference) -> None:
    known = reference.statistics
    needed = {"precision_recall": reference.k_precision, "density_coverage": reference.k_density}
    for method in methods:
        neighbours = 0 if known is None else known.squared_neighbours.shape[1]
        compares = method not in _OF_ONE_SET
        if compares and (known is None or neighbours < needed.get(method, 0)):
            raise ValueError(
                f"reference was made without {method}; name it in the methods of reference_of."
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
    methods: Sequence[str], reference: Reference, fake: np.ndarray, key: jax.Array | None
) -> dict[str, _Number]:
    """The numbers of one set of features, by name."""
    found: dict[str, _Number] = {}
    real, k_precision, k_density = reference.features, reference.k_precision, reference.k_density
    for method in methods:
        if method in _OF_ONE_SET:
            found[method] = _of_one_set(method, fake)
            continue
        assert reference.statistics is not None
        moments, near = reference.statistics
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
            found[method] = _infinity(key, moments, fake)
    return found


def _yardstick(
    methods: Sequence[str],
    reference: Reference,
    others: np.ndarray,
    key: jax.Array | None,
    *,
    warned_of: int,
) -> dict[str, _Number]:
    """The numbers of held-out images; too few of them cost the yardstick, not the generator's.

    Args:
        methods, reference, key: see `_numbers`.
        others: features of the held-out images.
        warned_of: how many rows the user has been told of, if they are too few.
    """
    rows, width = others.shape
    if "frechet_distance" in methods and rows <= width and rows < warned_of:
        warnings.warn(
            f"held_out has {rows} images for {width} features, so the yardstick of the Fréchet "
            "distance is much too large; hold out more images.",
            stacklevel=3,
        )
    needed = {
        "frechet_distance": 2,
        "precision_recall": reference.k_precision + 1,
        # Subsets of so many sizes, the smallest with more rows than features.
        "frechet_distance_infinity": width + NUM_SIZES,
    }
    possible = [method for method in methods if rows >= needed.get(method, 1)]
    with warnings.catch_warnings():  # said above, or of as many generated ones already
        warnings.simplefilter("ignore", UserWarning)
        found = _numbers(possible, reference, others, key)
    for method in set(methods) - set(possible):
        reason = f"held_out has {rows} image(s); a yardstick needs {needed[method]}"
        names = PrecisionRecall._fields if method == "precision_recall" else (method,)
        found |= {name: _Number(float("nan"), reason=reason) for name in names}
    return found


def _infinity(key: jax.Array, real: FeatureStatistics, fake: np.ndarray) -> _Number:
    """FD∞; too few rows cost it, not the numbers beside it."""
    try:
        limit = frechet_distance_infinity(key, real=real, fake=fake)
    except ValueError as error:
        return _Number(float("nan"), reason=str(error))
    return _Number(limit.value, standard_error=limit.standard_error)


def evenly_spaced(rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` rows, spread over all of them: a set may be sorted by class."""
    if len(rows) <= count:
        return rows
    return rows[np.arange(count) * len(rows) // count]
