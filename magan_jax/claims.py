"""The MAGAN paper's claims about Fashion-MNIST, each held against an analysis of ours.

The paper reports one run without intervals. A value "holds" when it lies in our 95 % interval; a
statement holds when it is true of our run. Where a claim fails for a reason that can be computed
(sampling noise of the class means, above all), the reason gives the number.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.metrics import adjusted_rand_score

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import LINKAGES, Clustering
from magan_jax.latent.invariance import Purity

DATASET = "fashion_mnist"
_TOP, _TROUSERS, _SHIRT = 0, 1, 6

WARD_CLUSTERS = ((9, 8, 5, 7), (4, 2, 6), (0, 1, 3))
"""Section 4: (ankle boot, bag, sandal, sneaker), (coat, pullover, shirt), (top, trousers,
dress)."""

MAP_CLUSTERS = ((1, 3), (6, 2, 4, 0), (7, 5, 9, 8))
"""Section 4: (trousers, dress), (shirt, pullover, coat, top), (sneaker, sandal, ankle boot,
bag)."""


_TOO_FEW = "a class has too few latents for a value with an interval"


class Claim(NamedTuple):
    """One claim and what became of it.

    Attributes:
        claim: what the paper says.
        where: in the paper.
        paper: its value.
        num_samples: N of the analysis it is held against.
        ours: our value, in words or numbers.
        low, high: ends of our 95 % interval; None where the value has none.
        holds: None where the question cannot be put to this run.
        reason: why, with numbers.
    """

    claim: str
    where: str
    paper: str
    num_samples: int
    ours: str
    low: float | None
    high: float | None
    holds: bool | None
    reason: str


def check_claims(
    dataset: str,
    analysis: Analysis,
    clustering: Clustering | None,
    purity: Purity,
    class_names: Sequence[str],
) -> list[Claim]:
    """Hold every claim against one analysis.

    Args:
        dataset: name of the data set; the claims are about Fashion-MNIST.
        analysis: class statistics at some N.
        clustering: of its means; None if there were too few classes.
        purity: of the paper's ε of this analysis.
        class_names: K names.
    """
    if dataset != DATASET:
        return []
    n = analysis.num_samples
    claims = [_own_labels(analysis, class_names), _first_distance(analysis)]
    claims += [_nearest_of_top(analysis, class_names), _epsilon_of_top(analysis)]
    claims.append(_invariance(purity, n, class_names))
    claims.append(_distinct_means(analysis))
    if clustering is not None:
        claims.append(_linkages(clustering, n))
        if len(clustering.classes) == analysis.counts.size:
            ward = clustering.dendrograms["ward"].flat
            claims.append(
                _clusters("Ward linkage", WARD_CLUSTERS, ward, clustering, n, class_names)
            )
            claims.append(
                _clusters(
                    "the map (MDS)", MAP_CLUSTERS, clustering.map_flat, clustering, n, class_names
                )
            )
    return claims


def _own_labels(analysis: Analysis, names: Sequence[str]) -> Claim:
    own = analysis.mean_label == np.arange(len(names))
    wrong = [
        f"{names[k]} gives {names[int(analysis.mean_label[k])]}"
        if analysis.valid[k]
        else f"{names[k]} has {analysis.counts[k]} latents"
        for k in map(int, np.flatnonzero(~own))
    ]
    return Claim(
        "each class mean generates an image of its own class",
        "Section 3",
        "10 of 10",
        analysis.num_samples,
        f"{own.sum()} of {len(own)}",
        None,
        None,
        bool(own.all()),
        "; ".join(wrong) if wrong else "every mean keeps its label",
    )


def _first_distance(analysis: Analysis) -> Claim:
    i, j = _TOP, _TROUSERS
    value = analysis.distance[i, j]
    low, high = (end[i, j] for end in analysis.distance_interval)
    debiased = analysis.distance_debiased[i, j]
    d_low, d_high = (end[i, j] for end in analysis.distance_debiased_interval)
    noise = _noise(analysis, i, j)
    return _value_claim(
        "d(T-shirt/top, trousers) = 2.26",
        "Section 4, Figure 7",
        2.26,
        analysis.num_samples,
        value,
        low,
        high,
        f"two equal means would lie {noise:.2f} apart from sampling noise alone; without it the "
        f"distance is {debiased:.2f} [{d_low:.2f}, {d_high:.2f}], p = {analysis.p_value[i, j]:.3f}",
    )


def _nearest_of_top(analysis: Analysis, names: Sequence[str]) -> Claim:
    statement = (
        "the nearest class of T-shirt/top is shirt, at distance 2",
        "Section 4, Figure 9",
        "shirt, 2",
        analysis.num_samples,
    )
    nearest = int(analysis.nearest[_TOP])
    if nearest < 0:
        return Claim(*statement, "none", None, None, None, _TOO_FEW)
    value = analysis.nearest_distance[_TOP]
    low, high = (end[_TOP] for end in analysis.nearest_distance_interval)
    others = np.sort(np.delete(analysis.distance[_TOP], _TOP))
    known = np.isfinite([low, high, others[1]]).all()
    return Claim(
        *statement,
        f"{names[nearest]}, {value:.2f}",
        *_ends(low, high),
        bool(nearest == _SHIRT and low <= 2.0 <= high) if known else None,
        f"the runner-up is {others[1] - others[0]:.2f} further; noise alone puts equal means "
        f"{_noise(analysis, _TOP, nearest):.2f} apart; debiased d_min is "
        f"{analysis.nearest_distance_debiased[_TOP]:.2f}"
        if known
        else _TOO_FEW,
    )


def _epsilon_of_top(analysis: Analysis) -> Claim:
    value = analysis.epsilon[_TOP]
    low, high = (end[_TOP] for end in analysis.epsilon_interval)
    return _value_claim(
        "ε of T-shirt/top = 0.2010",
        "Section 4, Figure 12",
        0.2010,
        analysis.num_samples,
        value,
        low,
        high,
        f"ε = d_min/‖σ‖ with ‖σ‖ = {analysis.spread[_TOP]:.2f}, so it inherits the noise of d_min "
        f"and shrinks as N grows; debiased {analysis.epsilon_debiased[_TOP]:.3f}",
    )


def _invariance(purity: Purity, num_samples: int, names: Sequence[str]) -> Claim:
    tried = np.isfinite(purity.fraction)
    if not tried.any():
        return Claim(
            "every shift within ε·σ of the mean keeps the class",
            "Sections 4 and 5, Figure 13",
            "all",
            num_samples,
            "no class has an ε",
            None,
            None,
            None,
            "nothing to test",
        )
    worst = int(np.nanargmin(purity.fraction))
    failing = [
        f"{names[k]} {purity.fraction[k]:.1%}"
        for k in map(int, np.flatnonzero(tried))
        if purity.kept[k] < purity.total
    ]
    return Claim(
        "every shift within ε·σ of the mean keeps the class",
        "Sections 4 and 5, Figure 13",
        "all",
        num_samples,
        f"worst class {names[worst]}: {purity.kept[worst]} of {purity.total} random shifts",
        float(purity.interval.low[worst]),
        float(purity.interval.high[worst]),
        not failing and bool(tried.all()),
        "ε is made of distances and knows nothing of labels; kept less often: " + ", ".join(failing)
        if failing
        else f"no counterexample in {purity.total} shifts of each class "
        "(Clopper–Pearson interval of the worst)",
    )


def _distinct_means(analysis: Analysis) -> Claim:
    pairs = np.triu_indices(len(analysis.counts), 1)
    p = analysis.p_value[pairs]
    p = p[np.isfinite(p)]
    apart = int(np.sum(p < 0.05))
    return Claim(
        "the class means are distinct points, so that distances between them mean something",
        "Section 3 (implied)",
        "all pairs",
        analysis.num_samples,
        f"{apart} of {len(p)} pairs differ (p < 0.05)",
        None,
        None,
        None if not len(p) else apart == len(p),
        "permutation test: distances under shuffled labels against the distances found; largest "
        f"p = {p.max():.3f}"
        if len(p)
        else "no permutations were asked for",
    )


def _linkages(clustering: Clustering, num_samples: int) -> Claim:
    found = {method: clustering.dendrograms[method].cophenetic for method in LINKAGES}
    order = sorted(found, key=lambda method: -found[method])
    average = clustering.dendrograms["average"]
    listed = ", ".join(f"{method} {found[method]:.2f}" for method in order)
    interval = average.cophenetic_interval
    first, last = order[0] == "average", order[-1] == "single"
    return Claim(
        "average linkage keeps the distances best, at 0.71; single linkage is the worst",
        "Section 4, Figure 11",
        "average 0.71, single last",
        num_samples,
        listed,
        *_ends(float(interval.low), float(interval.high)),
        first and last,
        f"average is {'first' if first else 'not first'}, single is "
        f"{'last' if last else 'not last'}; the interval is that of average linkage"
        + (
            ""
            if first
            else "; average linkage is built to do well on this measure, so the order says little"
        ),
    )


def _clusters(
    method: str,
    paper: tuple[tuple[int, ...], ...],
    flat: np.ndarray,
    clustering: Clustering,
    num_samples: int,
    names: Sequence[str],
) -> Claim:
    theirs = np.zeros(len(names), int)
    for number, members in enumerate(paper):
        theirs[list(members)] = number
    agreement = adjusted_rand_score(theirs, flat)
    ours = "; ".join(
        "(" + ", ".join(names[int(k)] for k in np.flatnonzero(flat == c)) + ")"
        for c in np.unique(flat)
    )
    wanted = "; ".join("(" + ", ".join(names[k] for k in members) + ")" for members in paper)
    support = clustering.dendrograms["ward" if "Ward" in method else "average"].support
    weakest = support[:-1].min() if len(support) > 1 else np.nan
    return Claim(
        f"three clusters by {method}",
        "Section 4, Figures 8 and 10",
        wanted,
        num_samples,
        ours,
        None,
        None,
        bool(np.isclose(agreement, 1)),
        f"adjusted Rand index with the paper's clusters {agreement:.2f} (1 is equal, 0 is "
        f"chance); the weakest merge of our tree is in {weakest:.0%} of the bootstrap trees",
    )


def _value_claim(
    claim: str,
    where: str,
    paper: float,
    num_samples: int,
    value: float,
    low: float,
    high: float,
    reason: str,
) -> Claim:
    known = np.isfinite([value, low, high]).all()
    return Claim(
        claim,
        where,
        f"{paper:g}",
        num_samples,
        f"{value:.3g}" if np.isfinite(value) else "none",
        *_ends(low, high),
        bool(low <= paper <= high) if known else None,
        reason if known else _TOO_FEW,
    )


def _noise(analysis: Analysis, i: int, j: int) -> float:
    """Root of the expected squared distance of two equal means: √(s_i²/n_i + s_j²/n_j)."""
    share = analysis.spread**2 / np.maximum(analysis.counts, 1)
    return float(np.sqrt(share[i] + share[j]))


def _ends(low: float, high: float) -> tuple[float | None, float | None]:
    if not np.isfinite([low, high]).all():
        return None, None
    return float(low), float(high)
