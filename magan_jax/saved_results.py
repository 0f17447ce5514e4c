"""Results on disk, as arrays that NumPy reads and as what they were."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from magan_jax.errors import cause
from magan_jax.files import DAMAGE, arrays_as_bytes, write_bytes
from magan_jax.latent.agreement import Agreement, Likeness
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.ascent import Ascent
from magan_jax.latent.clustering import Clustering, Dendrogram
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.exits import Exits
from magan_jax.latent.geometry import Interval
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.labels import Labels
from magan_jax.latent.moments import Moments
from magan_jax.latent.purity import Purities, Purity
from magan_jax.latent.rays import RayLabels
from magan_jax.latent.regions import Regions
from magan_jax.latent.scale_search import ScaleSearch, SimpleSearch
from magan_jax.latent.synthesis import Provenance, Synthetic

_RESULTS: tuple[Any, ...] = (
    Agreement,
    Analysis,
    Ascent,
    ClassLatents,
    Clustering,
    ConditionalScores,
    Dendrogram,
    Exits,
    Interval,
    Invariance,
    Labels,
    Likeness,
    Moments,
    Provenance,
    Purities,
    Purity,
    RayLabels,
    Regions,
    ScaleSearch,
    SimpleSearch,
    Synthetic,
)
"""What is saved, with its parts; nothing else is made of a file."""

_BY_NAME = {kind.__name__: kind for kind in _RESULTS}
_PLAIN = {kind.__name__: kind for kind in (bool, int, float, str)}
_DICT, _KINDS = "dict", "kinds"


def save_result(path: Path | str, result: Any) -> None:
    """Save what a function of this package found; `load_result` gives it back.

    The file is an `.npz` without pickle: `numpy.load` has the arrays by their names, those of a
    part as `distance_interval.low`.

    Args:
        path: of the file, taken as it is (no ending is added) and replaced in one step.
        result: an `Analysis`, `Exits`, `Regions` or another result.

    Raises:
        ValueError: for what is no result of this package, or holds what is no array or number.
    """
    if type(result) not in _RESULTS:
        raise ValueError(
            f"result is of type {type(result).__name__}; what can be saved is "
            f"{', '.join(_BY_NAME)}."
        )
    arrays: dict[str, np.ndarray] = {}
    kinds: dict[str, str] = {}
    _take_apart("", result, arrays, kinds)
    write_bytes(Path(path), arrays_as_bytes({**arrays, _KINDS: np.array(json.dumps(kinds))}))


def load_result(path: Path | str) -> Any:
    """What `save_result` has saved, of the same type; nothing in the file is run.

    Raises:
        ValueError: if the file is none of these, or of a version that knew other parts.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        kinds = json.loads(arrays.pop(_KINDS).item())
        return _put_together("", arrays, kinds)
    except FileNotFoundError as error:
        raise ValueError(f"path is {path}; there is no such file.") from error
    except (*DAMAGE, AttributeError) as error:
        raise ValueError(
            f"path is {path}; that is no result that save_result of this version has saved "
            f"({cause(error)})."
        ) from error


def _take_apart(
    name: str, value: Any, arrays: dict[str, np.ndarray], kinds: dict[str, str]
) -> None:
    """Add the arrays of `value` by name, and what each part was that is no array."""
    if type(value) in _RESULTS or isinstance(value, Mapping):
        named = isinstance(value, Mapping)
        kinds[name] = _DICT if named else type(value).__name__
        for part, inside in (value if named else value._asdict()).items():
            _take_apart(f"{name}.{part}" if name else part, inside, arrays, kinds)
        return
    if not isinstance(value, np.ndarray | jax.Array | np.generic):
        kinds[name] = type(value).__name__
        if kinds[name] not in _PLAIN:
            raise ValueError(
                f"{name} of the result is of type {kinds[name]}; an array or a number is needed."
            )
    arrays[name] = np.asarray(value)


def _put_together(name: str, arrays: Mapping[str, np.ndarray], kinds: Mapping[str, str]) -> Any:
    kind = kinds.get(name)
    if kind is None:
        return arrays[name][()]  # NumPy's scalars as such
    if kind in _PLAIN:
        return _PLAIN[kind](arrays[name].item())
    begins = f"{name}." if name else ""
    inside = dict.fromkeys(
        other.removeprefix(begins).split(".")[0]
        for other in (*kinds, *arrays)
        if other != name and other.startswith(begins)
    )
    parts = {part: _put_together(begins + part, arrays, kinds) for part in inside}
    return parts if kind == _DICT else _BY_NAME[kind](**parts)
