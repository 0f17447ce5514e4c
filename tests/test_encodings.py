"""Where an encoder puts the images of each class."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.latent.encodings import class_latents


def test_class_latents_are_those_of_the_mixture():
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (3000, 2, 2, 1)).astype(np.float32)
    labels = np.arange(3000) % 3

    def encode(x):
        flat = x.reshape(len(x), -1)
        return 3 * flat[:, :2] + 1, flat[:, 2:] - 0.5

    found = class_latents(encode, images, labels, 3)
    np.testing.assert_array_equal(found.num_images, 1000)
    for k in range(3):
        flat = np.float64(images[labels == k].reshape(1000, -1))
        np.testing.assert_allclose(found.mean[k], 3 * flat[:, :2].mean(0) + 1, rtol=1e-5)
        variance = 9 * flat[:, :2].var(0, ddof=1) + np.exp(flat[:, 2:] - 0.5).mean(0)
        np.testing.assert_allclose(found.std[k], np.sqrt(variance), rtol=1e-5)


def test_they_are_the_moments_of_draws():
    """Of latents drawn from q(z|x), not of the means of q(z|x) alone."""
    random = np.random.default_rng(1)
    images = random.uniform(-1, 1, (500, 1, 2, 1)).astype(np.float32)

    def encode(x):
        flat = x.reshape(len(x), -1)
        return flat[:, :1], flat[:, 1:]

    found = class_latents(encode, images, np.zeros(500, int), 1)
    flat = np.float64(images.reshape(500, -1))
    drawn = flat[:, :1] + np.exp(flat[:, 1:] / 2) * random.normal(size=(500, 4000))
    assert found.std[0, 0] == pytest.approx(drawn.std(), rel=0.01)


def test_other_parameters_are_not_compiled_anew():
    chex.clear_trace_counter()

    @chex.assert_max_traces(n=1)
    def encode(scale, x):
        return scale * x[:, 0, 0], x[:, 0, 0]

    for scale in (1.0, 2.0):
        images = np.linspace(-1, 1, 4, dtype=np.float32).reshape(4, 1, 1, 1)
        given = jax.tree_util.Partial(encode, jnp.float32(scale))
        found = class_latents(given, images, np.array([0, 0, 1, 1]), 2)
        np.testing.assert_allclose(found.mean[:, 0], [-2 * scale / 3, 2 * scale / 3], rtol=1e-6)


def latents_of(labels, encode=lambda x: (x[:, 0, 0], x[:, 0, 0]), kind=np.float32, scale=1):
    count = max(3, len(labels)) if len(labels) != 2 else 3
    return class_latents(encode, np.full((count, 1, 1, 1), scale, kind), np.array(labels), 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latents_of(labels=[0, 0, 1]), "class 1 has 1 images; a standard deviation"),
        (lambda: latents_of(labels=[0, 0]), r"labels are int64 of the shape \(2,\); whole numbers"),
        (lambda: latents_of(labels=[0.0, 0.0, 1.0]), "labels are float64"),
        (lambda: latents_of(labels=[0, 1, 2]), "a label is 2, but num_classes is 2"),
        (lambda: latents_of(labels=[0, 1, -1]), "a label is -1, but num_classes is 2; labels must"),
        (lambda: latents_of(labels=[0, 0, 1, 1], kind=np.uint8), "type uint8; encode takes floats"),
        (
            lambda: latents_of(labels=[0, 0, 1, 1], encode=lambda x: x[:, 0, 0]),
            r"encode gave \(4, 1",
        ),
        (
            lambda: latents_of(labels=[0, 0, 1, 1], encode=lambda x: (x[:, 0, 0] / 0, x[:, 0, 0])),
            "encode gave values that are not finite for 4 of 4 images; look at the encoder",
        ),
        (
            lambda: latents_of(
                labels=[0, 0, 1, 1], encode=lambda x: (x[:, 0, 0], 800 + x[:, 0, 0])
            ),
            "encode gave 801 for the logarithm of a variance, which float32 does not hold",
        ),
        (
            lambda: latents_of(
                labels=[0, 0, 1, 1],
                encode=lambda x: (jnp.tile(x[:, 0, 0], (2, 1)), jnp.tile(x[:, 0, 0], (2, 1))),
            ),
            "encode gave 8 rows for 4 images; it must give one for each",
        ),
        (
            lambda: latents_of(
                labels=[0, 0, 1, 1],
                encode=lambda x: (np.asarray(x)[:, 0, 0], np.asarray(x)[:, 0, 0]),
            ),
            "encode fails for images .*TracerArrayConversionError.*needs jax.pure_callback",
        ),
        (lambda: latents_of(labels=[0, 0, 1, 1], encode={"mean": 1}), "encode is {'mean': 1}; a f"),
        (
            lambda: latents_of(labels=[0, 0, 1, 1], scale=255.0),
            r"images go from 255 to 255; finite floats in \[-1, 1\] are needed",
        ),
        (lambda: latents_of(labels=[0, 0, 1, 1], scale=np.nan), "images go from nan to nan"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
