"""Claims about shifts inside ε: along ±σ, and with random signs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.latent.purity import Purity
from magan_jax.meta_analysis.claims.claim import TOO_FEW, Claim
from magan_jax.meta_analysis.study import Study


class _Direction(NamedTuple):
    """One way out of a class mean, +σ or −σ.

    Attributes:
        title: class and sign.
        epsilon: the paper's ε of the class.
        end: how far the class was seen to be kept.
        censored: it was not followed further than that.
        place: where it leaves, in words.
        own: the mean itself has its class's label.
    """

    title: str
    epsilon: float
    end: float
    censored: bool
    place: str
    own: bool


def _directions(study: Study, names: Sequence[str]) -> list[_Direction]:
    """Of the classes that have an ε and a mean."""
    found = []
    for k, name in enumerate(names):
        epsilon, label = study.analysis.epsilon[k], study.invariance.prototype_label[k]
        if label < 0 or not np.isfinite(epsilon):
            continue
        for sign, end, censored in (
            ("+", study.invariance.plus[k], study.invariance.plus_censored[k]),
            ("−", study.invariance.minus[k], study.invariance.minus_censored[k]),
        ):
            own = label == k
            place = f"at {sign}{end:.3f}σ" if own else f"towards {sign}σ at the mean itself"
            title = f"{name} {sign}σ"
            found.append(_Direction(title, epsilon, end, censored, f"{name} {place}", own))
    return found


class _Against(NamedTuple):
    """What speaks against a claim about all directions.

    Attributes:
        directions: of which it is surely wrong.
        unknown: how many others may be right or wrong.
    """

    directions: list[_Direction]
    unknown: int


def _of_all_directions(
    title: str, source: str, total: int, small: _Against, large: _Against, reason: str
) -> Claim:
    """A claim that one direction refutes, and that no direction may leave open."""

    def shown(against: _Against) -> str:
        unknown = f", {against.unknown} not known" if against.unknown else ""
        holds = total - len(against.directions) - against.unknown
        return f"{holds} of {total} directions{unknown}"

    verdict = False if small.directions else (None if small.unknown else True)
    return Claim(
        title, source, f"all {total} directions", shown(small), None, None, shown(large), verdict,
        reason,
    )  # fmt: skip


def along_sigma(small: Study, large: Study, names: Sequence[str]) -> Claim:
    """Whether the segment from −ε·σ to +ε·σ keeps every class (Equations 3 and 4)."""
    total = 2 * len(names)

    def leaving(study: Study) -> _Against:
        """Directions that leave before ε."""
        known = _directions(study, names)
        reach = study.invariance.tolerance
        left = [one for one in known if not one.censored and one.end + reach < one.epsilon]
        short = left + [one for one in known if one.censored and one.end < one.epsilon]
        return _Against(left, total - len(known) + len(short) - len(left))

    here = leaving(small)
    if here.directions:
        places = ", ".join(f"{one.place} (ε {one.epsilon:.3f})" for one in here.directions)
        reason = f"ε is made of distances and knows nothing of labels; left early: {places}"
    elif here.unknown:
        reason = (
            f"{here.unknown} directions were not followed to ε, or their class has too few latents"
        )
    else:
        reason = "no class leaves before its ε"
    return _of_all_directions(
        "the shift ±ε·σ, and any part of it, keeps the class",
        "Equations 3 and 4, Section 5, Figure 13",
        total,
        here,
        leaving(large),
        reason,
    )


def beyond_epsilon(small: Study, large: Study, names: Sequence[str]) -> Claim:
    """Whether ε is where the class ends: Equation 4 has another class "otherwise", and Section 4
    keeps the class of T-shirt/top "until" its ε.

    Decided by first exits, to the tolerance of their bisection: a class whose mean has another
    label has none to leave, and what comes back further out is not seen.
    """
    total = 2 * len(names)

    def keeping(study: Study) -> _Against:
        """Directions that keep the class beyond ε."""
        known = [one for one in _directions(study, names) if one.own]
        kept = [one for one in known if one.end > one.epsilon]
        short = [one for one in known if one.censored and one.end <= one.epsilon]
        return _Against(kept, total - len(known) + len(short))

    here = keeping(small)
    unknown = (
        f"{here.unknown} directions were not followed to ε, or their class has too few latents or "
        "a mean with another label"
    )
    if kept := here.directions:
        times = [one.end / one.epsilon for one in kept]
        furthest = kept[int(np.argmax(times))]
        middle = np.median(times)
        bounds = [t for t, one in zip(times, kept, strict=True) if one.censored]
        reason = (
            f"no border lies at ε: {len(kept)} directions keep the class beyond it, the median one "
            f"to {'at least ' if min(bounds, default=np.inf) <= middle else ''}{middle:.1f} times "
            f"ε, {furthest.title} to {'at least ' if furthest.censored else ''}{max(times):.1f} "
            f"times{f'; {unknown}' if here.unknown else ''}"
        )
    elif here.unknown:
        reason = unknown
    else:
        reason = "every class has been left by its ε"
    return _of_all_directions(
        "beyond ±ε·σ the class is another",
        "Equation 4, Section 4",
        total,
        here,
        keeping(large),
        reason,
    )


def shifts_of_random_signs(small: Purity, large: Purity, names: Sequence[str]) -> Claim:
    """Whether shifts of random signs inside ε keep every class (Section 5, read widely)."""

    def worst(purity: Purity) -> int | None:
        return int(np.nanargmin(purity.fraction)) if np.isfinite(purity.fraction).any() else None

    def shown(purity: Purity, k: int | None) -> str:
        return "none" if k is None else f"{names[k]}: {purity.kept[k]} of {purity.total} shifts"

    k = worst(small)
    tried = np.isfinite(small.fraction)
    failing = [
        f"{names[i]} {small.fraction[i]:.1%}"
        for i in map(int, np.flatnonzero(tried))
        if small.kept[i] < small.total
    ]
    return Claim(
        "the latent space is invariant to shifts p·u∘σ, p uniform in [0, ε], u random signs",
        "Section 5 (read widely)",
        "all",
        f"worst class {shown(small, k)}",
        None if k is None else float(small.interval.low[k]),
        None if k is None else float(small.interval.high[k]),
        f"worst class {shown(large, worst(large))}",
        False if failing else (True if tried.all() else None),
        "kept less often than always: " + ", ".join(failing)
        if failing
        else ("no counterexample was drawn" if tried.all() else TOO_FEW),
    )
