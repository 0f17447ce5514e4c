"""The sizes at which everything is measured: the paper's, as the preset `paper` has them."""

from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.gan_config import GANConfig

IMAGE_SHAPE = (28, 28, 1)
NUM_CLASSES = 10
GAN, CLASSIFIER = GANConfig(), ClassifierConfig()
