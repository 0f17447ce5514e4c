"""Networks of a finished run, loaded for use."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from conftest import striped_images

from magan_jax import load_run
from magan_jax.files import jsonable
from magan_jax.objectives import Constants
from magan_jax.training.checkpoints import CheckpointError
from magan_jax.training.classifier import ClassifierConfig, train_classifiers
from magan_jax.training.engine import Batch
from magan_jax.training.gan import train_gans
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.stage import Stage

LABELS = (np.arange(64) % 4).astype(np.int32)
IMAGES = striped_images(np.random.default_rng(0), LABELS)[..., None]
GAN = GANConfig(
    latent_dim=8, prior="cluster", num_clusters=4, objective="cluster", epochs=1, batch_size=16,
    network="mlp", generator_layers=(12, 8), discriminator_layers=(8,),
    constants=Constants(label=3.0),
)  # fmt: skip
CLASSIFIER = ClassifierConfig(epochs=1, batch_size=16, width=4, mirror=False)
SEEDS = (5, 6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """As fashion.py leaves them: two seeds at once, and what results.json says of the data."""
    workdir = tmp_path_factory.mktemp("run")
    keys = jax.vmap(jax.random.key)(np.array(SEEDS))

    def stage(name, settings):
        description = {name: dataclasses.asdict(settings), "seeds": SEEDS, "data": ["made up"]}
        return Stage(workdir / "checkpoints" / name, jsonable(description))

    gans = train_gans(keys, GAN, IMAGES, stage=stage("gan", GAN), num_devices=1)
    data = Batch(IMAGES, LABELS)
    classifiers = train_classifiers(
        keys, CLASSIFIER, data, data, num_classes=4, stage=stage("classifier", CLASSIFIER),
        num_devices=1,
    )  # fmt: skip
    dataset = {"image_shape": [8, 8, 1], "class_names": list("abcd")}
    (workdir / "results.json").write_text(json.dumps({"dataset": dataset}))
    return workdir, gans, classifiers


@pytest.mark.parametrize(("seed", "place"), [(None, 0), (5, 0), (6, 1)])
def test_a_run_gives_back_its_networks(trained, seed, place):
    workdir, gans, classifiers = trained
    found = load_run(str(workdir), seed)
    assert (found.seed, found.latent_dim, found.class_names) == (SEEDS[place], 8, tuple("abcd"))
    z = gans[place].prior(jax.random.key(1), 9)
    np.testing.assert_array_equal(found.prior(jax.random.key(1), 9), z)
    images = found.generate(z)
    np.testing.assert_array_equal(images, gans[place].generate(z))
    np.testing.assert_array_equal(found.classify(images), classifiers[place].classify(images))
    other = gans[1 - place].generate(z)
    assert not np.allclose(images, other)


def test_a_seed_that_a_run_has_not_is_refused(trained):
    with pytest.raises(ValueError, match=r"seed is 7; .* has 5, 6"):
        load_run(trained[0], 7)


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no results.json of a finished run"):
        load_run(tmp_path)
    dataset = {"image_shape": [8, 8, 1], "class_names": ["a", "b"]}
    (tmp_path / "results.json").write_text(json.dumps({"dataset": dataset}))
    with pytest.raises(CheckpointError, match="gan holds no checkpoint; the run must be of fash"):
        load_run(tmp_path)
