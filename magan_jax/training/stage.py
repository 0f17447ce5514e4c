"""A training that survives: finished ones are kept, interrupted ones go on where they stopped."""

import io
import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from magan_jax.files import arrays_as_bytes, jsonable, restore_folder, write_bytes
from magan_jax.runtime import first_host_says, first_host_sends, is_first_host
from magan_jax.training.checkpoints import (
    CheckpointError,
    check_digests,
    load_checkpoint,
    read_stage,
    same_stage,
    save_checkpoint,
)
from magan_jax.training.engine import Batch, Step, train
from magan_jax.training.progress import Progress, State

CHECKPOINT_SECONDS = 60.0
"""An interrupted training loses at most so much work, and the epoch under way."""


_REST = "all but the state and the history"
_RESTARTED, _DONE = "-restarted", "done"


class Stage(NamedTuple):
    """Where a training is kept and what it is.

    Attributes:
        folder: of its checkpoint; None keeps nothing.
        description: plain JSON of all that decides the result (configuration, data, seed): a
            checkpoint of another description is refused.
        restart: train anew even if a checkpoint is there. The old one stays until the new
            training is finished; until then that is kept beside it, and goes on when interrupted.
            A finished one is not repeated before `forget_restarts`: a run may have other trainings
            to restart after it.
    """

    folder: Path | None
    description: dict[str, Any]
    restart: bool = False


def train_stage(
    stage: Stage,
    key: jax.Array,
    step: Step,
    state: State,
    data: Batch,
    *,
    num_epochs: int,
    batch_size: int,
    num_devices: int | None = None,
    evaluate: Callable[[State], dict[str, Any]] | None = None,
    title: str,
) -> Progress:
    """`train`, with its checkpoint: reuse a finished one, continue an unfinished one.

    On several hosts the first one reads and writes, and the others receive the state.

    Raises:
        CheckpointError: if the folder holds another training, or a broken one.
    """
    check_stage(stage)
    resume = _load(stage, state)
    if resume is not None and resume.epochs >= num_epochs:
        if is_first_host():
            print(f"{title}: kept from {stage.folder} ({_how_to_train_anew(stage)})", flush=True)
        return resume

    last_saved = time.monotonic()

    def after_epoch(progress: Progress) -> None:
        nonlocal last_saved
        finished = progress.epochs >= num_epochs
        if not finished and time.monotonic() - last_saved < CHECKPOINT_SECONDS:
            return
        _save(stage, progress, finished)
        last_saved = time.monotonic()

    return train(
        key,
        step,
        state,
        data,
        num_epochs=num_epochs,
        batch_size=batch_size,
        num_devices=num_devices,
        resume=resume,
        evaluate=evaluate,
        after_epoch=after_epoch if stage.folder is not None and is_first_host() else None,
        title=title,
    )


def _how_to_train_anew(stage: Stage) -> str:
    if not stage.restart:
        return "--restart trains anew"
    assert stage.folder is not None
    return (
        "an earlier --restart, which did not come to its report, has trained it; delete "
        f"{_underway(stage.folder)} to train it anew"
    )


def is_finished(stage: Stage, num_epochs: int) -> bool:
    """Whether the folder holds this very training, `num_epochs` long; a look at its description."""
    if stage.folder is None or stage.restart:
        return False
    if is_first_host():
        restore_folder(stage.folder)
    found = read_stage(stage.folder)
    if found is None or same_stage(found.get("description"), jsonable(stage.description)):
        return False
    return bool(found["steps"] >= num_epochs * found["steps_per_epoch"])


def check_stage(stage: Stage, unknown: Sequence[str] = ()) -> None:
    """Refuse a folder that holds another training; call it before any work that it would waste.

    Args:
        stage: where it is kept and what it is.
        unknown: entries of its description that cannot be compared yet.

    Raises:
        CheckpointError: naming what differs.
    """
    if stage.folder is None or stage.restart or not is_first_host():
        return
    restore_folder(stage.folder)
    found = read_stage(stage.folder)
    if found is None:
        return
    differing = [
        name
        for name in same_stage(found.get("description"), jsonable(stage.description))
        if name not in unknown
    ]
    if differing:
        raise CheckpointError(
            f"{stage.folder} holds a training with another {', '.join(differing)}; delete it to "
            "train this anew, train everything anew with --restart, or name another --workdir."
        )
    check_digests(stage.folder)


def forget_restarts(folder: Path) -> None:
    """After the last training of a run, whose checkpoints lie in `folder`: from now on a restart
    trains anew what restarts have finished. One that is under way stays."""
    for note in folder.glob(f"*{_RESTARTED}/{_DONE}"):
        shutil.rmtree(note.parent, ignore_errors=True)


def _underway(folder: Path) -> Path:
    """Where a restarted training is kept until it is finished, and then a note that it is."""
    return folder.with_name(f"{folder.name}{_RESTARTED}")


def _restarted_in_place(stage: Stage) -> bool:
    """Whether this very training was restarted and finished, in a run that is not."""
    assert stage.folder is not None
    note = _underway(stage.folder) / _DONE
    if not note.is_file():
        return False
    found = read_stage(stage.folder)
    return found is not None and not same_stage(
        found.get("description"), jsonable(stage.description)
    )


def _save(stage: Stage, progress: Progress, finished: bool) -> None:
    assert stage.folder is not None
    description = {
        "description": stage.description,
        "steps": progress.steps,
        "steps_per_epoch": progress.steps_per_epoch,
        "seconds": progress.seconds,
        "images_per_second": progress.images_per_second,
        "trained_with": progress.trained_with,
    }
    aside = stage.restart and not finished
    folder = _underway(stage.folder) if aside else stage.folder
    save_checkpoint(folder, progress.state, progress.history, description)
    if stage.restart and finished:
        underway = _underway(stage.folder)
        underway.mkdir(exist_ok=True)
        write_bytes(underway / _DONE, b"")  # first, since without it all would be trained again
        for left in underway.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif left.name != _DONE:
                left.unlink()


def _load(stage: Stage, like: State) -> Progress | None:
    """The checkpoint's progress, equal on all hosts; None where there is none."""
    progress = None
    if stage.folder is not None and is_first_host():
        try:
            progress = _read(stage, like)
        except CheckpointError as error:
            if not stage.restart:  # which is what mends it
                raise
            print(f"trained anew, since what --restart left cannot be used: {error}", flush=True)
    if not first_host_says(progress is not None):
        return None
    return progress if jax.process_count() == 1 else _on_all_hosts(progress, like)


def _read(stage: Stage, like: State) -> Progress | None:
    """What lies there of this very training; None where there is nothing."""
    assert stage.folder is not None
    aside = stage.restart and not _restarted_in_place(stage)
    folder = _underway(stage.folder) if aside else stage.folder
    restore_folder(folder)
    found = read_stage(folder)
    if found is not None and stage.restart:  # an interrupted restart of this same training?
        same = not same_stage(found.get("description"), jsonable(stage.description))
        found = found if same else None
    if found is None:
        return None
    state, history = load_checkpoint(folder, like)
    rate = found["images_per_second"]
    return Progress(
        state,
        found["steps"],
        found["steps_per_epoch"],
        history,
        found["seconds"],
        float("nan") if rate is None else rate,
        found["trained_with"],
    )


def _on_all_hosts(progress: Progress | None, like: State) -> Progress:
    """The first host's progress, whole: the others draw the same figures from it, since what they
    ask of the devices in between all must ask."""
    state = jax.device_get(like if progress is None else progress.state)
    content = b""
    if progress is not None:
        plain = {name: np.asarray(values) for name, values in progress.history.items()}
        rest = jsonable(progress._replace(state=None, history={})._asdict())
        content = arrays_as_bytes(plain | {_REST: np.array(json.dumps(rest))})
    with np.load(io.BytesIO(first_host_sends(content)), allow_pickle=False) as file:
        history = {name: file[name] for name in file.files}
    rest = json.loads(history.pop(_REST).item())
    if rest["images_per_second"] is None:
        rest["images_per_second"] = float("nan")
    return Progress(
        **rest | {"state": multihost_utils.broadcast_one_to_all(state), "history": history}
    )
