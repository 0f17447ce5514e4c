import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import striped_images

from magan_jax.images import random_mirror, random_shift, scale_images
from magan_jax.models import Classifier
from magan_jax.training.classifier import layer_features, train_classifier
from magan_jax.training.classifier_config import ClassifierConfig, check_classifier_config
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, train
from magan_jax.training.stage import Stage

pytestmark = pytest.mark.optimized

KEY = jax.random.key(1)
SHAPE = (8, 8, 1)


def striped(n, seed):
    labels = np.arange(n, dtype=np.int32) % 8
    images = striped_images(np.random.default_rng(seed), labels)
    return Batch(images[..., None], labels)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_it_learns_and_its_accuracy_is_that_of_its_function(dtype):
    test_set = striped(120, 1)
    found = train_classifier(
        KEY,
        ClassifierConfig(
            epochs=12,
            batch_size=16,
            width=4,
            dropout=0.0,
            max_shift=0,
            learning_rate=1e-2,
            dtype=dtype,
        ),
        striped(512, 0),
        test_set,
        num_classes=8,
        stage=Stage(None, {}),
    )
    logits = np.asarray(found.classify(scale_images(test_set.images)))
    assert found.test_accuracy == pytest.approx(np.mean(logits.argmax(-1) == test_set.labels))
    assert found.test_accuracy > 0.9
    chex.assert_shape(found.progress.history["test_accuracy"], (12,))


def test_devices_train_the_same_classifier_with_dropout_and_shifts():
    config = ClassifierConfig(
        epochs=2, batch_size=8, width=4, dropout=0.5, max_shift=1, mirror=True
    )

    def run(num_devices):
        return train(
            KEY,
            classifier_step(config, 8, 16),
            init_classifier(KEY, config, SHAPE, 8, 16),
            striped(64, 0),
            num_epochs=2,
            batch_size=8,
            num_devices=num_devices,
            quiet=True,
        )

    one = run(1)
    for num_devices in (2, 4):
        found = run(num_devices)
        chex.assert_trees_all_close(found.state, one.state, atol=1e-5)
        np.testing.assert_allclose(found.history["loss"], one.history["loss"], rtol=1e-4)


def test_shifts_move_the_image_and_bring_in_black():
    image = np.arange(16.0).reshape(4, 4, 1)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=-1.0)
    possible = {padded[i : i + 4, j : j + 4].tobytes() for i in range(3) for j in range(3)}
    found = {
        np.asarray(random_shift(jax.random.key(i), image, 1), np.float64).tobytes()
        for i in range(100)
    }
    assert found == possible
    np.testing.assert_array_equal(random_shift(KEY, image, 0), image)


def test_images_are_shifted_and_mirrored_by_keys_of_their_own(monkeypatch):
    """Images whose two keys are equal, or equal to another's, become NaN, and so the loss."""

    def lost_if_equal(shift_keys, mirror_keys, images, *_):
        keys = jax.random.key_data(jnp.concatenate([shift_keys, mirror_keys]))
        equal = (keys[:, None] == keys[None]).all(-1).sum() > len(keys)
        return jnp.where(equal, jnp.nan, images)

    monkeypatch.setattr("magan_jax.training.classifier_step.random_moves", lost_if_equal)
    config = ClassifierConfig(epochs=1, batch_size=8, width=4, max_shift=1, mirror=True)
    state = init_classifier(KEY, config, SHAPE, 8, 2)
    step = classifier_step(config, 8, 2)
    train(KEY, step, state, striped(16, 0), num_epochs=1, batch_size=8, quiet=True)
    keys = jax.random.split(KEY, 8)
    assert np.isnan(lost_if_equal(keys, keys, np.ones((8, *SHAPE)))).all()


def test_half_of_the_images_are_mirrored():
    image = np.arange(12.0).reshape(2, 6, 1)
    seen = np.array([random_mirror(jax.random.key(i), image) for i in range(200)])
    mirrored = (seen == image[:, ::-1]).all((1, 2, 3))
    assert (mirrored | (seen == image).all((1, 2, 3))).all()
    assert 70 < mirrored.sum() < 130


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "classifier.epochs is 0"),
        ({"width": 0}, "classifier.width is 0"),
        ({"learning_rate": -1.0}, "classifier.learning_rate is -1.0"),
        ({"dropout": 1.0}, "classifier.dropout is 1.0"),
        ({"max_shift": -1}, "classifier.max_shift is -1"),
        ({"max_shift": 28}, "classifier.max_shift is 28; it must be a whole number of pixels, 0"),
        ({"max_shift": 2.5}, "classifier.max_shift is 2.5"),
        ({"learning_rate": float("inf")}, "classifier.learning_rate is inf"),
        ({"weight_decay": float("nan")}, "classifier.weight_decay is nan"),
        ({"dtype": "f32"}, "classifier.dtype is 'f32'; choose one of float32, bfloat16"),
        ({"batch_size": 601}, "classifier.batch_size is 601"),
    ],
)
def test_settings_that_cannot_work_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        check_classifier_config(ClassifierConfig(**changes), (600, 28, 28, 1))


@pytest.mark.parametrize("shape", [(600, 30, 28, 1), (600, 28, 27, 3), (600, 28, 28)])
def test_images_that_cannot_be_halved_twice_are_refused(shape):
    with pytest.raises(ValueError, match=r"the images have the shape .*divisible by 4: crop"):
        check_classifier_config(ClassifierConfig(), shape)


def test_layer_features_are_what_the_hidden_layers_hand_on():
    """The logits are the last layer's of the last of them, and so on down."""
    config = ClassifierConfig(width=4)
    state = init_classifier(KEY, config, SHAPE, 3, 4)
    images = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)
    features = jax.jit(layer_features(config, 3, state))(images)
    assert [f.shape for f in features] == [(5, 4, 4, 4), (5, 2, 2, 8), (5, 16)]
    assert all(float(f.min()) == 0 for f in features)
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), state.parameters)
    hidden = np.asarray(features[1], np.float64).reshape(5, -1)
    hidden = np.maximum(0, hidden @ p["Dense_0"]["kernel"] + p["Dense_0"]["bias"])
    np.testing.assert_allclose(features[2], hidden, rtol=1e-4, atol=1e-5)
    logits = hidden @ p["Dense_1"]["kernel"] + p["Dense_1"]["bias"]
    used = Classifier(3, 4).apply({"params": state.parameters}, images)
    np.testing.assert_allclose(used, logits, rtol=1e-4, atol=1e-5)
    normalised = np.asarray(features[0], np.float64)  # LayerNorm over channels, then rectified
    assert normalised.max() <= np.sqrt(3) + 1e-6  # the largest of 4 numbers of mean 0, variance 1
