"""One run of an experiment: its folder, its stages, its clock."""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import jax
import jax.numpy as jnp

from magan_jax.compilation import keep_compiled
from magan_jax.data import DATASETS, Dataset, DatasetName
from magan_jax.errors import check_default_prng
from magan_jax.files import check_writable, digest_of, hold_folder, jsonable
from magan_jax.runtime import is_first_host
from magan_jax.training.checkpoints import forget_unfinished
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.engine import Batch
from magan_jax.training.precision import ActivationDtype
from magan_jax.training.stage import Stage, check_stage, forget_restarts


@dataclass(frozen=True)
class RunConfig:
    """What every experiment can be told."""

    preset: Literal["auto", "quick", "paper"] = "auto"
    """Defaults of all other flags: quick on a CPU, paper on a GPU or TPU, or the one named."""
    dataset: DatasetName = "fashion_mnist"
    """The data set, with its class names."""
    data_dir: Path | None = None
    """Files of this or a similar set: a folder of four IDX files (gzip or not), an .npz file, or
    the folder of CIFAR-10's binary version."""
    class_names: tuple[str, ...] = ()
    """Names of the classes of a set of your own in --data-dir, from label 0 on."""
    workdir: Path | None = None
    """Where everything goes; default runs/<experiment>-<dataset>-<preset>-seed<seeds>."""
    seed: int = 0
    """Of all that is drawn: trainings, latents, shifts, labels chosen; the first of several."""
    num_seeds: int = 1
    """Train so many networks at once, from seeds seed, seed + 1, …, and compare them."""
    restart: bool = False
    """Train anew what an earlier call has trained already."""
    num_devices: int | None = None
    """Use so many local devices; default all of all hosts."""
    dtype: ActivationDtype = "float32"
    """Activations in training (in augmentation.py of GAN and autoencoder only); parameters,
    statistics and losses stay float32."""
    compilation_cache: bool = True
    """Keep compiled programs for the next call, in a private folder ~/.cache/magan_jax."""
    distributed: bool = False
    """Join the hosts that run this same command; see README."""


MAX_SEEDS = 10_000
"""Networks of one run; their seeds stand in every checkpoint."""

GAN_STREAM = 1
"""Of `Run.keys`, for a GAN that fashion.py and augmentation.py train alike."""

GIVEN = "parameters of the networks it was given"
"""By this name a checkpoint remembers the networks that its training was given."""


def decided_classifier(classifier: ClassifierConfig, config: RunConfig) -> ClassifierConfig:
    """The classifier's settings with what was left to the data set and to `--dtype` filled in."""
    mirror = classifier.mirror
    if mirror is None:  # of a set of one's own nobody knows
        mirror = not config.class_names and DATASETS[config.dataset].mirrored_alike
    return dataclasses.replace(classifier, mirror=mirror, dtype=classifier.dtype or config.dtype)


Trainings = Mapping[str, Mapping[str, Any]]


ConfigT = TypeVar("ConfigT", bound=RunConfig)
ConfigT_co = TypeVar("ConfigT_co", bound=RunConfig, covariant=True)


@dataclass(frozen=True)
class Run(Generic[ConfigT_co]):
    """A run under way.

    Attributes:
        preset: name of the preset in force.
        config: all settings, a subclass of `RunConfig`.
        dataset: the data.
        workdir: the folder, which exists and can be written to.
        trainings: for each training by name, the configurations that decide its result, by what
            they are of.
        seconds: wall-clock time by part of the run, all seeds together.
    """

    preset: str
    config: ConfigT_co
    dataset: Dataset
    workdir: Path
    trainings: Trainings
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def seeds(self) -> range:
        """Of the networks of this run."""
        return range(self.config.seed, self.config.seed + self.config.num_seeds)

    def keys(self, stream: int) -> jax.Array:
        """A key for each seed, `[S]`; every use of randomness has a stream of its own."""
        return jnp.stack([jax.random.fold_in(jax.random.key(s), stream) for s in self.seeds])

    @property
    def train_set(self) -> Batch:
        """Training images and labels."""
        return Batch(self.dataset.train_images, self.dataset.train_labels)

    @property
    def test_set(self) -> Batch:
        """Test images and labels."""
        return Batch(self.dataset.test_images, self.dataset.test_labels)

    @property
    def data_description(self) -> list[Any]:
        """What tells the data from others; of a set of one's own how many classes it has, too."""
        own = [len(self.config.class_names)] if self.config.class_names else []
        return [self.dataset.name, self.dataset.sha256, *own]

    def stage(self, name: str, given: Any = None) -> Stage:
        """The training called `name`, one of `trainings`.

        Args:
            name: of the training.
            given: a pytree of trained networks that decide its result besides settings and data,
                since a training of the same settings elsewhere gives others; None for none.
        """
        return self._stage(name, self.trainings[name], self.seeds, given)

    def single_stage(self, name: str, settings: Mapping[str, Any]) -> Stage:
        """A training from the first seed alone, shared by all that the other seeds stand for.

        Args:
            name: of the training.
            settings: the configurations that decide its result, by what they are of.
        """
        return self._stage(name, settings, self.seeds[:1], None)

    def _stage(
        self, name: str, settings: Mapping[str, Any], seeds: Sequence[int], given: Any
    ) -> Stage:
        description = {
            **{of: dataclasses.asdict(one) for of, one in settings.items()},
            "seeds": list(seeds),
            "data": self.data_description,
        }
        if given is not None:
            description[GIVEN] = digest_of(given)
        folder = self.workdir / "checkpoints" / name
        return Stage(folder, jsonable(description), self.config.restart)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Measure a part of the run, and say when it is done; what recurs is added up."""
        began = time.perf_counter()
        yield
        passed = time.perf_counter() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + passed
        self.say(f"{name}: {passed:.1f} s")

    def finish(self) -> None:
        """All is done and written: another `--restart` trains anew what this run has trained."""
        if is_first_host():
            forget_restarts(self.workdir / "checkpoints")

    def say(self, message: str) -> None:
        """Print on the first host."""
        if is_first_host():
            print(message, flush=True)


def classifier_stage(name: str, seed: int) -> str:
    """The name of the training of a classifier of one autoencoder's reconstructions."""
    return f"{name}-classifier-seed{seed}"


def start_run(
    experiment: str, preset: str, config: ConfigT, dataset: Dataset, trainings: Trainings
) -> Run[ConfigT]:
    """Prepare the folder of a run; refuse what cannot work before anything is computed.

    Args:
        experiment: its name, for the default folder.
        preset: the preset in force.
        config: a subclass of `RunConfig`.
        dataset: the data.
        trainings: see `Run`.

    Raises:
        ValueError: if the folder cannot be written to, holds other trainings, or another call is at
            work in it.
    """
    check_default_prng()
    if not 1 <= config.num_seeds <= MAX_SEEDS:
        raise ValueError(f"num_seeds is {config.num_seeds}; it must be 1 to {MAX_SEEDS:,}.")
    if not 0 <= config.seed <= 2**32 - config.num_seeds:
        raise ValueError(f"seed is {config.seed}; every seed must be 0 to 2³² − 1.")
    last = "" if config.num_seeds == 1 else f"to{config.seed + config.num_seeds - 1}"
    default = f"{experiment}-{dataset.name}-{preset}-seed{config.seed}{last}"
    workdir = Path(config.workdir or Path("runs") / default)
    run = Run(preset, config, dataset, workdir, trainings)
    if is_first_host():
        for folder in (workdir, workdir / "checkpoints", workdir / "figures"):
            check_writable(folder, "--workdir")
        if hold_folder(workdir, "--workdir"):  # else another call may be writing there
            forget_unfinished(workdir / "checkpoints")
        for name in trainings:
            check_stage(run.stage(name), unknown=(GIVEN,))
    if config.compilation_cache and keep_compiled() is None:
        run.say(
            "compiled programs are not kept: ~/.cache/magan_jax is not a private folder of yours"
        )
    other = "paper" if preset == "quick" else "quick"
    run.say(
        f"{experiment}: preset {preset} (--preset {other} for the other), {dataset.name} with "
        f"{len(dataset.train_images):,} training images from {dataset.source}, into {workdir}"
    )
    return run
