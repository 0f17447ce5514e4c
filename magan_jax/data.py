"""Labelled image sets as uint8 arrays, from files or from TensorFlow Datasets.

Sources, in this order: a folder or file that the user names, the folder of the Debian package
`dataset-fashion-mnist`, a TensorFlow Datasets set already prepared, and its download (which needs
TensorFlow). Contents are checked before anything is computed.
"""

import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from magan_jax.data_files import IDX_FILES, Arrays, idx_digest, read_files
from magan_jax.errors import DataError, warn

DatasetName = Literal["fashion_mnist", "mnist", "kmnist", "cifar10", "svhn_cropped"]
"""The keys of `DATASETS`, as a flag."""


class DatasetSpec(NamedTuple):
    """What is known of a data set by its name.

    Attributes:
        class_names: name of each label, from 0.
        system_folder: where a system package puts the IDX files, if one does.
        digests: SHA-256 of the four uncompressed IDX files (training images and labels, test
            images and labels), if there are any; other files of the same arrays have them too.
        counts: training and test images, where no digests are known.
        mirrored_alike: an image's mirror image, left for right, is of the same class.
    """

    class_names: tuple[str, ...]
    system_folder: Path | None = None
    digests: tuple[str, str, str, str] | None = None
    counts: tuple[int, int] | None = None
    mirrored_alike: bool = False


_FASHION = "T-shirt/top, Trousers, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_CIFAR = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"

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
    "kmnist": DatasetSpec(
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"), counts=(60_000, 10_000)
    ),
    "cifar10": DatasetSpec(tuple(_CIFAR.split(", ")), counts=(50_000, 10_000), mirrored_alike=True),
    "svhn_cropped": DatasetSpec(tuple("0123456789"), counts=(73_257, 26_032)),
}
"""Data sets by name; class names of Fashion-MNIST as in Table 1 of the MAGAN paper."""


class Dataset(NamedTuple):
    """A data set, checked.

    Attributes:
        name: a key of `DATASETS`, or the folder's of a set of one's own.
        class_names: K names.
        train_images: uint8 `[N, H, W, C]`; C is 1 for grey images and 3 for coloured ones.
        train_labels: int32 `[N]` in 0..K−1.
        test_images: uint8 `[M, H, W, C]`.
        test_labels: int32 `[M]`.
        source: where it came from.
        sha256: digest of the four arrays' bytes, in the order above.
        official: the arrays are, byte for byte and in that order, those of the published IDX
            files; None where no digest is known (but False where there are more or fewer images),
            or from TensorFlow Datasets, whose order is not.
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


def is_published(dataset: Dataset, name: str) -> bool:
    """Whether this is the published set of that name, as far as that is known."""
    return dataset.name == name and dataset.official is not False


def load_dataset(
    name: str, data_dir: Path | str | None = None, class_names: Sequence[str] = ()
) -> Dataset:
    """Load a data set from the first source that has it.

    Args:
        name: a key of `DATASETS`.
        data_dir: a folder or file of any set that has this set's classes, in a form that
            `data_files.read_files` knows. Nothing else is then tried.
        class_names: of a set of one's own in `data_dir`, from label 0; it goes by the name of the
            folder or file then, and `name` does not count.

    Raises:
        DataError: if no source has the set, or what it has is broken.
    """
    if isinstance(class_names, str):
        raise DataError(f"class_names is {class_names!r}, one text; a list of names is needed.")
    if class_names:
        return _load_own(data_dir, tuple(class_names))
    if name not in DATASETS:
        raise DataError(f"dataset is {name!r}; choose one of {', '.join(DATASETS)}.")
    spec = DATASETS[name]
    if data_dir is not None:
        dataset = _from_files(name, Path(data_dir))
        if dataset.official is False:
            warn(f"the files in {data_dir} are not the published {name}; results.json will say so.")
        return dataset
    if spec.system_folder is not None and spec.system_folder.is_dir():
        dataset = _from_files(name, spec.system_folder)
        if dataset.official is False:
            raise DataError(
                f"the files in {spec.system_folder} are not the published {name} (their SHA-256 "
                "differs); reinstall the package, or name the folder with --data-dir to use them "
                "all the same."
            )
        return dataset
    return _load_tfds(name)


def _from_files(name: str, path: Path) -> Dataset:
    """A set of this name, which may be the published one."""
    arrays = read_files(path)
    digests = tuple(idx_digest(array) for array in arrays)
    for other, spec in DATASETS.items():
        if other != name and spec.digests == digests:
            raise DataError(f"{path} holds the published {other}; use --dataset {other}.")
    spec = DATASETS[name]
    official = None if spec.digests is None else digests == spec.digests
    if spec.counts not in (None, (len(arrays.train_images), len(arrays.test_images))):
        official = False
    return _checked(name, arrays, source=str(path), official=official)


def _load_own(data_dir: Path | str | None, class_names: tuple[str, ...]) -> Dataset:
    """A set that nobody has published, with its classes."""
    if data_dir is None:
        raise DataError(
            f"--class-names is {' '.join(class_names)}, which names the classes of a set of your "
            "own; name its folder or file with --data-dir."
        )
    if len(class_names) < 2 or len(set(class_names)) < len(class_names):
        raise DataError(
            f"--class-names is {' '.join(class_names)}; two or more names are needed, and none "
            "twice."
        )
    for name in class_names:
        if not name.strip() or not name.isprintable():
            raise DataError(
                f"--class-names has the name {name!r}; a name needs letters, and all on one line."
            )
    path = Path(data_dir)
    arrays = read_files(path)
    name = (path.resolve().stem if path.is_file() else path.resolve().name) or "data"
    return _checked(name, arrays, class_names=class_names, source=str(path), official=False)


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
    parts = []
    for split in ("train", "test"):
        rows = builder.as_data_source(split=split)
        examples = [rows[i] for i in range(len(rows))]
        parts.append(np.stack([row["image"] for row in examples]))
        parts.append(np.array([row["label"] for row in examples]))
    return _checked(
        name, Arrays(*parts), source=f"tensorflow_datasets {builder.info.full_name}", official=None
    )


def _how_to_get(name: str) -> str:
    forms = (
        f"a folder of the four IDX files {', '.join(IDX_FILES)}, gzipped or not, or an .npz file"
    )
    if name == "cifar10":
        forms = "the folder of its binary version, or an .npz file"
    ways = [f"name its files with --data-dir ({forms})"]
    if name == "fashion_mnist":
        ways.insert(0, "apt-get install -y dataset-fashion-mnist (Debian, Ubuntu)")
    ways.append("pip install -e '.[tfds]' to let TensorFlow Datasets download it")
    return f"{name} was not found; choose a way to get it: " + "; or ".join(ways) + "."


def _checked(
    name: str,
    arrays: Arrays,
    *,
    source: str,
    official: bool | None,
    class_names: tuple[str, ...] = (),
) -> Dataset:
    """The four arrays as a `Dataset`, if they fit together."""
    class_names = class_names or DATASETS[name].class_names
    num_classes = len(class_names)
    for part, images, labels, lost in (
        ("training", arrays.train_images, arrays.train_labels, "nothing can learn such a class"),
        ("test", arrays.test_images, arrays.test_labels, "how well it is known stays untested"),
    ):
        if images.ndim != 4 or images.shape[-1] not in (1, 3):
            raise DataError(
                f"{source} has {part} images of the shape {images.shape[1:]}; height, width and "
                "1 or 3 colours are needed, in this order."
            )
        if not len(images):
            raise DataError(f"{source} has no {part} images; at least one is needed.")
        if len(images) != len(labels):
            raise DataError(
                f"{source} has {len(images)} {part} images but {len(labels)} {part} labels; one "
                "label for each image is needed."
            )
        missing = sorted(set(range(num_classes)) - set(labels.tolist()))
        if missing and not labels.max() >= num_classes:
            warn(
                f"{source} has no {part} image of "
                f"{', '.join(class_names[k] for k in missing)} (label "
                f"{', '.join(map(str, missing))}); {lost}."
            )
        for label in (labels.min(), labels.max()):
            if not 0 <= label < num_classes:
                raise DataError(
                    f"{source} has the {part} label {label}; {name} has the classes 0 to "
                    f"{num_classes - 1}."
                )
    shapes = [images.shape[1:] for images in (arrays.train_images, arrays.test_images)]
    if shapes[0] != shapes[1]:
        raise DataError(
            f"{source} has training images of {shapes[0]} and test images of {shapes[1]} pixels."
        )
    checked = arrays._replace(
        train_labels=arrays.train_labels.astype(np.int32),
        test_labels=arrays.test_labels.astype(np.int32),
    )
    digest = hashlib.sha256()
    for array in checked:
        digest.update(np.ascontiguousarray(array).tobytes())
    return Dataset(name, class_names, *checked, source, digest.hexdigest(), official)
