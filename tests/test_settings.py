"""JAX's own settings, which a user may have made for other code, change no result."""

from contextlib import nullcontext

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import magan_jax
from magan_jax.metrics import (
    density_coverage,
    frechet_distance_infinity,
    mean_pairwise_cosine,
    precision_recall,
)
from magan_jax.prior import ClusterPrior, MixturePrior

KEY = jax.random.key(0)
DIRECTIONS = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
ROWS = np.random.default_rng(1).normal(size=(2, 60, 5)).astype(np.float32)


def generate(z):
    return jnp.tanh(z @ DIRECTIONS[:4, :1] + z).reshape(-1, 2, 2, 1)


def classify(images):
    return images.reshape(len(images), -1) @ DIRECTIONS[4:]


def encode(images):
    rows = images.reshape(len(images), -1)
    return rows, 0.1 * rows


def found_with(setting):
    """What the public functions give, one by name, with new functions, so that all is traced."""
    networks = (lambda z: generate(z), lambda images: classify(images))
    with setting:
        analysis = magan_jax.analyze(
            KEY, *networks, latent_dim=4, num_classes=3, num_samples=3000, num_permutations=9
        )
        exits = magan_jax.measure_invariance(KEY, *networks, analysis, num_directions=16)
        regions = magan_jax.regions_around_anchors(KEY, *networks, analysis, num_anchors=8)
        latents = magan_jax.standard_normal(4)(KEY, 40)
        images = np.asarray(generate(latents))
        of_classes = magan_jax.class_latents(encode, images, np.arange(40) % 3, 3)
        return {
            "analyze": analysis,
            "measure_invariance": exits,
            "measure_purity": magan_jax.measure_purity(
                KEY, *networks, analysis, analysis.epsilon, num_shifts=20
            ),
            "regions_around_anchors": regions,
            "synthesize": magan_jax.synthesize(KEY, *networks, regions, num_per_class=5)[:2],
            "ascend": magan_jax.ascend(*networks, latents, 1, num_steps=3),
            "score_conditional": magan_jax.score_conditional(
                KEY, *networks, of_classes, 0.5, num_samples=10
            ),
            "clustered prior": ClusterPrior(5, 2)(KEY, 20),
            "mixture prior": MixturePrior(5, 2)(KEY, 20),
            "precision_recall": precision_recall(real=ROWS[0], fake=ROWS[1]),
            "density_coverage": density_coverage(real=ROWS[0], fake=ROWS[1]),
            "frechet_distance_infinity": frechet_distance_infinity(KEY, real=ROWS[0], fake=ROWS[1]),
            "mean_pairwise_cosine": mean_pairwise_cosine(ROWS[0]),
        }


@pytest.fixture(scope="module")
def usual():
    return found_with(nullcontext())


SETTINGS = {
    "64 bits": lambda: jax.enable_x64(True),
    "no promotion of ranks": lambda: jax.numpy_rank_promotion("raise"),
    "no promotion of types": lambda: jax.numpy_dtype_promotion("strict"),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_change_no_result(setting, usual):
    found = found_with(SETTINGS[setting]())
    for name, expected in usual.items():
        numbers = [
            [np.asarray(x, np.float64) for x in jax.tree.leaves(result)]
            for result in (found[name], expected)
        ]
        chex.assert_trees_all_close(*numbers, rtol=1e-4, atol=2e-3)  # the bisection's tolerance
