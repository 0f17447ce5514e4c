import warnings
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from magan_jax import (
    analyze,
    ascend,
    bisect_epsilon,
    class_latents,
    label_latents,
    measure_invariance,
    measure_purity,
    regions_around_anchors,
    score_conditional,
    synthesize,
)
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.regions import Regions
from magan_jax.metrics import Extractor, evaluate_images
from magan_jax.networks import as_pytree, chosen_batch_size, take_apart

KEY = jax.random.key(0)


def half_spaces(normal, x):
    return jnp.stack([x @ normal, -(x @ normal)], axis=-1)


def normals():
    """Two directions in three dimensions, orthogonal."""
    return jnp.array([1.0, 0, 0]), jnp.array([0, 0.6, 0.8])


def test_a_pytree_is_compiled_once_for_all_its_parameters():
    """ε of the half-space with normal n: the mean ±√(2/π) n leaves it along −n at √(2/π)."""
    traced = []

    def classify(normal, x):
        traced.append(1)
        return half_spaces(normal, x)

    seen = []
    for normal in normals():
        classifier = jax.tree_util.Partial(classify, normal)
        found = analyze(KEY, generate, classifier, latent_dim=3, num_classes=2, num_samples=20_000)
        np.testing.assert_allclose(found.mean[0], np.sqrt(2 / np.pi) * normal, atol=0.04)
        exits = bisect_epsilon(
            generate, classifier, found.mean[:1], -np.array(normal)[None, None], upper=3.0
        )
        np.testing.assert_allclose(exits.epsilon[0, 0], found.mean[0] @ np.array(normal), atol=2e-4)
        labels = label_latents(generate, classifier, found.mean)
        np.testing.assert_array_equal(labels.label, [0, 1])
        seen.append(len(traced))
    assert seen[0] == seen[1]


def generate(z):
    return z


def test_an_nnx_module_is_a_network_as_it_is():
    """With normalisation and dropout in their mode of use; once for all its parameters."""
    traced = []

    class HalfSpaces(nnx.Module):
        def __init__(self, normal):
            self.normal = nnx.Param(normal)
            self.norm = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
            self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

        def __call__(self, x):
            traced.append(1)
            return half_spaces(self.normal[...], self.dropout(self.norm(x)))

    seen = []
    for normal in normals():
        classifier = HalfSpaces(normal)
        classifier.eval()
        found = analyze(KEY, generate, classifier, latent_dim=3, num_classes=2, num_samples=20_000)
        np.testing.assert_allclose(found.mean[0], np.sqrt(2 / np.pi) * normal, atol=0.04)
        seen.append(len(traced))
    assert seen[0] == seen[1]


def test_a_plain_function_keeps_what_it_closes_over():
    for normal in normals():
        found = analyze(
            KEY,
            generate,
            lambda x, normal=normal: half_spaces(normal, x),
            latent_dim=3,
            num_classes=2,
            num_samples=5_000,
        )
        np.testing.assert_allclose(found.mean[0], np.sqrt(2 / np.pi) * normal, atol=0.08)


def test_functions_come_together_again():
    first, second = normals()
    networks, arrays = take_apart(generate, jax.tree_util.Partial(half_spaces, first))
    same, others = take_apart(generate, jax.tree_util.Partial(half_spaces, second))
    assert networks == same
    assert hash(networks) == hash(same)
    x = jax.random.normal(KEY, (4, 3))
    for parameters, normal in ((arrays, first), (others, second)):
        again = networks.functions(parameters)
        np.testing.assert_array_equal(again[0](x), x)
        np.testing.assert_array_equal(again[1](x), half_spaces(normal, x))


@pytest.mark.parametrize("size", [0, -3, 2.5, True])
def test_a_batch_that_is_no_number_of_latents_is_refused(size):
    with pytest.raises(ValueError, match=f"batch_size is {size}; it must be a whole number"):
        label_latents(generate, generate, np.zeros((3, 2)), batch_size=size)


@pytest.mark.parametrize(
    ("shape", "expected"),  # on a CPU, as tests run on one
    [
        ((784,), 125),
        ((28, 28, 1), 125),
        ((3,), 125),
        ((28, 28), 125),
        ((64, 64, 3), 25),
        ((3, 64, 64), 25),
        ((64, 64), 25),
        ((12_288,), 8),
        ((512, 512, 3), 4),
    ],
)
def test_a_batch_suits_its_images_unless_one_is_asked_for(shape, expected):
    networks, _ = take_apart(lambda z: jnp.zeros((len(z), *shape)), generate)
    assert chosen_batch_size(7, networks, 5) == 7
    assert chosen_batch_size(None, networks, 5) == expected


@pytest.mark.parametrize("kind", [np.asarray, jnp.asarray])
def test_a_pytree_of_one_array_keeps_it_as_its_leaf(kind):
    found = as_pytree(jax.tree_util.Partial(jnp.multiply, kind(np.full(3, 2.0))))
    (leaf,) = jax.tree.leaves(found)
    np.testing.assert_array_equal(leaf, np.full(3, 2.0))
    np.testing.assert_array_equal(found(3.0), np.full(3, 6.0))


def scaled(factor, x, *, double=False, unit="pixels"):
    assert unit == "pixels"
    return x * factor * (2 if double else 1)  # a flag that a traced value could not be


def test_flags_of_a_pytree_stay_flags_and_other_arrays_need_no_new_program():
    traces = []

    @jax.jit
    def called(function, x):
        traces.append(1)
        return function(x)

    for factor in (1.0, 5.0):
        function = jax.tree_util.Partial(scaled, jnp.float32(factor), double=True, unit="pixels")
        assert called(as_pytree(function), jnp.float32(3)) == 6 * factor
    assert len(traces) == 1


def negated_unless_true(flag, x):
    return x if isinstance(flag, bool) else -x if np.signbit(flag) else x + 1


@pytest.mark.parametrize(("one", "other"), [(True, 1), (1, 1.5), (0.0, -0.0)])
def test_numbers_that_python_holds_equal_are_not_one_program(one, other):
    first, second = (jax.tree_util.Partial(negated_unless_true, flag) for flag in (one, other))
    assert take_apart(first, half_spaces)[0] != take_apart(second, half_spaces)[0]
    for flag, function in ((one, first), (other, second)):
        found = jax.jit(lambda f, x: f(x))(as_pytree(function), jnp.float32(2))
        assert found == negated_unless_true(flag, 2.0)


def test_what_is_no_function_is_refused():
    with pytest.raises(ValueError, match="generate is 'G'; a function is needed"):
        take_apart("G", half_spaces)
    with pytest.raises(ValueError, match="encode is None; a function is needed"):
        as_pytree(None, "encode")


def test_a_plain_function_becomes_a_pytree_without_leaves():
    found = as_pytree(jnp.negative)
    assert jax.tree.leaves(found) == []
    assert found(2) == -2


def torch_like(z):
    """As PyTorch refuses what is no tensor of its own."""
    raise TypeError("linear(): argument 'input' must be Tensor, not DynamicJaxprTracer")


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            (lambda z: z @ jnp.ones((5, 4)), lambda x: x),
            r"generate fails for latents .* \(2, 3\) \(",
        ),
        ((torch_like, lambda x: x), "generate fails .*TypeError: linear.*needs jax.pure_callback"),
        ((lambda z: jnp.asarray(np.asarray(z)), lambda x: x), "generate fails .*TracerArrayConv"),
        ((lambda z: z, lambda x: x @ jnp.ones((7, 4))), "classify fails for images of the shape"),
    ],
)
def test_a_function_that_cannot_be_traced_is_named_with_its_reason(functions, message):
    with pytest.raises(ValueError, match=message) as caught:
        analyze(KEY, *functions, latent_dim=3, num_classes=4, num_samples=100)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


def test_a_numpy_function_works_behind_a_callback():
    """As README has it for a PyTorch module."""
    weights = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)

    sizes = []

    def given(z):
        assert isinstance(z, np.ndarray | jax.Array)
        sizes.append(np.prod(z.shape[:-1]))
        return np.asarray(z) @ weights

    def generate(z):
        shape = jax.ShapeDtypeStruct((len(z), 4), jnp.float32)
        return jax.pure_callback(given, shape, z, vmap_method="expand_dims")

    settings = {"latent_dim": 3, "num_classes": 4, "num_samples": 1e3, "num_permutations": 0}
    found = analyze(KEY, generate, lambda x: x, num_devices=1, **settings)
    same = analyze(KEY, lambda z: z @ weights, lambda x: x, num_devices=1, **settings)
    np.testing.assert_array_equal(found.counts, same.counts)
    assert found.num_samples == 1000
    assert max(sizes) > 1  # one call for a batch, not for a latent
    assert len(sizes) < 100
    with pytest.raises(ValueError, match=r"key is 0; one key is needed"):
        analyze(0, generate, lambda x: x, **settings)


def test_whole_numbers_may_be_floats():
    """As a user writes 1e6, in every function and not in the first alone."""

    def generate(z):
        return jnp.tanh(z)[:, :, None, None]

    def classify(x):
        return x[:, :3, 0, 0]

    analysis = analyze(KEY, generate, classify, latent_dim=4.0, num_classes=3.0, num_samples=1e3)
    networks = (generate, classify, analysis)
    exits = measure_invariance(KEY, *networks, num_directions=1e1)
    assert exits.random.shape == (3, 10)
    assert measure_purity(KEY, *networks, exits.measured, num_shifts=1e1).total == 10
    regions = regions_around_anchors(
        KEY, *networks, num_anchors=3.0, num_directions=4.0, max_draws=1e4
    )
    assert 3 <= len(regions.label) <= 9
    made = synthesize(KEY, generate, classify, regions, num_per_class=1e1)
    assert len(made.images) == 30
    for wrong in (0, 2.5, True, float("nan")):
        with pytest.raises(ValueError, match="num_directions is .*; it must be a whole number"):
            measure_invariance(KEY, *networks, num_directions=wrong)
        with pytest.raises(ValueError, match="key is 3; one key is needed"):
            measure_invariance(3, *networks, num_directions=wrong)


def test_a_function_that_no_program_can_be_kept_for_is_refused():
    @dataclass
    class Generator:
        weights: np.ndarray

        def __call__(self, z):
            return z @ self.weights

    unhashable = Generator(np.eye(3, dtype=np.float32))
    settings = {"latent_dim": 3, "num_classes": 2, "num_samples": 100}
    classify = jax.tree_util.Partial(half_spaces, normals()[0])
    with pytest.raises(ValueError, match="generate is a Generator, which .*; pass jax.tree_util"):
        analyze(KEY, unhashable, classify, **settings)
    found = analyze(KEY, lambda z: unhashable(z), classify, **settings)
    assert found.counts.sum() == 100


class Scaled(nnx.Module):
    def __init__(self, scale):
        self.scale = nnx.Param(jnp.asarray(scale))

    def logits(self, x):
        return self.scale[...] * jnp.stack([x[:, 0], -x[:, 0]], axis=-1)


def test_a_method_of_a_module_is_asked_with_the_parameters_of_the_day():
    module, latents = Scaled(1.0), np.array([[1.0, 0], [-2, 0]])
    np.testing.assert_array_equal(label_latents(generate, module.logits, latents).label, [0, 1])
    module.scale[...] = -jnp.ones(())
    np.testing.assert_array_equal(label_latents(generate, module.logits, latents).label, [1, 0])


def test_one_logit_is_no_two_classes():
    with pytest.raises(ValueError, match="classify gives one logit for each image; it must give"):
        label_latents(generate, lambda x: x[:, :1], np.zeros((3, 2)))


BATCH = "gives a row of a batch something else beside other rows"


def test_every_function_warns_of_networks_left_in_training_mode():
    """Whoever asks G and C, or an encoder or extractor, of many rows at once."""
    latents = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    images = np.tanh(latents).reshape(-1, 2, 2, 1)
    regions = Regions(np.zeros(1, int), latents[:1], np.ones((1, 4)), np.ones(1))
    of_classes = ClassLatents(np.array([9, 9]), latents[:2], np.ones((2, 4)))

    def normalised(x):
        return (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)

    def as_images(z):
        return jnp.tanh(z).reshape(-1, 2, 2, 1)

    def signs(x):
        flat = x.reshape(len(x), -1)
        return 5 * jnp.stack([flat[:, 0], -flat[:, 0]], axis=-1)

    calls = {
        "bisect_epsilon": lambda c: bisect_epsilon(
            as_images, lambda x: signs(c(x)), latents[:2], latents[:2, None], upper=1.0
        ),
        "ascend": lambda c: ascend(as_images, lambda x: signs(c(x)), latents, 1, num_steps=2),
        "synthesize": lambda c: synthesize(
            KEY, lambda z: jnp.clip(c(as_images(z)), -1, 1), signs, regions, num_per_class=4,
            classes=(0,),
        ),
        "score_conditional": lambda c: score_conditional(
            KEY, as_images, lambda x: signs(c(x)), of_classes, 0.5, num_samples=8
        ),
        "class_latents": lambda c: class_latents(
            lambda x: (c(x.reshape(len(x), -1)), jnp.zeros((len(x), 4))),
            images,
            np.arange(30) % 2,
            2,
        ),
        "evaluate_images": lambda c: evaluate_images(
            Extractor("flat", lambda x: c(x.reshape(len(x), -1))),
            real=images,
            fake=images[::-1],
            methods=("frechet_distance",),
        ),
    }  # fmt: skip
    for call in calls.values():
        with warnings.catch_warnings(action="error"):
            call(lambda x: x)
        with pytest.warns(UserWarning, match=BATCH):
            call(normalised)


def test_an_offset_of_all_logits_hides_no_neighbours():
    latents = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    with pytest.warns(UserWarning, match=BATCH):
        label_latents(lambda z: z - z.mean(axis=0), lambda x: x + 1000, latents)
