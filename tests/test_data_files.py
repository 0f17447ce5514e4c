import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import write_idx

from magan_jax.data_files import CIFAR_FILES, idx_digest, read_files, read_idx
from magan_jax.errors import DataError


def test_idx_arrays_round_trip_gzipped_or_not(tmp_path):
    array = np.random.default_rng(1).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    for name in ("a", "a.gz"):
        write_idx(tmp_path / name, array)
        np.testing.assert_array_equal(read_idx(tmp_path / name, dimensions=(3, 4)), array)


def test_digest_is_that_of_the_file(tmp_path):
    import hashlib

    images = np.random.default_rng(1).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    for array, given in (
        (images, images[..., None]),  # grey images have no axis for colours in the file
        (images.reshape(5, 2, 2, 3), images.reshape(5, 2, 2, 3)),
        (images[:, 0, 0], images[:, 0, 0].astype(np.int64)),
    ):
        write_idx(tmp_path / "file", array)
        expected = hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()
        assert idx_digest(given) == expected


def test_gzip_content_is_not_read_beyond_what_the_header_declares(tmp_path):
    path = tmp_path / "labels.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"\0\0\x08\x01\0\0\0\x02ab" + bytes(10_000_000))
    with pytest.raises(DataError, match="has more"):
        read_idx(path, dimensions=(1,))


def test_coloured_idx_images_may_be_called_idx4(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (5, 4, 4, 3)).astype(np.uint8)
    write_idx(tmp_path / "train-images-idx4-ubyte.gz", images)
    write_idx(tmp_path / "t10k-images-idx3-ubyte", images[:2])  # or as always
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.arange(5))
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.arange(2))
    found = read_files(tmp_path)
    np.testing.assert_array_equal(found.train_images, images)
    np.testing.assert_array_equal(found.test_images, images[:2])
    np.testing.assert_array_equal(found.train_labels, np.arange(5))


def cifar_record(label, image):
    """By the definition: the label, then the red, the green and the blue plane, row by row."""
    pixels = [image[y, x, colour] for colour in range(3) for y in range(32) for x in range(32)]
    return bytes([label, *pixels])


def write_cifar(folder):
    images = np.random.default_rng(3).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    records = [cifar_record(i % 10, image) for i, image in enumerate(images)]
    for i, name in enumerate(CIFAR_FILES):
        (folder / name).write_bytes(records[2 * i] + records[2 * i + 1])
    return images


def test_cifar_planes_become_pixels(tmp_path):
    images = write_cifar(tmp_path)
    found = read_files(tmp_path)
    np.testing.assert_array_equal(found.train_images, images[:10])
    np.testing.assert_array_equal(found.train_labels, np.arange(10))
    np.testing.assert_array_equal(found.test_images, images[10:])
    np.testing.assert_array_equal(found.test_labels, [0, 1])


def test_broken_cifar_is_refused(tmp_path):
    write_cifar(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="has 6145 bytes, not a multiple of 3073"):
        read_files(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="has 0 bytes"):
        read_files(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="has no data_batch_3.bin"):
        read_files(tmp_path)


GOOD = {
    "train_images": np.zeros((4, 8, 8), np.uint8),
    "train_labels": np.arange(4),
    "test_images": np.zeros((2, 8, 8, 1), np.uint8),
    "test_labels": np.arange(2)[:, None],
}


def test_npz_arrays_get_an_axis_for_their_colour(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **GOOD)
    found = read_files(tmp_path / "a.npz")
    assert [array.shape for array in found] == [(4, 8, 8, 1), (4,), (2, 8, 8, 1), (2,)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_images": np.zeros((4, 8, 8))}, "train_images of type float64 .* bytes"),
        ({"test_images": np.zeros((2, 64), np.uint8)}, r"test_images .* shape \(2, 64\)"),
        ({"train_labels": np.eye(4, dtype=int)}, "one whole number for each image"),
        ({"train_labels": np.arange(4.0)}, "train_labels of type float64"),
        ({"test_labels": np.array([{}, {}], object)}, "objects, which are not read"),
    ],
)
def test_npz_of_another_kind_is_refused(tmp_path, changes, message):
    np.savez(tmp_path / "a.npz", **(GOOD | changes))
    with pytest.raises(DataError, match=message) as error:
        read_files(tmp_path / "a.npz")
    assert "\n" not in str(error.value)


def test_npz_without_the_four_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=GOOD["train_images"])
    with pytest.raises(DataError, match="has the arrays images; the four train_images, "):
        read_files(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"not a zip file at all")
    with pytest.raises(DataError, match=r"broken \.npz file"):
        read_files(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", **GOOD)
    content = bytearray((tmp_path / "a.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.npz") as file:
        content[file.getinfo("train_images.npy").header_offset + 200] ^= 1
    (tmp_path / "a.npz").write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"broken \.npz file"):  # its checksum
        read_files(tmp_path / "a.npz")


def test_neither_folder_nor_file(tmp_path):
    with pytest.raises(DataError, match=r"which is not there; name a folder or an \.npz file"):
        read_files(Path(tmp_path / "nowhere"))
    (tmp_path / "text").write_text("text")
    with pytest.raises(DataError, match=r"neither a folder nor an \.npz file"):
        read_files(tmp_path / "text")
