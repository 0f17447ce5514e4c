"""Claims about shifts inside ε: along ±σ, and with random signs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from magan_jax.claims.claim import TOO_FEW, Claim
from magan_jax.claims.study import Study
from magan_jax.latent.invariance import Purity


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


def _shown(count: int, unknown: int, total: int) -> str:
    return f"{count} of {total} directions{f', {unknown} not known' if unknown else ''}"


def along_sigma(small: Study, large: Study, names: Sequence[str]) -> Claim:
    """Whether the segment from −ε·σ to +ε·σ keeps every class (Equations 3 and 4)."""
    total = 2 * len(names)

    def leaving(study: Study) -> tuple[list[_Direction], int]:
        """Directions that surely leave before ε, and of how many others it is not known."""
        known = _directions(study, names)
        reach = study.invariance.tolerance
        left = [one for one in known if not one.censored and one.end + reach < one.epsilon]
        short = left + [one for one in known if one.censored and one.end < one.epsilon]
        return left, total - len(known) + len(short) - len(left)

    def shown(left: list[_Direction], unknown: int) -> str:
        return _shown(total - len(left) - unknown, unknown, total)

    here, unknown = leaving(small)
    if here:
        places = ", ".join(f"{one.place} (ε {one.epsilon:.3f})" for one in here)
        reason = f"ε is made of distances and knows nothing of labels; left early: {places}"
    elif unknown:
        reason = f"{unknown} directions were not followed to ε, or their class has too few latents"
    else:
        reason = "no class leaves before its ε"
    return Claim(
        "the shift ±ε·σ, and any part of it, keeps the class",
        "Equations 3 and 4, Section 5, Figure 13",
        f"all {total} directions",
        shown(here, unknown),
        None,
        None,
        shown(*leaving(large)),
        False if here else (None if unknown else True),
        reason,
    )


def beyond_epsilon(small: Study, large: Study, names: Sequence[str]) -> Claim:
    """Whether ε is where the class ends: Equation 4 has another class "otherwise", and Section 4
    keeps the class of T-shirt/top "until" its ε.

    Decided by first exits, to the tolerance of their bisection: a class whose mean has another
    label has none to leave, and what comes back further out is not seen.
    """
    total = 2 * len(names)

    def keeping(study: Study) -> tuple[list[_Direction], int]:
        """Directions that keep the class beyond ε, and of how many others it is not known."""
        known = [one for one in _directions(study, names) if one.own]
        kept = [one for one in known if one.end > one.epsilon]
        short = [one for one in known if one.censored and one.end <= one.epsilon]
        return kept, total - len(known) + len(short)

    def shown(kept: list[_Direction], unknown: int) -> str:
        return _shown(total - len(kept) - unknown, unknown, total)

    here, unknown = keeping(small)
    if here:
        times = [one.end / one.epsilon for one in here]
        furthest = here[int(np.argmax(times))]
        middle = np.median(times)
        bounds = [t for t, one in zip(times, here, strict=True) if one.censored]
        reason = (
            f"no border lies at ε: {len(here)} directions keep the class beyond it, the middle one "
            f"to {'at least ' if min(bounds, default=np.inf) <= middle else ''}{middle:.1f} times "
            f"ε, {furthest.title} to {'at least ' if furthest.censored else ''}{max(times):.1f} "
            "times"
        )
    elif unknown:
        reason = (
            f"{unknown} directions were not followed to ε, or their class has too few latents, or "
            "a mean with another label"
        )
    else:
        reason = "every class has been left by its ε"
    return Claim(
        "beyond ±ε·σ the class is another",
        "Equation 4, Section 4",
        f"all {total} directions",
        shown(here, unknown),
        None,
        None,
        shown(*keeping(large)),
        False if here else (None if unknown else True),
        reason,
    )


def random_signs(small: Purity, large: Purity, names: Sequence[str]) -> Claim:
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
