"""Claims about shifts inside ε: along ±σ, and with random signs."""

from collections.abc import Sequence

import numpy as np

from magan_jax.claims.claim import TOO_FEW, Claim
from magan_jax.claims.study import Study
from magan_jax.latent.invariance import Purity


def along_sigma(small: Study, large: Study, names: Sequence[str]) -> Claim:
    """Whether the segment from −ε·σ to +ε·σ keeps every class (Equations 3 and 4)."""

    def leaving(study: Study) -> tuple[list[str], int]:
        """Directions that leave before ε, and of how many others it is not known."""
        left, unknown = [], 0
        for k, name in enumerate(names):
            epsilon, known = study.analysis.epsilon[k], study.invariance.prototype_label[k] >= 0
            if not (known and np.isfinite(epsilon)):
                unknown += 2
                continue
            for sign, end, censored in (
                ("+", study.invariance.plus[k], study.invariance.plus_censored[k]),
                ("−", study.invariance.minus[k], study.invariance.minus_censored[k]),
            ):
                if censored:  # followed to `end` only
                    unknown += int(end < epsilon)
                elif end < epsilon:
                    own = study.invariance.prototype_label[k] == k
                    place = f"at {sign}{end:.3f}σ" if own else f"towards {sign}σ at the mean itself"
                    left.append(f"{name} {place} (ε {epsilon:.3f})")
        return left, unknown

    count = 2 * len(names)

    def shown(left: list[str], unknown: int) -> str:
        of_others = f", {unknown} not known" if unknown else ""
        return f"{count - len(left) - unknown} of {count} directions{of_others}"

    here, unknown = leaving(small)
    return Claim(
        "the shift ±ε·σ, and any part of it, keeps the class",
        "Equations 3 and 4, Section 5, Figure 13",
        f"all {count} directions",
        shown(here, unknown),
        None,
        None,
        shown(*leaving(large)),
        False if here else (None if unknown else True),
        "ε is made of distances and knows nothing of labels; left early: " + ", ".join(here)
        if here
        else (
            f"{unknown} directions were not followed to ε, or their class has too few latents"
            if unknown
            else "no class leaves before its ε"
        ),
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
