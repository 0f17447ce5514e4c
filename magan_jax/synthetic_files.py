"""Labelled synthetic images on disk: as IDX, for TensorFlow Datasets, and where each comes from."""

import gzip
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magan_jax.files import arrays_as_bytes, check_writable, replace_folder, write_set
from magan_jax.latent.regions import Regions
from magan_jax.latent.synthesis import Synthetic

_NAME, _VERSION = "synthetic", "1.0.0"
_IMAGES = "train-images-idx{}-ubyte.gz"


def write_synthetic(
    folder: Path | str, made: Synthetic, regions: Regions, class_names: Sequence[str]
) -> None:
    """Write what `synthesize` made, three times over:

    - `train-images-idx3-ubyte.gz` (`idx4` with colours) and `train-labels-idx1-ubyte.gz`;
    - `tfds/`, read by `tensorflow_datasets.builder_from_directory(...).as_data_source("train")`
      without TensorFlow: image, label, region, position, judged, confidence;
    - `provenance.npz`: the fields of `Provenance` for each image, the latents, and the regions.

    Args:
        folder: created where it is missing; what is there under these names is replaced.
        made: the images.
        regions: those that `made.provenance.region` counts.
        class_names: of all K classes.

    Raises:
        ValueError: for a folder that cannot be written to, images without colours last, as many
            labels or latents as images are not, a label without a name, a name that is no line of
            text or of two classes, or more labels than a byte can tell.
    """
    folder = Path(folder)
    if made.images.ndim != 4 or made.images.shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"images have the shape {made.images.shape}; [N, H, W, C] with 1, 3 or 4 colours is "
            "needed: let generate put the colours last."
        )
    if made.images.dtype != np.uint8:
        raise ValueError(
            f"images are {made.images.dtype}; uint8 is needed, as `synthesize` makes them."
        )
    columns = {"labels": made.labels, "latents": made.latents} | made.provenance._asdict()
    for name, column in columns.items():
        if len(column) != len(made.images) or not len(column):
            raise ValueError(
                f"made has {len(made.images)} images and {len(column)} {name}; one of each for "
                "every image, of which there must be some, is needed."
            )
    labels_used = made.labels, made.provenance.judged
    largest = int(max(x.max() for x in labels_used))
    if min(x.min() for x in labels_used) < 0:
        raise ValueError("labels are below 0; whole numbers from 0 on are needed.")
    if largest >= len(class_names) or largest > 255:
        raise ValueError(
            f"class_names has {len(class_names)} names, but a label is {largest}; each label needs "
            "a name, and IDX files hold labels 0 to 255."
        )
    for name in class_names:
        if not isinstance(name, str) or name != name.strip() or not name.isprintable() or not name:
            raise ValueError(
                f"class_names has {name!r}; TensorFlow Datasets keeps a name on a line, so each "
                "must be a text on one line with no space at its ends."
            )
    if len(set(class_names)) < len(class_names):
        raise ValueError(
            f"class_names is {', '.join(class_names)}; TensorFlow Datasets needs different names."
        )
    check_writable(folder, "folder")
    pixels = made.images[..., 0] if made.images.shape[-1] == 1 else made.images
    labels = folder / "train-labels-idx1-ubyte.gz"
    images, other = (folder / _IMAGES.format(n) for n in (pixels.ndim, 7 - pixels.ndim))
    of_regions = {f"regions_{name}": value for name, value in regions._asdict().items()}
    provenance = {**made.provenance._asdict(), "labels": made.labels, "latents": made.latents}
    files = {
        images: _idx(pixels),
        labels: _idx(made.labels),
        folder / "provenance.npz": arrays_as_bytes(provenance | of_regions),
    }
    write_set(files, key=labels, without=[other])
    _write_tfds(folder / "tfds", made, class_names)


def _idx(array: np.ndarray) -> bytes:
    """The IDX file of an array of bytes, compressed; the same bytes at any time."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def _write_tfds(folder: Path, made: Synthetic, class_names: Sequence[str]) -> None:
    """One shard of records and its description, put in place when it is whole."""
    import tensorflow_datasets as tfds  # slow to import, and needed here alone
    from array_record.python.array_record_module import ArrayRecordWriter

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Tensor(shape=made.images.shape[1:], dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=list(class_names)),
            "region": tfds.features.Scalar(np.int64),
            "position": tfds.features.Scalar(np.float32),
            "judged": tfds.features.ClassLabel(names=list(class_names)),
            "confidence": tfds.features.Scalar(np.float32),
        }
    )
    region, position, _, judged, confidence = made.provenance
    columns = made.images, made.labels, region, position, judged, confidence
    new = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    try:
        size = 0
        writer = ArrayRecordWriter(
            str(new / f"{_NAME}-train.array_record-00000-of-00001"), "group_size:1"
        )
        for row in zip(*columns, strict=True):
            record = features.serialize_example(dict(zip(features, row, strict=True)))
            writer.write(record)
            size += len(record)
        writer.close()
        template = tfds.core.ShardedFileTemplate(
            data_dir=new, dataset_name=_NAME, split="train", filetype_suffix="array_record"
        )
        split = tfds.core.SplitInfo(
            name="train",
            shard_lengths=[len(made.labels)],
            num_bytes=size,
            filename_template=template,
        )
        tfds.folder_dataset.write_metadata(
            data_dir=new, features=features, split_infos=[split], version=_VERSION, check_data=False
        )
        replace_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
