"""The networks that a finished run of an experiment has left, ready for use."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_type_hints

from magan_jax.networks import Classify, Generate
from magan_jax.prior import Prior, standard_normal
from magan_jax.run import classifier_stage
from magan_jax.training.checkpoints import CheckpointError, load_arrays, read_stage
from magan_jax.training.classifier import classifier_function
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.classifier_step import ClassifierState
from magan_jax.training.ensemble import member
from magan_jax.training.gan import GANState, encoder_function, generator_function
from magan_jax.training.gan_config import GANConfig, prior_in_use
from magan_jax.training.vae import VAEConfig, VAEState, vae_functions

Settings = TypeVar("Settings")

_ONLY = "gan"  # what experiments/fashion.py calls its one system


class FinishedRun(NamedTuple):
    """A generator and a classifier of the same images.

    Attributes:
        generate: `z [n, d] -> images [n, H, W, C]` in [-1, 1]; a pytree of its parameters.
        classify: `images -> logits [n, K]`, the same: the one that labelled latents in the run (of
            an autoencoder that of its reconstructions).
        encode: of a ClusterGAN `images -> (z_n, logits of the cluster)`, of an autoencoder
            `images -> (mean, logarithm of the variance)`, as `class_latents` takes it; None of a
            generator without an encoder.
        prior: of the latents, `(key, n) -> z [n, d]`.
        latent_dim: d.
        class_names: K names.
        system: its name in the run.
        seed: that it was trained from.
    """

    generate: Generate
    classify: Classify
    encode: Callable[[Any], Any] | None
    prior: Prior
    latent_dim: int
    class_names: tuple[str, ...]
    system: str
    seed: int


class _Kept(NamedTuple):
    """A checkpoint: what was trained, and the stacked states of all that were trained at once."""

    description: dict[str, Any]
    states: dict[str, Any]


def load_run(
    workdir: Path | str, seed: int | None = None, system: str | None = None
) -> FinishedRun:
    """Load what a run trained, as `analyze`, `synthesize` and the others take it.

    Args:
        workdir: of a run of `fashion.py`, `mnist_gans.py` or `mnist_vae.py`.
        seed: of several that were trained; None: the first.
        system: of several that were trained; None: the only one.

    Raises:
        CheckpointError: for a folder without a finished run, or a broken one.
        ValueError: for a seed or a system that the run has not.
    """
    workdir = Path(workdir)
    image_shape, class_names = _data_of(workdir)
    system = _system_of(workdir, system)
    kept = _kept(workdir, system)
    seeds = kept.description["seeds"]
    seed = seeds[0] if seed is None else seed
    if seed not in seeds:
        raise ValueError(f"seed is {seed!r}; {workdir} has {', '.join(map(str, seeds))}.")
    state = member(kept.states, seeds.index(seed))
    of_vae = "vae" in kept.description
    prior: Prior
    if of_vae:
        vae = _settings(VAEConfig, kept.description["vae"])
        encode, _, generate = vae_functions(vae, image_shape, VAEState(**state))
        prior, latent_dim = standard_normal(vae.latent_dim), vae.latent_dim
    else:
        gan = _settings(GANConfig, kept.description["gan"])
        generate = generator_function(gan, image_shape, GANState(**state))
        encode = encoder_function(gan, image_shape, GANState(**state))  # type: ignore[assignment]
        prior, latent_dim = prior_in_use(gan), gan.latent_dim
    # fashion.py has a classifier for each seed, mnist_gans.py one that judges all (its other one
    # is not used here), mnist_vae.py one for each autoencoder.
    classifier = _kept(workdir, classifier_stage(system, seed) if of_vae else "classifier")
    classify = classifier_function(
        _settings(ClassifierConfig, classifier.description["classifier"]),
        len(class_names),
        ClassifierState(**member(classifier.states, seeds.index(seed) if system == _ONLY else 0)),
    )
    return FinishedRun(generate, classify, encode, prior, latent_dim, class_names, system, seed)


def _data_of(workdir: Path) -> tuple[Any, tuple[str, ...]]:
    """The shape of an image and the names of the classes."""
    try:
        results = json.loads((workdir / "results.json").read_text())
        data = results["dataset"]
        found = tuple(data["image_shape"]), tuple(data["class_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{workdir} holds no results.json of a finished run ({type(error).__name__}); name the "
            "workdir of one of experiments/fashion.py, mnist_gans.py or mnist_vae.py."
        ) from error
    if "budgets" in results:
        raise CheckpointError(
            f"{workdir} is of experiments/augmentation.py, whose networks are not loaded; name the "
            "workdir of a run of fashion.py, mnist_gans.py or mnist_vae.py."
        )
    return found


def _system_of(workdir: Path, system: str | None) -> str:
    """The name of a system that the run has trained to its end."""
    found = []
    for path in sorted((workdir / "checkpoints").glob("*/stage.json")):
        name = path.parent.name
        if name.startswith(".") or name.endswith("-restarted"):
            continue
        try:
            stage = read_stage(path.parent) or {}
        except CheckpointError:
            if system in (None, name):
                raise
            continue  # another's, which nobody asked for
        settings = stage.get("description", {})
        trained = settings.get("gan") or settings.get("vae")
        classifies = "vae" in settings and "classifier" in settings
        if trained is None or classifies:
            continue
        if stage["steps"] >= trained["epochs"] * stage["steps_per_epoch"]:
            found.append(name)
    if not found:
        raise CheckpointError(
            f"{workdir / 'checkpoints'} holds no finished training of a generator; name the "
            "workdir of a run of experiments/fashion.py, mnist_gans.py or mnist_vae.py (of several "
            "seeds, the folder above seed0, and seed=)."
        )
    if system is None and len(found) > 1:
        raise ValueError(f"system is not given; {workdir} has {', '.join(found)}: name one.")
    if system is not None and system not in found:
        raise ValueError(f"system is {system!r}; {workdir} has {', '.join(found)}.")
    return system or found[0]


def _kept(workdir: Path, name: str) -> _Kept:
    folder = workdir / "checkpoints" / name
    stage = read_stage(folder)
    if stage is None:
        raise CheckpointError(f"{folder} holds no checkpoint; run the experiment to its end.")
    return _Kept(stage["description"], load_arrays(folder))


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
