"""What results.json and analysis.npz hold of one generator: plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import Clustering
from magan_jax.latent.geometry import Interval
from magan_jax.latent.invariance import Invariance
from magan_jax.latent.purity import Purity
from magan_jax.meta_analysis.claims.claim import TOO_FEW, Claim
from magan_jax.meta_analysis.findings import Findings
from magan_jax.meta_analysis.study import Study
from magan_jax.results import score_entry, training_entry

WITHOUT_A_PART = "a class loses its statistics when a part of the stream is left out: no interval"
"""Why there is no jackknife interval."""

_CLUSTERING_REASONS = ("cophenetic_reason", "cophenetic_interval_reason", "clusters_reason")

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Of the exits over random directions, in results.json."""


EPSILONS = ("the paper's ε", "debiased ε", "measured ε")
"""Names of the fields of `Purities`, for readers."""


def findings_results(findings: Findings, names: Sequence[str]) -> dict[str, Any]:
    """What results.json says of one trained generator; `names` are those of the classes."""
    return {
        "seed": findings.seed,
        "classifier": training_entry(findings.classifier.progress)
        | {"test_accuracy": findings.classifier.test_accuracy},
        "gan": training_entry(findings.gan.progress),
        "metrics": {name: score_entry(score) for name, score in findings.scores.items()},
        "analyses": [
            analysis_entry(study.analysis, study.clustering, study.invariance, names)
            for study in findings.studies
        ],
        "invariance": invariance_entry(findings.studies, names),
        "claims": [_claim_entry(claim) for claim in findings.claims],
    }


def _claim_entry(claim: Claim) -> dict[str, Any]:
    without = "no single number is claimed: intervals, where there are any, stand in `ours`"
    if claim.reason == TOO_FEW:
        without = TOO_FEW
    return claim._asdict() | {"low_high_reason": without if claim.low is None else None}


def analysis_entry(
    analysis: Analysis,
    clustering: Clustering | None,
    invariance: Invariance,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """One entry of `analyses` in results.json."""
    classes = []
    for k, name in enumerate(class_names):
        nearest = int(analysis.nearest[k])
        p_value = analysis.p_value[k, nearest] if nearest >= 0 else np.nan
        entry = {
            "label": k,
            "name": name,
            "count": int(analysis.counts[k]),
            "mean_label": int(analysis.mean_label[k]) if analysis.valid[k] else None,
            "mean_confidence": analysis.mean_confidence[k],
            "nearest": nearest if nearest >= 0 else None,
            "nearest_distance": analysis.nearest_distance[k],
            "nearest_distance_interval": _pair(analysis.nearest_distance_interval, k),
            "nearest_distance_debiased": analysis.nearest_distance_debiased[k],
            "nearest_distance_debiased_interval": _pair(
                analysis.nearest_distance_debiased_interval, k
            ),
            "spread": analysis.spread[k],
            "epsilon": analysis.epsilon[k],
            "epsilon_interval": _pair(analysis.epsilon_interval, k),
            "epsilon_debiased": analysis.epsilon_debiased[k],
            "epsilon_debiased_interval": _pair(analysis.epsilon_debiased_interval, k),
            "p_value": p_value,
            "exit_plus": invariance.plus[k],
            "exit_plus_censored": bool(invariance.plus_censored[k]),
            "exit_minus": invariance.minus[k],
            "exit_minus_censored": bool(invariance.minus_censored[k]),
        }
        entry["reason"] = _missing_class_reason(analysis, k, entry)
        classes.append(entry)
    found: dict[str, Any] = {
        "num_samples": analysis.num_samples,
        "distance_reason": _missing_distance_reason(analysis),
        "distance": analysis.distance,
        "distance_interval": list(analysis.distance_interval),
        "distance_debiased": analysis.distance_debiased,
        "distance_debiased_interval": list(analysis.distance_debiased_interval),
        "p_value": analysis.p_value,
        "p_value_reason": "null on the diagonal, for classes without statistics, and everywhere "
        "if no permutations were asked for",
        "classes": classes,
    }
    if clustering is None:
        reason = "fewer than three classes have statistics"
        empty = dict.fromkeys(("cophenetic", "cophenetic_interval", "clusters"))
        return found | empty | dict.fromkeys(_CLUSTERING_REASONS, reason)
    dendrograms = clustering.dendrograms
    known = np.isfinite([d.cophenetic_interval for d in dendrograms.values()]).all()
    return found | {
        **dict.fromkeys(_CLUSTERING_REASONS),  # the same keys in every seed
        "cophenetic_interval_reason": None if known else WITHOUT_A_PART,
        "cophenetic": {m: d.cophenetic for m, d in dendrograms.items()},
        "cophenetic_interval": {m: list(d.cophenetic_interval) for m, d in dendrograms.items()},
        "clusters": {
            "classes": clustering.classes,
            "flat": {m: d.flat for m, d in dendrograms.items()} | {"map": clustering.map_flat},
            "merges": {m: d.merges for m, d in dendrograms.items()},
            "support": {m: d.support for m, d in dendrograms.items()},
            "map": clustering.map,
            "map_stress": clustering.map_stress,
        },
    }


def _missing_distance_reason(analysis: Analysis) -> str | None:
    """Why distances or their intervals have nulls; None if they have none."""
    if not analysis.valid.all():
        return "null for classes without statistics"
    if not np.isfinite([analysis.distance_interval, analysis.distance_debiased_interval]).all():
        return WITHOUT_A_PART
    return None


def _missing_class_reason(analysis: Analysis, k: int, entry: Mapping[str, Any]) -> str | None:
    """Why an entry of a class has nulls; None if it has none."""
    if not analysis.valid[k]:
        return (
            f"{analysis.counts[k]} of {analysis.num_samples} latents have this label; statistics "
            "need two"
        )
    if analysis.nearest[k] < 0:
        return "no other class has statistics"
    if not np.isfinite(np.array(entry["epsilon_interval"], float)).all():
        return WITHOUT_A_PART
    if not np.isfinite(entry["p_value"]):
        return "no p-value: no permutations were asked for"
    return None


def invariance_entry(studies: Sequence[Study], class_names: Sequence[str]) -> dict[str, Any]:
    """`invariance` in results.json, per class: the last study's exits, and all purities."""
    invariance = studies[-1].invariance
    purities = {
        f"{of}, N = {study.analysis.num_samples:,}": purity
        for study in studies
        for of, purity in zip(EPSILONS, study.purities, strict=True)
    }
    classes = []
    for k, name in enumerate(class_names):
        known = invariance.prototype_label[k] >= 0
        random = invariance.random[k]
        classes.append(
            {
                "label": k,
                "name": name,
                "prototype_label": int(invariance.prototype_label[k]) if known else None,
                "plus": invariance.plus[k],
                "plus_censored": bool(invariance.plus_censored[k]),
                "minus": invariance.minus[k],
                "minus_censored": bool(invariance.minus_censored[k]),
                "random_quantiles": {
                    f"{q:g}": float(np.quantile(random, q, method="inverted_cdf"))
                    if known
                    else None
                    for q in QUANTILES
                },
                "random_censored": int(invariance.random_censored[k].sum()),
                "measured": invariance.measured[k],
                "measured_censored": bool(invariance.measured_censored[k]),
                "measured_interval": _pair(invariance.measured_interval, k),
                "purity": {
                    name: {
                        "epsilon": purity.epsilon[k],
                        "kept": int(purity.kept[k]) if np.isfinite(purity.fraction[k]) else None,
                        "total": purity.total,
                        "fraction": purity.fraction[k],
                        "interval": _pair(purity.interval, k),
                        "reason": _missing_purity_reason(purity, k),
                    }
                    for name, purity in purities.items()
                },
                "reason": _missing_exit_reason(invariance, k),
            }
        )
    return {
        "upper": invariance.upper,
        "num_directions": invariance.random.shape[1],
        "classes": classes,
    }


def _missing_purity_reason(purity: Purity, k: int) -> str | None:
    """Why no shift of a class was tried; None if some were."""
    if np.isfinite(purity.fraction[k]):
        return None
    if purity.epsilon[k] == 0:
        return "ε is 0: there is no shift to try"
    return "the class has no ε of this kind"


def _missing_exit_reason(invariance: Invariance, k: int) -> str | None:
    """Why an entry of a class has nulls; None if it has none."""
    if invariance.prototype_label[k] < 0:
        return "the class has no statistics, so no ray starts there"
    if not np.isfinite(invariance.measured_interval.high[k]):
        return (
            "too many directions keep the label up to the end of the search, or too few were tried"
        )
    return None


def analysis_arrays(studies: Sequence[Study]) -> dict[str, np.ndarray]:
    """The arrays of analysis.npz: `n<N>_counts`, `n<N>_mean`, …, and the measured exits.

    NaN marks classes without statistics.
    """
    arrays = {"num_samples": np.array([study.analysis.num_samples for study in studies])}
    for analysis, _, invariance, _ in studies:
        prefix = f"n{analysis.num_samples}_"
        for name in (
            "counts",
            "mean",
            "std",
            "distance",
            "distance_debiased",
            "epsilon",
            "epsilon_debiased",
            "nearest",
            "p_value",
        ):
            arrays[prefix + name] = getattr(analysis, name)
        for name, values in analysis.replicates._asdict().items():
            arrays[f"{prefix}replicate_{name}"] = values
        for name in ("plus", "minus", "random", "random_censored", "measured"):
            arrays[f"{prefix}exits_{name}"] = getattr(invariance, name)
    return arrays


def _pair(interval: Interval, k: int) -> list[float]:
    return [float(interval.low[k]), float(interval.high[k])]
