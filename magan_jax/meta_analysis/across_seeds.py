"""What several trainings from different seeds say together.

`combine` makes one tree of the results of all seeds: what is the same in all stays as it is, a
number becomes its mean and standard deviation, anything else (a nearest class, a verdict) becomes
the values and how often each came.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform

from magan_jax.latent.agreement import Agreement, Likeness, compare_geometries, correlate_with
from magan_jax.meta_analysis.claims.check import PAPER_NUMBERS
from magan_jax.meta_analysis.findings import Findings
from magan_jax.seeds import another_training, over_seeds, why_no_interval
from magan_jax.training.engine import Batch

CATEGORIES = frozenset(("nearest", "mean_label", "prototype_label"))
"""Entries whose whole numbers are names of classes, not amounts."""
SEPARATE = frozenset(("seed", "clusters"))
"""Entries that belong to one seed: numbers of clusters mean nothing beside those of another."""


def combine(entries: Sequence[Any], name: str = "") -> Any:
    """One tree for the results of S seeds, which are plain JSON of one form.

    Args:
        entries: one for each seed.
        name: of the entry, to know a number from a class.

    Returns:
        Dictionaries and lists of equal form are combined part by part, with nulls for the seeds
        that have null in their place. At a leaf: the value itself where all agree; for numbers
        `{"mean", "std", "n"}` (std with n − 1; null counts as absent, and `n` says how many there
        were); of reasons one that says how many seeds have each; else
        `{"values": {value: seeds}}`.
    """
    first = entries[0]
    if all(entry == first for entry in entries):
        return first
    present = [entry for entry in entries if entry is not None]
    if all(isinstance(entry, Mapping) for entry in present):
        keys = [k for k in present[0] if k not in SEPARATE and all(k in e for e in present)]
        return {k: combine([None if e is None else e[k] for e in entries], k) for k in keys}
    if all(isinstance(entry, list) for entry in present) and len({len(e) for e in present}) == 1:
        absent = [None] * len(present[0])
        every = (absent if entry is None else entry for entry in entries)
        return [combine(list(parts), name) for parts in zip(*every, strict=True)]
    if name not in CATEGORIES and all(_is_number(entry) for entry in present):
        spread = float(np.std(present, ddof=1)) if len(present) > 1 else None
        found = {"mean": float(np.mean(present)), "std": spread, "n": len(present)}
        return found if len(present) > 1 else found | {"reason": "one seed has no deviation"}
    if name == "reason" or name.endswith("_reason"):
        counted = Counter(present)
        return "; ".join(f"{n} of {len(entries)} seeds: {why}" for why, n in counted.items())
    counted = Counter(str(entry) for entry in entries)
    return {"values": dict(counted.most_common())}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class NumberAcross(NamedTuple):
    """A number of the paper's against the same number of S generators.

    Attributes:
        name: what is measured.
        paper: its value, from one run.
        mean, std: over the seeds in which it exists.
        n: how many these are.
        low, high: 95 % prediction interval of a further seed; None for fewer than three, or where
            all have the same number.
        holds: the paper's number lies in it; None where there is no interval.
        reason: why there is no interval, or of how many seeds it is; None where nothing is missing.
    """

    name: str
    paper: float
    mean: float
    std: float
    n: int
    low: float | None
    high: float | None
    holds: bool | None
    reason: str | None


def paper_numbers(findings: Sequence[Findings]) -> list[NumberAcross]:
    """The paper's numbers as a further run of the same protocol would give them.

    Under normality a further value lies in mean ± t_{n−1} · std · √(1 + 1/n) with 95 %.
    """
    found = []
    for name, paper, value_of in PAPER_NUMBERS:
        every = np.array([value_of(one.studies[0]) for one in findings], float)
        values = every[np.isfinite(every)]
        n = len(values)
        mean = float(values.mean()) if n else math.nan
        std = float(values.std(ddof=1)) if n > 1 else math.nan
        low = high = holds = None
        # Two seeds' interval would hold nearly anything.
        without = why_no_interval(values) if n > 2 else "an interval needs three seeds"
        if without is None:
            _, low, high = another_training(values)
            holds = low <= paper <= high
        missing = None
        if n < len(every):
            missing = f"{len(every) - n} of {len(every)} seeds have no such number"
        reason = "; ".join(filter(None, (missing, without))) or None
        found.append(NumberAcross(name, paper, mean, std, n, low, high, holds, reason))
    return found


class Comparison(NamedTuple):
    """The latent geometries of all seeds at one N.

    Attributes:
        num_samples: N.
        agreement: of the seeds with each other; None where too few classes have statistics.
        with_images: `[S]`, Spearman's correlation of each seed's distances of class means with
            the distances of the classes' mean training images: the data, without any network.
    """

    num_samples: int
    agreement: Agreement | None
    with_images: np.ndarray


def compare_seeds(
    findings: Sequence[Findings], train_set: Batch, num_clusters: int
) -> list[Comparison]:
    """Is the geometry the same from seed to seed, and is it that of the images? For each N."""
    images = _image_distances(train_set, len(findings[0].studies[0].analysis.counts))
    compared = []
    for studies in zip(*(one.studies for one in findings), strict=True):
        distances = [study.analysis.distance for study in studies]
        common = np.all([study.analysis.valid for study in studies], axis=0)
        agreement = None
        if common.sum() >= 3:
            agreement = compare_geometries(distances, num_clusters=num_clusters)
        compared.append(
            Comparison(
                studies[0].analysis.num_samples, agreement, correlate_with(distances, images)
            )
        )
    return compared


def _image_distances(train_set: Batch, num_classes: int) -> np.ndarray:
    """Distances `[K, K]` of the mean images of the classes, pixels in [0, 1]."""
    images, labels = np.asarray(train_set.images), np.asarray(train_set.labels)
    flat = images.reshape(len(images), -1)
    means = [
        flat[labels == k].mean(0, dtype=np.float64) / 255
        if (labels == k).any()
        else np.full(flat.shape[1], np.nan)
        for k in range(num_classes)
    ]
    return squareform(pdist(np.stack(means)))


def likenesses(agreement: Agreement) -> dict[str, Likeness]:
    """All comparisons by a name that a reader understands."""
    count = agreement.num_clusters
    return {
        "distances, rank correlation": agreement.distance,
        "nearest class, share equal": agreement.nearest,
        **{
            f"dendrogram, {method}: rank correlation": likeness
            for method, likeness in agreement.cophenetic.items()
        },
        **{
            f"{count} clusters, {method}: adjusted Rand": likeness
            for method, likeness in agreement.clusters.items()
        },
    }


def comparison_entry(comparison: Comparison) -> dict[str, Any]:
    """One entry of `agreement` in results.json."""
    agreement, with_images = comparison.agreement, comparison.with_images
    of_images = over_seeds(list(with_images))
    entry: dict[str, Any] = {
        "num_samples": comparison.num_samples,
        "with_images": {"seeds": of_images.pop("values"), **of_images},
    }
    if agreement is None:
        return entry | {
            "classes": None,
            "between_seeds": None,
            "reason": "fewer than three classes have statistics in all seeds",
        }
    return entry | {
        "classes": agreement.classes,
        "between_seeds": {
            name: likeness._asdict()
            | {"low_high_reason": _without_interval(likeness, len(with_images))}
            for name, likeness in likenesses(agreement).items()
        },
    }


def _without_interval(likeness: Likeness, num_seeds: int) -> str | None:
    if num_seeds < 3:
        return "an interval needs three seeds"
    return "all pairs of seeds are equally alike" if math.isnan(likeness.low) else None


def classes_across(entry: Any, names: Sequence[str], seeds: int) -> str:
    """What `combine` made of a class's number: names, and how many seeds have each."""
    found = entry["values"] if isinstance(entry, Mapping) else {str(entry): seeds}
    return ", ".join(
        f"{'none' if label == 'None' else names[int(label)]} ({count})"
        for label, count in found.items()
    )


def verdicts_across(entry: Any, seeds: int) -> str:
    """What `combine` made of a claim's verdict."""
    found = entry["values"] if isinstance(entry, Mapping) else {str(entry): seeds}
    undecided = found.get("None", 0)
    return f"{found.get('True', 0)}" + (f" ({undecided} open)" if undecided else "")
