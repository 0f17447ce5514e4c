"""Files that are either whole or absent: written under a temporary name, then renamed."""

import csv
import errno
import glob
import hashlib
import io
import json
import math
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

try:  # not on Windows
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    NotImplementedError,  # zipfile's, for a compression that a flipped bit names
    RuntimeError,  # and for an encryption
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged archive of arrays may end in."""


def write_bytes(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_set(files: Mapping[Path, bytes], key: Path, without: Sequence[Path] = ()) -> None:
    """Replace files that belong together; `key` is one of them, without which none is read.

    All are written under temporary names first. Then the old `key` goes and what the set is to be
    `without`, the others are put in place, and the new `key` comes last: what stops in between
    leaves no old file beside a new `key`, and no new one beside an old.
    """
    temporary = {path: path.with_name(f".{path.name}.{os.getpid()}.tmp") for path in files}
    try:
        for path, content in files.items():
            temporary[path].write_bytes(content)
        for path in (key, *without):
            path.unlink(missing_ok=True)
        for path in sorted(files, key=lambda path: path == key):
            os.replace(temporary[path], path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON; see `jsonable`."""
    text = json.dumps(jsonable(value), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed `.npz` without pickle."""
    write_bytes(path, arrays_as_bytes(arrays))


def arrays_as_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a compressed `.npz` without pickle."""
    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"array {name} holds Python objects, which would need pickle.")
    buffer = io.BytesIO()
    plain: dict[str, Any] = {name: np.asarray(a) for name, a in arrays.items()}
    np.savez_compressed(buffer, **plain)
    return buffer.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table; None becomes an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    write_bytes(path, buffer.getvalue().encode())


def replace_folder(new: Path, target: Path) -> None:
    """Put the folder `new` in place of `target`; the old one goes only once the new one stands.

    Between the two renames neither is in place: `restore_folder` is to be asked before reading.
    """
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    restore_folder(target)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        if old.exists() and not target.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """What `replace_folder` left where it was killed: the old folder back in its place, if nothing
    is there, and otherwise out of the way."""
    for old in sorted(target.parent.glob(f".{glob.escape(target.name)}.*.old")):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(old, target)


def check_writable(folder: Path, name: str) -> None:
    """Create `folder` if needed and refuse one that cannot be written to.

    Raises:
        ValueError: naming the argument, the folder and the system's reason.
    """
    probe = folder / f".{os.getpid()}.probe"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ValueError(
            f"{name} is {folder}, which cannot be written to ({error.strerror or error}); "
            "name another folder."
        ) from error


def hold_folder(folder: Path, name: str) -> bool:
    """Keep other processes out of `folder` until this one ends, where the system has such locks.

    Returns:
        Whether it has.

    Raises:
        ValueError: naming the argument, where another process is in it.
    """
    if fcntl is None:
        return False
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)  # closed when the process ends
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno not in (errno.EACCES, errno.EAGAIN):
            return False  # a file system without locks
        raise ValueError(
            f"{name} is {folder}, in which another call is at work; wait for it, or name another "
            "folder."
        ) from error
    return True


def private_folder(folder: Path | None = None) -> Path | None:
    """Create `folder` if needed; None where it is not this user's alone or cannot be made.

    For what a later call takes on trust. Nobody else may be able to write to it.

    Args:
        folder: default `magan_jax` in $XDG_CACHE_HOME or ~/.cache.
    """
    if not hasattr(os, "getuid"):  # no way to tell whose folder it is
        return None
    try:
        if folder is None:
            folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "magan_jax"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        return None
    return folder


def jsonable(value: Any) -> Any:
    """NumPy and JAX values, paths, tuples and mappings as plain JSON; not-a-number as null."""
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [jsonable(v) for v in value]
    array = np.asarray(value)
    if array.ndim:
        return [jsonable(v) for v in array]
    scalar = array.item()
    if isinstance(scalar, float) and not math.isfinite(scalar):
        return None
    return scalar


def digest_of(networks: Any) -> str:
    """SHA-256 of all parameters of a pytree of networks, as text."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(networks):
        array = np.ascontiguousarray(leaf)
        digest.update(f"{array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()
