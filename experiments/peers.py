"""What a user would write instead: the same networks and steps in PyTorch and in plain JAX.

Each peer is a function without arguments that does one unit of work, in every form in which it
might be fastest; `benchmark.py` compares with the best of them.
"""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.objectives import ADVERSARIAL
from magan_jax.training.classifier import ClassifierConfig
from magan_jax.training.gan import GANConfig
from magan_jax.training.images import scale_images

Work = Callable[[], Any]


def torch_forms() -> list[str]:
    """The forms of PyTorch to try on this machine; empty where it is not installed."""
    try:
        import torch
    except ImportError:
        return []
    forms = ["eager", "channels_last", "compiled"]
    return [*forms, "CUDA graph"] if torch.cuda.is_available() else forms


def torch_version() -> str:
    """PyTorch's version and threads, for the table."""
    import torch

    return f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


def torch_gan(config: GANConfig, images: np.ndarray, form: str) -> Work:
    """One step of D and one of G, as `magan_jax.training.gan.gan_step` does it."""
    import torch
    from torch.nn import functional as F

    device, layout = _torch_place(form)
    data = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(device)
    generator = torch_generator(config).to(device, memory_format=layout)
    discriminator = _torch_discriminator(config).to(device, memory_format=layout)
    adam = [
        torch.optim.Adam(
            network.parameters(), lr=config.learning_rate, betas=(config.beta1, 0.999), fused=True
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
        loss = F.softplus(-discriminator(fake)).mean()
        adam[1].zero_grad(set_to_none=True)
        loss.backward()
        adam[1].step()

    return _torch_form(step, form, [generator, discriminator])


def torch_classifier_step(
    config: ClassifierConfig, images: np.ndarray, labels: np.ndarray, form: str
) -> Work:
    """One AdamW step on randomly shifted images, as `classifier_step` does it."""
    import torch
    from torch.nn import functional as F

    device, layout = _torch_place(form)
    data = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(device)
    target = torch.tensor(labels).long().to(device)
    classifier = torch_classifier(config).to(device, memory_format=layout)
    adam = torch.optim.AdamW(
        classifier.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,
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

    return _torch_form(step, form, [classifier])


def torch_labels(
    generator: Any, classifier: Any, num_classes: int, latent_dim: int, batch_size: int, form: str
) -> Work:
    """Label one batch of latents and add it to the class moments: a loop body of a user's own."""
    import torch

    device, layout = _torch_place(form)
    generator, classifier = (
        network.to(device, memory_format=layout).eval() for network in (generator, classifier)
    )
    label = _torch_form(
        lambda z: classifier(generator(z)).argmax(-1), form, [generator, classifier]
    )
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

    device, layout = _torch_place(form)
    generator, classifier = (
        network.to(device, memory_format=layout).eval() for network in (generator, classifier)
    )
    label = _torch_form(
        lambda z: classifier(generator(z)).argmax(-1), form, [generator, classifier]
    )
    start = torch.from_numpy(mean).to(device)
    direction = torch.from_numpy(shifts).to(device)

    def work() -> Any:
        exits = []
        with torch.inference_mode():
            for k in range(len(start)):
                rays = len(direction[k])
                inside = torch.zeros(rays, device=device, dtype=torch.long)
                for i in range(scan_points + 1):
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


def _torch_discriminator(config: GANConfig) -> Any:
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


def _torch_place(form: str) -> tuple[str, Any]:
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return device, torch.contiguous_format if form == "eager" else torch.channels_last


def _torch_form(function: Any, form: str, networks: list[Any]) -> Any:
    """The function as it is, with its networks compiled, or captured in a CUDA graph."""
    import torch

    if form == "compiled":
        for network in networks:
            network.compile()
    if form != "CUDA graph":
        return function
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def plain_jax_gan(config: GANConfig, images: np.ndarray, steps: int) -> Work:
    """`steps` steps of the same GAN as a JAX user writes it: `nn.Conv`, one `lax.scan`, one jit."""

    class PlainGenerator(nn.Module):
        @nn.compact
        def __call__(self, z: jax.Array) -> jax.Array:
            width = config.generator_width
            x = nn.Dense(49 * 2 * width, use_bias=False)(z).reshape(-1, 7, 7, 2 * width)
            x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
            x = nn.ConvTranspose(width, (4, 4), (2, 2), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
            return jnp.tanh(nn.ConvTranspose(1, (4, 4), (2, 2))(x))

    class PlainDiscriminator(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            width = config.discriminator_width
            x = nn.leaky_relu(nn.Conv(width, (4, 4), (2, 2))(x), 0.2)
            x = nn.Conv(2 * width, (4, 4), (2, 2), use_bias=False)(x)
            x = nn.leaky_relu(nn.BatchNorm(use_running_average=False)(x), 0.2)
            return nn.Dense(1)(x.reshape(len(x), -1))[:, 0]

    generator, discriminator = PlainGenerator(), PlainDiscriminator()
    objective = ADVERSARIAL[config.objective]
    adam = optax.adam(config.learning_rate, b1=config.beta1)
    key = jax.random.key(0)
    g = generator.init(key, jnp.zeros((1, config.latent_dim)))
    d = discriminator.init(key, jnp.zeros((1, 28, 28, 1)))

    def apply(network: nn.Module, parameters: Any, x: jax.Array) -> Any:
        variables = {"params": parameters["params"], "batch_stats": parameters["batch_stats"]}
        return network.apply(variables, x, mutable=["batch_stats"])[0]

    @jax.jit
    def chunk(state: Any, data: jax.Array, key: jax.Array) -> Any:
        def step(state: Any, key: jax.Array) -> tuple[Any, None]:
            g, d, g_adam, d_adam = state
            index_key, latent_key = jax.random.split(key)
            real = scale_images(
                data[jax.random.randint(index_key, (config.batch_size,), 0, len(data))]
            )
            z = jax.random.normal(latent_key, (config.batch_size, config.latent_dim))
            fake = apply(generator, g, z)
            gradient = jax.grad(
                lambda d: objective.discriminator(
                    apply(discriminator, d, real), apply(discriminator, d, fake)
                )
            )(d)
            updates, d_adam = adam.update(gradient, d_adam)
            d = optax.apply_updates(d, updates)
            gradient = jax.grad(
                lambda g: objective.generator(apply(discriminator, d, apply(generator, g, z)))
            )(g)
            updates, g_adam = adam.update(gradient, g_adam)
            return (optax.apply_updates(g, updates), d, g_adam, d_adam), None

        return jax.lax.scan(step, state, jax.random.split(key, steps))[0]

    data = jnp.asarray(images)
    state = [(g, d, adam.init(g), adam.init(d))]
    calls = itertools.count()

    def work() -> None:
        state[0] = jax.block_until_ready(
            chunk(state[0], data, jax.random.fold_in(key, next(calls)))
        )

    return work
