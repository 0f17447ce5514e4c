"""The MAGAN paper's claims about Fashion-MNIST, each held against analyses of ours.

The paper reports one run of one GAN at N = 1000, without intervals. Each claim is decided at its
own N; beside it stands what a large N shows. A number of the paper's holds when it lies in the
95 % prediction interval of a second analysis of our generator (√2 times the width of a confidence
interval, since the paper's number is one draw too); how much GANs differ among themselves is not
in it. A statement holds when it is true of our run. Where the reason can be computed (sampling
noise of the means, above all), it is given with its numbers.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score

from magan_jax.data import Dataset
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import LINKAGES, Clustering, cut_map, scale_to_plane
from magan_jax.latent.geometry import Interval, noise_of_distances
from magan_jax.latent.invariance import Invariance, Purity

DATASET = "fashion_mnist"
PAPER_SAMPLES = 1000
PAPER_AVERAGE_COPHENETIC = 0.71
_TOP, _TROUSERS, _SHIRT = 0, 1, 6

WARD_CLUSTERS = ((9, 8, 5, 7), (4, 2, 6), (0, 1, 3))
"""Section 4: (ankle boot, bag, sandal, sneaker), (coat, pullover, shirt), (top, trousers,
dress)."""

MAP_CLUSTERS = ((1, 3), (6, 2, 4, 0), (7, 5, 9, 8))
"""Section 4: (trousers, dress), (shirt, pullover, coat, top), (sneaker, sandal, ankle boot,
bag)."""

_RESAMPLED = 50
"""Bootstrap samples whose clusters are compared."""
_TOO_FEW = "a class has too few latents for this"
_WRONG_N = f"the paper's number belongs to N = {PAPER_SAMPLES}"


class Study(NamedTuple):
    """What is known of one generator at one N.

    Attributes:
        analysis: class statistics.
        clustering: of the class means; None where there are too few classes.
        invariance: measured exits from these means.
        purity: of random shifts inside the paper's ε of this analysis.
    """

    analysis: Analysis
    clustering: Clustering | None
    invariance: Invariance
    purity: Purity


PAPER_NUMBERS: tuple[tuple[str, float, Callable[[Study], float]], ...] = (
    ("d(T-shirt/top, trousers)", 2.26, lambda s: s.analysis.distance[_TOP, _TROUSERS]),
    (
        "distance of T-shirt/top to its nearest class",
        2.0,
        lambda s: s.analysis.nearest_distance[_TOP],
    ),
    ("ε of T-shirt/top", 0.2010, lambda s: s.analysis.epsilon[_TOP]),
    (
        "cophenetic coefficient of average linkage",
        PAPER_AVERAGE_COPHENETIC,
        lambda s: s.clustering.dendrograms["average"].cophenetic if s.clustering else float("nan"),
    ),
)
"""Every number in Section 4, and how to take it from a study at the paper's N."""


class Claim(NamedTuple):
    """One claim and what became of it.

    Attributes:
        claim: what the paper says.
        where: in the paper.
        paper: its value.
        ours: our value at the paper's N.
        low, high: ends of the interval on which the decision rests; None where there is none.
        large: our value at the large N.
        holds: at the paper's N; None where the question cannot be decided.
        reason: why, with numbers.
    """

    claim: str
    where: str
    paper: str
    ours: str
    low: float | None
    high: float | None
    large: str
    holds: bool | None
    reason: str


def speaks_of(dataset: Dataset) -> bool:
    """Whether the paper's claims are about these data: Fashion-MNIST as published."""
    return dataset.name == DATASET and dataset.official is not False


def check_claims(small: Study, large: Study, class_names: Sequence[str]) -> list[Claim]:
    """Hold every claim against a study at the paper's N and one at a large N.

    Args:
        small: decides.
        large: what sampling noise hid.
        class_names: the ten names.
    """
    claims = [
        _own_labels(small.analysis, large.analysis, class_names),
        _first_distance(small.analysis, large.analysis),
        _nearest_of_top(small.analysis, large.analysis, class_names),
        _epsilon_of_top(small.analysis, large.analysis),
        _invariance_along_sigma(small, large, class_names),
        _invariance_of_random_signs(small.purity, large.purity, class_names),
        _distinct_means(small.analysis, large.analysis),
    ]
    if small.clustering is None or large.clustering is None:
        return claims
    claims.append(_linkages(small.clustering, large.clustering, small.analysis.num_samples))
    if min(len(small.clustering.classes), len(large.clustering.classes)) == len(class_names):
        pair = small.clustering, large.clustering
        claims.append(_clusters("Ward linkage", WARD_CLUSTERS, _ward_cut, *pair, class_names))
        claims.append(_clusters("the map (MDS)", MAP_CLUSTERS, _map_cut, *pair, class_names))
    return claims


def _own_labels(small: Analysis, large: Analysis, names: Sequence[str]) -> Claim:
    def wrong(analysis: Analysis) -> list[str]:
        return [
            f"{names[k]} gives {names[int(analysis.mean_label[k])]}"
            if analysis.valid[k]
            else f"{names[k]} has {analysis.counts[k]} latents"
            for k in range(len(names))
            if analysis.mean_label[k] != k
        ]

    here, there = wrong(small), wrong(large)
    count = len(names)
    return Claim(
        "each class mean generates an image of its own class",
        "Section 3",
        f"{count} of {count}",
        f"{count - len(here)} of {count}",
        None,
        None,
        f"{count - len(there)} of {count}" + (f" ({'; '.join(there)})" if there else ""),
        not here,
        "; ".join(here) if here else "every mean keeps its label",
    )


def _first_distance(small: Analysis, large: Analysis) -> Claim:
    i, j = _TOP, _TROUSERS
    noise = noise_of_distances(small.spread, small.counts)[i, j]
    return _number(
        "d(T-shirt/top, trousers) = 2.26",
        "Section 4, Figure 7",
        2.26,
        small,
        (small.distance[i, j], _at(small.distance_interval, i, j)),
        (large.distance[i, j], _at(large.distance_interval, i, j)),
        f"two equal means would lie {noise:.2f} apart from sampling noise alone; without it the "
        f"distance is {small.distance_debiased[i, j]:.2f} "
        f"{_range(_at(small.distance_debiased_interval, i, j))}",
    )


def _nearest_of_top(small: Analysis, large: Analysis, names: Sequence[str]) -> Claim:
    def found(analysis: Analysis) -> str:
        nearest = int(analysis.nearest[_TOP])
        if nearest < 0:
            return "none"
        return f"{names[nearest]}, {analysis.nearest_distance[_TOP]:.2f}"

    value, interval = small.nearest_distance[_TOP], _at(small.nearest_distance_interval, _TOP)
    others = np.sort(np.delete(small.distance[_TOP], _TOP))[:2]
    decided = _number(
        "the nearest class of T-shirt/top is shirt, at distance 2",
        "Section 4, Figure 9",
        2.0,
        small,
        (value, interval),
        (large.nearest_distance[_TOP], _at(large.nearest_distance_interval, _TOP)),
        f"the runner-up is {others[1] - others[0]:.2f} further; d_min is the smallest of nine "
        f"noisy distances, debiased {small.nearest_distance_debiased[_TOP]:.2f}",
    )
    holds = decided.holds
    if holds is not None:
        holds = bool(holds and small.nearest[_TOP] == _SHIRT)
    return decided._replace(paper="shirt, 2", ours=found(small), large=found(large), holds=holds)


def _epsilon_of_top(small: Analysis, large: Analysis) -> Claim:
    return _number(
        "ε of T-shirt/top = 0.2010",
        "Section 4, Figure 12",
        0.2010,
        small,
        (small.epsilon[_TOP], _at(small.epsilon_interval, _TOP)),
        (large.epsilon[_TOP], _at(large.epsilon_interval, _TOP)),
        f"ε = d_min/‖σ‖ with ‖σ‖ = {small.spread[_TOP]:.2f}: it inherits the noise of d_min and "
        f"shrinks as N grows; debiased {small.epsilon_debiased[_TOP]:.3f}",
    )


def _invariance_along_sigma(small: Study, large: Study, names: Sequence[str]) -> Claim:
    def leaving(study: Study) -> tuple[list[str], bool]:
        """Classes that leave before ε, and whether all others are known to stay."""
        left, decided = [], True
        for k, name in enumerate(names):
            epsilon, known = study.analysis.epsilon[k], study.invariance.prototype_label[k] >= 0
            if not (known and np.isfinite(epsilon)):
                decided = False
                continue
            for sign, end, censored in (
                ("+", study.invariance.plus[k], study.invariance.plus_censored[k]),
                ("−", study.invariance.minus[k], study.invariance.minus_censored[k]),
            ):
                if not censored and end < epsilon:
                    own = study.invariance.prototype_label[k] == k
                    place = f"at {sign}{end:.3f}σ" if own else f"towards {sign}σ at the mean itself"
                    left.append(f"{name} {place} (ε {epsilon:.3f})")
        return left, decided

    here, decided = leaving(small)
    there, _ = leaving(large)
    count = 2 * len(names)
    return Claim(
        "the shift ±ε·σ, and any part of it, keeps the class",
        "Equations 3 and 4, Section 5, Figure 13",
        f"all {count} directions",
        f"{count - len(here)} of {count} directions",
        None,
        None,
        f"{count - len(there)} of {count} directions",
        False if here else (True if decided else None),
        "ε is made of distances and knows nothing of labels; left early: " + ", ".join(here)
        if here
        else ("no class leaves before its ε" if decided else _TOO_FEW),
    )


def _invariance_of_random_signs(small: Purity, large: Purity, names: Sequence[str]) -> Claim:
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
        else ("no counterexample was drawn" if tried.all() else _TOO_FEW),
    )


def _distinct_means(small: Analysis, large: Analysis) -> Claim:
    pairs = np.triu_indices(len(small.counts), 1)

    def apart(analysis: Analysis) -> str:
        p = analysis.p_value[pairs]
        return f"{int(np.sum(p < 0.05))} of {int(np.sum(np.isfinite(p)))} pairs"

    p = small.p_value[pairs]
    holds = None
    if not np.isfinite(p).all():
        reason = "not every pair has a p-value: permutations or classes are missing"
    elif small.num_permutations < 20:
        reason = f"{small.num_permutations} permutations cannot give p < 0.05; 20 can"
    else:
        holds = bool((p < 0.05).all())
        reason = (
            "permutation test of each pair, distances in units of their noise; largest "
            f"p = {p.max():.3f}"
        )
    return Claim(
        "the class means are distinct points, so that distances between them mean something",
        "Section 3 (implied)",
        f"{len(p)} of {len(p)} pairs",
        f"{apart(small)} differ (p < 0.05)",
        None,
        None,
        f"{apart(large)} differ",
        holds,
        reason,
    )


def _linkages(small: Clustering, large: Clustering, num_samples: int) -> Claim:
    def ordered(clustering: Clustering) -> list[str]:
        return sorted(LINKAGES, key=lambda m: -clustering.dendrograms[m].cophenetic)

    def listed(clustering: Clustering, average: str = "") -> str:
        return ", ".join(
            f"{m} {clustering.dendrograms[m].cophenetic:.2f}{average if m == 'average' else ''}"
            for m in ordered(clustering)
        )

    average = small.dendrograms["average"]
    value = average.cophenetic
    low, high = _prediction(
        value, (float(average.cophenetic_interval.low), float(average.cophenetic_interval.high))
    )
    order = ordered(small)
    first, last = order[0] == "average", order[-1] == "single"
    known = np.isfinite([low, high]).all()
    within = bool(low <= PAPER_AVERAGE_COPHENETIC <= high)
    return Claim(
        "average linkage keeps the distances best, at 0.71; single linkage is the worst",
        "Section 4, Figure 11",
        "average 0.71, single last",
        listed(small, f" {_range((low, high))}".rstrip()),
        None,
        None,
        listed(large),
        (first and last and within) if known and num_samples == PAPER_SAMPLES else None,
        f"average is {'first' if first else 'not first'}"
        + (" (it is built to do well on this measure, so that says little)" if first else "")
        + f", single is {'last' if last else 'not last'}, 0.71 is "
        + (
            f"{'inside' if within else 'outside'} the interval of average" if known else "undecided"
        ),
    )


def _ward_cut(means: np.ndarray) -> np.ndarray:
    return fcluster(linkage(means, "ward"), 3, "maxclust")


def _map_cut(means: np.ndarray) -> np.ndarray:
    position, _ = scale_to_plane(squareform(pdist(means)))
    return cut_map(position, 3)


def _clusters(
    method: str,
    paper: tuple[tuple[int, ...], ...],
    cut: Callable[[np.ndarray], np.ndarray],
    small: Clustering,
    large: Clustering,
    names: Sequence[str],
) -> Claim:
    """Three clusters of ten classes; `cut(means [V, d]) -> [V]` makes them."""
    theirs = np.zeros(len(names), int)
    for number, members in enumerate(paper):
        theirs[list(members)] = number

    def of(clustering: Clustering) -> np.ndarray:
        if cut is _ward_cut:
            return fcluster(clustering.dendrograms["ward"].merges, 3, "maxclust")
        return cut_map(clustering.map, 3)

    def shown(flat: np.ndarray) -> str:
        return "; ".join(
            "(" + ", ".join(names[int(k)] for k in np.flatnonzero(flat == number)) + ")"
            for number in np.unique(flat)
        )

    here, there = of(small), of(large)
    resampled = [cut(means) for means in small.bootstrap_means[:_RESAMPLED]]
    stable = np.mean([adjusted_rand_score(here, flat) == 1 for flat in resampled])
    agreement = adjusted_rand_score(theirs, here)
    return Claim(
        f"three clusters by {method}",
        "Section 4, Figures 8 and 10",
        "; ".join("(" + ", ".join(names[k] for k in members) + ")" for members in paper),
        shown(here),
        None,
        None,
        shown(there),
        bool(np.isclose(agreement, 1)),
        f"adjusted Rand index with the paper's clusters {agreement:.2f}, at the large N "
        f"{adjusted_rand_score(theirs, there):.2f} (1 is equal, 0 is chance); a bootstrap sample "
        f"of our own latents gives our clusters again in {stable:.0%} of the cases",
    )


def _number(
    claim: str,
    where: str,
    paper: float,
    analysis: Analysis,
    small: tuple[float, tuple[float, float]],
    large: tuple[float, tuple[float, float]],
    reason: str,
) -> Claim:
    """A number of the paper's against the prediction interval of a second analysis."""
    value, interval = small
    low, high = _prediction(value, interval)
    known = np.isfinite([value, low, high]).all()
    same_n = analysis.num_samples == PAPER_SAMPLES
    if not known:
        holds, why = None, _TOO_FEW
    elif not same_n:
        holds, why = None, _WRONG_N
    else:
        holds, why = bool(low <= paper <= high), reason
    return Claim(
        claim,
        where,
        f"{paper:g}",
        f"{value:.3g}" if np.isfinite(value) else "none",
        *_ends(low, high),
        f"{large[0]:.3g} {_range(large[1])}" if np.isfinite(large[0]) else "none",
        holds,
        why,
    )


def _prediction(value: float, interval: tuple[float, float]) -> tuple[float, float]:
    """From the interval of a value to that of a second value drawn like it."""
    return (value - np.sqrt(2) * (value - interval[0]), value + np.sqrt(2) * (interval[1] - value))


def _at(interval: Interval, *index: int) -> tuple[float, float]:
    return float(interval.low[index]), float(interval.high[index])


def _range(ends: tuple[float, float]) -> str:
    return f"[{ends[0]:.3g}, {ends[1]:.3g}]" if np.isfinite(ends).all() else ""


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    if not np.isfinite([low, high]).all():
        return None, None
    return float(low), float(high)


def claims_markdown(claims: Sequence[Claim], small: int, large: int) -> str:
    """The claims as a table for a README: every cell from the run, none by hand."""
    verdict = {True: "yes", False: "**no**", None: "open"}
    lines = [
        f"| claim | paper | ours, N = {small:,} | ours, N = {large:,} | holds | why |",
        "|---|---|---|---|---|---|",
    ]
    for c in claims:
        ours = c.ours
        if c.low is not None and c.high is not None:
            ours += f" [{c.low:.3g}, {c.high:.3g}]"
        cells = (c.claim, c.paper, ours, c.large, verdict[c.holds], c.reason)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
