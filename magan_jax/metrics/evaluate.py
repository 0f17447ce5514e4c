"""All metrics of a set of generated images, each number with what it depends on."""

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.blocks import evenly_spaced
from magan_jax.errors import check_key, check_positive, warn
from magan_jax.metrics.cache import RealStatistics, real_statistics
from magan_jax.metrics.checks import check_k, check_same_width
from magan_jax.metrics.features import Extractor, features_of
from magan_jax.metrics.frechet import feature_statistics
from magan_jax.metrics.methods import METHODS, Number, RealFeatures

WITHOUT_KEY = tuple(name for name, method in METHODS.items() if not method.draws)
"""The methods that draw nothing: all but FD∞."""


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


class Reference(NamedTuple):
    """Real images as an extractor sees them, computed once for all that is compared with them.

    Attributes:
        extractor: whose features.
        real: of the real images, with their statistics.
        held_out: features `[L, d]` of those behind the yardstick; None for no yardstick.
        image_shape: of the real images, `(H, W, C)`.
    """

    extractor: Extractor
    real: RealFeatures
    held_out: np.ndarray | None
    image_shape: tuple[int, ...]


def reference_of(
    extractor: Extractor,
    *,
    real: np.ndarray,
    held_out: np.ndarray | None = None,
    methods: Collection[str] = WITHOUT_KEY,
    k: Mapping[str, int] = MappingProxyType({}),
    batch_size: int = 500,
    cache_folder: Path | str | None = None,
) -> Reference:
    """What `evaluate_against` compares with; the arguments are those of `evaluate_images`."""
    methods = _checked_methods(methods)
    if not isinstance(extractor, Extractor):
        raise ValueError(
            f"extractor is {extractor!r}; pass Extractor(name, function), whose name stands beside "
            "every number."
        )
    shape = tuple(np.shape(real)[1:])
    if held_out is not None:
        _check_shape("held_out", held_out, shape)
    chosen = _checked_k(k)
    features = features_of(extractor.function, real, batch_size=batch_size, name="real")
    others = None
    if held_out is not None:
        others = features_of(extractor.function, held_out, batch_size=batch_size, name="held_out")
        check_same_width(features.shape[1], others.shape[1], name="held_out")
    neighbours = [chosen[method] for method in methods if method in chosen]
    for number in neighbours:
        check_k("real", len(features), number)
    statistics = None
    if neighbours:
        statistics = real_statistics(features, k=max(neighbours), folder=cache_folder)
    elif any(METHODS[method].compares for method in methods):
        moments = feature_statistics(features, name="real")
        statistics = RealStatistics(moments, np.zeros((len(features), 0)))
    return Reference(extractor, RealFeatures(features, statistics, chosen), others, shape)


def evaluate_images(
    extractor: Extractor,
    *,
    real: np.ndarray,
    fake: np.ndarray,
    held_out: np.ndarray | None = None,
    methods: Collection[str] = WITHOUT_KEY,
    k: Mapping[str, int] = MappingProxyType({}),
    batch_size: int = 500,
    key: jax.Array | None = None,
    cache_folder: Path | str | None = None,
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
        k: the neighbour that balls reach to, of the methods where it is to be another than 3
            (`precision_recall`) or 5 (`density_coverage`).
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
    methods = _checked_methods(methods)
    _check_key(methods, key)
    _check_shape("fake", fake, tuple(np.shape(real)[1:]))
    reference = reference_of(
        extractor,
        real=real,
        held_out=held_out,
        methods=methods,
        k=k,
        batch_size=batch_size,
        cache_folder=cache_folder,
    )
    return evaluate_against(reference, fake, methods=methods, batch_size=batch_size, key=key)


def evaluate_against(
    reference: Reference,
    fake: np.ndarray,
    *,
    methods: Collection[str] = WITHOUT_KEY,
    batch_size: int = 500,
    key: jax.Array | None = None,
) -> Scores:
    """`evaluate_images` with the real images' part already done.

    Args:
        reference: made for these methods (or more).
        fake, methods, batch_size, key: see `evaluate_images`.
    """
    methods = _checked_methods(methods)
    _check_key(methods, key)
    _check_reference(methods, reference.real)
    _check_shape("fake", fake, reference.image_shape)
    extractor, real = reference.extractor, reference.real
    features = features_of(extractor.function, fake, batch_size=batch_size, name="fake")
    check_same_width(real.features.shape[1], features.shape[1])
    keys = (None, None) if key is None else jax.random.split(key)
    found = _numbers(methods, real, features, keys[0])
    count = len(features)
    if reference.held_out is not None:
        others = evenly_spaced(reference.held_out, count)
        beside = _yardstick(methods, real, others, keys[1], warned_of=count)
    else:
        others = evenly_spaced(real.features, count)
        of_one_set = [method for method in methods if not METHODS[method].compares]
        beside = _numbers(of_one_set, real, others, None)
    return {
        name: Score(
            value=found[name].value,
            yardstick=beside[name].value if name in beside else None,
            extractor=extractor.name,
            test_accuracy=extractor.test_accuracy,
            k=real.k.get(method),
            num_real=len(real.features) if METHODS[method].compares else None,
            num_fake=count,
            num_yardstick=len(others) if name in beside else None,
            standard_error=found[name].standard_error,
            reason=found[name].reason or (beside[name].reason if name in beside else None),
        )
        for method in methods
        for name in METHODS[method].names
    }


def _checked_methods(methods: Collection[str]) -> tuple[str, ...]:
    """The same, whatever holds them; refuses one that is not known, and none at all."""
    named = (methods,) if isinstance(methods, str) else tuple(methods)
    if not named:
        raise ValueError(f"methods names none; choose among {', '.join(METHODS)}.")
    for method in named:
        if method not in METHODS:
            raise ValueError(f"method is {method!r}; choose among {', '.join(METHODS)}.")
    return named


def _checked_k(k: Mapping[str, int]) -> dict[str, int]:
    """Of every method with balls."""
    usual = {name: method.k for name, method in METHODS.items() if method.k is not None}
    for method in k:
        if method not in usual:
            raise ValueError(f"k names {method!r}; methods with balls are {', '.join(usual)}.")
    return {
        method: check_positive(f"k of {method}", number)
        for method, number in {**usual, **k}.items()
    }


def _check_shape(name: str, images: np.ndarray, shape: tuple[int, ...]) -> None:
    if np.shape(images)[1:] != shape:
        raise ValueError(
            f"{name} images are {np.shape(images)[1:]}, the real ones {shape}; both must be "
            "(H, W, C) of one size."
        )


def _check_key(methods: Collection[str], key: jax.Array | None) -> None:
    for method in methods:
        if METHODS[method].draws and key is None:
            raise ValueError(
                f"key is None, but {method} draws subsets; pass a key, jax.random.key(0) for "
                "example."
            )
    if key is not None:
        check_key(key)


def _check_reference(methods: Collection[str], real: RealFeatures) -> None:
    neighbours = -1 if real.statistics is None else real.statistics.squared_neighbours.shape[1]
    for method in methods:
        if METHODS[method].compares and neighbours < real.k.get(method, 0):
            raise ValueError(
                f"reference was made without {method}; name it in the methods of reference_of."
            )


def _numbers(
    methods: Collection[str], real: RealFeatures, fake: np.ndarray, key: jax.Array | None
) -> dict[str, Number]:
    """The numbers of one set of features, by name."""
    found: dict[str, Number] = {}
    for method in methods:
        names, compute = METHODS[method].names, METHODS[method].compute
        found |= zip(names, compute(real, fake, key), strict=True)
    return found


def _yardstick(
    methods: Collection[str],
    real: RealFeatures,
    others: np.ndarray,
    key: jax.Array | None,
    *,
    warned_of: int,
) -> dict[str, Number]:
    """The numbers of held-out images; too few of them cost the yardstick, not the generator's.

    Args:
        methods, real, key: see `_numbers`.
        others: features of the held-out images.
        warned_of: how many rows the user has been told of, if they are too few.
    """
    rows, width = others.shape
    if "frechet_distance" in methods and rows <= width and rows < warned_of:
        warn(
            f"held_out has {rows} images for {width} features, so the yardstick of the Fréchet "
            "distance is much too large; hold out more images."
        )
    needed = {m: METHODS[m].rows_needed(width, real.k.get(m, 1)) for m in methods}
    with warnings.catch_warnings():  # said above, or of as many generated ones already
        warnings.simplefilter("ignore", UserWarning)
        possible = [method for method in methods if rows >= needed[method]]
        found = _numbers(possible, real, others, key)
    for method in set(methods) - set(possible):
        reason = f"held_out has {rows} image(s); a yardstick needs {needed[method]}"
        missing = Number(float("nan"), reason=reason)
        found |= dict.fromkeys(METHODS[method].names, missing)
    return found
