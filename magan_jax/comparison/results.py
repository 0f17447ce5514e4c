"""What results.json says of several systems: plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.comparison.orders import Order, difference
from magan_jax.comparison.outcome import Exploration, GANOutcome, JudgedGAN, Outcomes
from magan_jax.comparison.systems import SYSTEMS
from magan_jax.latent.invariance import Invariance
from magan_jax.outcome import SHOWN
from magan_jax.results import score_entry
from magan_jax.seeds import mean_of_known, over_seeds, why_no_interval
from magan_jax.tables import markdown_table, mean_and_std, number

METRICS = ("frechet_distance", "precision", "recall")
"""What the reports give, and what is followed over epochs."""


def systems_results(
    outcomes: Outcomes, orders: Sequence[Order], exploration: Exploration
) -> dict[str, Any]:
    """`methods`, `orders` and `exploration` of results.json."""
    return {
        "methods": {name: _method_entry(outcome) for name, outcome in outcomes.items()},
        "orders": [
            order_entry(order, outcomes)
            for order in orders
            if order.more in outcomes and order.less in outcomes
        ],
        "exploration": _exploration_entry(exploration),
    }


def _method_entry(outcome: GANOutcome) -> dict[str, Any]:
    judged = outcome.judged
    return {
        "title": outcome.system.title,
        "reported": outcome.system.reported._asdict(),
        "failure": outcome.failure,
        "seeds": [one.seed for one in judged],
        "ours": {
            name: over_seeds([one.scores[name].value for one in judged]) for name in _names(judged)
        },
        "measured_with": {name: _conditions(judged[0], name) for name in _names(judged)},
        "curves": {
            name: np.stack([one.gan.progress.history[name] for one in judged])
            for name in METRICS
            if judged
        },
        "latent": _latent_entry(judged),
        "encoder": {
            name: over_seeds([getattr(one.partition, name) for one in judged if one.partition])
            for name in ("purity", "hungarian", "nmi", "ari")
            if judged and judged[0].partition
        }
        or None,
        "missing_classes": [missing_classes(one) for one in judged],
        "epochs": judged[0].gan.progress.epochs if judged else None,
        "seconds": judged[0].gan.progress.seconds if judged else None,
    }


def missing_classes(judged: JudgedGAN) -> list[int]:
    """Classes that no latent of the analysis gives: a sign of collapse."""
    return [int(k) for k in np.flatnonzero(judged.analysis.counts == 0)]


def order_entry(order: Order, outcomes: Outcomes) -> dict[str, Any]:
    """One claimed order of two systems that were asked for, decided over the seeds of both."""
    pair = (order.more, order.less)
    both = [outcomes[name] for name in pair]
    entry = order._asdict() | {
        "titles": [_title(one) for one in both],
        "reported": [getattr(SYSTEMS[name].reported, order.metric) for name in pair],
        "difference": None,
        "interval": None,
        "verdict": "open",
    }
    of_seeds = [
        {judged.seed: judged.scores[order.metric].value for judged in one.judged} for one in both
    ]
    shared = [seed for seed in of_seeds[0] if seed in of_seeds[1]]
    if not shared:
        return entry | {"reason": "no seed of both could be judged"}
    values = [np.array([one[seed] for seed in shared]) for one in of_seeds]
    found = difference(*values)
    return entry | {
        "ours": [over_seeds(list(v)) for v in values],
        "difference": found.mean,
        "interval": [found.low, found.high],
        "verdict": found.verdict,
        "reason": why_no_interval(values[0] - values[1]),
    }


def _title(outcome: GANOutcome) -> str:
    """Of a system, and of which seeds it is where some could not be judged."""
    if not outcome.judged or outcome.failure is None:
        return outcome.system.title
    return f"{outcome.system.title} (seeds {', '.join(str(one.seed) for one in outcome.judged)})"


def systems_markdown(outcomes: Outcomes) -> str:
    """The table of all systems, as Markdown: each report's numbers and ours."""
    rows = []
    for outcome in outcomes.values():
        reported = [number(x, 2) for x in outcome.system.reported]
        ours = [
            mean_and_std(over_seeds([one.scores[name].value for one in outcome.judged]), 2)
            if outcome.judged
            else "failed"
            for name in METRICS
        ]
        rows.append([_title(outcome), *reported, *ours])
    scores = next((one.judged[0].scores for one in outcomes.values() if one.judged), None)
    if scores is not None:
        yardstick = [number(scores[name].yardstick, 2) for name in METRICS]
        rows.append(["*real test images*", "", "", "", *yardstick])
    columns = ["precision", "recall"]
    return markdown_table(
        ["system", "report: FID", *columns, "ours: Fréchet distance", *columns], rows
    )


def orders_markdown(entries: Sequence[Mapping[str, Any]]) -> str:
    """The claimed orders as Markdown, of what `order_entry` made of each."""
    rows = []
    for entry in entries:
        ours, difference_of = "–", "–"
        if entry["difference"] is not None:
            ours = ", ".join(mean_and_std(one, 2) for one in entry["ours"])
            difference_of = f"{_rounded([entry['difference']])[0]:+.2f}"
            if not np.isnan(entry["interval"]).any():
                difference_of += " [{:+.2f}, {:+.2f}]".format(*_rounded(entry["interval"]))
        rows.append(
            [
                entry["claim"],
                entry["metric"].replace("frechet", "Fréchet").replace("_", " "),
                *entry["titles"],
                ", ".join(number(x, 2) for x in entry["reported"]),
                ours,
                difference_of,
                SHOWN[entry["verdict"]],
            ]
        )
    return markdown_table(
        ["claim", "says: more of", "in", "than in", "report", "ours", "difference", "holds"], rows
    )


def _rounded(values: Sequence[float]) -> list[float]:
    """To two digits, without a negative zero."""
    return [round(float(x), 2) + 0.0 for x in values]


def _names(judged: Sequence[JudgedGAN]) -> list[str]:
    return list(judged[0].scores) if judged else []


def _conditions(judged: JudgedGAN, name: str) -> dict[str, Any]:
    """What a number depends on besides the images, and the real images' own value."""
    return {k: v for k, v in score_entry(judged.scores[name]).items() if k != "value"}


def _latent_entry(judged: Sequence[JudgedGAN]) -> dict[str, Any] | None:
    """The latent geometry of a system, in a few numbers per seed."""
    if not judged:
        return None
    analyses, exits = [one.analysis for one in judged], [one.exits for one in judged]

    own = [float(np.mean(a.mean_label == np.arange(len(a.counts)))) for a in analyses]
    return {
        "num_samples": analyses[0].num_samples,
        "means_with_own_label": over_seeds(own),
        "confidence_of_means": over_seeds([mean_of_known(a.mean_confidence) for a in analyses]),
        "nearest_distance_debiased": over_seeds(
            [mean_of_known(a.nearest_distance_debiased) for a in analyses]
        ),
        "spread": over_seeds([mean_of_known(a.spread) for a in analyses]),
        "epsilon_debiased": over_seeds([mean_of_known(a.epsilon_debiased) for a in analyses]),
        "epsilon_measured": over_seeds([mean_of_known(measured_exits(e)) for e in exits]),
        "classes_measured": over_seeds([np.isfinite(measured_exits(e)).sum() for e in exits]),
        "class_entropy": over_seeds([_entropy(a.counts) for a in analyses]),
    }


def measured_exits(exits: Invariance) -> np.ndarray:
    """`[K]`: measured ε; NaN where it is only a lower bound, and where the mean itself has another
    label: there is no way out of where one is not."""
    own = exits.prototype_label == np.arange(len(exits.measured))
    return np.where(own & ~exits.measured_censored, exits.measured, np.nan)


def _entropy(counts: np.ndarray) -> float:
    """Of the labels of random latents, in nats; log K where all classes are drawn alike."""
    share = counts[counts > 0] / counts.sum()
    return float(-np.sum(share * np.log(share)))


def _exploration_entry(exploration: Exploration) -> dict[str, Any]:
    ascent = exploration.ascent
    if ascent is None:
        return {"ascent": None}
    classes = np.unique(ascent.target)
    return {
        "ascent": {
            "system": exploration.ascent_of,
            "latents": len(ascent.target),
            "reached": float(ascent.reached.mean()),
            "confidence": float(ascent.after[ascent.reached].mean())
            if ascent.reached.any()
            else None,
            "by_class": [
                {
                    "label": int(k),
                    "reached": float(ascent.reached[ascent.target == k].mean()),
                    "before": float(ascent.before[ascent.target == k].mean()),
                    "after": float(ascent.after[ascent.target == k].mean()),
                }
                for k in classes
            ],
        }
    }
