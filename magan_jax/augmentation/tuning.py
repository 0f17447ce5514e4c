"""A classifier that features without labels have begun, trained further on what few labels say."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.augmentation.rows import Rows, SoftBatch, to_rows
from magan_jax.errors import check_positive
from magan_jax.images import random_appearance, scale_images
from magan_jax.networks import Classify
from magan_jax.training.engine import Batch
from magan_jax.training.optimizers import adamw_cosine


@dataclass(frozen=True)
class TuningConfig:
    """How the encoder of latent neighbours is tuned to the classes."""

    steps: int = 1600
    """Gradient steps."""
    batch_size: int = 128
    """Images in a step, a quarter of them with a known label."""
    sharpness: float = 2.0
    """Soft labels are raised to this power, and scaled to a sum of 1 again."""
    learning_rate: float = 1e-3
    """AdamW's, at the start of a cosine decay to zero."""
    weight_decay: float = 1e-4
    """AdamW's."""
    max_shift: int = 2
    """Pixels that every image is moved by at most, each way."""
    max_erased: int = 9
    """Pixels along either side of the rectangle that every image loses, at most."""
    brightness: float = 0.4
    """Every image's light is multiplied by exp(N(0, this²))."""


def check_tuning_config(config: TuningConfig, image_shape: tuple[int, ...]) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training.

    Args:
        config: the settings.
        image_shape: of the images, `(N, H, W, C)`.
    """
    check_positive("synthesis.tuning.steps", config.steps)
    if config.batch_size < 4 or config.batch_size % 4:
        raise ValueError(
            f"synthesis.tuning.batch_size is {config.batch_size}; it must be a multiple of 4: a "
            "quarter of a batch has known labels."
        )
    for name in ("sharpness", "learning_rate"):
        value = getattr(config, name)
        if not (value > 0 and np.isfinite(value)):
            raise ValueError(f"synthesis.tuning.{name} is {value}; it must be positive and finite.")
    for name in ("weight_decay", "brightness"):
        value = getattr(config, name)
        if not (value >= 0 and np.isfinite(value)):
            raise ValueError(
                f"synthesis.tuning.{name} is {value}; it must be 0 or more, and finite."
            )
    side = min(image_shape[1:3])
    for name in ("max_shift", "max_erased"):
        if not 0 <= getattr(config, name) < side:
            raise ValueError(
                f"synthesis.tuning.{name} is {getattr(config, name)}; it must be 0 or more, and "
                f"less than the images' shorter side, {side}."
            )


def fine_tune(
    key: jax.Array, config: TuningConfig, classify: Classify, few: Batch, pool: SoftBatch
) -> Classify:
    """All parameters of a classifier, trained further on few known and many soft labels.

    Each step takes the sum of two mean cross-entropies: of images with known labels and, three
    times as many, of a pool's with soft ones, every image as no class minds it
    (`random_appearance`). What many soft labels get wrong in unlike ways is not learned from them
    (Xie et al., 2020, whose noisy student starts anew where this goes on from `classify`).

    Args:
        key: of the training.
        config: the settings.
        classify: `images in [-1, 1] -> logits [n, K]`, a pytree of its parameters, all of them
            floating-point (`fit_probe` of an encoder's features).
        few: uint8 images and labels.
        pool: uint8 images and soft labels.

    Returns:
        A pytree like `classify`.

    Raises:
        FloatingPointError: when the training diverges.
    """
    num_classes = pool.probabilities.shape[1]
    known = to_rows(few.images, np.eye(num_classes)[np.asarray(few.labels)])
    others = to_rows(pool.images, sharpened(pool.probabilities, config.sharpness))
    # On one device, wherever the parameters lie: one program, whether they were just trained on
    # several or read from a checkpoint.
    tuned, loss = _fine_tune(key, config, jax.device_get(classify), known, others)
    finite = all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(tuned))
    if not (finite and np.isfinite(loss)):
        raise FloatingPointError(
            f"the tuned classifier's loss is {loss}; lower synthesis.tuning.learning_rate, "
            f"{config.learning_rate}."
        )
    return tuned


def sharpened(probabilities: np.ndarray, power: float) -> np.ndarray:
    """Each row `[n, K]` to a power, of sum 1: above 1 it is surer of what it holds likeliest."""
    found = (probabilities / probabilities.max(axis=1, keepdims=True)) ** power
    return found / found.sum(axis=1, keepdims=True)


@partial(jax.jit, static_argnames="config")
def _fine_tune(
    key: jax.Array, config: TuningConfig, classify: Any, known: Rows, pool: Rows
) -> tuple[Any, jax.Array]:
    """The classifier, and the last step's loss."""
    optimizer = adamw_cosine(config.learning_rate, config.weight_decay, config.steps)
    num_known = config.batch_size // 4
    appear = jax.vmap(
        partial(
            random_appearance,
            max_shift=config.max_shift,
            max_erased=config.max_erased,
            brightness=config.brightness,
        )
    )

    def step(carry: tuple[Any, Any], index: jax.Array) -> tuple[tuple[Any, Any], jax.Array]:
        classify, moments = carry
        known_key, pool_key, move_key = jax.random.split(jax.random.fold_in(key, index), 3)
        drawn = known.draw(known_key, num_known), pool.draw(pool_key, 3 * num_known)
        images, labels = (jnp.concatenate(pair) for pair in zip(*drawn, strict=True))
        images = appear(jax.random.split(move_key, len(images)), scale_images(images))

        def loss(classify: Any) -> jax.Array:
            each = optax.softmax_cross_entropy(classify(images), labels)
            return jnp.mean(each[:num_known]) + jnp.mean(each[num_known:])

        value, gradient = jax.value_and_grad(loss)(classify)
        updates, moments = optimizer.update(gradient, moments, classify)
        return (optax.apply_updates(classify, updates), moments), value

    carry = classify, optimizer.init(classify)
    (tuned, _), losses = jax.lax.scan(step, carry, jnp.arange(config.steps))
    return tuned, losses[-1]
