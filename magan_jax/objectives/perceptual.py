"""An adversarial objective and the distance of images in a frozen network's features."""

import jax
import jax.numpy as jnp

from magan_jax.objectives.constants import Constants
from magan_jax.objectives.objective import Made, Objective
from magan_jax.objectives.vanilla import vanilla


def feature_distance(made: Made) -> jax.Array:
    """E Σ_l ‖φ_l(x) − φ_l(x̂)‖², squares summed over all of an image's features of a layer.

    Real and generated images are paired by their place in the batch, that is at random: nothing
    says which x an x̂ should resemble. In expectation over the pairs, G gains both from moving its
    mean features to those of the data and from having all its images alike.

    The report's φ is a network "such as VGG16"; here it is whichever is frozen (in `mnist_gans.py`
    a classifier of the same images). The sum grows with the number of features, so a factor means
    something else for each network: the 0.01 below weighs more the wider it is, 19 between two
    digits with a classifier of 16 channels where D's part of the loss is about 0.7.
    """
    layers = zip(made.features(made.real), made.features(made.fake.images), strict=True)
    return sum((_squared(x - y) for x, y in layers), start=jnp.float32(0))


def _squared(difference: jax.Array) -> jax.Array:
    return jnp.mean(jnp.sum(jnp.square(difference), axis=tuple(range(1, difference.ndim))))


def perceptual(constants: Constants) -> Objective:
    """Vanilla, and G's loss plus 0.01 Σ_l ‖φ_l(x) − φ_l(x̂)‖² (clustering report, Eq. 2)."""
    adversarial = vanilla(constants)

    def generator(made: Made) -> jax.Array:
        return adversarial.generator(made) + constants.perceptual * feature_distance(made)

    return adversarial._replace(generator=generator, needs_features=True, equilibrium=None)
