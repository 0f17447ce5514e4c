import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import three_with_one_missing

from magan_jax import label_latents
from magan_jax.latent.labels import keeps_label, label_and_finite, logits_and_finite


def identity(z):
    return z


def logits_with_ties(num_classes, n=300):
    """Whole numbers, so that the greatest often stands in several places; also −0 beside 0."""
    random = np.random.default_rng(num_classes)
    logits = random.integers(-2, 3, (n, num_classes)).astype(np.float32)
    logits[0] = 0
    logits[1] = -0.0
    logits[1, -1] = 0
    logits[2] = -np.finfo(np.float32).max
    return logits


@pytest.mark.parametrize("num_classes", [1, 2, 10, 33, 1000])
def test_a_label_is_kept_where_it_is_the_label(num_classes):
    logits = logits_with_ties(num_classes)
    label = np.argmax(logits, axis=1).astype(np.int32)
    label[::3] = np.random.default_rng(0).integers(0, num_classes, len(label[::3]))
    holds, finite = jax.jit(keeps_label)(logits, label)
    np.testing.assert_array_equal(holds, np.argmax(logits, axis=1) == label)
    assert finite.all()


@pytest.mark.parametrize("num_classes", [1, 2, 10, 33, 100, 127, 131, 1000])
def test_the_label_is_the_first_of_the_greatest_logits(num_classes):
    random = np.random.default_rng(1)
    for logits in (
        logits_with_ties(num_classes),
        random.standard_normal((300, num_classes)).astype(np.float32),
        -random.exponential(size=(300, num_classes)).astype(np.float32),
    ):
        label, finite = jax.jit(label_and_finite)(logits)
        np.testing.assert_array_equal(label, np.argmax(logits, axis=1))
        assert finite.all()


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 63, 64, 130])
def test_of_many_logits_those_that_are_not_finite_are_found(bad, place):
    logits = np.zeros((3, 131), np.float32)
    logits[1, place] = bad
    label, finite = label_and_finite(jnp.array(logits))
    np.testing.assert_array_equal(finite, [True, False, True])
    assert label[0] == label[2] == 0
    assert 0 <= label[1] < 131


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 2, 4])
def test_logits_that_are_not_finite_are_found(bad, place):
    logits = np.zeros((3, 5), np.float32)
    logits[1, place] = bad
    _, finite = keeps_label(jnp.array(logits), jnp.full(3, 2))
    np.testing.assert_array_equal(finite, [True, False, True])
    _, finite = logits_and_finite(lambda z: z, lambda x: x, jnp.array(logits))
    np.testing.assert_array_equal(finite, [True, False, True])


def test_labels_do_not_depend_on_batches_or_devices():
    z = np.random.default_rng(0).normal(size=(37, 4))
    wanted = np.where(z[:, 0] > 0, 0, 1)
    for changes in ({}, {"batch_size": 5}, {"num_devices": 1, "batch_size": 100}):
        found = label_latents(lambda z: z, three_with_one_missing, z, **changes)
        np.testing.assert_array_equal(found.label, wanted)
        np.testing.assert_allclose(
            found.confidence, 1 / (1 + np.exp(-2 * np.abs(z[:, 0]))), rtol=1e-5
        )


def test_probabilities_in_the_place_of_logits_are_warned_of():
    latents = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)

    def logits(x):
        return 8 * x[:, :2]

    with warnings.catch_warnings(action="error"):
        right = label_latents(identity, logits, latents)
        log = label_latents(identity, lambda x: jax.nn.log_softmax(logits(x)), latents)
    np.testing.assert_allclose(log.confidence, right.confidence, atol=1e-6)
    with pytest.warns(UserWarning, match="sum to 1, as probabilities do; it must give logits"):
        found = label_latents(identity, lambda x: jax.nn.softmax(logits(x)), latents)
    np.testing.assert_array_equal(found.label, right.label)
    with warnings.catch_warnings(action="error"):  # one row that sums to 1 is chance
        label_latents(identity, lambda x: x[:, :2], np.array([[0.25, 0.75, 0], [3, 2, 0]]))


@pytest.mark.parametrize("batch_size", [7, None])
def test_networks_that_look_at_the_rest_of_a_batch_are_warned_of(batch_size):
    latents = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)

    def normalised(z):  # as in training: by the batch at hand
        return (z - z.mean(axis=0)) / (z.std(axis=0) + 1e-3)

    def dropped(z):  # as in training, with a key that is compiled in
        return jnp.where(jax.random.bernoulli(jax.random.key(0), 0.5, z.shape), z, 0)

    def in_bfloat16(z):
        return (z.astype(jnp.bfloat16) @ jnp.ones((4, 4), jnp.bfloat16)).astype(jnp.float32)

    for generate in (normalised, dropped):
        with pytest.warns(
            UserWarning, match="gives a row of a batch something else beside other rows"
        ):
            label_latents(generate, lambda x: 8 * x[:, :2], latents, batch_size=batch_size)
    for generate in (identity, in_bfloat16):
        with warnings.catch_warnings(action="error"):
            label_latents(generate, lambda x: 8 * x[:, :2], latents, batch_size=batch_size)


@pytest.mark.parametrize(
    ("latents", "message"), [(np.full((3, 4), np.nan), "not finite"), (np.zeros(4), r"\[n, d\]")]
)
def test_latents_that_are_none_get_one_sentence(latents, message):
    with pytest.raises(ValueError, match=message):
        label_latents(lambda z: z, lambda x: x, latents)
