"""Rows about training: both networks, the engine around them, its start, its devices."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from magan_jax.parallel import on_devices
from magan_jax.training.classifier import train_classifier
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, Step, chunk_function
from magan_jax.training.ensemble import for_each_seed, stacked
from magan_jax.training.gan import train_gan
from magan_jax.training.gan_step import gan_step, init_gan
from magan_jax.training.stage import CHECKPOINT_SECONDS, Stage, train_stage
from throughput.exchange import exchange_of_gan_step
from throughput.limits import MachineLimit, reachable
from throughput.plain_jax import plain_jax_gan
from throughput.protocol import CLASSIFIER, GAN, IMAGE_SHAPE, NUM_CLASSES
from throughput.torch_forms import in_every_form, repeated
from throughput.torch_peers import torch_classifier_step, torch_gan
from throughput.turns import WARM_UPS, Reachable, Row, Work, compare, goals, printed_by, row_of

CLASSIFIER_STEPS = 46_800
"""Of the whole training, which the learning rate's schedule asks for."""

_GAN_ROW = "gan: training, the paper's networks"


def gan_rows(
    data: Batch, limits: MachineLimit, turns: int, chunk_steps: int, wanted: tuple[str, ...]
) -> list[Row]:
    """GAN training against PyTorch in the wanted forms and against ordinary JAX."""
    rows = []
    images = np.asarray(data.images)
    forms = in_every_form(
        "PyTorch", lambda form: repeated(torch_gan(GAN, images, form), chunk_steps), wanted
    )
    if forms:
        rows.append(_gan_against_torch(data, forms, limits, turns, chunk_steps))
    return [*rows, _gan_against_jax(data, turns, chunk_steps)]


def _gan_against_torch(
    data: Batch, forms: dict[str, Work], limits: MachineLimit, turns: int, chunk_steps: int
) -> Row:
    state, step = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE), gan_step(GAN, IMAGE_SHAPE)
    return compare(
        _GAN_ROW,
        "images/s",
        training_work(step, state, data, GAN.batch_size, chunk_steps),
        forms,
        turns,
        our_units=chunk_steps * GAN.batch_size,
        peer_units=chunk_steps * GAN.batch_size,
        **goals(1.0, 1.5, accelerator=1.5),
        reachable=reachable_images(step, state, GAN.batch_size, limits),
    )


def _gan_against_jax(data: Batch, turns: int, chunk_steps: int) -> Row:
    state, step = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE), gan_step(GAN, IMAGE_SHAPE)
    # Two steps a turn on a CPU, whose scanned convolutions take seconds; one would be no loop.
    steps = 2 if jax.default_backend() == "cpu" else chunk_steps
    plain = plain_jax_gan(GAN, np.asarray(data.images[:6000]), steps)
    return compare(
        _GAN_ROW,
        "images/s",
        training_work(step, state, data, GAN.batch_size, chunk_steps),
        {"JAX, nn.Conv in lax.scan": plain},
        turns,
        our_units=chunk_steps * GAN.batch_size,
        peer_units=steps * GAN.batch_size,
        **goals(10.0, accelerator=1.3),
    )


def classifier_rows(
    data: Batch, limits: MachineLimit, turns: int, chunk_steps: int, wanted: tuple[str, ...]
) -> list[Row]:
    """Classifier training against PyTorch, in turns of about the length of the GAN's.

    Its step is so short that the permutation of the data at the head of a chunk shows in short
    ones; the engine's chunks are a quarter of an epoch.
    """
    chunk_steps = min(8 * chunk_steps, len(data.images) // CLASSIFIER.batch_size)
    images, labels = np.asarray(data.images), np.asarray(data.labels)
    forms = in_every_form(
        "PyTorch",
        lambda form: repeated(torch_classifier_step(CLASSIFIER, images, labels, form), chunk_steps),
        wanted,
    )
    if not forms:
        return []
    key, batch_size = jax.random.key(0), CLASSIFIER.batch_size
    state = init_classifier(key, CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, CLASSIFIER_STEPS)
    step = classifier_step(CLASSIFIER, NUM_CLASSES, CLASSIFIER_STEPS)
    row = compare(
        "classifier: training",
        "images/s",
        training_work(step, state, data, batch_size, chunk_steps),
        forms,
        turns,
        our_units=chunk_steps * batch_size,
        peer_units=chunk_steps * batch_size,
        **goals(1.0, 1.5, accelerator=1.5),
        reachable=reachable_images(step, state, batch_size, limits),
    )
    return [row]


def seeds_row(data: Batch, turns: int, chunk_steps: int, num_seeds: int = 16) -> Row:
    """Many GANs in one compiled call against the same number one after another."""
    keys = jax.random.split(jax.random.key(0), num_seeds)
    states = [init_gan(key, GAN, IMAGE_SHAPE) for key in keys]
    chunk = chunk_function(
        gan_step(GAN, IMAGE_SHAPE), len(data.images), GAN.batch_size, chunk_steps
    )
    alone = on_devices(chunk, donate_first=True)
    together = on_devices(for_each_seed(chunk), donate_first=True)
    held = [stacked(states)]

    def all_at_once() -> None:
        held[0], infos = together(held[0], data, keys, jnp.uint32(0))
        jax.device_get(infos)

    def one_after_another() -> None:
        for i, key in enumerate(keys):
            states[i], infos = alone(states[i], data, key, jnp.uint32(0))
            jax.device_get(infos)

    images = num_seeds * chunk_steps * GAN.batch_size
    return compare(
        f"seeds: {num_seeds} GANs in one call",
        "images/s",
        all_at_once,
        {"one after another": one_after_another},
        turns,
        our_units=images,
        peer_units=images,
        **goals(1.0, accelerator=6.0),
    )


def whole_rows(train_set: Batch, test_set: Batch) -> list[Row]:
    """The paper's two trainings from start to end, 100 epochs each; on an accelerator only."""
    if jax.default_backend() == "cpu":
        return []
    nowhere, keys = Stage(None, {}), jax.random.split(jax.random.key(0))
    with nothing_compiled():
        began = time.perf_counter()
        train_gan(keys[0], GAN, np.asarray(train_set.images), stage=nowhere)
        train_classifier(
            keys[1], CLASSIFIER, train_set, test_set, num_classes=NUM_CLASSES, stage=nowhere
        )
        seconds = time.perf_counter() - began
    name = "whole: 100 epochs of GAN and 100 of classifier, compilation included"
    return [row_of(name, "s", seconds, 30.0, "what is asked", 30.0 / seconds)]


@contextmanager
def nothing_compiled() -> Iterator[None]:
    """As in a process of its own that keeps its compiled programs in an empty folder."""
    before = getattr(jax.config, "jax_compilation_cache_dir", None)
    with tempfile.TemporaryDirectory() as folder:
        jax.clear_caches()
        compilation_cache.reset_cache()
        jax.config.update("jax_compilation_cache_dir", folder)
        try:
            yield
        finally:
            compilation_cache.reset_cache()
            jax.config.update("jax_compilation_cache_dir", before)


def engine_row(data: Batch, turns: int, chunk_steps: int) -> Row:
    """The engine with all that it does for a user against its bare compiled chunks.

    Each call of the engine compiles anew, so this is one training, and the bare chunk takes its
    turn where the engine would evaluate: after each epoch, which is as long as one turn.
    """
    num_images = chunk_steps * GAN.batch_size
    small = Batch(data.images[:num_images], data.labels[:num_images])
    state, step = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE), gan_step(GAN, IMAGE_SHAPE)
    bare = training_work(step, state, small, GAN.batch_size, chunk_steps)
    mine: list[float] = []
    theirs: list[float] = []
    stamp = time.perf_counter()

    def bare_turn(_: Any) -> dict[str, float]:
        nonlocal stamp
        began = time.perf_counter()
        mine.append(began - stamp)
        bare()
        stamp = time.perf_counter()
        theirs.append(stamp - began)
        return {}

    with tempfile.TemporaryDirectory() as folder:
        train_stage(
            Stage(Path(folder) / "gan", {}),
            jax.random.key(0),
            step,
            state,
            small,
            num_epochs=WARM_UPS + turns,
            batch_size=GAN.batch_size,
            evaluate=bare_turn,
            title="engine",
        )
        saving = time.perf_counter() - stamp
    # So short a training is saved at its end; a long one pays for a checkpoint every
    # CHECKPOINT_SECONDS, and each turn here for its share of one. (Turns so long that the engine
    # saves among them pay twice.)
    ours = np.array(mine[WARM_UPS:]) * (1 + saving / CHECKPOINT_SECONDS)
    peer = np.array(theirs[WARM_UPS:])
    return row_of(
        "engine: metrics, guards, progress and checkpoints on",
        "images/s",
        num_images / ours,
        num_images / peer,
        "the bare compiled chunk",
        peer / ours,
        **goals(0.97, accelerator=0.97),
    )


def training_work(step: Step, state: Any, data: Batch, batch_size: int, steps: int) -> Work:
    """A chunk of our training, from the state where the last one ended."""
    chunk = on_devices(chunk_function(step, len(data.images), batch_size, steps), donate_first=True)
    # A copy of the state, since each call takes the memory of its argument.
    key, held = jax.random.key(0), [jax.tree.map(jnp.array, state), 0]
    places = len(data.images) // batch_size - steps + 1  # in an epoch, where a chunk can begin

    def work() -> None:
        held[0], infos = chunk(held[0], data, key, jnp.uint32(held[1] % places))
        held[1] += steps
        jax.device_get(infos)

    return work


def reachable_images(step: Step, state: Any, batch_size: int, limits: MachineLimit) -> Reachable:
    """Images per second of training at the machine's limits."""
    return reachable(traced_step(step, state, batch_size), batch_size, limits, exact=False)


def traced_step(step: Step, state: Any, batch_size: int) -> Any:
    """One step on one device, as a traced program."""
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
    return program.trace(state, batch, jax.random.key(0))


# A first training step in a new process, with compiled programs kept in the folder it is given.
_START = """
import sys, time
began = time.perf_counter()
from pathlib import Path
from magan_jax.compilation import keep_compiled
keep_compiled(Path(sys.argv[1]))
import jax, numpy as np
from magan_jax.training.engine import Batch, train
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan
config = GANConfig()
state = init_gan(jax.random.key(0), config, (28, 28, 1))
data = Batch(np.zeros((128, 28, 28, 1), np.uint8), np.zeros(128, np.int32))
train(jax.random.key(1), gan_step(config, (28, 28, 1)), state, data, num_epochs=1, batch_size=128,
      quiet=True)
print(time.perf_counter() - began)
"""


def start_row(turns: int) -> Row:
    """From the start of Python to the end of the first training step, with and without a cache."""
    firsts, seconds = [], []
    for _ in range(min(3, turns)):
        with tempfile.TemporaryDirectory() as folder:
            firsts.append(float(printed_by(_START, folder)[0]))
            seconds.append(float(printed_by(_START, folder)[0]))
    first, second = np.array(firsts), np.array(seconds)
    return row_of(
        "start: to the first training step, second call",
        "s",
        second,
        first,
        "the first call",
        first / second,
        **goals(3.0),
    )


def exchange_row() -> Row:
    """What the devices send one another in a step of the GAN, read off the compiled program."""
    exchange = exchange_of_gan_step()
    return row_of(
        "devices: exchanged in a step of the GAN",
        "bytes",
        exchange.bytes,
        exchange.gradient_bytes,
        "its gradients alone",
        exchange.gradient_bytes / exchange.bytes,
    )
