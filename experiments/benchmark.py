"""How fast, against what a user would pick instead: every row beside its peer, in the same run.

    python experiments/benchmark.py                          # all rows, the paper's networks
    python experiments/benchmark.py --rows gan classifier --json mine.json

The peers need `pip install -e '.[bench]'`; rows whose peer is missing are left out, and say so.
Ours and the peer take turns after three warm-ups each; the ratio is that of neighbouring turns,
median (least to greatest), always such that more is better.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import peers
import tyro
from tqdm import tqdm

from magan_jax import analyze, bisect_epsilon, load_dataset
from magan_jax.cli import one_sentence
from magan_jax.files import write_json
from magan_jax.latent.labels import logits_and_finite
from magan_jax.parallel import on_devices
from magan_jax.runtime import environment
from magan_jax.training.classifier import (
    ClassifierConfig,
    classifier_function,
    classifier_step,
    init_classifier,
)
from magan_jax.training.engine import Batch, chunk_function, train
from magan_jax.training.gan import GANConfig, gan_step, generator_function, init_gan

IMAGE_SHAPE = (28, 28, 1)
NUM_CLASSES = 10
GAN, CLASSIFIER = GANConfig(), ClassifierConfig()
"""The paper's protocol, as the preset `paper` has it."""


@dataclass(frozen=True)
class Config:
    """What is measured, and how long."""

    rows: tuple[str, ...] = ()
    """Names of rows, as the table shows them in front; default all."""
    json: Path | None = None
    """Write the table there as JSON."""
    turns: int = 5
    """Turns of ours and of the peer, after the warm-ups."""
    chunk_steps: int = 4
    """Training steps in one turn; take 200 on an accelerator."""
    latents: int = 5_000
    """Latents labelled in one turn; take 1000000 on an accelerator."""
    directions: int = 64
    """Shift directions of each class in the search; take 4096 on an accelerator."""


class Row(NamedTuple):
    """One row of the table.

    Attributes:
        row: its name and what is measured.
        unit: of `ours` and `peer`.
        ours: our median.
        peer: the peer's median.
        peer_name: what we are compared with.
        ratio: median of the ratios of neighbouring turns, more is better; `low`, `high` the
            least and the greatest.
        must: the ratio that must be reached on a CPU.
        aim: the ratio aimed at on a CPU.
        limit: our share of the machine's measured limit, where it applies.
    """

    row: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    low: float
    high: float
    must: float | None
    aim: float | None
    limit: float | None = None


Work = Callable[[], Any]


def take_turns(works: Mapping[str, Work], turns: int, warm_ups: int = 3) -> dict[str, np.ndarray]:
    """Seconds of each work, `[turns]`, measured in alternation."""
    for work in works.values():
        for _ in range(warm_ups):
            jax.block_until_ready(work())
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            began = time.perf_counter()
            jax.block_until_ready(work())
            seconds[name].append(time.perf_counter() - began)
    return {name: np.array(times) for name, times in seconds.items()}


def compare(
    name: str,
    unit: str,
    ours: Work,
    others: Mapping[str, Work],
    config: Config,
    *,
    our_units: float,
    peer_units: float,
    must: float | None = None,
    aim: float | None = None,
    limit: Callable[[float], float] | None = None,
) -> Row:
    """A row of rates: units per second of ours against the fastest of the others."""
    seconds = take_turns({"": ours, **others}, config.turns)
    mine = our_units / seconds.pop("")
    rates = {peer: peer_units / times for peer, times in seconds.items()}
    best = max(rates, key=lambda peer: float(np.median(rates[peer])))
    ratios = mine / rates[best]
    return Row(
        name,
        unit,
        float(np.median(mine)),
        float(np.median(rates[best])),
        best,
        float(np.median(ratios)),
        float(ratios.min()),
        float(ratios.max()),
        must,
        aim,
        None if limit is None else limit(float(np.median(mine))),
    )


def machine_limit() -> tuple[float, float]:
    """Operations and bytes per second that this machine reaches: a product, a copy."""
    a = jax.random.normal(jax.random.key(0), (2048, 2048))
    product = jax.jit(lambda x: x @ x)
    big = jnp.ones(2**25)
    copy = jax.jit(lambda x: x + 1)
    seconds = take_turns({"product": lambda: product(a), "copy": lambda: copy(big)}, 5)
    return 2 * 2048**3 / seconds["product"].min(), 2 * big.nbytes / seconds["copy"].min()


def training_work(step: Any, state: Any, data: Batch, batch_size: int, steps: int) -> Work:
    """A chunk of our training, from the state where the last one ended."""
    chunk = on_devices(chunk_function(step, len(data.images), batch_size, steps), donate_first=True)
    key, held = jax.random.key(0), [state, 0]

    def work() -> None:
        first = held[1] % (len(data.images) // batch_size - steps)
        held[0], infos = chunk(held[0], data, key, jnp.uint32(first))
        held[1] += steps
        jax.device_get(infos)

    return work


def repeated(work: Work, times: int) -> Work:
    """The work so many times, as one turn."""

    def run() -> None:
        for _ in range(times):
            result = work()
        if hasattr(result, "block_until_ready"):
            result.block_until_ready()
        elif "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
            sys.modules["torch"].cuda.synchronize()

    return run


def flops_of(step: Any, state: Any, batch_size: int) -> float:
    """Operations of one step by XLA's own count, from the program before optimisation."""
    batch = Batch(np.zeros((batch_size, *IMAGE_SHAPE), np.uint8), np.zeros(batch_size, np.int32))
    program = jax.jit(
        jax.shard_map(
            step,
            mesh=jax.make_mesh((1,), ("devices",)),
            in_specs=jax.P(),
            out_specs=jax.P(),
            check_vma=False,
        )
    )
    cost: Any = program.lower(state, batch, jax.random.key(0)).cost_analysis()
    return float(cost["flops"])


def gan_rows(config: Config, data: Batch, limits: tuple[float, float]) -> list[Row]:
    """GAN training against PyTorch and against ordinary JAX."""
    state = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE)
    step = gan_step(GAN, IMAGE_SHAPE)
    flops = flops_of(step, state, GAN.batch_size) / GAN.batch_size
    images = config.chunk_steps * GAN.batch_size
    common: dict[str, Any] = {"our_units": images, "peer_units": images}
    rows = []
    forms = {
        f"PyTorch, {form}": repeated(
            peers.torch_gan(GAN, np.asarray(data.images), form), config.chunk_steps
        )
        for form in peers.torch_forms()
    }

    def ours() -> Work:
        return training_work(
            step, jax.tree.map(jnp.array, state), data, GAN.batch_size, config.chunk_steps
        )

    if forms:
        rows.append(
            compare(
                "gan: training, the paper's networks",
                "images/s",
                ours(),
                forms,
                config,
                must=1.0,
                aim=1.5,
                limit=lambda rate: rate * flops / limits[0],
                **common,
            )
        )
    plain = {
        "JAX, nn.Conv in lax.scan": peers.plain_jax_gan(GAN, np.asarray(data.images[:6000]), 1)
    }
    rows.append(
        compare(
            "gan: training, the paper's networks",
            "images/s",
            ours(),
            plain,
            config,
            must=10.0,
            our_units=images,
            peer_units=GAN.batch_size,
        )
    )
    return rows


def classifier_rows(config: Config, data: Batch, limits: tuple[float, float]) -> list[Row]:
    """Classifier training against PyTorch."""
    steps = 46_800
    state = init_classifier(jax.random.key(0), CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, steps)
    step = classifier_step(CLASSIFIER, NUM_CLASSES, steps)
    flops = flops_of(step, state, CLASSIFIER.batch_size) / CLASSIFIER.batch_size
    images = config.chunk_steps * CLASSIFIER.batch_size
    forms = {
        f"PyTorch, {form}": repeated(
            peers.torch_classifier_step(
                CLASSIFIER, np.asarray(data.images), np.asarray(data.labels), form
            ),
            config.chunk_steps,
        )
        for form in peers.torch_forms()
    }
    if not forms:
        return []
    ours = training_work(step, state, data, CLASSIFIER.batch_size, config.chunk_steps)
    return [
        compare(
            "classifier: training",
            "images/s",
            ours,
            forms,
            config,
            our_units=images,
            peer_units=images,
            must=1.0,
            aim=1.5,
            limit=lambda rate: rate * flops / limits[0],
        )
    ]


def networks() -> tuple[Any, Any]:
    """G and C of the paper's size, not trained: speed does not depend on the weights."""
    gan = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE)
    classifier = init_classifier(jax.random.key(1), CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, 1)
    return (
        generator_function(GAN, IMAGE_SHAPE, gan),
        classifier_function(CLASSIFIER, NUM_CLASSES, classifier),
    )


def label_rows(config: Config) -> list[Row]:
    """Labelled latents per second, class moments included."""
    generate, classify = networks()
    batch = 1000
    forms = {
        f"PyTorch loop and NumPy, {form}": peers.torch_labels(
            peers.torch_generator(GAN),
            peers.torch_classifier(CLASSIFIER),
            NUM_CLASSES,
            GAN.latent_dim,
            batch,
            form,
        )
        for form in peers.torch_forms()
        if form != "CUDA graph"
    }
    if not forms:
        return []

    def ours() -> None:
        analyze(
            jax.random.key(0),
            generate,
            classify,
            latent_dim=GAN.latent_dim,
            num_classes=NUM_CLASSES,
            num_samples=config.latents,
            num_permutations=0,
            quiet=True,
        )

    return [
        compare(
            "labels: sample, G, C, class moments",
            "latents/s",
            ours,
            forms,
            config,
            our_units=config.latents,
            peer_units=batch,
            must=1.5,
        )
    ]


def search_rows(config: Config) -> list[Row]:
    """The bisection against the bare forward pass, a PyTorch loop and a grid."""
    generate, classify = networks()
    random = np.random.default_rng(0)
    mean = random.normal(size=(NUM_CLASSES, GAN.latent_dim)).astype(np.float32) * 0.1
    shape = (NUM_CLASSES, config.directions, GAN.latent_dim)
    shifts = random.choice([-1.0, 1.0], shape).astype(np.float32)
    upper, tolerance, scan_points = 3.0, 1e-4, 32
    halvings = math.ceil(math.log2(upper / scan_points / tolerance))
    evaluations = NUM_CLASSES * config.directions * (1 + scan_points + halvings)
    num_latents = 4000
    latents = jax.random.normal(jax.random.key(0), (num_latents, GAN.latent_dim))

    @partial(jax.jit, static_argnames="batch")
    def forward(functions: Any, z: jax.Array, batch: int) -> jax.Array:
        """Labels in one compiled loop over batches: nothing but the networks."""
        generate, classify = functions

        def label(part: jax.Array) -> jax.Array:
            return jnp.argmax(logits_and_finite(generate, classify, part)[0], axis=-1)

        return jax.lax.map(label, z.reshape(-1, batch, z.shape[-1]))

    bare = {
        f"bare C(G(z)), batch {batch}": partial(forward, (generate, classify), latents, batch)
        for batch in (250, 500, 1000, 2000)
    }

    def ours() -> None:
        bisect_epsilon(
            generate,
            classify,
            mean,
            shifts,
            upper=upper,
            tolerance=tolerance,
            scan_points=scan_points,
        )

    rows = [
        compare(
            "search: evaluations of bisect_epsilon",
            "latents/s",
            ours,
            bare,
            config,
            our_units=evaluations,
            peer_units=num_latents,
            must=0.9,
        )
    ]
    forms = {
        f"PyTorch loop over classes and points, {form}": peers.torch_search(
            peers.torch_generator(GAN),
            peers.torch_classifier(CLASSIFIER),
            mean,
            shifts,
            upper=upper,
            scan_points=scan_points,
            halvings=halvings,
            form=form,
        )
        for form in peers.torch_forms()
        if form != "CUDA graph"
    }
    if forms:
        rows.append(
            compare(
                "search: the whole",
                "searches/s",
                ours,
                forms,
                config,
                our_units=1,
                peer_units=1,
                must=2.0,
            )
        )
    grid = NUM_CLASSES * config.directions * math.ceil(upper / tolerance)
    rows.append(
        Row(
            "search: network evaluations",
            "evaluations",
            evaluations,
            grid,
            "a grid as fine as the tolerance",
            *(grid / evaluations,) * 3,
            100.0,
            None,
        )
    )
    return rows


def growth_rows(config: Config) -> list[Row]:
    """Time against N, classes and dimensions, where G and C cost nothing."""

    def classify_into(num_classes: int) -> Any:
        return lambda x: x[:, :num_classes]

    def generate(z: jax.Array) -> jax.Array:
        return z

    def analysis_of(n: int, num_classes: int = 10, d: int = 100) -> Work:
        classify = classify_into(num_classes)
        return lambda: analyze(
            jax.random.key(0),
            generate,
            classify,
            latent_dim=d,
            num_classes=num_classes,
            num_samples=n,
            num_permutations=0,
            quiet=True,
        )

    def row(name: str, larger: Work, smaller: Work, factor: float, must: float) -> Row:
        seconds = take_turns({"large": larger, "small": smaller}, config.turns, warm_ups=1)
        ratios = factor * seconds["small"] / seconds["large"]
        return Row(
            name,
            "s",
            float(np.median(seconds["large"])),
            float(factor * np.median(seconds["small"])),
            "the smaller, in proportion",
            float(np.median(ratios)),
            float(ratios.min()),
            float(ratios.max()),
            must,
            None,
        )

    return [
        row("growth: analyze, N 10⁶ against 10⁵", analysis_of(10**6), analysis_of(10**5), 10, 0.9),
        row(
            "growth: analyze, 1000 classes against 10 (1024 dimensions)",
            analysis_of(20_000, 1000, 1024),
            analysis_of(20_000, 10, 1024),
            1,
            1 / 1.5,
        ),
        row(
            "growth: analyze, 1600 dimensions against 400",
            analysis_of(20_000, 10, 1600),
            analysis_of(20_000, 10, 400),
            4,
            0.9,
        ),
    ]


_MEMORY = """
import resource, sys, jax
from magan_jax import analyze
analyze(jax.random.key(0), lambda z: z, lambda x: x[:, :10], latent_dim=100, num_classes=10,
        num_samples=int(sys.argv[1]), quiet=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def memory_row(config: Config) -> Row:
    """Peak memory of a process that analyses many latents."""

    def peak(n: int) -> float:
        command = [sys.executable, "-c", _MEMORY, str(n)]
        return (
            int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
        )

    large, small = peak(1_000_000), peak(10_000)
    return Row(
        "memory: analyze, N = 1,000,000",
        "MiB",
        large,
        small,
        "itself at N = 10,000",
        *(small / large,) * 3,
        1 / 1.1,
        None,
    )


_START = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from magan_jax.compilation import keep_compiled
keep_compiled(Path(sys.argv[1]))
import jax, numpy as np
from magan_jax.training.engine import Batch, train
from magan_jax.training.gan import GANConfig, gan_step, init_gan
config = GANConfig()
state = init_gan(jax.random.key(0), config, (28, 28, 1))
data = Batch(np.zeros((128, 28, 28, 1), np.uint8), np.zeros(128, np.int32))
train(jax.random.key(1), gan_step(config, (28, 28, 1)), state, data, num_epochs=1, batch_size=128,
      quiet=True)
print(time.perf_counter() - began)
"""


def start_row(config: Config) -> Row:
    """From the start of Python to the end of the first training step, with and without a cache."""

    def seconds(folder: str) -> float:
        command = [sys.executable, "-c", _START, folder]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    firsts, seconds_of_second = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            firsts.append(seconds(folder))
            seconds_of_second.append(seconds(folder))
    ratios = np.array(firsts) / np.array(seconds_of_second)
    return Row(
        "start: to the first training step, second call",
        "s",
        float(np.median(seconds_of_second)),
        float(np.median(firsts)),
        "the first call",
        float(np.median(ratios)),
        float(ratios.min()),
        float(ratios.max()),
        3.0,
        None,
    )


_EXCHANGE = """
import jax, jax.numpy as jnp, numpy as np
from magan_jax.parallel import DEVICES, exchanged_bytes
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.gan import GANConfig, gan_step, init_gan
config, shape = GANConfig(), (28, 28, 1)
state = init_gan(jax.random.key(0), config, shape)
data = Batch(np.zeros((256, *shape), np.uint8), np.zeros(256, np.int32))
chunk = chunk_function(gan_step(config, shape), 256, config.batch_size, 2)
mapped = jax.shard_map(chunk, mesh=jax.make_mesh((4,), (DEVICES,)), in_specs=jax.P(),
                       out_specs=jax.P(), check_vma=False)
program = jax.jit(mapped).lower(state, data, jax.random.key(1), jnp.uint32(0)).compile()
gradients = sum(x.nbytes for x in jax.tree.leaves((state.generator, state.discriminator)))
print(exchanged_bytes(program.as_text()), gradients)
"""


def exchange_row(config: Config) -> Row:
    """What the devices send one another in a step of the GAN, read off the compiled program."""
    four = os.environ | {"JAX_PLATFORMS": "cpu", "JAX_NUM_CPU_DEVICES": "4"}
    command = [sys.executable, "-c", _EXCHANGE]
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=four).stdout
    ours, gradients = map(int, found.split())
    return Row(
        "devices: exchanged in a step of the GAN",
        "bytes",
        ours,
        gradients,
        "its gradients alone",
        *(gradients / ours,) * 3,
        None,
        None,
    )


def engine_row(config: Config, data: Batch) -> Row:
    """The engine with metrics, guards and progress against its bare compiled chunks."""
    small = Batch(data.images[: 128 * 16], data.labels[: 128 * 16])
    step, state = gan_step(GAN, IMAGE_SHAPE), init_gan(jax.random.key(0), GAN, IMAGE_SHAPE)
    steps = 16
    bare_chunk = on_devices(chunk_function(step, len(small.images), 128, steps))

    def bare() -> Any:
        return bare_chunk(state, small, jax.random.key(0), jnp.uint32(0))[0]

    def whole() -> None:
        train(
            jax.random.key(0),
            step,
            state,
            small,
            num_epochs=config.turns + 3,
            batch_size=128,
            quiet=True,
            after_epoch=lambda _: stamps.append(time.perf_counter()),
        )

    stamps: list[float] = []
    whole()
    mine = np.diff(stamps)[-config.turns :]
    theirs = take_turns({"bare": bare}, config.turns)["bare"]
    ratios = theirs / mine
    return Row(
        "engine: metrics, guards and progress on",
        "images/s",
        128 * steps / float(np.median(mine)),
        128 * steps / float(np.median(theirs)),
        "the bare compiled chunk",
        float(np.median(ratios)),
        float(ratios.min()),
        float(ratios.max()),
        0.97,
        None,
    )


def markdown(rows: list[Row]) -> str:
    """The table of the README."""
    lines = [
        "| row | ours | peer | ratio (least–greatest) | must / aim | of the machine's limit |",
        "|---|---|---|---|---|---|",
    ]
    for r in rows:
        wanted = " / ".join("–" if x is None else f"{x:.2g}" for x in (r.must, r.aim))
        share = "–" if r.limit is None else f"{r.limit:.0%}"
        lines.append(
            f"| {r.row} | {r.ours:,.4g} {r.unit} | {r.peer:,.4g}: {r.peer_name} | "
            f"{r.ratio:.2f} ({r.low:.2f}–{r.high:.2f}) | {wanted} | {share} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and keep."""
    config = tyro.cli(Config, description=__doc__.splitlines()[0])
    dataset = load_dataset("fashion_mnist", None)
    data = jax.device_put(Batch(dataset.train_images, dataset.train_labels))
    limits = machine_limit()
    groups: dict[str, Callable[[], list[Row]]] = {
        "gan": lambda: gan_rows(config, data, limits),
        "classifier": lambda: classifier_rows(config, data, limits),
        "labels": lambda: label_rows(config),
        "memory": lambda: [memory_row(config)],
        "search": lambda: search_rows(config),
        "growth": lambda: growth_rows(config),
        "start": lambda: [start_row(config)],
        "devices": lambda: [exchange_row(config)],
        "engine": lambda: [engine_row(config, data)],
    }
    unknown = set(config.rows) - set(groups)
    if unknown:
        raise ValueError(
            f"--rows names {', '.join(sorted(unknown))}; choose of {', '.join(groups)}."
        )
    if not peers.torch_forms():
        print("PyTorch is not installed (pip install -e '.[bench]'): its rows are left out.")
    machine = environment() | {
        "operations_per_second": limits[0],
        "bytes_per_second": limits[1],
        "peer": peers.torch_version() if peers.torch_forms() else None,
    }
    rows: list[Row] = []
    for name in tqdm([n for n in groups if n in (config.rows or groups)], disable=None):
        rows += groups[name]()
        if config.json is not None:  # after every group: what is measured is kept
            write_json(config.json, {"machine": machine, "rows": [r._asdict() for r in rows]})
    print(f"{markdown(rows)}\n\n{json.dumps(machine, indent=1)}")


if __name__ == "__main__":
    one_sentence(main)
