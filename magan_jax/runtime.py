"""The machine that a run finds: devices, hosts, versions."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

PACKAGES = (
    "magan_jax",
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "tensorflow-datasets",
    "chex",
    "numpy",
    "scipy",
    "scikit-learn",
    "matplotlib",
)


def join_hosts() -> None:
    """Make the devices of all hosts one set (`jax.distributed`), before any is looked at.

    On Cloud TPU and under SLURM or MPI the hosts find each other. Elsewhere set
    JAX_COORDINATOR_ADDRESS (host:port of the first), JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Raises:
        ValueError: when there is no cluster, or the numbers in the environment are missing or not
            numbers.
    """
    # Two programs under way at once on CPU may interleave their collectives differently on two
    # hosts, which then mix them up.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    address = os.environ.get("JAX_COORDINATOR_ADDRESS")
    if address is None:
        try:
            jax.distributed.initialize()
        except ValueError as error:
            raise ValueError(
                f"--distributed: no cluster was found ({error}); outside of Cloud TPU, SLURM and "
                "MPI set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."
            ) from error
        return
    try:
        count = int(os.environ["JAX_NUM_PROCESSES"])
        index = int(os.environ["JAX_PROCESS_ID"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"JAX_COORDINATOR_ADDRESS is {address}, so JAX_NUM_PROCESSES and JAX_PROCESS_ID must "
            f"be set to whole numbers ({error})."
        ) from error
    jax.distributed.initialize(address, num_processes=count, process_id=index)


def is_first_host() -> bool:
    """Whether this process writes files and speaks to the user."""
    return jax.process_index() == 0


def first_host_says(answer: bool) -> bool:
    """The first host's answer, on all of them: to what only its own disk can tell."""
    if jax.process_count() == 1:
        return answer
    return bool(multihost_utils.broadcast_one_to_all(np.int32(answer)))


def first_host_sends(content: bytes) -> bytes:
    """The first host's bytes, on all of them; what the others pass is not looked at."""
    if jax.process_count() == 1:
        return content
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
    mine = np.frombuffer(content, np.uint8) if is_first_host() else np.zeros(size, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(mine)).tobytes()


def environment() -> dict[str, Any]:
    """Versions, backend, devices and the commit that a result came from, as plain JSON."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "versions": versions,
        "platform": platform.platform(),
        "processor_cores": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in jax.devices()],
        "hosts": jax.process_count(),
        "commit": _commit(),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def _commit() -> str | None:
    """The checkout's commit, with `+` if tracked files differ from it; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None
