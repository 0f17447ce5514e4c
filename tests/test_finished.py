"""Networks of a finished run, loaded for use."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
from conftest import striped_images

from magan_jax import load_run
from magan_jax.files import jsonable
from magan_jax.objectives import Constants
from magan_jax.run import classifier_stage
from magan_jax.training.checkpoints import CheckpointError, load_arrays, read_stage, save_checkpoint
from magan_jax.training.classifier import train_classifiers
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.engine import Batch
from magan_jax.training.gan import train_gans
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.stage import Stage
from magan_jax.training.vae import VAEConfig, train_vaes

LABELS = (np.arange(64) % 4).astype(np.int32)
IMAGES = striped_images(np.random.default_rng(0), LABELS)[..., None]
GAN = GANConfig(
    latent_dim=8, prior="cluster", num_clusters=4, objective="cluster", epochs=1, batch_size=16,
    network="mlp", generator_layers=(12, 8), discriminator_layers=(8,),
    constants=Constants(label=3.0),
)  # fmt: skip
CLASSIFIER = ClassifierConfig(epochs=1, batch_size=16, width=4, mirror=False)
SEEDS = (5, 6)


VAE = VAEConfig(latent_dim=3, layers=(8,), epochs=1, batch_size=16)
KEYS = jax.vmap(jax.random.key)(np.array(SEEDS))
DATA = Batch(IMAGES, LABELS)


def stage(workdir, name, **settings):
    described = {of: dataclasses.asdict(one) for of, one in settings.items()}
    description = described | {"seeds": SEEDS, "data": ["made up"]}
    return Stage(workdir / "checkpoints" / name, jsonable(description))


def classifiers_of(keys, stage):
    return train_classifiers(
        keys, CLASSIFIER, DATA, DATA, num_classes=4, stage=stage, num_devices=1
    )


def gans_of(config, stage):
    return train_gans(KEYS, config, IMAGES, stage=stage, num_devices=1)


def write_results(workdir):
    dataset = {"image_shape": [8, 8, 1], "class_names": list("abcd")}
    (workdir / "results.json").write_text(json.dumps({"dataset": dataset}))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """As fashion.py leaves them: two seeds at once, and what results.json says of the data."""
    workdir = tmp_path_factory.mktemp("run")
    gans = gans_of(GAN, stage(workdir, "gan", gan=GAN))
    classifiers = classifiers_of(KEYS, stage(workdir, "classifier", classifier=CLASSIFIER))
    write_results(workdir)
    return workdir, gans, classifiers


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """As mnist_gans.py leaves them: systems, and two classifiers of which the first judges."""
    workdir = tmp_path_factory.mktemp("compared")
    plain = dataclasses.replace(GAN, objective="vanilla", prior="normal")
    systems = {}
    for name, config in (("vanilla", plain), ("cluster_8", GAN)):
        where = stage(workdir, name, gan=config, classifier=CLASSIFIER)
        systems[name] = gans_of(config, where)
    classifiers = classifiers_of(
        jax.random.split(KEYS[0]), stage(workdir, "classifier", classifier=CLASSIFIER)
    )
    write_results(workdir)
    return workdir, systems, classifiers[0]


@pytest.fixture(scope="module")
def autoencoders(tmp_path_factory):
    """As mnist_vae.py leaves them: a classifier of reconstructions for each seed, and the judge."""
    workdir = tmp_path_factory.mktemp("autoencoders")
    vaes = train_vaes(
        KEYS, VAE, IMAGES, stage=stage(workdir, "elbo_3", vae=VAE), num_devices=1, title="vae"
    )
    own = [
        classifiers_of(
            KEYS[i : i + 1],
            stage(workdir, classifier_stage("elbo_3", seed), vae=VAE, classifier=CLASSIFIER),
        )[0]
        for i, seed in enumerate(SEEDS)
    ]
    classifiers_of(
        jax.random.split(KEYS[0], 1), stage(workdir, "classifier", classifier=CLASSIFIER)
    )
    write_results(workdir)
    return workdir, vaes, own


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
    assert found.system == "gan"
    for one, other in zip(
        found.encode(IMAGES / 255.0), gans[place].encode(IMAGES / 255.0), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    other = gans[1 - place].generate(z)
    assert not np.allclose(images, other)


@pytest.mark.parametrize("system", ["vanilla", "cluster_8"])
@pytest.mark.parametrize("place", [0, 1])
def test_each_compared_system_is_judged_by_one_classifier(compared, system, place):
    workdir, systems, judge = compared
    found = load_run(workdir, SEEDS[place], system)
    z = systems[system][place].prior(jax.random.key(1), 9)
    np.testing.assert_array_equal(found.prior(jax.random.key(1), 9), z)
    images = found.generate(z)
    np.testing.assert_array_equal(images, systems[system][place].generate(z))
    np.testing.assert_array_equal(found.classify(images), judge.classify(images))
    assert (found.encode is None) == (system == "vanilla")
    assert (found.system, found.seed) == (system, SEEDS[place])


def test_a_system_has_to_be_named_where_there_are_several(compared):
    with pytest.raises(ValueError, match="system is not given; .* has cluster_8, vanilla: name"):
        load_run(compared[0])
    with pytest.raises(ValueError, match="system is 'hinge'; .* has cluster_8, vanilla"):
        load_run(compared[0], system="hinge")


@pytest.mark.parametrize("place", [0, 1])
def test_an_autoencoder_comes_with_the_classifier_of_its_reconstructions(autoencoders, place):
    workdir, vaes, own = autoencoders
    found = load_run(workdir, SEEDS[place])  # its only system
    z = jax.random.normal(jax.random.key(1), (9, 3))
    np.testing.assert_array_equal(found.prior(jax.random.key(1), 9), z)
    assert (found.system, found.latent_dim) == ("elbo_3", 3)
    images = found.generate(z)
    np.testing.assert_array_equal(images, vaes[place].generate(z))
    np.testing.assert_array_equal(found.classify(images), own[place].classify(images))
    for one, other in zip(found.encode(images), vaes[place].encode(images), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_unfinished_system_is_not_offered(compared, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(compared[0], workdir)
    folder = workdir / "checkpoints" / "vanilla"
    stage = read_stage(folder) | {"steps": 3}  # of 4
    save_checkpoint(folder, load_arrays(folder), {}, stage)
    assert load_run(workdir).system == "cluster_8"


def test_a_broken_checkpoint_of_another_system_is_no_matter(compared, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(compared[0], workdir)
    kept = workdir / "checkpoints"
    for left in (".vanilla.abcd.unfinished", ".vanilla.12.old", "cluster_8-restarted"):
        (kept / left).mkdir()
        (kept / left / "stage.json").write_text("{}")  # and no manifest
    assert load_run(workdir, system="vanilla").system == "vanilla"
    (kept / "cluster_8" / "manifest.json").write_text("{")
    assert load_run(workdir, system="vanilla").system == "vanilla"
    for system in ("cluster_8", None):
        with pytest.raises(CheckpointError, match="cluster_8/manifest.json cannot be read"):
            load_run(workdir, system=system)


def test_a_seed_that_a_run_has_not_is_refused(trained):
    with pytest.raises(ValueError, match=r"seed is 7; .* has 5, 6"):
        load_run(trained[0], 7)


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="holds no results.json of a finished run"):
        load_run(tmp_path)
    dataset = {"image_shape": [8, 8, 1], "class_names": ["a", "b"]}
    (tmp_path / "results.json").write_text(json.dumps({"dataset": dataset}))
    with pytest.raises(CheckpointError, match="holds no finished training of a generator"):
        load_run(tmp_path)
    with pytest.raises(CheckpointError, match="holds no finished training of a generator"):
        load_run(str(tmp_path), 0, "gan")


def test_a_run_of_few_labels_is_refused(tmp_path):
    (tmp_path / "results.json").write_text(
        json.dumps({"budgets": [], "dataset": {"image_shape": [8, 8, 1], "class_names": ["a"]}})
    )
    with pytest.raises(CheckpointError, match="is of experiments/augmentation.py, whose netw"):
        load_run(tmp_path)


def test_images_of_ones_own_must_be_scaled(trained):
    found = load_run(trained[0])
    for wrong in (IMAGES, IMAGES[..., 0] / 255.0):
        with pytest.raises(ValueError, match=r"floats \[N, H, W, C\] in \[-1, 1\] are needed"):
            found.classify(wrong)


def test_a_run_without_its_classifier_is_refused(trained, tmp_path):
    workdir = tmp_path / "run"
    shutil.copytree(trained[0], workdir)
    shutil.rmtree(workdir / "checkpoints" / "classifier")
    with pytest.raises(CheckpointError, match="classifier holds no checkpoint; run the experiment"):
        load_run(workdir)
