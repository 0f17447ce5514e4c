"""The networks that a finished run of `experiments/fashion.py` has left, ready for use."""

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

from magan_jax.latent.networks import Classify, Generate
from magan_jax.latent.prior import Prior
from magan_jax.training.checkpoints import CheckpointError, load_arrays, read_stage
from magan_jax.training.classifier import ClassifierConfig, ClassifierState, classifier_function
from magan_jax.training.ensemble import member
from magan_jax.training.gan import GANState, generator_function
from magan_jax.training.gan_config import GANConfig, prior_in_use

Settings = TypeVar("Settings")


class FinishedRun(NamedTuple):
    """A generator and a classifier of the same images.

    Attributes:
        generate: `z [n, d] -> images [n, H, W, C]` in [-1, 1]; a pytree of its parameters.
        classify: `images -> logits [n, K]`, the same.
        prior: of the latents, `(key, n) -> z [n, d]`.
        latent_dim: d.
        class_names: K names.
        seed: that both were trained from.
    """

    generate: Generate
    classify: Classify
    prior: Prior
    latent_dim: int
    class_names: tuple[str, ...]
    seed: int


def load_run(workdir: Path | str, seed: int | None = None) -> FinishedRun:
    """Load what a run trained, as `analyze`, `synthesize` and the others take it.

    Args:
        workdir: of the run.
        seed: of several that were trained at once; None: the first.

    Raises:
        CheckpointError: for a folder without a finished run, or a broken one.
        ValueError: for a seed that the run has not.
    """
    workdir = Path(workdir)
    try:
        data = json.loads((workdir / "results.json").read_text())["dataset"]
        image_shape, class_names = tuple(data["image_shape"]), tuple(data["class_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{workdir} holds no results.json of a finished run ({type(error).__name__}); name the "
            "workdir of one of experiments/fashion.py."
        ) from error
    states: dict[str, Any] = {}
    described: dict[str, Any] = {}
    for name in ("gan", "classifier"):
        folder = workdir / "checkpoints" / name
        stage = read_stage(folder)
        if stage is None:
            raise CheckpointError(f"{folder} holds no checkpoint; the run must be of fashion.py.")
        described[name] = stage["description"]
        states[name] = load_arrays(folder)
    seeds = described["gan"]["seeds"]
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed is {seed}; {workdir} has {', '.join(map(str, seeds))}.")
    gan, classifier = (member(states[name], seeds.index(seed)) for name in ("gan", "classifier"))
    config = _settings(GANConfig, described["gan"]["gan"])
    return FinishedRun(
        generator_function(config, image_shape, GANState(**gan)),
        classifier_function(
            _settings(ClassifierConfig, described["classifier"]["classifier"]),
            len(class_names),
            ClassifierState(**classifier),
        ),
        prior_in_use(config),
        config.latent_dim,
        class_names,
        seed,
    )


def _settings(kind: type[Settings], plain: dict[str, Any]) -> Settings:
    """A frozen dataclass from its JSON."""
    hints = get_type_hints(kind)
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name not in plain:
            continue
        value = plain[field.name]
        if dataclasses.is_dataclass(hints[field.name]):
            value = _settings(hints[field.name], value)
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return kind(**values)
