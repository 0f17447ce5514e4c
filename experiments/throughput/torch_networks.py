"""The networks of `magan_jax.models` in PyTorch."""

from typing import Any

from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.gan_config import GANConfig


def torch_generator(config: GANConfig) -> Any:
    """The generator of `magan_jax.models`."""
    from torch import nn as tnn

    width = config.generator_width
    return tnn.Sequential(
        tnn.Linear(config.latent_dim, 49 * 2 * width, bias=False),
        tnn.Unflatten(1, (2 * width, 7, 7)),
        tnn.BatchNorm2d(2 * width),
        tnn.ReLU(),
        tnn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
        tnn.BatchNorm2d(width),
        tnn.ReLU(),
        tnn.ConvTranspose2d(width, 1, 4, 2, 1),
        tnn.Tanh(),
    )


def torch_discriminator(config: GANConfig) -> Any:
    """The discriminator of `magan_jax.models`."""
    from torch import nn as tnn

    width = config.discriminator_width
    return tnn.Sequential(
        tnn.Conv2d(1, width, 4, 2, 1),
        tnn.LeakyReLU(0.2),
        tnn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        tnn.BatchNorm2d(2 * width),
        tnn.LeakyReLU(0.2),
        tnn.Flatten(),
        tnn.Linear(49 * 2 * width, 1),
        tnn.Flatten(0),
    )


def torch_classifier(config: ClassifierConfig, num_classes: int = 10) -> Any:
    """The classifier of `magan_jax.models`; its LayerNorm runs over the channels."""
    import torch
    from torch import nn as tnn

    class ChannelNorm(tnn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.norm = tnn.LayerNorm(channels)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    width = config.width
    return tnn.Sequential(
        tnn.Conv2d(1, width, 4, 2, 1, bias=False),
        ChannelNorm(width),
        tnn.ReLU(),
        tnn.Conv2d(width, 2 * width, 4, 2, 1, bias=False),
        ChannelNorm(2 * width),
        tnn.ReLU(),
        tnn.Flatten(),
        tnn.Dropout(config.dropout),
        tnn.Linear(49 * 2 * width, 4 * width),
        tnn.ReLU(),
        tnn.Dropout(config.dropout),
        tnn.Linear(4 * width, num_classes),
    )
