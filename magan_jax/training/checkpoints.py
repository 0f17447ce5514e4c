"""Training states on disk: Orbax for the arrays, SHA-256 against what Orbax does not notice.

A checkpoint is a folder with `state/` (Orbax), `history.npz`, `stage.json` (what was trained, and
how far) and `manifest.json` (the SHA-256 of every other file). It is written beside its place and
renamed into it, so a process that ends at any moment leaves the old checkpoint or the new one.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from magan_jax.files import jsonable, replace_folder, write_arrays, write_json

_STATE, _HISTORY, _STAGE, _MANIFEST = "state", "history.npz", "stage.json", "manifest.json"
_UNFINISHED = ".unfinished"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says why and what to do."""


def save_checkpoint(
    folder: Path, state: Any, history: dict[str, np.ndarray], stage: dict[str, Any]
) -> None:
    """Write a checkpoint in place of what `folder` holds. One process does this.

    Args:
        folder: where; its parent is created.
        state: a pytree of arrays.
        history: logged scalars.
        stage: plain JSON: what was trained, and how far.

    Raises:
        OSError: if the disk has no room for it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(folder, state)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=_UNFINISHED, dir=folder.parent))
    try:
        with _checkpointer() as checkpointer:
            tree = ocp.args.StandardSave(jax.device_get(state))
            checkpointer.save(new.absolute() / _STATE, args=tree)
        write_arrays(new / _HISTORY, history)
        write_json(new / _STAGE, stage)
        write_json(new / _MANIFEST, _digests(new))
        new.chmod(folder.parent.stat().st_mode & 0o777)  # mkdtemp's is the owner's alone
        replace_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _check_room(folder: Path, state: Any) -> None:
    """Before Orbax, which tells of a full disk from several threads at once."""
    needed = sum(x.nbytes for x in jax.tree.leaves(state))
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise OSError(
            f"{folder} needs {needed / 1e6:,.1f} MB on a disk that has {free / 1e6:,.1f} MB free; "
            "make room and call again, which goes on from the last checkpoint."
        )


def forget_unfinished(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left among the checkpoints in
    `folder`; no other may be writing there."""
    for left in folder.glob(f".*{_UNFINISHED}"):
        shutil.rmtree(left, ignore_errors=True)


def read_stage(folder: Path) -> dict[str, Any] | None:
    """What `stage` said when the checkpoint was written; None where there is no checkpoint.

    Raises:
        CheckpointError: if it has changed since.
    """
    if not (folder / _STAGE).is_file():
        return None
    _check_digest(folder, _STAGE, _manifest(folder).get(_STAGE))
    found: dict[str, Any] = json.loads((folder / _STAGE).read_text())
    return found


def load_checkpoint(folder: Path, like: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The state, in the shape of the pytree `like`, and the history.

    Raises:
        CheckpointError: if a file is missing or changed, or the shapes differ.
    """
    check_digests(folder)
    abstract = jax.tree.map(lambda x: np.zeros(np.shape(x), x.dtype), jax.device_get(like))
    try:
        with _checkpointer() as checkpointer:
            wanted = ocp.args.StandardRestore(abstract)
            state = checkpointer.restore(folder.absolute() / _STATE, args=wanted)
    except Exception as error:  # Orbax raises many kinds; all mean that this state does not fit
        raise CheckpointError(
            f"{folder} does not hold the networks asked for ({type(error).__name__}); "
            + _mend(folder)
        ) from error
    # Orbax gives what lies there, whatever shape was asked for.
    shapes = [jax.tree.map(np.shape, tree) for tree in (abstract, state)]
    if shapes[0] != shapes[1]:
        raise CheckpointError(
            f"{folder} holds networks of other shapes than those asked for; {_mend(folder)}"
        )
    with np.load(folder / _HISTORY, allow_pickle=False) as stored:
        history = {name: stored[name] for name in stored.files}
    return jax.tree.map(np.asarray, state), history


def load_arrays(folder: Path) -> dict[str, Any]:
    """The state as it lies there, by the names of its fields.

    Raises:
        CheckpointError: if a file is missing or changed.
    """
    check_digests(folder)
    with _checkpointer() as checkpointer:
        state = checkpointer.restore(folder.absolute() / _STATE, args=ocp.args.StandardRestore())
    found: dict[str, Any] = jax.tree.map(np.asarray, state)
    return found


def check_digests(folder: Path) -> None:
    """Refuse a checkpoint of which a file is missing or changed; further files do not matter.

    Raises:
        CheckpointError: naming the file.
    """
    for name, digest in sorted(_manifest(folder).items()):
        _check_digest(folder, name, digest)


def _manifest(folder: Path) -> dict[str, str]:
    path = folder / _MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); {_mend(folder)}") from error
    if not isinstance(manifest, dict) or not {_STAGE, _HISTORY} <= manifest.keys():
        raise CheckpointError(f"{path} is not what was written there; {_mend(folder)}")
    return manifest


def _check_digest(folder: Path, name: str, digest: str | None) -> None:
    path = folder / name
    if not path.is_file():
        raise CheckpointError(f"{path} is missing; {_mend(folder)}")
    if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        raise CheckpointError(f"{path} has changed since it was written; {_mend(folder)}")


def _mend(folder: Path) -> str:
    return (
        f"delete {folder} to train this anew, train everything anew with --restart, or name "
        "another --workdir."
    )


def _checkpointer() -> ocp.Checkpointer:
    """Orbax without its barriers between hosts: one host writes and reads, then broadcasts.

    The stable interface, since the newer `orbax.checkpoint.v1` compares paths among all hosts.
    """
    me = jax.process_index()
    options = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=f"host{me}"
    )
    return ocp.Checkpointer(
        ocp.StandardCheckpointHandler(multiprocessing_options=options),
        multiprocessing_options=options,
    )


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below the folder but the manifest, by relative path."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != _MANIFEST)
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def same_stage(a: Any, b: Any) -> list[str]:
    """The names of the entries in which two descriptions differ, `gan.epochs` for example."""
    a, b = jsonable(a), jsonable(b)
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            name if not rest else f"{name}.{rest}"
            for name in sorted(a.keys() | b.keys())
            for rest in same_stage(a.get(name), b.get(name))
        ]
    return [] if a == b else [""]
