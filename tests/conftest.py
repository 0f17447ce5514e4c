"""Four fake CPU devices for every test, and data sets small enough to train on."""

import gzip
import os
import tempfile

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 4)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Most tests spend their time compiling, many of them the same programs: all tests of a run, in
# this and in other processes, share what one has compiled.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="magan_jax-tests-"))
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


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


@pytest.fixture
def idx_folder(tmp_path):
    """An MNIST-like folder: 256 + 64 images of 8×8 pixels in ten classes."""
    folder = tmp_path / "data"
    folder.mkdir()
    random = np.random.default_rng(0)
    for part, n, suffix in (("train", 256, ".gz"), ("t10k", 64, "")):
        labels = np.arange(n) % 10
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", striped_images(random, labels))
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", labels)
    return folder
