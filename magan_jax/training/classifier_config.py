"""Settings of the classifier and its training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from magan_jax.models.classifier import check_classifiable
from magan_jax.parallel import device_count
from magan_jax.training.engine import check_batch_size
from magan_jax.training.precision import ActivationDtype, check_dtype


@dataclass(frozen=True)
class ClassifierConfig:
    """The classifier and its training."""

    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images per step, all devices together."""
    width: int = 32
    """Channels of the first convolution."""
    dropout: float = 0.3
    """Dropout rate in training."""
    max_shift: int = 1
    """Training images are shifted by up to so many pixels in each direction."""
    mirror: bool | None = None
    """Half of the training images are mirrored; None: if the data set's classes survive that."""
    learning_rate: float = 2e-3
    """AdamW's peak step size; it falls to zero along a cosine."""
    weight_decay: float = 1e-2
    """AdamW's decay."""
    dtype: ActivationDtype | None = None
    """Activations in training; None: as --dtype."""


def check_classifier_config(
    config: ClassifierConfig, images_shape: Sequence[int], num_devices: int | None = None
) -> None:
    """Refuse settings that cannot work on such images, naming the field and the mend.

    Args:
        config: the settings.
        images_shape: of the training images, `(N, H, W, C)`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for the first thing that cannot work.
    """
    check_classifiable(images_shape)
    for name in ("epochs", "width"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"classifier.{name} is {getattr(config, name)}; it must be at least 1."
            )
    if not 0 < config.learning_rate < math.inf:
        raise ValueError(
            f"classifier.learning_rate is {config.learning_rate}; it must be positive and finite."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"classifier.dropout is {config.dropout}; it must lie in [0, 1).")
    if not 0 <= config.weight_decay < math.inf:
        raise ValueError(
            f"classifier.weight_decay is {config.weight_decay}; it must be 0 or more, and finite."
        )
    side = min(images_shape[1:3])
    if config.max_shift not in range(side):
        raise ValueError(
            f"classifier.max_shift is {config.max_shift}; it must be a whole number of pixels, 0 "
            f"to {side - 1}."
        )
    check_dtype("classifier.dtype", config.dtype)
    check_batch_size(
        config.batch_size, images_shape[0], device_count(num_devices), "classifier.batch_size"
    )
