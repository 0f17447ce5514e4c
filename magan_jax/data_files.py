"""Labelled images from files: the four of an IDX set, one `.npz`, or CIFAR-10's binary ones.

Nothing is executed and nothing unpickled; what is broken is refused before anything is computed.
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from magan_jax.errors import DataError
from magan_jax.files import DAMAGE

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of an IDX folder, each as it is or with `.gz`; images with colours may be called
`idx4`."""

NPZ_NAMES = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)
"""What the four arrays of an `.npz` are called, in one way (MedMNIST's) or the other (Keras's)."""

CIFAR_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
"""CIFAR-10's binary version: for each image a byte that is its label, then 32·32 bytes of red, of
green and of blue (cs.toronto.edu/~kriz/cifar.html). The last file holds the test images."""

_CIFAR_RECORD = 1 + 3 * 32 * 32
_MAX_BYTES = 2**31  # a header that asks for more is not a set that fits beside its training


class Arrays(NamedTuple):
    """What is in the files, not yet checked: images uint8 `[N, H, W, C]`, labels `[N]`."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def read_files(path: Path) -> Arrays:
    """Read a data set, in whichever of the three forms it has.

    Args:
        path: an `.npz` file, or a folder of IDX files or of CIFAR-10's.

    Raises:
        DataError: if there is none, or it is broken.
    """
    if path.is_file() and path.suffix == ".npz":
        return _read_npz(path)
    if not path.is_dir():
        what = "neither a folder nor an .npz file" if path.exists() else "not there"
        raise DataError(f"--data-dir is {path}, which is {what}; name a folder or an .npz file.")
    if any((path / name).is_file() for name in CIFAR_FILES):
        return _read_cifar(path)
    return Arrays(*_read_part(path, *IDX_FILES[:2]), *_read_part(path, *IDX_FILES[2:]))


def _read_part(folder: Path, images: str, labels: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of the training or of the test part."""
    found = _find(folder, images, images.replace("idx3", "idx4"))
    pixels = read_idx(found, dimensions=(3, 4))
    return _colours_last(pixels), read_idx(_find(folder, labels), dimensions=(1,))


def _colours_last(images: np.ndarray) -> np.ndarray:
    """Grey images with an axis for their one colour."""
    return images[..., None] if images.ndim == 3 else images


def _find(folder: Path, *names: str) -> Path:
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    raise DataError(
        f"{folder} has neither {names[0]} nor {names[0]}.gz; it must hold the four IDX files "
        f"{', '.join(IDX_FILES)}, gzipped or not (idx4 for images with colours); or name an .npz "
        "file itself."
    )


def read_idx(path: Path, *, dimensions: tuple[int, ...]) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped (`.gz`) or not.

    Args:
        path: the file.
        dimensions: how many the array may have: 3 (or, with colours last, 4) for images, 1 for
            labels.

    Returns:
        The array, uint8.

    Raises:
        DataError: for a wrong magic number, a truncated or too long file, a broken gzip.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            magic = file.read(4)
            allowed = {bytes([0, 0, 8, n]): n for n in dimensions}
            if magic not in allowed:
                raise DataError(
                    f"{path} begins with {magic.hex() or 'nothing'}, not with "
                    f"{' or '.join(one.hex() for one in allowed)}: it is not an IDX file of bytes "
                    f"in {' or '.join(map(str, dimensions))} dimension(s)."
                )
            sizes = file.read(4 * allowed[magic])
            if len(sizes) < 4 * allowed[magic]:
                raise DataError(f"{path} ends inside its header; fetch it again.")
            shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
            size = math.prod(shape)
            if not 0 < size <= _MAX_BYTES:
                raise DataError(f"{path} declares the shape {shape}, which no such set has.")
            content = file.read(size + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path} is a truncated or broken gzip file ({error}); fetch it again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}).") from error
    if len(content) != size:
        amount = "more" if len(content) > size else f"only {len(content)}"
        raise DataError(f"{path} declares {size} bytes of data {shape} but has {amount}.")
    return np.frombuffer(content, np.uint8).reshape(shape)


def idx_digest(array: np.ndarray) -> str:
    """SHA-256 of the uncompressed IDX file of labels, or of images `[N, H, W, C]`, wherever they
    are from; it has no axis for a single colour."""
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    digest = hashlib.sha256(bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes())
    digest.update(np.ascontiguousarray(array, np.uint8).data)
    return digest.hexdigest()


def _read_npz(path: Path) -> Arrays:
    """The four arrays of one file, by either set of names; a validation part stays unused."""
    try:
        with np.load(path, allow_pickle=False) as file:
            names = next((names for names in NPZ_NAMES if set(names) <= set(file.files)), None)
            if names is None:
                raise DataError(
                    f"{path} has the arrays {', '.join(file.files) or 'of no name'}; the four "
                    f"{', '.join(NPZ_NAMES[0])} (or {', '.join(NPZ_NAMES[1])}) are needed."
                )
            arrays = [file[name] for name in names]
    except DataError:
        raise
    except DAMAGE as error:
        raise DataError(
            f"{path} is a broken .npz file, or holds objects, which are not read "
            f"({type(error).__name__}); save arrays of numbers with numpy.savez."
        ) from error
    for name, array in zip(names, arrays, strict=True):
        if "label" in name or name.startswith("y"):
            _check_labels(path, name, array)
        elif array.dtype != np.uint8 or array.ndim not in (3, 4):
            raise DataError(
                f"{path} has {name} of type {array.dtype} and shape {array.shape}; bytes (uint8, "
                "0 to 255) of shape [N, H, W] or [N, H, W, C] are needed."
            )
    images, labels = map(_colours_last, arrays[::2]), (array.reshape(-1) for array in arrays[1::2])
    (train_images, test_images), (train_labels, test_labels) = images, labels
    return Arrays(train_images, train_labels, test_images, test_labels)


def _check_labels(path: Path, name: str, array: np.ndarray) -> None:
    """Whole numbers, one for each image."""
    one_each = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not np.issubdtype(array.dtype, np.integer) or not one_each:
        raise DataError(
            f"{path} has {name} of type {array.dtype} and shape {array.shape}; one whole number "
            "for each image ([N] or [N, 1]) is needed, not one-hot rows or several labels."
        )


def _read_cifar(folder: Path) -> Arrays:
    """CIFAR-10's six files, planes of colours turned into pixels."""
    parts = []
    for name in CIFAR_FILES:
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder} has no {name}; it must hold {', '.join(CIFAR_FILES)}.")
        records = np.fromfile(path, np.uint8)
        if not len(records) or len(records) % _CIFAR_RECORD:
            raise DataError(
                f"{path} has {len(records)} bytes, not a multiple of {_CIFAR_RECORD} (a label and "
                "32 x 32 pixels of three colours); fetch CIFAR-10's binary version again."
            )
        parts.append(records.reshape(-1, _CIFAR_RECORD))
    train, test = np.concatenate(parts[:-1]), parts[-1]
    return Arrays(_pixels(train), train[:, 0], _pixels(test), test[:, 0])


def _pixels(records: np.ndarray) -> np.ndarray:
    """`[N, 32, 32, 3]` of CIFAR-10's records."""
    planes = records[:, 1:].reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
