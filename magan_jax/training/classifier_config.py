"""Settings of the classifier and its training."""

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
    if not config.learning_rate > 0:
        raise ValueError(
            f"classifier.learning_rate is {config.learning_rate}; it must be positive."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"classifier.dropout is {config.dropout}; it must lie in [0, 1).")
    if config.max_shift < 0 or config.weight_decay < 0:
        raise ValueError(
            f"classifier.max_shift is {config.max_shift} and classifier.weight_decay is "
            f"{config.weight_decay}; neither may be negative."
        )
    check_dtype("classifier.dtype", config.dtype)
    check_batch_size(
        config.batch_size, images_shape[0], device_count(num_devices), "classifier.batch_size"
    )
