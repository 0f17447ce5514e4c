"""Labelled synthetic images on disk, read back by other readers than ours."""

import gzip
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.data_files import read_idx
from magan_jax.latent.regions import Regions
from magan_jax.latent.synthesis import synthesize
from magan_jax.synthetic_files import write_synthetic

pytestmark = pytest.mark.filterwarnings("ignore:class 1 of 3 has no region")

NAMES = ("zero", "one", "two")
REGIONS = Regions(np.array([0, 2]), np.zeros((2, 4)), np.full((2, 4), 0.5), np.array([0.3, 0.6]))


@pytest.fixture(scope="module", params=[(1.0,), (1.0, 0.5, -1.0)], ids=["grey", "colours"])
def made(request):
    return synthesize(
        jax.random.key(0),
        lambda z: jnp.tanh(z).reshape(-1, 2, 2, 1) * jnp.array(request.param),
        lambda images: images[..., 0].reshape(-1, 4)[:, :3],
        REGIONS,
        num_per_class=6,
    )


def test_idx_files_are_those_of_a_data_set(made, tmp_path):
    write_synthetic(tmp_path / "new", made, REGIONS, NAMES)
    more = [3] if made.images.shape[-1] == 3 else []
    header = [0, 0, 8, 3 + len(more)]
    for side in (12, 2, 2, *more):
        header += [0, 0, 0, side]
    file = tmp_path / "new" / f"train-images-idx{3 + len(more)}-ubyte.gz"
    assert gzip.decompress(file.read_bytes()) == bytes(header) + made.images.tobytes()
    labels = read_idx(tmp_path / "new" / "train-labels-idx1-ubyte.gz", dimensions=(1,))
    np.testing.assert_array_equal(labels, made.labels)


def test_a_folder_may_be_named_by_its_path_as_text(made, tmp_path):
    write_synthetic(str(tmp_path / "text"), made, REGIONS, NAMES)
    assert (tmp_path / "text" / "provenance.npz").exists()


def test_images_without_colours_last_are_refused(made, tmp_path):
    wrong = made._replace(images=np.zeros((12, 1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match=r"images have the shape \(12, 1, 8, 8\); .* colours last"):
        write_synthetic(tmp_path / "wrong", wrong, REGIONS, NAMES)
    assert not (tmp_path / "wrong").exists()


def test_a_set_of_other_images_does_not_stay_beside_the_new_labels(made, tmp_path):
    """Of as many images, grey before and coloured now, each would be a valid pair."""
    other = made._replace(images=np.repeat(made.images[..., :1], 4 - made.images.shape[-1], -1))
    for each in (other, made):
        write_synthetic(tmp_path, each, REGIONS, NAMES)
    (images,) = tmp_path.glob("train-images-*")
    pixels = read_idx(images, dimensions=(3 if made.images.shape[-1] == 1 else 4,))
    np.testing.assert_array_equal(pixels.reshape(made.images.shape), made.images)


def test_tensorflow_datasets_reads_them(made, tmp_path):
    import tensorflow_datasets as tfds

    write_synthetic(tmp_path, made, REGIONS, NAMES)
    write_synthetic(tmp_path, made, REGIONS, NAMES)  # once more, over what is there
    builder = tfds.builder_from_directory(tmp_path / "tfds")
    assert builder.info.features["label"].names == list(NAMES)
    rows = builder.as_data_source(split="train")
    assert len(rows) == 12
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(row["image"], made.images[i])
        assert row["label"] == made.labels[i]
        assert row["region"] == made.provenance.region[i]
        assert row["position"] == pytest.approx(made.provenance.position[i])
        assert row["judged"] == made.provenance.judged[i]
        assert row["confidence"] == pytest.approx(made.provenance.confidence[i])


def test_every_image_can_be_made_again_from_its_provenance(made, tmp_path):
    write_synthetic(tmp_path, made, REGIONS, NAMES)
    with np.load(tmp_path / "provenance.npz", allow_pickle=False) as arrays:
        region = arrays["region"]
        z = arrays["regions_centre"][region] + (
            arrays["position"][:, None] * arrays["direction"] * arrays["regions_scale"][region]
        )
        np.testing.assert_array_equal(arrays["regions_label"][region], arrays["labels"])
    again = np.rint((np.tanh(z) + 1) * 127.5).reshape(-1, 2, 2)
    assert abs(again - made.images[..., 0].astype(int)).max() <= 1


@pytest.mark.parametrize("name", ["", "one\ntwo", " one", 1])
def test_a_name_that_is_no_line_of_text_leaves_no_file(made, tmp_path, name):
    with pytest.raises(ValueError, match=re.escape(f"class_names has {name!r}; Tens")):
        write_synthetic(tmp_path / "x", made, REGIONS, ["zero", name, "two"])
    assert not (tmp_path / "x").exists()


def test_what_cannot_be_written_is_refused(made, tmp_path):
    with pytest.raises(ValueError, match="class_names has 2 names, but a label is 2"):
        write_synthetic(tmp_path, made, REGIONS, NAMES[:2])
    with pytest.raises(ValueError, match="class_names is a, b, a; .* needs different names"):
        write_synthetic(tmp_path / "new", made, REGIONS, ["a", "b", "a"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="cannot be written to"):
        write_synthetic(tmp_path / "file", made, REGIONS, NAMES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda made: {"labels": made.labels - 1}, "labels are below 0"),
        (lambda made: {"images": made.images / 255.0}, "images are float64; uint8 is needed"),
        (lambda made: {"images": made.images[:3]}, "made has 3 images and 12 labels; one of each"),
        (lambda made: {"latents": made.latents[:3]}, "made has 12 images and 3 latents"),
        (
            lambda made: {"provenance": made.provenance._replace(region=made.labels[:3])},
            "made has 12 images and 3 region",
        ),
    ],
)
def test_labels_and_images_that_idx_cannot_hold_leave_no_file(made, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        write_synthetic(tmp_path / "x", made._replace(**change(made)), REGIONS, NAMES)
    assert not (tmp_path / "x").exists()
