"""How well a grouping of examples agrees with their true classes.

What clustering papers call accuracy is one of two things: purity (each group is given its most
frequent class; more groups can only help) or Hungarian accuracy (groups and classes are matched
one to one). ClusterGAN's published "accuracy" is purity; all four measures are given here.
"""

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix


class PartitionScores(NamedTuple):
    """Agreement of groups with classes; 1 is equal.

    Attributes:
        purity: share of the examples that are of their group's most frequent class.
        hungarian: share that is right under the best one-to-one matching of groups and classes.
        nmi: mutual information over the arithmetic mean of both entropies.
        ari: adjusted Rand index; 0 is what chance gives.
    """

    purity: float
    hungarian: float
    nmi: float
    ari: float


def partition_scores(groups: np.ndarray, classes: np.ndarray) -> PartitionScores:
    """Compare the group of each example with its class.

    Args:
        groups: int `[n]`, any numbering.
        classes: int `[n]`.

    Raises:
        ValueError: for arrays of different length, or empty ones.
    """
    groups, classes = np.asarray(groups), np.asarray(classes)
    if groups.ndim != 1 or groups.shape != classes.shape or not groups.size:
        raise ValueError(
            f"groups and classes have the shapes {groups.shape} and {classes.shape}; both must be "
            "[n] with the same n ≥ 1."
        )
    counts = contingency_matrix(classes, groups)
    return PartitionScores(
        purity=float(counts.max(axis=0).sum() / len(classes)),
        hungarian=float(counts[linear_sum_assignment(counts, maximize=True)].sum() / len(classes)),
        nmi=float(normalized_mutual_info_score(classes, groups)),
        ari=float(adjusted_rand_score(classes, groups)),
    )
