import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from magan_jax.augmentation import probe
from magan_jax.augmentation.places import in_nine_places
from magan_jax.augmentation.probe import fit_probe
from magan_jax.training.engine import Batch

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (11, 4, 4, 1)).astype(np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0])
PROJECTION = RNG.normal(size=(16, 5)).astype(np.float32)
SCALED = (IMAGES / 127.5 - 1).astype(np.float32)


def project(projection, images):
    return images.reshape(len(images), -1) @ projection


def sorted_pixels(images):
    return jnp.sort(images.reshape(len(images), -1), axis=1)


FEATURES = jax.tree_util.Partial(project, PROJECTION)


@pytest.mark.parametrize("num_classes", [2, 3])
def test_it_is_the_penalised_likelihoods_maximum(num_classes):
    rows = num_classes > LABELS
    images = np.concatenate(list(in_nine_places(IMAGES[rows])))
    labels = np.tile(LABELS[rows], 9)
    x = (images / 127.5 - 1).reshape(len(images), -1) @ PROJECTION.astype(float)
    own = np.arange(len(labels)), labels

    def objective(flat):
        parameters = flat.reshape(6, num_classes)
        logits = log_softmax(x @ parameters[:5] + parameters[5], axis=1)
        return -logits[own].sum() + np.sum(parameters[:5] ** 2) / (2 * 0.01)

    # Two classes share a penalty on one set of weights, the difference: half as much.
    if num_classes == 2:

        def objective(flat):
            sign = np.where(labels == 1, 1, -1) * (x @ flat[:5] + flat[5])
            return np.logaddexp(0, -sign).sum() + np.sum(flat[:5] ** 2) / (2 * 0.01)

    best = minimize(objective, np.zeros(6 if num_classes == 2 else 6 * num_classes), tol=1e-12).x
    if num_classes == 2:
        logits = np.outer(x @ best[:5] + best[5], [0, 1])
    else:
        logits = x @ best.reshape(6, -1)[:5] + best.reshape(6, -1)[5]
    classify = fit_probe(FEATURES, Batch(IMAGES[rows], LABELS[rows]), num_classes)
    found = log_softmax(np.asarray(classify((images / 127.5 - 1).astype(np.float32))), axis=1)
    np.testing.assert_allclose(found, log_softmax(logits, axis=1), atol=2e-3)


def test_many_images_weigh_as_much_in_one_place_as_in_nine(monkeypatch):
    # Bags of one pixel: moved or not, the count of light pixels is the same.
    images = np.zeros_like(IMAGES)
    for image, label in zip(images, LABELS, strict=True):
        image[1, 1], image[2, 2] = 40 * label, 255
    counted = jax.tree_util.Partial(sorted_pixels)
    real = Batch(images, LABELS)
    nine = fit_probe(counted, real, 3)(SCALED)
    monkeypatch.setattr(probe, "_MOST_ROWS", 50)
    found = fit_probe(counted, real, 3)(SCALED)
    np.testing.assert_allclose(found, nine, atol=1e-3)
    assert np.ptp(np.asarray(found), axis=1).max() > 0.05  # they are not all the same to it


def test_it_is_a_pytree_of_its_parameters():
    classify = fit_probe(FEATURES, Batch(IMAGES, LABELS), 3)
    assert {x.shape for x in jax.tree.leaves(classify)} == {(16, 5), (5, 3), (3,)}
    assert fit_probe(lambda x: project(PROJECTION, x), Batch(IMAGES, LABELS), 3)(SCALED).shape == (
        11,
        3,
    )


def test_a_class_without_images_is_named():
    with pytest.raises(ValueError, match="labels has no image of class 3; give at least one"):
        fit_probe(FEATURES, Batch(IMAGES, LABELS), 4)


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(ValueError, match="labels go from 0 to 2; with num_classes 2 they must lie"):
        fit_probe(FEATURES, Batch(IMAGES, LABELS), 2)
