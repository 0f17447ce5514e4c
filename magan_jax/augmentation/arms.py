"""The ways of using a generator, or none, that are compared: one row of a table each.

An arm is given what few labels could tell (`Sources`) and never sees another label. An arm of
several variants is that variant which does best on the budget's validation images, seed by seed.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from magan_jax.augmentation.fitting import SHIFTED, UNMOVED, Moves
from magan_jax.augmentation.pools import (
    Pool,
    Relabelled,
    anchored_shifts,
    confident,
    half_made,
    half_real,
    labelled_by_features,
    labelled_by_tuning,
    measured_shifts,
    neighbourhoods,
    paper_shifts,
    pseudo_labelled,
    spread_over_a_graph,
)
from magan_jax.augmentation.rows import SoftBatch

Part = Callable[[SoftBatch], SoftBatch]
"""Some of a pool's images; variants of one pool share the work it makes."""


class Variant(NamedTuple):
    """One setting of an arm.

    Attributes:
        title: what sets it apart.
        pool: makes the synthetic images; None for none.
        moves: what every image may undergo in training, a synthetic one too.
        part: which of the pool's images.
    """

    title: str = ""
    pool: Pool | Relabelled | None = None
    moves: Moves = UNMOVED
    part: Part = lambda pool: pool


class Arm(NamedTuple):
    """A row of the comparison.

    Attributes:
        title: for tables and figures.
        variants: among which validation images choose; of equals the first.
        from_latents: it is built on the latent space: class statistics, exits or neighbourhoods.
    """

    title: str
    variants: tuple[Variant, ...]
    from_latents: bool = False


_NEAR, _FAR = partial(neighbourhoods, scale=0.4), partial(neighbourhoods, scale=0.8)

ARMS: dict[str, Arm] = {
    "real": Arm("real only", (Variant(),)),
    "classical": Arm(
        "real + classical",
        (
            Variant("shift 1", moves=SHIFTED),
            Variant("shift 2", moves=Moves(max_shift=2)),
            Variant("shift 1, mirror", moves=Moves(max_shift=1, mirror=True)),
        ),
    ),
    "pseudo": Arm("+ pseudo-labels", (Variant(pool=pseudo_labelled),)),
    "confident": Arm("+ confident pseudo-labels", (Variant(pool=confident),)),
    "paper": Arm("+ the paper's shifts", (Variant(pool=paper_shifts),), from_latents=True),
    "means": Arm("+ measured ε, means", (Variant(pool=measured_shifts),), from_latents=True),
    "anchors": Arm("+ measured ε, anchors", (Variant(pool=anchored_shifts),), from_latents=True),
    "neighbourhoods": Arm(
        "+ neighbourhood labels",
        (Variant("s = 0.8", _FAR), Variant("s = 0.4", _NEAR)),
        from_latents=True,
    ),
    "features": Arm(
        "+ labels by D's and neighbours' features, and shifts",
        (Variant(pool=labelled_by_features, moves=SHIFTED),),
        from_latents=True,
    ),
    "graph": Arm(
        "+ labels spread over a graph, and shifts",
        (Variant(pool=spread_over_a_graph, moves=SHIFTED, part=half_made),),
        from_latents=True,
    ),
    "tuned": Arm(
        "+ labels by the tuned encoder, and shifts",
        (Variant(pool=labelled_by_tuning, moves=SHIFTED, part=half_made),),
        from_latents=True,
    ),
    "mixture": Arm(
        "+ G's and real images, tuned labels, and shifts",
        (Variant(pool=labelled_by_tuning, moves=SHIFTED),),
        from_latents=True,
    ),
    "unlabelled": Arm(
        "+ real images alone, tuned labels, and shifts",
        (Variant(pool=labelled_by_tuning, moves=SHIFTED, part=half_real),),
    ),
    "combined": Arm(
        "+ neighbourhoods or anchors, and shifts",
        (
            Variant("s = 0.8", _FAR, SHIFTED),
            Variant("s = 0.4", _NEAR, SHIFTED),
            Variant("anchors", anchored_shifts, SHIFTED),
        ),
        from_latents=True,
    ),
}
"""By the name that `--arms` uses."""

BY_FEATURES = ("features", "graph", "tuned", "mixture", "unlabelled")
"""Arms that need features learned without labels."""

CONTROL = "unlabelled"
"""What arms with labels by features are held against: no image of G is learned from there."""

OF_NEIGHBOURHOODS = ("neighbourhoods", "combined")
"""Arms that need the mean label of latent neighbours."""

BASELINES = ("real", "classical")
"""What the others are held against."""
