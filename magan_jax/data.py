"""MNIST-like data sets as uint8 arrays, from IDX files or from TensorFlow Datasets.

Sources, in this order: a folder that the user names, the folder of the Debian package
`dataset-fashion-mnist`, a TensorFlow Datasets set already prepared, and its download (which needs
TensorFlow). Contents are checked before anything is computed.
"""

import gzip
import hashlib
import importlib.util
import logging
import math
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np


class DatasetSpec(NamedTuple):
    """What is known of a data set by its name.

    Attributes:
        class_names: name of each label, from 0.
        system_folder: where a system package puts the IDX files, if one does.
        digests: SHA-256 of the four uncompressed IDX files (training images and labels, test
            images and labels), if known.
        mirrored_alike: an image's mirror image, left for right, is of the same class.
    """

    class_names: tuple[str, ...]
    system_folder: Path | None = None
    digests: tuple[str, str, str, str] | None = None
    mirrored_alike: bool = False


_FASHION = "T-shirt/top, Trousers, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"

DATASETS: dict[str, DatasetSpec] = {
    "fashion_mnist": DatasetSpec(
        tuple(_FASHION.split(", ")),
        Path("/usr/share/datasets/fashion-mnist"),
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
        mirrored_alike=True,
    ),
    "mnist": DatasetSpec(
        tuple("0123456789"),
        None,
        (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    "kmnist": DatasetSpec(("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}
"""Data sets by name; class names of Fashion-MNIST as in Table 1 of the MAGAN paper."""

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of an IDX folder, each as it is or with `.gz`."""

_MAX_BYTES = 2**31  # a header that asks for more is not an MNIST-like set


class Dataset(NamedTuple):
    """A data set, checked.

    Attributes:
        name: a key of `DATASETS`, or the folder's of a set of one's own.
        class_names: K names.
        train_images: uint8 `[N, H, W, 1]`.
        train_labels: int32 `[N]` in 0..K−1.
        test_images: uint8 `[M, H, W, 1]`.
        test_labels: int32 `[M]`.
        source: where it came from.
        sha256: digest of the four arrays' bytes, in the order above.
        official: the IDX files are, byte for byte, the published ones; None where no digest is
            known.
    """

    name: str
    class_names: tuple[str, ...]
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    sha256: str
    official: bool | None


class DataError(ValueError):
    """The data cannot be found, read or trusted; the message says which part and what to do."""


def load_dataset(
    name: str, data_dir: Path | str | None = None, class_names: Sequence[str] = ()
) -> Dataset:
    """Load a data set from the first source that has it.

    Args:
        name: a key of `DATASETS`.
        data_dir: a folder with the four IDX files of any MNIST-like set that has this set's
            classes. Only this folder is then tried.
        class_names: of a set of one's own in `data_dir`, from label 0; it goes by the name of the
            folder then, and `name` does not count.

    Raises:
        DataError: if no source has the set, or what it has is broken.
    """
    if class_names:
        return _load_own(data_dir, tuple(class_names))
    if name not in DATASETS:
        raise DataError(f"dataset is {name!r}; choose one of {', '.join(DATASETS)}.")
    spec = DATASETS[name]
    if data_dir is not None:
        dataset = _load_idx_folder(name, Path(data_dir))
        if dataset.official is False:
            warnings.warn(
                f"the files in {data_dir} are not the published {name}; results.json will say so.",
                stacklevel=2,
            )
        return dataset
    if spec.system_folder is not None and spec.system_folder.is_dir():
        dataset = _load_idx_folder(name, spec.system_folder)
        if dataset.official is False:
            raise DataError(
                f"the files in {spec.system_folder} are not the published {name} (their SHA-256 "
                "differs); reinstall the package, or name the folder with --data-dir to use them "
                "all the same."
            )
        return dataset
    return _load_tfds(name)


def _load_own(data_dir: Path | str | None, class_names: tuple[str, ...]) -> Dataset:
    """A set that nobody has published, with its classes."""
    if data_dir is None:
        raise DataError(
            f"--class-names is {' '.join(class_names)}, which names the classes of a set of your "
            "own; name its folder with --data-dir."
        )
    if len(class_names) < 2 or len(set(class_names)) < len(class_names):
        raise DataError(
            f"--class-names is {' '.join(class_names)}; two or more different names are needed."
        )
    folder = Path(data_dir)
    arrays, _ = _read_idx_folder(folder)
    name = folder.resolve().name or "data"
    dataset = _checked(name, *arrays, class_names=class_names, source=str(folder), official=False)
    for part, labels in (("training", dataset.train_labels), ("test", dataset.test_labels)):
        missing = sorted(set(range(len(class_names))) - set(labels.tolist()))
        if missing:
            raise DataError(
                f"--class-names has {len(class_names)} names, but {folder} has no {part} image of "
                f"{class_names[missing[0]]} (label {missing[0]}); name the classes that are there."
            )
    return dataset


def _load_idx_folder(name: str, folder: Path) -> Dataset:
    """Read and check the four IDX files of a folder."""
    arrays, digests = _read_idx_folder(folder)
    known = DATASETS[name].digests
    official = None if known is None else tuple(digests) == known
    for other, spec in DATASETS.items():
        if other != name and spec.digests == tuple(digests):
            raise DataError(f"{folder} holds the published {other}; use --dataset {other}.")
    return _checked(name, *arrays, source=str(folder), official=official)


def _read_idx_folder(folder: Path) -> tuple[tuple[np.ndarray, ...], tuple[str, ...]]:
    """The four arrays of a folder, and the digests of their files."""
    if not folder.is_dir():
        raise DataError(f"--data-dir is {folder}, which is not a folder.")
    found = [_find(folder, file) for file in IDX_FILES]
    arrays, digests = zip(
        *(read_idx(path, dimensions=(3, 1, 3, 1)[i]) for i, path in enumerate(found)), strict=True
    )
    return arrays, digests


def _find(folder: Path, file: str) -> Path:
    for candidate in (folder / file, folder / f"{file}.gz"):
        if candidate.is_file():
            return candidate
    raise DataError(
        f"{folder} has neither {file} nor {file}.gz; it must hold the four IDX files "
        f"{', '.join(IDX_FILES)}, gzipped or not."
    )


def read_idx(path: Path, *, dimensions: int) -> tuple[np.ndarray, str]:
    """Read one IDX file of unsigned bytes, gzipped (`.gz`) or not.

    Args:
        path: the file.
        dimensions: how many the array must have: 3 for images, 1 for labels.

    Returns:
        The array (uint8) and the SHA-256 of the uncompressed content.

    Raises:
        DataError: for a wrong magic number, a truncated or too long file, a broken gzip.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = file.read(4 + 4 * dimensions)
            magic = bytes([0, 0, 8, dimensions])
            if header[:4] != magic:
                raise DataError(
                    f"{path} begins with {header[:4].hex() or 'nothing'}, not with {magic.hex()}: "
                    f"it is not an IDX file of bytes in {dimensions} dimension(s)."
                )
            if len(header) < 4 + 4 * dimensions:
                raise DataError(f"{path} ends inside its header; fetch it again.")
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4", offset=4))
            size = math.prod(shape)
            if not 0 < size <= _MAX_BYTES:
                raise DataError(f"{path} declares the shape {shape}, which no MNIST-like set has.")
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
    array = np.frombuffer(content, np.uint8).reshape(shape)
    return array, hashlib.sha256(header + content).hexdigest()


def _load_tfds(name: str) -> Dataset:
    """Read a set prepared by TensorFlow Datasets, or let it prepare the set."""
    import tensorflow_datasets as tfds

    # It warns that the folder is missing, which is the question asked.
    logging.getLogger("absl").setLevel(logging.ERROR)
    builder = tfds.builder(name, file_format="array_record")
    if not builder.is_prepared():
        if importlib.util.find_spec("tensorflow") is None:
            raise DataError(_how_to_get(name))
        try:
            builder.download_and_prepare()
        except Exception as error:  # whatever the network or the disk does, say what else helps
            raise DataError(
                f"TensorFlow Datasets could not prepare {name} ({type(error).__name__}: {error}). "
                + _how_to_get(name)
            ) from error
    arrays = []
    for split in ("train", "test"):
        rows = builder.as_data_source(split=split)
        examples = [rows[i] for i in range(len(rows))]
        arrays.append(np.stack([row["image"][..., 0] for row in examples]))
        arrays.append(np.array([row["label"] for row in examples]))
    return _checked(
        name, *arrays, source=f"tensorflow_datasets {builder.info.full_name}", official=None
    )


def _how_to_get(name: str) -> str:
    ways = [
        f"name a folder with its four IDX files ({', '.join(IDX_FILES)}, gzipped or not) with "
        "--data-dir"
    ]
    if name == "fashion_mnist":
        ways.insert(0, "apt-get install -y dataset-fashion-mnist (Debian, Ubuntu)")
    ways.append("pip install -e '.[tfds]' to let TensorFlow Datasets download it")
    return f"{name} was not found; choose a way to get it: " + "; or ".join(ways) + "."


def _checked(
    name: str,
    train_images: np.ndarray,
    train_labels: np.ndarray,
    test_images: np.ndarray,
    test_labels: np.ndarray,
    *,
    source: str,
    official: bool | None,
    class_names: tuple[str, ...] = (),
) -> Dataset:
    """The four arrays as a `Dataset`, if they fit together."""
    class_names = class_names or DATASETS[name].class_names
    num_classes = len(class_names)
    for part, images, labels in (
        ("training", train_images, train_labels),
        ("test", test_images, test_labels),
    ):
        if len(images) != len(labels):
            raise DataError(
                f"{source} has {len(images)} {part} images but {len(labels)} {part} labels."
            )
        if labels.max() >= num_classes:
            raise DataError(
                f"{source} has the {part} label {labels.max()}; {name} has the classes 0 to "
                f"{num_classes - 1}."
            )
    if train_images.shape[1:] != test_images.shape[1:]:
        raise DataError(
            f"{source} has training images of {train_images.shape[1:]} and test images of "
            f"{test_images.shape[1:]} pixels."
        )
    train_labels, test_labels = train_labels.astype(np.int32), test_labels.astype(np.int32)
    digest = hashlib.sha256()
    for array in (train_images, train_labels, test_images, test_labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return Dataset(
        name=name,
        class_names=class_names,
        train_images=train_images[..., None],
        train_labels=train_labels,
        test_images=test_images[..., None],
        test_labels=test_labels,
        source=source,
        sha256=digest.hexdigest(),
        official=official,
    )
