"""Four fake CPU devices for every test, tiny data sets, and the experiments run on them."""

import gc
import gzip
import importlib.util
import json
import os
import sys
import tempfile
from pathlib import Path

# Threads of OpenMP (scikit-learn's) wait for one another without rest: in two tests at once on two
# cores t-SNE took ten times as long.
os.environ["OMP_NUM_THREADS"] = "1"

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import magan_jax

# Tracing makes many objects that live long, in a process that holds many: looking for cycles among
# them so often took a tenth of the time.
gc.freeze()
gc.set_threshold(100_000, 50, 50)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_disable_most_optimizations", True)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most tests spend their time compiling, many of them the same programs: all tests of a run, in
# this and in other processes, share what one has compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="magan_jax-tests-"))
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


@pytest.fixture(scope="module", autouse=True)
def programs_of_one_module(request):
    """Most of a test's time is the compiler's. A third of it is saved by compiling with few
    optimisations, but where arithmetic itself is tested, in modules marked `optimized`.

    A process may hold some 65,000 memory maps, of which each compiled program takes a few: a worker
    that kept those of all modules ended in the compiler, by a segmentation fault."""
    quick = request.node.get_closest_marker("optimized") is None
    if quick != jax.config.values["jax_disable_most_optimizations"]:
        jax.config.update("jax_disable_most_optimizations", quick)
        jax.clear_caches()
    yield
    maps = Path("/proc/self/maps")
    if not maps.is_file() or maps.read_bytes().count(b"\n") > 25_000:
        jax.clear_caches()


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    opened = gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb")  # noqa: SIM115
    with opened as file:
        file.write(header + array.astype(np.uint8).tobytes())


def striped_images(random, labels, size=8):
    """Images whose bright rows tell the class: learnable by a tiny network in a few steps."""
    images = random.integers(0, 60, (len(labels), size, size))
    for image, label in zip(images, labels, strict=True):
        image[label % size, :] += 150
        image[:, label // size * 3] += 45
    return images.astype(np.uint8)


def write_data_set(folder, num_train, num_test):
    """An MNIST-like folder: images of 8×8 pixels in ten classes, the training part compressed."""
    random = np.random.default_rng(0)
    for part, n, suffix in (("train", num_train, ".gz"), ("t10k", num_test, "")):
        labels = np.arange(n) % 10
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", striped_images(random, labels))
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return folder


@pytest.fixture
def idx_folder(tmp_path):
    """256 + 64 images, for a test to spoil."""
    folder = tmp_path / "data"
    folder.mkdir()
    return write_data_set(folder, 256, 64)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory):
    """320 + 64 images, for all to read."""
    return write_data_set(tmp_path_factory.mktemp("data"), 320, 64)


EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TINY_FASHION = [
    "--preset=quick", "--classifier.epochs=3", "--classifier.batch-size=16",
    "--classifier.width=4", "--gan.epochs=2", "--gan.batch-size=16", "--gan.latent-dim=6",
    "--gan.generator-width=2", "--gan.discriminator-width=2", "--analysis.num-samples=300",
    "--analysis.large-num-samples=2000", "--analysis.num-directions=8",
    "--analysis.num-shifts=20", "--analysis.num-images=50", "--analysis.tolerance=0.05",
]  # fmt: skip
"""Of fashion.py, for the tiny data set."""


def load_experiment(name):
    """The module of `experiments/<name>.py`."""
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def run_experiment(name, *arguments):
    """In this process; returns what a shell would see as the error, or None."""
    module = load_experiment(name)
    before, sys.argv = sys.argv, [str(EXPERIMENTS / f"{name}.py"), *map(str, arguments)]
    try:
        module.one_sentence(module.main)
    except SystemExit as stop:
        return str(stop.code)
    finally:
        sys.argv = before
    return None


def read_results(workdir):
    """results.json, which must be JSON to the letter."""
    return json.loads((workdir / "results.json").read_text(), parse_constant=_refuse_constants)


def _refuse_constants(name):
    raise AssertionError(f"{name} is not JSON")


def unexplained(value, path="", explained=False):
    """Paths of the nulls that no reason explains.

    `reason` explains all that lies below the dictionary it stands in, `<name>_reason` the entries
    there whose names begin with that name (or `low_high_reason` those two), and what lies below.
    """
    if isinstance(value, dict):
        given = {k for k, v in value.items() if k.endswith("reason") and isinstance(v, str)}
        explained = explained or "reason" in given
        begins = [k.removesuffix("_reason") for k in given - {"reason"}]
        begins += ["low", "high"] if "low_high" in begins else []
        return [
            missing
            for k, v in value.items()
            if k != "reason" and not k.endswith("_reason")
            for missing in unexplained(
                v, f"{path}/{k}", explained or any(k.startswith(begin) for begin in begins)
            )
        ]
    if isinstance(value, list):
        return [x for i, v in enumerate(value) for x in unexplained(v, f"{path}/{i}", explained)]
    return [path] if value is None and not explained else []


def three_with_one_missing(x):
    """Logits by the sign of the first dimension; nothing is of the third class."""
    return jnp.stack([x[:, 0], -x[:, 0], jnp.full(len(x), -100.0)], axis=-1)


@pytest.fixture(scope="session")
def half_spaces():
    """An analysis of `three_with_one_missing`."""
    return magan_jax.analyze(
        jax.random.key(0),
        lambda z: z,
        three_with_one_missing,
        latent_dim=4,
        num_classes=3,
        num_samples=4000,
    )
