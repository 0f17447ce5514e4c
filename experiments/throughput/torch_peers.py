"""What a user would write in PyTorch instead: the same steps, labels and search.

Each peer is a function without arguments that does one unit of work.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.gan_config import GANConfig
from throughput.torch_forms import in_form, torch_place
from throughput.torch_networks import torch_classifier, torch_discriminator, torch_generator
from throughput.turns import Work


def torch_gan(config: GANConfig, images: np.ndarray, form: str) -> Work:
    """One step of D and one of G, as `magan_jax.training.gan_step` does it."""
    import torch
    from torch.nn import functional as F

    device, layout = torch_place(form)
    data = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(device)
    generator = torch_generator(config).to(device, memory_format=layout)
    discriminator = torch_discriminator(config).to(device, memory_format=layout)
    adam = [
        torch.optim.Adam(
            network.parameters(),
            lr=config.learning_rate,
            betas=(config.beta1, 0.999),
            fused=True,
            capturable=form.endswith("CUDA graph"),
        )
        for network in (discriminator, generator)
    ]

    def step() -> None:
        chosen = torch.randint(0, len(data), (config.batch_size,), device=device)
        real = (data[chosen].float() / 127.5 - 1).contiguous(memory_format=layout)
        fake = generator(torch.randn(config.batch_size, config.latent_dim, device=device))
        loss = (
            F.softplus(-discriminator(real)).mean()
            + F.softplus(discriminator(fake.detach())).mean()
        )
        adam[0].zero_grad(set_to_none=True)
        loss.backward()
        adam[0].step()
        discriminator.requires_grad_(False)  # G needs no gradient in D's parameters
        loss = F.softplus(-discriminator(fake)).mean()
        adam[1].zero_grad(set_to_none=True)
        loss.backward()
        adam[1].step()
        discriminator.requires_grad_(True)

    return in_form(step, form, [generator, discriminator])


def torch_classifier_step(
    config: ClassifierConfig, images: np.ndarray, labels: np.ndarray, form: str
) -> Work:
    """One AdamW step on randomly shifted images, as `classifier_step` does it."""
    import torch
    from torch.nn import functional as F

    device, layout = torch_place(form)
    data = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(device)
    target = torch.tensor(labels).long().to(device)
    classifier = torch_classifier(config).to(device, memory_format=layout)
    adam = torch.optim.AdamW(
        classifier.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
        capturable=form.endswith("CUDA graph"),
    )
    rows, reach = torch.arange(data.shape[-1], device=device), config.max_shift

    def step() -> None:
        chosen = torch.randint(0, len(data), (config.batch_size,), device=device)
        batch = F.pad(data[chosen].float() / 127.5 - 1, (reach,) * 4, value=-1.0)
        shift = torch.randint(0, 2 * reach + 1, (2, config.batch_size, 1), device=device)
        batch = batch[
            torch.arange(config.batch_size, device=device)[:, None, None],
            0,
            (shift[0] + rows)[:, :, None],
            (shift[1] + rows)[:, None, :],
        ][:, None].contiguous(memory_format=layout)
        loss = F.cross_entropy(classifier(batch), target[chosen])
        adam.zero_grad(set_to_none=True)
        loss.backward()
        adam.step()

    return in_form(step, form, [classifier])


def torch_labels(
    generator: Any, classifier: Any, num_classes: int, latent_dim: int, batch_size: int, form: str
) -> Work:
    """Label one batch of latents and add it to the class moments: a loop body of a user's own."""
    import torch

    label, device = _torch_label(generator, classifier, form)
    count = np.zeros(num_classes)
    total = np.zeros((num_classes, latent_dim))
    square = np.zeros((num_classes, latent_dim))

    def work() -> None:
        with torch.inference_mode():
            latents = torch.randn(batch_size, latent_dim, device=device)
            labels = label(latents).cpu().numpy()
        rows = latents.cpu().numpy()
        for k in range(num_classes):
            mine = rows[labels == k]
            count[k] += len(mine)
            total[k] += mine.sum(0)
            square[k] += (mine**2).sum(0)

    return work


def torch_search(
    generator: Any,
    classifier: Any,
    mean: np.ndarray,
    shifts: np.ndarray,
    *,
    upper: float,
    scan_points: int,
    halvings: int,
    form: str,
) -> Work:
    """The search of `bisect_epsilon` as a loop over classes and points, all directions at once."""
    import torch

    label, device = _torch_label(generator, classifier, form)
    start = torch.from_numpy(mean).to(device)
    direction = torch.from_numpy(shifts).to(device)

    def work() -> Any:
        exits = []
        with torch.inference_mode():
            for k in range(len(start)):
                rays = len(direction[k])
                # The mean is looked at once, not along each ray.
                inside = (label(start[k : k + 1]) == k).long().expand(rays)
                for i in range(1, scan_points + 1):
                    z = start[k] + i * upper / scan_points * direction[k]
                    inside = torch.where((inside == i) & (label(z) == k), i + 1, inside)
                low = (inside - 1).clamp(min=0) * upper / scan_points
                high = inside * upper / scan_points
                for _ in range(halvings):
                    middle = (low + high) / 2
                    holds = label(start[k] + middle[:, None] * direction[k]) == k
                    low, high = torch.where(holds, middle, low), torch.where(holds, high, middle)
                exits.append(low.cpu().numpy())
        return np.stack(exits)

    return work


def _torch_label(generator: Any, classifier: Any, form: str) -> tuple[Callable[[Any], Any], str]:
    """`z -> labels` in this form, and the device that it wants its latents on."""
    device, layout = torch_place(form, tf32=False)
    networks = [
        network.to(device, memory_format=layout).eval() for network in (generator, classifier)
    ]
    generator, classifier = networks
    return in_form(lambda z: classifier(generator(z)).argmax(-1), form, networks), device
