"""Training of a classifier on few real images and many synthetic ones with soft labels."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.augmentation.rows import EACH_ITS_OWN, Rows, SoftBatch, sets_to_rows, to_rows
from magan_jax.images import random_mirror, random_shift, scale_images
from magan_jax.models import Classifier
from magan_jax.models.classifier import check_classifiable
from magan_jax.training.classifier import classifier_in_use
from magan_jax.training.engine import Batch
from magan_jax.training.ensemble import member, stacked
from magan_jax.training.optimizers import adamw_cosine


@dataclass(frozen=True)
class FittingConfig:
    """A classifier of few labels; the same for every arm."""

    steps: int = 800
    """Gradient steps, whatever the arm."""
    batch_size: int = 128
    """Images in a step, synthetic ones among them."""
    width: int = 16
    """Channels of the first convolution."""
    dropout: float = 0.3
    """Dropout rate in training."""
    learning_rate: float = 2e-3
    """AdamW's peak step size; it falls to zero along a cosine."""
    weight_decay: float = 1e-2
    """AdamW's decay."""


def check_fitting_config(config: FittingConfig, images_shape: Sequence[int]) -> None:
    """Refuse settings that cannot work on images of a shape `(N, H, W, C)`, naming the field."""
    check_classifiable(images_shape)
    for name in ("steps", "width"):
        if getattr(config, name) < 1:
            raise ValueError(f"fitting.{name} is {getattr(config, name)}; it must be at least 1.")
    least = round(1 / (1 - MOST))
    if config.batch_size < least:
        raise ValueError(
            f"fitting.batch_size is {config.batch_size}; it must be at least {least}: up to {MOST} "
            "of a batch is synthetic, the rest real."
        )
    if not 0 < config.learning_rate < float("inf"):
        raise ValueError(
            f"fitting.learning_rate is {config.learning_rate}; it must be positive and finite."
        )
    if not 0 <= config.weight_decay < float("inf"):
        raise ValueError(
            f"fitting.weight_decay is {config.weight_decay}; it must be 0 or more, and finite."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"fitting.dropout is {config.dropout}; it must lie in [0, 1).")


class Moves(NamedTuple):
    """Classical augmentation: what an image may undergo in training.

    Attributes:
        max_shift: pixels in each direction.
        mirror: left for right, half of the time.
    """

    max_shift: int = 0
    mirror: bool = False


UNMOVED, SHIFTED = Moves(), Moves(max_shift=1)

HALF, MOST = 0.5, 0.9
"""Shares of a batch that are synthetic; the first where nothing else is said."""

_AT_ONCE = 2
"""Fits."""


class Fit(NamedTuple):
    """One of several trainings.

    Attributes:
        key: of initialisation and training.
        real: uint8 images `[N, H, W, C]` and labels `[N]`.
        synthetic: images with soft labels; None for none.
        moves: classical augmentation.
        share: of each batch that is synthetic, where there are synthetic images.
    """

    key: jax.Array
    real: Batch
    synthetic: SoftBatch | None = None
    moves: Moves = UNMOVED
    share: float = HALF


def fit(
    key: jax.Array,
    config: FittingConfig,
    real: Batch,
    num_classes: int,
    *,
    synthetic: SoftBatch | None = None,
    moves: Moves = UNMOVED,
    share: float = HALF,
) -> jax.tree_util.Partial:
    """Train a classifier for `config.steps` steps, in one compiled call.

    Every step draws from a key of its own: rows of `real` and of `synthetic` with replacement, and
    how either are moved.

    Args:
        key: of initialisation and training.
        config: the settings.
        real: uint8 images and labels.
        num_classes: K.
        synthetic: images with soft labels.
        moves: classical augmentation.
        share: of each batch that is synthetic, rounded to whole images (a half to the even
            number); without `synthetic` none.

    Returns:
        `images [N, H, W, C] -> logits [N, K]`, a pytree of its variables, `args[0]`.

    Raises:
        ValueError: for a share that is not above 0 and below 1.
        FloatingPointError: when the training diverges.
    """
    _check_share(share)
    rows = to_rows(*_labelled(real, num_classes))
    pool = None if synthetic is None else to_rows(*synthetic)
    parameters, loss = _fit(key, rows, pool, moves, share, config, _reach([moves]))
    return _classifier(parameters, loss, config, num_classes)


def fit_all(
    fits: Sequence[Fit], config: FittingConfig, num_classes: int
) -> Iterator[jax.tree_util.Partial]:
    """`fit` for each, in their order: what one learns does not depend on what runs beside it (at
    once on an accelerator, up to rounding).

    An accelerator takes those with synthetic images at once, and those without (`vmap`). A CPU
    takes two at a time, each as soon as it is there: so small a network keeps one core busy and
    a part of another, and two at a time take 0.71 of the time of one after another on 2 cores, all
    at once 1.02 (batch 128, width 16, four fits).

    Args:
        fits: what each has of its own.
        config: the settings.
        num_classes: K.

    Raises:
        ValueError: for a share that is not above 0 and below 1.
        FloatingPointError: when one diverges.
    """
    if jax.default_backend() != "cpu":
        yield from fit_at_once(fits, config, num_classes)
        return
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        yield from threads.map(
            lambda one: fit(
                one.key,
                config,
                one.real,
                num_classes,
                synthetic=one.synthetic,
                moves=one.moves,
                share=one.share,
            ),
            fits,
        )


def fit_at_once(
    fits: Sequence[Fit], config: FittingConfig, num_classes: int
) -> list[jax.tree_util.Partial]:
    """`fit` for each, in two compiled calls: all with synthetic images, and all without.

    Arguments and errors are those of `fit_all`.
    """
    for one in fits:
        _check_share(one.share)
    reach = _reach([one.moves for one in fits])
    labelled = {id(one.real): _labelled(one.real, num_classes) for one in fits}
    alone, mixed = ([i for i, x in enumerate(fits) if (x.synthetic is None) == y] for y in (1, 0))
    found: dict[int, jax.tree_util.Partial] = {}
    for places in filter(None, (alone, mixed)):
        those = [fits[i] for i in places]
        pools = [one.synthetic for one in those if one.synthetic is not None]
        parameters, losses = _fit_at_once(
            stacked([one.key for one in those]),
            sets_to_rows([labelled[id(one.real)] for one in those]),
            sets_to_rows(pools) if pools else None,
            stacked([jax.tree.map(jnp.asarray, one.moves) for one in those]),
            jnp.asarray([one.share for one in those]),
            config,
            reach,
        )
        for place, i in enumerate(places):
            found[i] = _classifier(member(parameters, place), losses[place], config, num_classes)
    return [found[i] for i in range(len(fits))]


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise ValueError(
            f"share is {share}; it must be above 0 and below 1: a part of each batch is synthetic, "
            "a part real."
        )


def _labelled(real: Batch, num_classes: int) -> SoftBatch:
    one_hot = np.eye(num_classes, dtype=np.float32)[np.asarray(real.labels)]
    return SoftBatch(np.asarray(real.images), one_hot)


def _reach(moves: Sequence[Moves]) -> int:
    """Pixels that images are padded by; 2 serve most, so that few programs are compiled."""
    return max([2, *(one.max_shift for one in moves)])


def _classifier(
    parameters: Any, loss: jax.Array, config: FittingConfig, num_classes: int
) -> jax.tree_util.Partial:
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(parameters))
    if not (finite and np.isfinite(loss)):
        raise FloatingPointError(
            f"the classifier's loss is {loss}; lower fitting.learning_rate, {config.learning_rate}."
        )
    return jax.tree_util.Partial(
        classifier_in_use(config.width, num_classes), {"params": parameters}
    )


@partial(jax.jit, static_argnames=("config", "reach"))
def _fit_at_once(
    keys: jax.Array,
    real: Rows,
    pools: Rows | None,
    moves: Moves,
    shares: jax.Array,
    config: FittingConfig,
    reach: int,
) -> tuple[Any, jax.Array]:
    """`_fit` of each key, with its own rows of `real` and of `pools`, its own moves and share."""
    axes = (0, EACH_ITS_OWN, None if pools is None else EACH_ITS_OWN, 0, 0)
    return jax.vmap(lambda *one: _fit(*one, config, reach), axes)(keys, real, pools, moves, shares)


@partial(jax.jit, static_argnames=("config", "reach"))
def _fit(
    key: jax.Array,
    real: Rows,
    pool: Rows | None,
    moves: Moves,
    share: float | jax.Array,
    config: FittingConfig,
    reach: int,
) -> tuple[Any, jax.Array]:
    """Parameters, and the last step's loss."""
    network = Classifier(real.probabilities.shape[1], config.width, config.dropout)
    init_key, train_key = jax.random.split(key)
    parameters = network.init(init_key, scale_images(real.images[:1]))["params"]
    optimizer = adamw_cosine(config.learning_rate, config.weight_decay, config.steps)
    # A traced number: one program serves every share.
    from_pool = jnp.arange(config.batch_size) < jnp.round(share * config.batch_size)

    def moved(shift_key: jax.Array, mirror_key: jax.Array, image: jax.Array) -> jax.Array:
        image = random_shift(shift_key, image, moves.max_shift, reach)
        return jnp.where(moves.mirror, random_mirror(mirror_key, image), image)

    def batch(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows_key, pool_key, shift_key, mirror_key = jax.random.split(key, 4)
        x, y = real.draw(rows_key, config.batch_size)
        if pool is not None:
            others = pool.draw(pool_key, config.batch_size)
            x = jnp.where(from_pool[:, None, None, None], others[0], x)
            y = jnp.where(from_pool[:, None], others[1], y)
        shift_keys, mirror_keys = (jax.random.split(k, len(x)) for k in (shift_key, mirror_key))
        return jax.vmap(moved)(shift_keys, mirror_keys, scale_images(x)), y

    def step(carry: tuple[Any, Any], index: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        parameters, moments = carry
        batch_key, dropout_key = jax.random.split(jax.random.fold_in(train_key, index))
        x, y = batch(batch_key)
        dropout_keys = jax.random.split(dropout_key, len(x))

        def loss(parameters: Any) -> jax.Array:
            logits: Any = network.apply({"params": parameters}, x, dropout_keys)
            return jnp.mean(optax.softmax_cross_entropy(logits, y))

        value, gradient = jax.value_and_grad(loss)(parameters)
        updates, moments = optimizer.update(gradient, moments, parameters)
        return (optax.apply_updates(parameters, updates), moments), value

    carry = parameters, optimizer.init(parameters)
    (parameters, _), losses = jax.lax.scan(step, carry, jnp.arange(config.steps))
    return parameters, losses[-1]
