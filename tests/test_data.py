import hashlib
import typing
import warnings
from pathlib import Path

import numpy as np
import pytest
from conftest import write_idx

from magan_jax import data
from magan_jax.data import load_dataset
from magan_jax.errors import DataError
from magan_jax.run import RunConfig


def load(folder, name="fashion_mnist"):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # not the published files
        return load_dataset(name, folder)


def test_folder_gives_checked_dataset(idx_folder):
    found = load(idx_folder)
    assert found.train_images.shape == (256, 8, 8, 1)
    assert found.train_images.dtype == np.uint8
    assert found.test_labels.dtype == np.int32
    assert found.class_names[9] == "Ankle boot"
    assert found.official is False
    np.testing.assert_array_equal(found.test_labels[:11], [*range(10), 0])
    assert load(idx_folder).sha256 == found.sha256


def test_other_content_than_published_warns_or_is_refused(idx_folder, monkeypatch):
    with pytest.warns(UserWarning, match="not the published fashion_mnist"):
        load_dataset("fashion_mnist", idx_folder)
    spec = data.DATASETS["fashion_mnist"]._replace(system_folder=idx_folder)
    monkeypatch.setitem(data.DATASETS, "fashion_mnist", spec)
    with pytest.raises(DataError, match="SHA-256 differs"):
        load_dataset("fashion_mnist")


def idx_bytes(array):
    """An IDX file by its definition: zeros, type, dimensions, sizes, bytes."""
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, ">u4").tobytes() + bytes(array)


def published_as(monkeypatch, name, found):
    """Pretend that these arrays are the published ones of that name."""
    arrays = (
        found.train_images[..., 0],
        found.train_labels.astype(np.uint8),
        found.test_images[..., 0],
        found.test_labels.astype(np.uint8),
    )
    digests = tuple(hashlib.sha256(idx_bytes(np.ascontiguousarray(a))).hexdigest() for a in arrays)
    monkeypatch.setitem(data.DATASETS, name, data.DATASETS[name]._replace(digests=digests))


def test_another_published_set_is_recognised(idx_folder, monkeypatch):
    published_as(monkeypatch, "mnist", load(idx_folder))
    with pytest.raises(DataError, match="published mnist; use --dataset mnist"):
        load_dataset("fashion_mnist", idx_folder)
    assert load_dataset("mnist", idx_folder).official is True


def test_the_published_set_is_known_in_another_file_too(idx_folder, tmp_path, monkeypatch):
    found = load(idx_folder)
    published_as(monkeypatch, "mnist", found)
    arrays = {
        "x_train": found.train_images[..., 0],
        "y_train": found.train_labels.astype(np.int64),
        "x_test": found.test_images[..., 0].copy(),
        "y_test": found.test_labels,
    }
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert load_dataset("mnist", tmp_path / "mnist.npz").official is True
    arrays["x_test"][-1, -1, -1] ^= 1
    np.savez(tmp_path / "mnist.npz", **arrays)
    assert load(tmp_path / "mnist.npz", "mnist").official is False


def test_the_flag_names_every_data_set():
    flag = typing.get_type_hints(RunConfig)["dataset"]
    assert typing.get_args(flag) == tuple(data.DATASETS)


def corrupt_truncated_gzip(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-200])


def corrupt_not_gzip(folder):
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"not gzip at all")


def corrupt_checksum(folder):
    path = folder / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # the CRC
    path.write_bytes(bytes(content))


def corrupt_magic(folder):
    path = folder / "t10k-labels-idx1-ubyte"
    path.write_bytes(b"\0\0\x0d\x01" + path.read_bytes()[4:])


def corrupt_too_short(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def corrupt_too_long(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes() + b"\0")


def corrupt_inside_header(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:9])


def corrupt_huge(folder):
    path = folder / "t10k-images-idx3-ubyte"
    path.write_bytes(b"\0\0\x08\x03" + b"\xff" * 12)


def corrupt_counts(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(63))


def corrupt_labels(folder):
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(64, 10))


def corrupt_sizes(folder):
    write_idx(folder / "t10k-images-idx3-ubyte", np.zeros((64, 8, 12)))


def corrupt_missing(folder):
    (folder / "train-labels-idx1-ubyte.gz").unlink()


@pytest.mark.parametrize(
    ("corrupt", "message"),
    [
        (corrupt_truncated_gzip, "truncated or broken gzip"),
        (corrupt_not_gzip, "truncated or broken gzip"),
        (corrupt_checksum, "truncated or broken gzip"),
        (corrupt_magic, "begins with 00000d01, not with 00000801"),
        (corrupt_too_short, "declares 4096 bytes .* has only 4095"),
        (corrupt_too_long, "has more"),
        (corrupt_inside_header, "ends inside its header"),
        (corrupt_huge, "no such set"),
        (corrupt_counts, "64 test images but 63 test labels"),
        (corrupt_labels, "test label 10; fashion_mnist has the classes 0 to 9"),
        (corrupt_sizes, "training images of .* and test images of"),
        (corrupt_missing, "has neither train-labels"),
    ],
)
def test_broken_data_gets_one_sentence(idx_folder, corrupt, message):
    corrupt(idx_folder)
    with pytest.raises(DataError, match=message) as error:
        load(idx_folder)
    assert "\n" not in str(error.value)


def test_nothing_found_names_every_way(monkeypatch, tmp_path):
    spec = data.DATASETS["fashion_mnist"]._replace(system_folder=tmp_path / "none")
    monkeypatch.setitem(data.DATASETS, "fashion_mnist", spec)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="--data-dir") as error:
        load_dataset("fashion_mnist")
    for way in ("apt-get install -y dataset-fashion-mnist", ".[tfds]"):
        assert way in str(error.value)
    with pytest.raises(DataError, match="choose one of"):
        load_dataset("imagenet")
    with pytest.raises(DataError, match="the folder of its binary version, or an .npz file"):
        load_dataset("cifar10")
    with pytest.raises(DataError, match="not there; name a folder or an .npz file"):
        load_dataset("mnist", tmp_path / "nowhere")


@pytest.mark.filterwarnings("ignore:.* has no ")  # twelve made-up images
@pytest.mark.parametrize(("name", "shape"), [("kmnist", (28, 28, 1)), ("cifar10", (32, 32, 3))])
def test_prepared_tfds_set_is_read_without_tensorflow(monkeypatch, name, shape):
    import sys

    import tensorflow_datasets as tfds

    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "is_prepared", lambda self: True)
    with tfds.testing.mock_data(num_examples=12):
        found = load_dataset(name)
    assert found.train_images.shape == (12, *shape)
    assert found.train_images.dtype == np.uint8
    assert found.source.startswith(f"tensorflow_datasets {name}")


PACKAGED = Path("/usr/share/datasets/fashion-mnist")


@pytest.mark.skipif(not PACKAGED.is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_packaged_fashion_mnist_is_the_published_one():
    found = load_dataset("fashion_mnist")
    assert found.official is True
    assert found.train_images.shape == (60000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(found.test_labels), np.full(10, 1000))


OWN = [f"kind {k}" for k in range(10)]


def test_a_set_of_ones_own_has_its_own_classes_and_its_folder_s_name(idx_folder):
    with warnings.catch_warnings(action="error"):  # nobody has published it
        found = load_dataset("fashion_mnist", idx_folder, OWN)
    assert (found.name, found.official) == ("data", False)
    assert found.class_names == tuple(OWN)
    assert found.sha256 == load(idx_folder).sha256


def test_names_in_one_text_are_refused(idx_folder):
    with pytest.raises(DataError, match="class_names is 'cat,dog', one text; a list of names"):
        load_dataset("mnist", idx_folder, "cat,dog")


@pytest.mark.filterwarnings("ignore:.* has no test image")
def test_a_class_without_an_image_is_told_of(idx_folder):
    with pytest.warns(UserWarning, match=r"training image of one more \(label 10\); nothing"):
        found = load_dataset("mnist", idx_folder, [*OWN, "one more"])
    assert len(found.class_names) == 11


@pytest.mark.filterwarnings("ignore:.* has no ")
def test_another_number_of_images_is_not_the_published_set(idx_folder):
    for name in ("kmnist", "cifar10", "svhn_cropped"):
        with pytest.warns(UserWarning, match=f"not the published {name}"):
            assert load_dataset(name, idx_folder).official is False


@pytest.mark.parametrize(
    ("names", "folder", "message"),
    [
        (
            OWN,
            False,
            "names the classes of a set of your own; name its folder or file with --data-dir",
        ),
        (OWN[:9], True, "has the training label 9; data has the classes 0 to 8"),
        (["a", "a"], True, "two or more names are needed, and none twice"),
        (["a"], True, "two or more names are needed"),
        ([*OWN[:9], " "], True, "has the name ' '; a name needs letters"),
        ([*OWN[:9], "two\nlines"], True, "all on one line"),
    ],
)
def test_names_that_do_not_fit_are_refused(idx_folder, names, folder, message):
    with pytest.raises(DataError, match=message):
        load_dataset("mnist", idx_folder if folder else None, names)


def test_a_set_in_one_file_goes_by_its_name(idx_folder, tmp_path):
    found = load(idx_folder)
    colours = np.repeat(found.train_images, 3, axis=-1)
    np.savez(
        tmp_path / "flowers.npz",
        train_images=colours,
        train_labels=found.train_labels[:, None],
        val_images=colours[:1],
        test_images=colours[:64],
        test_labels=found.test_labels,
    )
    own = load_dataset("mnist", tmp_path / "flowers.npz", OWN)
    assert (own.name, own.official) == ("flowers", False)
    assert own.train_images.shape == (256, 8, 8, 3)
    np.testing.assert_array_equal(own.train_labels, found.train_labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((256, 3, 8, 8), np.uint8)}, r"shape \(3, 8, 8\); height, width"),
        ({"train_images": np.zeros((256, 8, 8, 4), np.uint8)}, "1 or 3 colours are needed"),
        ({"test_images": np.zeros((64, 8, 8, 3), np.uint8)}, "training images of .* and test"),
        ({"test_labels": np.full(64, -1)}, "the test label -1; fashion_mnist has the classes 0 to"),
        ({"train_labels": np.zeros(255, np.int64)}, "256 training images but 255 training labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(idx_folder, tmp_path, changes, message):
    found = load(idx_folder)._asdict()
    names = ("train_images", "train_labels", "test_images", "test_labels")
    np.savez(tmp_path / "set.npz", **({name: found[name] for name in names} | changes))
    with pytest.raises(DataError, match=message) as error:
        load(tmp_path / "set.npz")
    assert "\n" not in str(error.value)
