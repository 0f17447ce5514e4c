"""Claims about the class means: their labels, their distances, ε."""

from collections.abc import Sequence

import numpy as np

from magan_jax.latent.analysis import Analysis
from magan_jax.latent.geometry import noise_of_distances
from magan_jax.meta_analysis.claims.claim import Claim, claim_of_number, ends_at, shown_ends

TOP, TROUSERS, SHIRT = 0, 1, 6


def own_labels(small: Analysis, large: Analysis, names: Sequence[str]) -> Claim:
    """Whether C gives G's image of every class mean that class (Section 3)."""

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
    refuted = any(small.valid[k] and small.mean_label[k] != k for k in range(count))
    return Claim(
        "each class mean generates an image of its own class",
        "Section 3",
        f"{count} of {count}",
        f"{count - len(here)} of {count}",
        None,
        None,
        f"{count - len(there)} of {count}" + (f" ({'; '.join(there)})" if there else ""),
        False if refuted else (None if here else True),
        "; ".join(here) if here else "every mean keeps its label",
    )


def first_distance(small: Analysis, large: Analysis) -> Claim:
    """The distance of two class means that the paper reports (Section 4)."""
    i, j = TOP, TROUSERS
    noise = noise_of_distances(small.spread, small.counts)[i, j]
    return claim_of_number(
        "d(T-shirt/top, trousers) = 2.26",
        "Section 4, Figure 7",
        2.26,
        small,
        (small.distance[i, j], ends_at(small.distance_interval, i, j)),
        (large.distance[i, j], ends_at(large.distance_interval, i, j)),
        f"two equal means would lie {noise:.2f} apart from sampling noise alone; without it the "
        f"distance is {small.distance_debiased[i, j]:.2f} "
        f"{shown_ends(ends_at(small.distance_debiased_interval, i, j))}",
    )


def nearest_of_top(small: Analysis, large: Analysis, names: Sequence[str]) -> Claim:
    """Which class lies nearest to T-shirt/top, and how far (Figure 9)."""

    def found(analysis: Analysis) -> str:
        nearest = int(analysis.nearest[TOP])
        if nearest < 0:
            return "none"
        return f"{names[nearest]}, {analysis.nearest_distance[TOP]:.2f}"

    value, interval = small.nearest_distance[TOP], ends_at(small.nearest_distance_interval, TOP)
    others = np.sort(np.delete(small.distance[TOP], TOP))
    others = others[np.isfinite(others)]
    runner_up = f"the runner-up is {others[1] - others[0]:.2f} further; " if len(others) > 1 else ""
    nine = "nine" if len(others) == 9 else len(others)
    decided = claim_of_number(
        "the nearest class of T-shirt/top is shirt, at distance 2",
        "Section 4, Figure 9",
        2.0,
        small,
        (value, interval),
        (large.nearest_distance[TOP], ends_at(large.nearest_distance_interval, TOP)),
        f"{runner_up}d_min is the smallest of {nine} noisy distances, debiased "
        f"{small.nearest_distance_debiased[TOP]:.2f}",
    )
    holds = decided.holds
    if holds is not None:
        holds = bool(holds and small.nearest[TOP] == SHIRT)
    return decided._replace(paper="shirt, 2", ours=found(small), large=found(large), holds=holds)


def epsilon_of_top(small: Analysis, large: Analysis) -> Claim:
    """ε of T-shirt/top, Equation 3 (Algorithm 1, line 10; Figure 12)."""
    return claim_of_number(
        "ε of T-shirt/top = 0.2010",
        "Section 4, Figure 12",
        0.2010,
        small,
        (small.epsilon[TOP], ends_at(small.epsilon_interval, TOP)),
        (large.epsilon[TOP], ends_at(large.epsilon_interval, TOP)),
        f"ε = d_min/‖σ‖ with ‖σ‖ = {small.spread[TOP]:.2f}: it inherits the noise of d_min and "
        f"shrinks as N grows; debiased {small.epsilon_debiased[TOP]:.3f}",
    )


def distinct_means(small: Analysis, large: Analysis) -> Claim:
    """Whether all pairs of class means differ by more than noise (implied in Section 3)."""
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
