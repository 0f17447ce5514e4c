"""What a user would write in PyTorch instead: the same networks and steps.

Each peer is a function without arguments that does one unit of work, in every form in which it
might be fastest; a row is compared with the best of them. PyTorch is imported only where it is
used: without it the benchmark still runs, and leaves its rows out.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.gan_config import GANConfig
from throughput.turns import Work

FORMS = (
    "eager",
    "channels_last",
    "compiled",
    "compiled, contiguous",
    "CUDA graph",
    "compiled, in a CUDA graph",
    "compiled, contiguous, in a CUDA graph",
)
"""In which PyTorch may be fastest; the last three need its GPU. All but the eager one and those
that say so are channels_last."""


def torch_forms(*, with_graphs: bool = True) -> list[str]:
    """The forms of PyTorch to try on this machine; empty where it is not installed.

    Args:
        with_graphs: CUDA graphs too, which hold functions without arguments only.
    """
    try:
        import torch
    except ImportError:
        return []
    graphs = with_graphs and torch.cuda.is_available()
    return [form for form in FORMS if graphs or not form.endswith("CUDA graph")]


def in_every_form(
    name: str,
    build: Callable[[str], Work],
    wanted: tuple[str, ...] = FORMS,
    *,
    with_graphs: bool = True,
) -> dict[str, Work]:
    """The work in every form that works here, by the name that the table gives it.

    Args:
        name: of what is done, before the form's.
        build: a form to its work, done once here: what a form cannot do shows at the first call.
        wanted: forms to try.
        with_graphs: see `torch_forms`.
    """
    works = {}
    for form in torch_forms(with_graphs=with_graphs):
        if form not in wanted:
            continue
        try:
            work = build(form)
            work()
            torch_wait()
        except Exception as error:  # whatever a compiler may raise: the other forms remain
            print(f"{name}, {form}: left out ({type(error).__name__}: {str(error)[:200]})")
        else:
            works[f"{name}, {form}"] = work
    return works


def torch_version() -> str:
    """PyTorch's version and threads, for the table."""
    import torch

    return f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"


def torch_wait() -> None:
    """Wait until the device has done all that it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def repeated(work: Work, times: int) -> Work:
    """PyTorch's work so many times, as one turn that ends when its device has done it."""

    def run() -> None:
        for _ in range(times):
            work()
        torch_wait()

    return run


def torch_gan(config: GANConfig, images: np.ndarray, form: str) -> Work:
    """One step of D and one of G, as `magan_jax.training.gan_step` does it."""
    import torch
    from torch.nn import functional as F

    device, layout = _torch_place(form)
    data = torch.tensor(images).permute(0, 3, 1, 2).contiguous().to(device)
    generator = torch_generator(config).to(device, memory_format=layout)
    discriminator = _torch_discriminator(config).to(device, memory_format=layout)
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

    return _torch_form(step, form, [classifier])


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
    device, layout = _torch_place(form, tf32=False)
    networks = [
        network.to(device, memory_format=layout).eval() for network in (generator, classifier)
    ]
    generator, classifier = networks
    return _torch_form(lambda z: classifier(generator(z)).argmax(-1), form, networks), device


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


def _torch_place(form: str, *, tf32: bool = True) -> tuple[str, Any]:
    """Device and layout of a form; TF32 for training, and not for labels, as ours."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    device = "cuda" if torch.cuda.is_available() else "cpu"
    contiguous = form == "eager" or "contiguous" in form
    return device, torch.contiguous_format if contiguous else torch.channels_last


def _torch_form(function: Any, form: str, networks: list[Any]) -> Any:
    """The function as it is, with its networks compiled, or captured in a CUDA graph."""
    import torch

    if form.startswith("compiled"):
        for network in networks:
            network.compile()
    if not form.endswith("CUDA graph"):
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()

    def replay(kept: Any = function) -> None:  # the graph alone would let go of its arrays
        graph.replay()

    return replay
