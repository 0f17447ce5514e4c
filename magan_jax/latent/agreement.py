"""Is the latent geometry a property of the data or of the run? Several generators, compared.

Every comparison of two generators is a sum over pairs of classes of the product of two matrices,
scaled: Spearman's correlation of their distances or of their cophenetic distances (products of
standardised ranks), the adjusted Rand index of their flat clusters (joint membership), the share
of classes with the same nearest class. That makes the test cheap: under the null hypothesis that
a generator puts its classes in places that have nothing to do with their names, its classes may
be renamed at will (Mantel, 1967, for two matrices), which permutes the rows and columns.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.cluster.hierarchy import cophenet, fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata, t

from magan_jax.errors import check_positive, check_whole
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import LINKAGES


class Likeness(NamedTuple):
    """How alike S generators are in one respect.

    Attributes:
        pairs: `[S, S]`, 1 on the diagonal: 1 is equal, 0 (for `nearest`: `chance`) is chance.
        mean: over the pairs of different generators.
        low, high: its 95 % interval over generators (Student's t with S − 1 degrees of freedom),
            within [−1, 1]; NaN for fewer than three, or where all pairs are equally alike. Its
            variance is the jackknife's and, to be on the safe side, that of the pairs over their
            number, which the jackknife does not see where the generators fall into groups of one
            size.
        p_value: permutation p-value of a mean so large under classes renamed at random.
        chance: mean of `mean` under those permutations.
    """

    pairs: np.ndarray
    mean: float
    low: float
    high: float
    p_value: float
    chance: float


class Agreement(NamedTuple):
    """The geometries of S generators compared, on the classes that have statistics in all.

    Attributes:
        classes: `[V]`, these classes.
        distance: Spearman's correlation of the distances of class means; 0 with a generator whose
            distances are all equal, which have no order.
        nearest: share of classes with the same nearest class.
        cophenetic: by linkage, Spearman's correlation of the cophenetic distances: do the
            dendrograms join the same classes at the same rank?
        clusters: by linkage, adjusted Rand index of the cuts into `num_clusters`.
        num_clusters: of those cuts.
    """

    classes: np.ndarray
    distance: Likeness
    nearest: Likeness
    cophenetic: dict[str, Likeness]
    clusters: dict[str, Likeness]
    num_clusters: int


def compare_geometries(
    distances: Sequence[np.ndarray | Analysis],
    *,
    num_clusters: int = 3,
    num_permutations: int = 999,
    seed: int = 0,
) -> Agreement:
    """Compare the distances of the same classes in several generators.

    Args:
        distances: S ≥ 2 symmetric matrices `[K, K]`, or the `Analysis` of each generator; a
            class whose row is NaN in one of them is left out.
        num_clusters: of the flat cuts.
        num_permutations: behind each p-value; the smallest possible is 1/(B + 1).
        seed: of the permutations.

    Raises:
        ValueError: for fewer than two generators, fewer than three classes in common, matrices
            that are not square or of different sizes, and distances that are negative or, alone in
            their row, not finite.
    """
    num_permutations = check_whole("num_permutations", num_permutations, 0)
    seed = check_whole("seed", seed, 0)
    if isinstance(distances, Analysis):
        raise ValueError("distances is one Analysis; a list of two or more is needed.")
    given = [np.asarray(d.distance if isinstance(d, Analysis) else d) for d in distances]
    square = all(d.ndim == 2 and d.shape[0] == d.shape[1] for d in given)
    if len(given) < 2 or len({d.shape for d in given}) != 1 or not square:
        raise ValueError(
            f"distances have the shapes {[d.shape for d in given]}; two or more matrices "
            "[K, K] of one size are needed."
        )
    num_clusters = check_positive("num_clusters", num_clusters)
    found = np.stack(given).astype(np.float64)
    if not np.allclose(found, found.swapaxes(1, 2), rtol=1e-3, atol=1e-6, equal_nan=True):
        raise ValueError("distances are not symmetric; d[i, j] and d[j, i] must be the same.")
    if (found < 0).any():
        raise ValueError(f"distances go down to {np.nanmin(found):.3g}; none can be below 0.")
    off_diagonal = np.where(np.eye(found.shape[-1], dtype=bool), np.nan, found)
    classes = np.flatnonzero(np.isfinite(off_diagonal).any(-1).all(0))
    if len(classes) < 3:
        raise ValueError(
            f"{len(classes)} class(es) have statistics in all generators; comparing geometries "
            "needs at least 3."
        )
    num_clusters = min(num_clusters, len(classes))
    found = found[:, classes][:, :, classes]
    if not np.isfinite(found).all():
        raise ValueError(
            f"{np.sum(~np.isfinite(found))} distances of classes that have others are not finite; "
            "leave such a class out by a whole row and column of NaN."
        )
    random = np.random.default_rng(seed)
    names = [  # the first generator keeps its names
        np.stack([np.arange(len(classes))] + [random.permutation(len(classes)) for _ in found[1:]])
        for _ in range(num_permutations)
    ]
    trees = {m: [linkage(squareform(d, checks=False), m) for d in found] for m in LINKAGES}
    heights = {m: np.stack([squareform(cophenet(z)) for z in zs]) for m, zs in trees.items()}
    flats = {
        m: np.stack([fcluster(z, num_clusters, "maxclust") for z in zs]) for m, zs in trees.items()
    }
    return Agreement(
        classes,
        _likeness(_standardised_ranks(found), names),
        _likeness(_nearest(found), names),
        {m: _likeness(_standardised_ranks(h), names) for m, h in heights.items()},
        {m: _likeness(_joint_membership(f), names, _adjusted_rand) for m, f in flats.items()},
        num_clusters,
    )


def correlate_with(distances: Sequence[np.ndarray], reference: np.ndarray) -> np.ndarray:
    """Spearman's correlation `[S]` of each geometry with one of another kind, over their pairs.

    Args:
        distances: S matrices `[K, K]`.
        reference: `[K, K]`, distances of the classes' mean images for example. Pairs that are NaN
            in either are left out.
    """
    upper = np.triu_indices(len(reference), 1)
    result = []
    for matrix in distances:
        a, b = matrix[upper], reference[upper]
        both = np.isfinite(a) & np.isfinite(b)
        ranks = rankdata(a[both]), rankdata(b[both])
        result.append(np.corrcoef(*ranks)[0, 1] if both.sum() > 2 else np.nan)
    return np.array(result)


def _inner(matrices: np.ndarray) -> np.ndarray:
    """`[S, V, V] -> [S, S]`, sums of products."""
    flat = matrices.reshape(len(matrices), -1)
    return flat @ flat.T


_ROUNDING = 1e-9
"""Likenesses this close to one another are equal."""


def _likeness(
    matrices: np.ndarray,
    names: Sequence[np.ndarray],
    measure: Callable[[np.ndarray], np.ndarray] = _inner,
) -> Likeness:
    """All pairs of `matrices [S, V, V]`, and the same after renaming the classes of each."""
    pairs = measure(matrices)
    count = len(pairs)

    def mean(of: np.ndarray, without: int | None = None) -> float:
        left = np.delete(np.delete(of, without, 0), without, 1) if without is not None else of
        return float(left[np.triu_indices(len(left), 1)].mean())

    value = mean(pairs)
    which = np.arange(count)[:, None, None]
    by_chance = np.array(
        [mean(measure(matrices[which, new[:, :, None], new[:, None, :]])) for new in names]
    )
    low = high = np.nan
    of_pairs = pairs[np.triu_indices(count, 1)]
    if count > 2 and np.ptp(of_pairs) > _ROUNDING:  # equal ones do not show how much they differ
        without = np.array([mean(pairs, i) for i in range(count)])
        variance = (count - 1) / count * np.sum((without - without.mean()) ** 2)
        variance += of_pairs.var(ddof=1) / len(of_pairs)
        reach = t.ppf(0.975, count - 1) * np.sqrt(variance)
        low, high = max(value - reach, -1.0), min(value + reach, 1.0)
    # Ties count as at least as large; the tolerance keeps rounding from breaking them.
    reached = np.sum(by_chance >= value - _ROUNDING)
    p_value = (1 + reached) / (1 + len(names)) if names else np.nan
    chance = float(by_chance.mean()) if len(names) else np.nan
    return Likeness(pairs, value, low, high, float(p_value), chance)


def _adjusted_rand(together: np.ndarray) -> np.ndarray:
    """Adjusted Rand indices (Hubert and Arabie, 1985) from joint memberships `[S, V, V]`."""
    both = _inner(together) / 2
    own = np.diag(both)
    total = together.shape[-1] * (together.shape[-1] - 1) / 2
    expected = own[:, None] * own[None] / total
    largest = (own[:, None] + own[None]) / 2
    room = largest - expected
    # Both all in one cluster, or all apart: equal, as scikit-learn has it.
    return np.where(room == 0, 1.0, (both - expected) / np.where(room == 0, 1, room))


def _standardised_ranks(matrices: np.ndarray) -> np.ndarray:
    """Ranks of the entries above the diagonal, centred, of length 1; so in both triangles."""
    upper = np.triu_indices(matrices.shape[-1], 1)
    ranks = np.stack([rankdata(matrix[upper]) for matrix in matrices])
    ranks -= ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    standard = ranks / np.where(length == 0, 1, length)
    return np.stack([squareform(row) for row in standard]) / np.sqrt(2)


def _nearest(matrices: np.ndarray) -> np.ndarray:
    """1 where column j is the nearest class of row i, over the root of V."""
    count = matrices.shape[-1]
    apart = np.where(np.eye(count, dtype=bool), np.inf, matrices)
    return np.eye(count)[apart.argmin(-1)] / np.sqrt(count)


def _joint_membership(flats: np.ndarray) -> np.ndarray:
    """1 where two different classes share a cluster; flats `[S, V]`."""
    same = (flats[:, :, None] == flats[:, None, :]).astype(float)
    return same * (1 - np.eye(flats.shape[1]))
