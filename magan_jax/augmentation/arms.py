"""The ways of using a generator, or none, that are compared: one row of a table each.

An arm is given what few labels could tell (`Sources`) and never sees another label. An arm of
several variants is that variant which does best on the budget's validation images, seed by seed:
so are chosen how much of a batch is synthetic, a threshold, ε or s, and how images are moved.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Literal, NamedTuple

from magan_jax.augmentation.encoded import encoded_classes, encoded_images, encoded_means
from magan_jax.augmentation.fitting import HALF, MOST, SHIFTED, UNMOVED, Moves
from magan_jax.augmentation.pools import (
    Derived,
    Pool,
    around_anchors,
    around_means,
    half_made,
    half_real,
    hardened,
    labelled_by_features,
    labelled_by_tuning,
    labelled_latents,
    neighbourhoods,
    paper_shifts,
    pseudo_labelled,
    shifts,
    softly_labelled,
    spread_over_a_graph,
    sure,
)
from magan_jax.augmentation.rows import SoftBatch

Part = Callable[[SoftBatch], SoftBatch]
"""Some of a pool's images, or their labels made hard; variants of one pool share its work."""


Need = Literal["features", "autoencoder", "neighbourhoods"]
"""Features learned without labels, an autoencoder, the mean label of latent neighbours."""


class Variant(NamedTuple):
    """One setting of an arm.

    Attributes:
        title: what sets it apart.
        pool: makes the synthetic images; None for none.
        moves: what every image may undergo in training, a synthetic one too; or the name of an
            arm: then as the images of that arm's chosen variant.
        part: what of the pool.
        share: of each batch that is synthetic.
    """

    title: str = ""
    pool: Pool | Derived | None = None
    moves: Moves | str = UNMOVED
    part: Part = lambda pool: pool
    share: float = HALF


class Arm(NamedTuple):
    """A row of the comparison.

    Attributes:
        title: for tables and figures.
        variants: among which validation images choose; of equals the first.
        from_latents: it is built on the latent space: class statistics, exits or neighbourhoods.
        needs: what is trained or measured for it besides the GAN.
    """

    title: str
    variants: tuple[Variant, ...]
    from_latents: bool = False
    needs: tuple[Need, ...] = ()


SHARES = {"half of a batch": HALF, "nine tenths of a batch": MOST}
"""How much of a batch may be synthetic, by title."""


def _with_more(*variants: Variant) -> tuple[Variant, ...]:
    """The variants, with half of each batch synthetic; and the first with nine tenths.

    Where the first has no title, the shares are the titles.
    """
    first, (half, most) = variants[0], SHARES
    more = f"{first.title}, {most}" if first.title else most
    named = first._replace(title=first.title or half)
    return (named, *variants[1:], first._replace(title=more, share=SHARES[most]))


def _around(draw: Callable[..., SoftBatch], theta: float) -> Derived:
    """A pool drawn around encodings, which all such pools share."""
    return Derived(encoded_classes, partial(draw, theta=theta))


_MEANS, _ANCHORS = Derived(around_means, shifts), Derived(around_anchors, shifts)
_HALFWAY = partial(shifts, reach=0.5)
_SURE, _LESS_SURE = (Derived(labelled_latents, partial(sure, at_least=p)) for p in (0.9, 0.7))
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
    "pseudo": Arm("+ pseudo-labels", _with_more(Variant(pool=pseudo_labelled))),
    "soft": Arm("+ soft pseudo-labels", _with_more(Variant(pool=softly_labelled))),
    "confident": Arm(
        "+ confident pseudo-labels",
        _with_more(Variant("from 0.9", _SURE), Variant("from 0.7", _LESS_SURE)),
    ),
    "paper": Arm(
        "+ the paper's shifts",
        _with_more(
            Variant("its ε", paper_shifts),
            Variant("debiased", partial(paper_shifts, debiased=True)),
        ),
        from_latents=True,
    ),
    "means": Arm(
        "+ measured ε, means",
        _with_more(Variant("ε", _MEANS), Variant("ε / 2", _MEANS._replace(then=_HALFWAY))),
        from_latents=True,
    ),
    "anchors": Arm(
        "+ measured ε, anchors",
        _with_more(Variant("ε", _ANCHORS), Variant("ε / 2", _ANCHORS._replace(then=_HALFWAY))),
        from_latents=True,
    ),
    "neighbourhoods": Arm(
        "+ neighbourhood labels",
        _with_more(Variant("s = 0.8", _FAR), Variant("s = 0.4", _NEAR)),
        from_latents=True,
        needs=("neighbourhoods",),
    ),
    "hardened": Arm(
        "+ hard neighbourhood labels",
        _with_more(
            Variant("s = 0.8", _FAR, part=hardened), Variant("s = 0.4", _NEAR, part=hardened)
        ),
        from_latents=True,
        needs=("neighbourhoods",),
    ),
    "features": Arm(
        "+ labels by D's and neighbours' features + classical",
        _with_more(Variant(pool=labelled_by_features, moves="classical")),
        from_latents=True,
        needs=("features",),
    ),
    "graph": Arm(
        "+ labels spread over a graph + classical",
        _with_more(Variant(pool=spread_over_a_graph, moves="classical", part=half_made)),
        from_latents=True,
        needs=("features",),
    ),
    "tuned": Arm(
        "+ labels by the tuned encoder + classical",
        _with_more(Variant(pool=labelled_by_tuning, moves="classical", part=half_made)),
        from_latents=True,
        needs=("features",),
    ),
    "mixture": Arm(
        "+ G's and real images, tuned labels + classical",
        _with_more(Variant(pool=labelled_by_tuning, moves="classical")),
        from_latents=True,
        needs=("features",),
    ),
    "unlabelled": Arm(
        "+ real images alone, tuned labels + classical",
        _with_more(Variant(pool=labelled_by_tuning, moves="classical", part=half_real)),
        needs=("features",),
    ),
    "encoded_means": Arm(
        "+ an autoencoder's images around class means + classical",
        _with_more(
            *(
                Variant(f"θ = {theta:g}", _around(encoded_means, theta), "classical")
                for theta in (1.0, 0.5)
            )
        ),
        # not from_latents: an autoencoder's, of which the question about a GAN does not speak
        needs=("autoencoder",),
    ),
    "encoded_images": Arm(
        "+ an autoencoder's images around single ones + classical",
        _with_more(
            *(
                Variant(f"θ = {theta:g}", _around(encoded_images, theta), "classical")
                for theta in (0.5, 0.25)
            )
        ),
        # not from_latents: an autoencoder's, of which the question about a GAN does not speak
        needs=("autoencoder",),
    ),
    "combined": Arm(
        "+ pseudo-labels, shifts or neighbourhoods + classical",
        (
            Variant("s = 0.8", _FAR, "classical"),
            Variant("s = 0.4", _NEAR, "classical"),
            Variant("anchors", _ANCHORS, "classical"),
            Variant("means", _MEANS, "classical"),
            Variant("the paper's", paper_shifts, "classical"),
            Variant("pseudo", pseudo_labelled, "classical"),
            Variant("from 0.9", _SURE, "classical"),
        ),  # not from_latents: it may come to plain pseudo-labels
        needs=("neighbourhoods",),
    ),
}
"""By the name that `--arms` uses."""

CONTROL = "unlabelled"
"""What arms with labels by features are held against: no image of G is learned from there."""

CONTRASTS = (
    ("soft", "pseudo"),
    ("neighbourhoods", "hardened"),
    ("hardened", "pseudo"),
    ("neighbourhoods", "soft"),
)
"""Arm minus arm: what soft labels bring, and what labels averaged over neighbours bring, each
with the other and without."""

BASELINES = ("real", "classical")
"""What the others are held against."""


def any_needs(arms: Iterable[str], what: Need) -> bool:
    """Whether one of the arms needs this of `Sources`."""
    return any(what in ARMS[name].needs for name in arms)


def check_arms(arms: Sequence[str]) -> None:
    """Refuse arms that do not exist, and a choice without the baselines."""
    unknown = [name for name in arms if name not in ARMS]
    missing = [name for name in BASELINES if name not in arms]
    if unknown or missing:
        raise ValueError(
            f"--arms is {' '.join(arms)}; choose among {', '.join(ARMS)}, and keep "
            f"{' and '.join(BASELINES)}, which the others are held against."
        )
