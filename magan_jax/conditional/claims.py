"""What the VAE report says, decided over seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.conditional.outcome import JudgedVAE, Outcomes
from magan_jax.conditional.systems import SYSTEMS, TABLE_4, Published
from magan_jax.conditional.trade_off import accuracy_at
from magan_jax.latent.scale_search import NUM_DRAWS, THETAS
from magan_jax.outcome import SHOWN, Verdict
from magan_jax.seeds import another_training, mean_over_seeds, why_no_interval
from magan_jax.tables import interval, markdown_table

COSINES = np.linspace(0.75, 0.95, 9)
"""Where two trade-offs are compared."""

ALIKE = 0.01
"""Two trade-offs whose accuracies surely differ by less than this are called the same."""

NARROW = 0.02
"""An interval that reaches farther than this to either side confirms no published number."""


class Claim(NamedTuple):
    """One claim and what became of it.

    Attributes:
        claim: what the report says.
        where: in the report.
        paper: its value.
        ours: ours, mean over seeds.
        interval: 95 %, over seeds; NaN with one seed. Of what cannot exceed 1 it ends there.
        verdict: `open` where the interval does not decide, or there is none.
        reason: what was compared with what.
    """

    claim: str
    where: str
    paper: str
    ours: str
    interval: tuple[float, float]
    verdict: Verdict
    reason: str


def check_claims(outcomes: Outcomes) -> list[Claim]:
    """All claims whose systems were trained, in the report's order."""
    claims = [_classifiers(outcomes)]
    if _trained(outcomes, "elbo_20", "mmd_20"):
        claims.append(_divergences_alike(outcomes))
    for name in ("elbo_20", "mmd_20"):
        if _trained(outcomes, name):
            claims += [
                _accuracy(outcomes, name, 0.9, 0.99, "near 100 %"),
                _accuracy(outcomes, name, 0.75, 0.95, "> 95 %"),
            ]
    claims += [
        claim
        for row in TABLE_4
        if row.theta is not None and _trained(outcomes, row.system)
        for claim in _table_row(outcomes, row)
    ]
    if _trained(outcomes, "mmd_10"):
        claims += _medium(outcomes, "mmd_10")
    return claims


def _trained(outcomes: Outcomes, *names: str) -> bool:
    return all(name in outcomes and bool(outcomes[name].judged) for name in names)


def _classifiers(outcomes: Outcomes) -> Claim:
    shares = [one.train_accuracy for o in outcomes.values() for one in o.judged]
    least = min(shares, default=float("nan"))
    # Each share is of as many images as the training set has: sampling noise is no matter here.
    verdict: Verdict = "open"
    if shares:
        verdict = "holds" if least > 0.97 else "does not hold"
    return Claim(
        "the classifier is right on more than 0.97 of the reconstructed training images",
        "Section 3.4",
        "> 0.97",
        f"{least:.4f}" if shares else "–",
        (float("nan"),) * 2,
        verdict,
        f"the least of {len(shares)} classifiers, one for each autoencoder and seed; "
        + ", ".join(
            f"{o.system.title}: {min(one.train_accuracy for one in o.judged):.3f}"
            for o in outcomes.values()
            if o.judged
        ),
    )


def _divergences_alike(outcomes: Outcomes) -> Claim:
    """A seed's two autoencoders share keys and draws, so that they are compared as a pair."""
    elbo, mmd = (
        {one.seed: accuracy_at(one.grid.scores, COSINES).mean() for one in outcomes[name].judged}
        for name in ("elbo_20", "mmd_20")
    )
    where = f"mean accuracy at cosines {COSINES[0]:.2f} to {COSINES[-1]:.2f}"
    claim = "ELBO and MMD trade accuracy for difference alike (d = 20)"
    differences = {seed: float(elbo[seed] - mmd[seed]) for seed in elbo if seed in mmd}
    beside = _not_finite(differences)
    if beside or not differences:
        reason = f"{beside}: a grid does not span them" if beside else "no seed has both"
        return _undecided(claim, "Section 4.3.1", "no difference", f"{where}; {reason}")
    mean, low, high = mean_over_seeds(list(differences.values()))
    verdict: Verdict = "open"
    if low > ALIKE or high < -ALIKE:
        verdict = "does not hold"
    elif low > -ALIKE and high < ALIKE:
        verdict = "holds"
    return Claim(
        claim,
        "Section 4.3.1",
        "no difference",
        f"{mean:+.4f}",
        (low, high),
        verdict,
        f"ELBO minus MMD of the same seed, {where}; it holds if the interval lies within ±{ALIKE}, "
        f"and does not if it lies beyond{_without_interval(list(differences.values()))}",
    )


def _accuracy(outcomes: Outcomes, name: str, cosine: float, least: float, paper: str) -> Claim:
    values = {
        one.seed: float(accuracy_at(one.grid.scores, cosine)) for one in outcomes[name].judged
    }
    claim = f"{SYSTEMS[name].title}: accuracy where the mean cosine is {cosine}"
    if beside := _not_finite(values):
        reason = f"{beside}: no sampler of the grid has so low a cosine"
        return _undecided(claim, "Figure 1", paper, reason)
    mean, low, high = mean_over_seeds(list(values.values()))
    verdict: Verdict = "open"
    if low > least:
        verdict = "holds"
    elif high < least:
        verdict = "does not hold"
    without = _without_interval(list(values.values()))
    reason = f"Simple, between two points of its grid; asked: {least}{without}"
    interval = (low, _at_most_one(high))
    return Claim(claim, "Figure 1", paper, f"{mean:.4f}", interval, verdict, reason)


def _table_row(outcomes: Outcomes, row: Published) -> list[Claim]:
    """The report's θ and n in our autoencoders: another training should give its numbers."""
    assert row.theta is not None
    place = np.isclose(THETAS, row.theta).argmax() * len(NUM_DRAWS) + NUM_DRAWS.index(row.num_draws)
    judged = outcomes[row.system].judged
    found: dict[str, tuple[float, Callable[[JudgedVAE], np.ndarray]]] = {
        "cosine": (row.cosine, lambda one: one.grid.scores.cosine[place]),
        "accuracy": (row.accuracy, lambda one: one.grid.scores.accuracy[place]),
    }
    claims = []
    for what, (paper, of) in found.items():
        values = [float(of(one).mean()) for one in judged]
        mean, low, high = another_training(values)
        verdict: Verdict = "open"
        if not low <= paper <= high:
            verdict = "does not hold" if np.isfinite(low) else "open"
        elif high - mean <= NARROW:
            verdict = "holds"
        claims.append(
            Claim(
                f"{SYSTEMS[row.system].title}, θ = {row.theta}, n = {row.num_draws}: {what}",
                "Table 4",
                f"{paper:.4f}",
                f"{mean:.4f}",
                (low, _at_most_one(high)),
                verdict,
                f"it holds if it lies in the interval for one more training, and that is no wider "
                f"than ±{NARROW}; the report's own sampling error is not known"
                + _without_interval(values),
            )
        )
    return claims


def _medium(outcomes: Outcomes, name: str) -> list[Claim]:
    """Medium 1 beside Simple: above its curve. How accurate it is stands in the reason: the report
    has more than 0.99, which with Eq. 4 is a matter of the accuracy's weight."""
    judged = outcomes[name].judged
    title, where = SYSTEMS[name].title, "Section 4.3.2"
    weights = [s.accuracy_weight for s in judged[0].samplers if s.kind == "medium1"]
    claims = []
    for weight in weights:
        chosen = [one.chosen("medium1", weight).scores for one in judged]
        above = {
            one.seed: float(s.accuracy.mean() - accuracy_at(one.grid.scores, s.cosine.mean()))
            for s, one in zip(chosen, judged, strict=True)
        }
        claim = f"{title}: Medium 1 (accuracy weighs {weight:g}) lies above Simple's curve"
        if beside := _not_finite(above):
            reason = f"{beside}: Simple has no sampler of that cosine"
            claims.append(_undecided(claim, where, "above", reason))
            continue
        mean, low, high = mean_over_seeds(list(above.values()))
        verdict: Verdict = "open"
        if low > 0 or high < 0:
            verdict = "holds" if low > 0 else "does not hold"
        cosine, accuracy = (
            np.mean([getattr(s, what).mean() for s in chosen]) for what in ("cosine", "accuracy")
        )
        claims.append(
            Claim(
                claim,
                where,
                "above",
                f"{mean:+.4f}",
                (low, high),
                verdict,
                f"its accuracy ({accuracy:.4f} at cosine {cosine:.4f}; the report: "
                f"{TABLE_4[-1].accuracy:.4f} at {TABLE_4[-1].cosine:.4f}) minus Simple's at the "
                f"same cosine{_without_interval(list(above.values()))}",
            )
        )
    return claims


def _undecided(claim: str, where: str, paper: str, reason: str) -> Claim:
    return Claim(claim, where, paper, "–", (float("nan"),) * 2, "open", reason)


def _without_interval(of_seeds: Sequence[float]) -> str:
    """The end of a reason: why there is no interval; empty where there is one."""
    why = why_no_interval(of_seeds)
    return f"; {why}" if why else ""


def _not_finite(of_seeds: Mapping[int, float]) -> str:
    """Seeds without a number, in words; empty if all have one."""
    seeds = [str(seed) for seed, value in of_seeds.items() if not np.isfinite(value)]
    return f"seed {', '.join(seeds)}" if seeds else ""


def _at_most_one(end: float) -> float:
    return end if np.isnan(end) else min(end, 1.0)


def claims_markdown(claims: Sequence[Claim]) -> str:
    """The claims as Markdown."""
    rows = []
    for one in claims:
        ends = f" {interval(one.interval, 4)}".rstrip()
        verdict = SHOWN[one.verdict]
        rows.append([one.claim, one.where, one.paper, one.ours + ends, verdict, one.reason])
    return markdown_table(["claim", "where", "report", "ours", "holds", "why"], rows)
