import chex
import jax
import numpy as np

from magan_jax.objectives import ADVERSARIAL


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_vanilla_equals_the_papers_equation_in_float64():
    random = np.random.default_rng(0)
    real, fake = random.normal(1, 2, 50), random.normal(-1, 2, 30)
    objective = ADVERSARIAL["vanilla"]
    # Eq. 1 with D = sigmoid(f); D maximises it, so the loss is its negative.
    value = np.log(sigmoid(real)).mean() + np.log(1 - sigmoid(fake)).mean()
    np.testing.assert_allclose(objective.discriminator(real, fake), -value, rtol=1e-5)
    np.testing.assert_allclose(objective.generator(fake), -np.log(sigmoid(fake)).mean(), rtol=1e-5)


def test_vanilla_gradients_are_those_of_the_sigmoid_and_stay_finite():
    objective = ADVERSARIAL["vanilla"]
    logits = np.array([-200.0, -1.0, 0.0, 3.0, 200.0], np.float32)
    gradient = jax.grad(objective.generator)(logits)
    np.testing.assert_allclose(gradient, -sigmoid(-logits.astype(np.float64)) / 5, atol=1e-6)
    chex.assert_tree_all_finite(jax.grad(objective.discriminator, (0, 1))(logits, logits))
