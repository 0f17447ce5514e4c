"""Training of a classifier on few real images and many synthetic ones with soft labels."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.models import Classifier
from magan_jax.training.classifier import classifier_in_use
from magan_jax.training.engine import Batch
from magan_jax.training.images import random_moves, scale_images
from magan_jax.training.optimizers import adamw_cosine

_ROWS = 1024
"""Sets are filled up to a multiple of this, so that few sizes are compiled."""


@dataclass(frozen=True)
class FittingConfig:
    """A classifier of few labels; the same for every arm."""

    steps: int = 800
    """Gradient steps, whatever the arm."""
    batch_size: int = 128
    """Images in a step: half of them synthetic where there are any."""
    width: int = 16
    """Channels of the first convolution."""
    dropout: float = 0.3
    """Dropout rate in training."""
    learning_rate: float = 2e-3
    """AdamW's peak step size; it falls to zero along a cosine."""
    weight_decay: float = 1e-2
    """AdamW's decay."""


def check_fitting_config(config: FittingConfig) -> None:
    """Refuse settings that cannot work, naming the field."""
    for name in ("steps", "width"):
        if getattr(config, name) < 1:
            raise ValueError(f"fitting.{name} is {getattr(config, name)}; it must be at least 1.")
    if config.batch_size < 2 or config.batch_size % 2:
        raise ValueError(
            f"fitting.batch_size is {config.batch_size}; it must be even: half of a batch is real, "
            "half synthetic."
        )
    if not config.learning_rate > 0 or config.weight_decay < 0:
        raise ValueError(
            f"fitting.learning_rate is {config.learning_rate} and fitting.weight_decay "
            f"{config.weight_decay}; the first must be positive, the second not negative."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"fitting.dropout is {config.dropout}; it must lie in [0, 1).")


class SoftBatch(NamedTuple):
    """Images with a distribution over the classes in the place of a label.

    Attributes:
        images: uint8 `[P, H, W, C]`.
        probabilities: `[P, K]`, each row sums to 1; a hard label has a single 1.
    """

    images: np.ndarray
    probabilities: np.ndarray


class Moves(NamedTuple):
    """Classical augmentation: what a real image may undergo in training.

    Attributes:
        max_shift: pixels in each direction.
        mirror: left for right, half of the time.
    """

    max_shift: int = 0
    mirror: bool = False


UNMOVED, SHIFTED = Moves(), Moves(max_shift=1)


def fit(
    key: jax.Array,
    config: FittingConfig,
    real: Batch,
    num_classes: int,
    *,
    synthetic: SoftBatch | None = None,
    moves: Moves = UNMOVED,
) -> jax.tree_util.Partial:
    """Train a classifier for `config.steps` steps, in one compiled call.

    Every step draws from a key of its own: rows of `real` with replacement, as many of `synthetic`
    (twice as many real ones without), and how they are moved. The real ones alone are moved:
    the synthetic ones differ among themselves as it is.

    Args:
        key: of initialisation and training.
        config: the settings.
        real: uint8 images and labels.
        num_classes: K.
        synthetic: images with soft labels.
        moves: classical augmentation.

    Returns:
        `images [N, H, W, C] -> logits [N, K]`, a pytree of its variables, `args[0]`.

    Raises:
        FloatingPointError: when the training diverges.
    """
    probabilities = np.eye(num_classes, dtype=np.float32)[np.asarray(real.labels)]
    pool = None if synthetic is None else _padded(synthetic.images, synthetic.probabilities)
    rows = _padded(real.images, probabilities)
    parameters, loss = _fit(key, config, rows, pool, moves)
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(parameters))
    if not (finite and np.isfinite(loss)):
        raise FloatingPointError(
            f"the classifier's loss is {loss}; lower fitting.learning_rate, {config.learning_rate}."
        )
    return jax.tree_util.Partial(
        classifier_in_use(config.width, num_classes), {"params": parameters}
    )


class _Rows(NamedTuple):
    """Images and probabilities, filled up to a multiple of `_ROWS`; the first `number` count."""

    images: jax.Array
    probabilities: jax.Array
    number: jax.Array


def _padded(images: Any, probabilities: Any) -> _Rows:
    count = len(images)
    padding = [(0, -count % _ROWS)]
    return _Rows(
        jnp.asarray(np.pad(images, padding + 3 * [(0, 0)])),
        jnp.asarray(np.pad(probabilities, [*padding, (0, 0)]), jnp.float32),
        jnp.int32(count),
    )


@partial(jax.jit, static_argnames=("config", "moves"))
def _fit(
    key: jax.Array, config: FittingConfig, real: _Rows, pool: _Rows | None, moves: Moves
) -> tuple[Any, jax.Array]:
    """Parameters, and the last step's loss."""
    images, probabilities, number = real
    network = Classifier(probabilities.shape[1], config.width, config.dropout)
    init_key, train_key = jax.random.split(key)
    parameters = network.init(init_key, scale_images(images[:1]))["params"]
    optimizer = adamw_cosine(config.learning_rate, config.weight_decay, config.steps)
    num_real = config.batch_size if pool is None else config.batch_size // 2

    def batch(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        rows_key, pool_key, shift_key, mirror_key = jax.random.split(key, 4)
        rows = jax.random.randint(rows_key, (num_real,), 0, number)
        shift_keys, mirror_keys = (jax.random.split(k, num_real) for k in (shift_key, mirror_key))
        x = random_moves(shift_keys, mirror_keys, scale_images(images[rows]), *moves)
        y = probabilities[rows]
        if pool is None:
            return x, y
        others = jax.random.randint(pool_key, (num_real,), 0, pool.number)
        x = jnp.concatenate([x, scale_images(pool.images[others])])
        return x, jnp.concatenate([y, pool.probabilities[others]])

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
