"""Trials on disk: a call that was interrupted goes on with the next one."""

import itertools
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from magan_jax.augmentation.judging import PoolJudgement
from magan_jax.augmentation.neighbourhoods import Neighbourhoods
from magan_jax.augmentation.trial import ArmTrial, Trial
from magan_jax.files import DAMAGE, digest_of, jsonable, write_arrays
from magan_jax.runtime import is_first_host
from magan_jax.training.classifier import classifier_in_use


class TrialsFolder(NamedTuple):
    """Where the trials of a run lie, and what they are of.

    Attributes:
        path: the folder, which need not exist.
        settings: all that decides a trial but its seed and its number of labels, as plain JSON.
        width: of the trials' classifiers.
        others_replaced: trials of other settings or networks, or damaged ones, count as absent;
            else they are refused.
    """

    path: Path
    settings: Mapping[str, Any]
    width: int
    others_replaced: bool = False

    def place(self, seed: int, n: int) -> tuple[Path, dict[str, Any]]:
        """A trial's file, and all that decides it."""
        return self.path / f"n{n}-seed{seed}.npz", {
            **self.settings,
            "seed": seed,
            "num_per_class": n,
        }


def kept_trials(
    folder: TrialsFolder, budgets: Iterable[int], seeds: Iterable[int], networks: str | None = None
) -> dict[tuple[int, int], Trial]:
    """What earlier calls have tried; nothing but on the first host.

    Args:
        folder: where it lies.
        budgets: numbers of labels per class.
        seeds: of the trials.
        networks: what it must have been made with, see `digest_of`; None for any.

    Returns:
        The trials that are there, by number of labels and seed.

    Raises:
        ValueError: see `load_trial`, unless others are replaced.
    """
    found: dict[tuple[int, int], Trial] = {}
    if not is_first_host():
        return found
    for n, seed in itertools.product(budgets, seeds):
        path, description = folder.place(seed, n)
        try:
            trial = load_trial(path, description, folder.width, networks)
        except ValueError:
            if not folder.others_replaced:
                raise
            trial = None
        if trial is not None:
            found[n, seed] = trial
    return found


def keep_trial(folder: TrialsFolder, trial: Trial, networks: str) -> None:
    """On the first host, keep a trial for the next call, should this one be interrupted."""
    if is_first_host():
        path, description = folder.place(trial.seed, trial.num_per_class)
        save_trial(path, trial, description, networks)


def put_in_place(folder: TrialsFolder, trials: Iterable[Trial], target: Path) -> None:
    """Move trials from a folder into another, each in place of its like; others stay there.

    Args:
        folder: where they are; it is gone afterwards, with whatever else an earlier call left.
        trials: which ones.
        target: where they belong.
    """
    target.mkdir(parents=True, exist_ok=True)
    for trial in trials:
        path, _ = folder.place(trial.seed, trial.num_per_class)
        os.replace(path, target / path.name)
    shutil.rmtree(folder.path, ignore_errors=True)


def save_trial(path: Path, trial: Trial, description: Mapping[str, Any], networks: str) -> None:
    """Write a trial as arrays, whole or not at all.

    Args:
        path: an `.npz` file; its folder is created.
        trial: what is kept.
        description: the settings that decide it, as plain JSON.
        networks: `digest_of` the networks that it was made with.
    """
    arrays: dict[str, Any] = {
        "description": _text(description),
        "networks": networks,
        "seed": trial.seed,
        "num_per_class": trial.num_per_class,
        "num_classes": trial.num_classes,
        "held_out": trial.held_out,
    }
    for kind in ("arms", "bounds"):
        tried: Mapping[str, ArmTrial] = getattr(trial, kind)
        arrays[kind] = np.array(list(tried), np.str_)
        for name, one in tried.items():
            arrays |= {f"{kind}/{name}/{key}": value for key, value in _of_arm(one).items()}
    if trial.neighbourhoods is not None:
        found = trial.neighbourhoods._asdict()
        arrays |= {f"neighbourhoods/{name}": value for name, value in found.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(path, arrays | {"content": _content(arrays)})


def load_trial(
    path: Path, description: Mapping[str, Any], width: int, networks: str | None = None
) -> Trial | None:
    """Read a trial; None where there is none.

    Args:
        path: see `save_trial`.
        description: what it must be of.
        width: of its classifiers.
        networks: what it must have been made with; None for any.

    Raises:
        ValueError: for a file of another description or of other networks, or one that cannot be
            read.
    """
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        if str(arrays.pop("content")) != _content(arrays):
            raise ValueError("it is not what was written")
        other = None
        if str(arrays["description"]) != str(_text(description)):
            other = "settings"
        elif networks not in (None, str(arrays["networks"])):
            other = "networks (another GAN or encoder of the same settings)"
        if other is None:
            return _trial_of(arrays, width)
    except DAMAGE as error:
        raise ValueError(f"{path} cannot be read ({error}); delete it to make it anew.") from error
    raise ValueError(
        f"{path} holds a trial of other {other}; delete it, make everything anew with --restart, "
        "or name another --workdir."
    )


def _content(arrays: Mapping[str, Any]) -> str:
    """A digest of all arrays and of their names: an archive may lose one unnoticed."""
    return digest_of([np.array(sorted(arrays)), *(arrays[name] for name in sorted(arrays))])


def _trial_of(arrays: Mapping[str, np.ndarray], width: int) -> Trial:
    num_classes = int(arrays["num_classes"])

    def found(kind: str) -> dict[str, ArmTrial]:
        return {
            str(name): _arm_of(_below(arrays, f"{kind}/{name}/"), width, num_classes)
            for name in arrays[kind]
        }

    of_neighbours = _below(arrays, "neighbourhoods/")
    return Trial(
        int(arrays["seed"]),
        int(arrays["num_per_class"]),
        num_classes,
        arrays["held_out"],
        found("arms"),
        found("bounds"),
        Neighbourhoods(**of_neighbours) if of_neighbours else None,
    )


def _text(description: Mapping[str, Any]) -> np.ndarray:
    return np.array(json.dumps(jsonable(description), sort_keys=True))


def _below(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """What is named under a prefix, without it."""
    return {k[len(prefix) :]: v for k, v in arrays.items() if k.startswith(prefix)}


def _of_arm(one: ArmTrial) -> dict[str, Any]:
    variables: Any = one.classifier
    leaves, _ = jax.tree_util.tree_flatten_with_path(variables.args[0])
    arrays: dict[str, Any] = {
        "validation": np.array(one.validation),
        "chosen": one.chosen,
        # Of a variant that did not fail, an empty reason.
        "failures": np.array([reason or "" for reason in one.failures], np.str_),
    }
    for path, leaf in leaves:
        arrays["variables/" + "/".join(str(key.key) for key in path)] = np.asarray(leaf)
    if one.pool is not None:
        arrays |= {f"pool/{name}": value for name, value in one.pool._asdict().items()}
    return arrays


def _arm_of(arrays: Mapping[str, np.ndarray], width: int, num_classes: int) -> ArmTrial:
    variables: dict[str, Any] = {}
    for name, leaf in _below(arrays, "variables/").items():
        *folders, last = name.split("/")
        place = variables
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = leaf
    pool = _below(arrays, "pool/")
    return ArmTrial(
        jax.tree_util.Partial(classifier_in_use(width, num_classes), variables),
        tuple(float(v) for v in arrays["validation"]),
        int(arrays["chosen"]),
        PoolJudgement(
            int(pool["size"]),
            pool["of_class"],
            float(pool["purity"]),
            float(pool["diversity"]),
            pool["shown"],
            pool["shown_labels"],
        )
        if pool
        else None,
        tuple(str(reason) or None for reason in arrays["failures"]),
    )
