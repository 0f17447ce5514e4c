"""What results.json says of the comparison of arms: plain values."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.augmentation.arms import ARMS, BASELINES, CONTRASTS, CONTROL, SHARES
from magan_jax.augmentation.bounds import BOUNDS
from magan_jax.augmentation.differences import PairedDifference, image_error, paired_differences
from magan_jax.augmentation.judging import PoolJudgement, hits
from magan_jax.augmentation.neighbourhoods import neighbourhood_entry
from magan_jax.augmentation.trial import ArmTrial, Trial
from magan_jax.seeds import over_seeds
from magan_jax.tables import markdown_table, mean_and_std
from magan_jax.training.engine import Batch

TITLES = {name: arm.title for name, arm in ARMS.items()} | {
    name: bound.title for name, bound in BOUNDS.items()
}
"""Of arms and bounds, by name."""

GOALS = {10: 0.05, 50: 0.03}
"""By labels per class: what an arm built on the latent space was hoped to gain over the stronger
baseline, in shares of the test images."""

_NO_INTERVAL = "one seed, or the same difference in all, has no interval"

_NO_BEST = "no arm is built on the latent space, or none has images in every seed"

_CERTAIN = 0.05
"""A corrected p-value below this is."""


def budget_entries(trials: Sequence[Trial], test_set: Batch) -> list[dict[str, Any]]:
    """An entry for each number of labels; the test images are read here and nowhere else."""
    numbers = sorted({trial.num_per_class for trial in trials})
    return [
        _budget_entry([trial for trial in trials if trial.num_per_class == n], n, test_set)
        for n in numbers
    ]


def _budget_entry(trials: Sequence[Trial], n: int, test_set: Batch) -> dict[str, Any]:
    arms = {name: [trial.arms[name] for trial in trials] for name in trials[0].arms}
    bounds = {name: [trial.bounds[name] for trial in trials] for name in trials[0].bounds}
    right = {
        name: np.stack([hits(one.classifier, test_set) for one in found])
        for name, found in (arms | bounds).items()
    }
    tested = {name: found.mean(axis=1) for name, found in right.items()}
    of_arms = {name: tested[name] for name in arms}
    # The stronger of the two, by the test images themselves: to the arms' disadvantage.
    baseline = max(BASELINES, key=lambda name: tested[name].mean())
    others = (*BASELINES, CONTROL) if CONTROL in arms else BASELINES
    against = {name: paired_differences(of_arms, name) for name in others}
    fitted = int((~trials[0].held_out).sum()) // trials[0].num_classes
    candidates = [name for name in ARMS if name in arms and ARMS[name].from_latents]
    best = _best({name: arms[name] for name in candidates})
    image_errors = {
        other: {name: image_error(right[name], right[other]) for name in found}
        for other, found in against.items()
    }
    contrasts = [
        {"arm": one, "minus": other, **_difference_entry(_difference_of(tested, one, other))}
        for one, other in CONTRASTS
        if one in arms and other in arms
    ]
    studied = neighbourhood_entry([trial.neighbourhoods for trial in trials])
    return {
        "num_per_class": n,
        "fitted_per_class": fitted,
        "seeds": [trial.seed for trial in trials],
        "baseline": baseline,
        "best": best,
        "best_reason": None if best else _NO_BEST,
        "goal": _goal(n, against[baseline], candidates, best) if best and n in GOALS else None,
        "goal_reason": _goal_reason(n, best),
        "arms": {
            name: _arm_entry(found, tested[name], [v.title for v in ARMS[name].variants])
            | {
                "from_latents": ARMS[name].from_latents,
                "against": {
                    other: _difference_entry(differences[name])
                    | {"image_error": image_errors[other][name]}
                    for other, differences in against.items()
                    if name in differences
                },
            }
            for name, found in arms.items()
        },
        "bounds": {
            name: _arm_entry(found, tested[name], [*SHARES]) for name, found in bounds.items()
        },
        "largest_image_error": max(image_errors[baseline].values()),
        "contrasts": contrasts,
        "neighbourhoods": studied,
        "neighbourhoods_reason": (None if studied else "no arm uses the labels of neighbourhoods"),
    }


def _goal(
    n: int, gains: Mapping[str, PairedDifference], candidates: Sequence[str], best: str
) -> dict[str, Any]:
    """Whether the best arm's gain is what was hoped for, and certain; and of what others it is.

    The best arm is named by validation images, so its gain needs no correction; an arm `also`
    listed is found among all by the test images, and must be certain after Holm's.
    """

    def enough(name: str) -> bool | None:
        if np.isnan(gains[name].low):
            return None
        return bool(gains[name].mean >= GOALS[n] and gains[name].low > 0)

    also = [x for x in candidates if x != best and enough(x) and gains[x].adjusted < _CERTAIN]
    reached = enough(best)
    reason = _NO_INTERVAL if reached is None else None
    return {"gain": GOALS[n], "reached": reached, "reason": reason, "also": also}


def _goal_reason(n: int, best: str | None) -> str | None:
    if n not in GOALS:
        return "no goal was set for so many labels"
    return None if best else _NO_BEST


def _best(candidates: Mapping[str, Sequence[ArmTrial]]) -> str | None:
    """The arm that validation images name, so that the test images choose nothing; of equals the
    first. None where each is without images in some seed."""
    means = {name: _validation(found) for name, found in candidates.items()}
    able = {name: round(mean, 9) for name, mean in means.items() if mean is not None}
    return max(able, key=lambda name: able[name], default=None)


def _validation(found: Sequence[ArmTrial]) -> float | None:
    """Mean validation accuracy of all variants that have images; None where none has in a seed.

    The chosen variant's would be the best of several tries, more of them in one arm than in
    another. So a poor variant speaks against an arm that seldom chooses it.
    """
    of_seeds = [
        [right for right, reason in zip(one.validation, one.failures, strict=True) if not reason]
        for one in found
    ]
    return float(np.mean([np.mean(one) for one in of_seeds])) if all(of_seeds) else None


def _difference_of(tested: Mapping[str, np.ndarray], one: str, other: str) -> PairedDifference:
    return paired_differences({name: tested[name] for name in (one, other)}, other)[one]


def _difference_entry(found: PairedDifference) -> dict[str, Any]:
    return found._asdict() | {"reason": _NO_INTERVAL if np.isnan(found.low) else None}


def _arm_entry(found: Sequence[ArmTrial], tested: np.ndarray, titles: list[str]) -> dict[str, Any]:
    pools = [one.pool for one in found if one.pool is not None]

    def of_pools(name: str) -> dict[str, Any] | None:
        """A number of each seed's pool; None where no pool has it."""
        values = [getattr(one.pool, name, float("nan")) for one in found]  # no pool: not a number
        return over_seeds(values) if np.isfinite(values).any() else None

    without = None if pools else "no synthetic images"
    diversity = of_pools("diversity")
    return {
        "test_accuracy": over_seeds(list(tested)),
        "variants": titles,
        "validation_accuracy": [list(one.validation) for one in found],
        "chosen_variant": [titles[one.chosen] for one in found],
        "without_images": _without_images(found, titles),
        "seeds_with_images": len(pools),
        "synthetic_images": of_pools("size"),
        "of_class": [p.of_class for p in pools],
        "classes_without_images": _classes_without_images(pools),
        "purity": of_pools("purity"),
        "diversity": diversity,
        "synthetic_images_reason": without,
        "purity_reason": without,
        "diversity_reason": None if diversity else "no synthetic images, or too few",
    }


def _without_images(found: Sequence[ArmTrial], titles: list[str]) -> list[dict[str, Any]]:
    """Of each variant, for which reasons it has no images, and in how many seeds."""
    reasons = Counter(
        (title, reason)
        for one in found
        for title, reason in zip(titles, one.failures, strict=True)
        if reason
    )
    return [
        {"variant": title, "reason": reason, "seeds": number}
        for (title, reason), number in reasons.items()
    ]


def _classes_without_images(pools: Sequence[PoolJudgement]) -> list[dict[str, int]]:
    """Which classes no image is labelled as, and in how many seeds that have images of others."""
    missing = np.sum([pool.of_class == 0 for pool in pools], axis=0)
    return [{"class": int(k), "seeds": int(missing[k])} for k in np.flatnonzero(missing)]


def augmentation_markdown(entries: Sequence[Mapping[str, Any]]) -> str:
    """Test accuracies, and in points the differences to the stronger baseline, as Markdown."""
    rows = []
    for name in (*entries[0]["arms"], *entries[0]["bounds"]):
        cells = [TITLES[name] if name in ARMS else f"*{TITLES[name]}*"]
        for entry in entries:
            one = (entry["arms"] | entry["bounds"])[name]
            cell = mean_and_std(one["test_accuracy"], 3)
            found = one.get("against", {}).get(entry["baseline"])
            if name == entry["baseline"]:
                cell += " (baseline)"
            elif found is not None:
                cell += f", {_difference(found)}"
            cells.append(cell)
        rows.append(cells)
    header = ["arm", *(f"{entry['num_per_class']} labels per class" for entry in entries)]
    return markdown_table(header, rows)


def _difference(found: Mapping[str, Any]) -> str:
    low, high = found["low"], found["high"]
    text = f"{100 * found['mean']:+.1f}"
    if low is not None and high is not None and np.isfinite([low, high]).all():
        text += f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return text
