"""One step of the classifier's training."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from magan_jax.images import random_moves, scale_images
from magan_jax.models import Classifier
from magan_jax.parallel import DEVICES, local_part
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.engine import Batch, Step
from magan_jax.training.optimizers import adamw_cosine
from magan_jax.training.precision import activation_dtype
from magan_jax.training.progress import Info


class ClassifierState(NamedTuple):
    """All that the classifier's training carries from step to step.

    Attributes:
        parameters: C's parameters.
        optimizer: AdamW's moments and step count.
    """

    parameters: Any
    optimizer: Any


@partial(jax.jit, static_argnames=("config", "image_shape", "num_classes", "num_steps"))
def init_classifier(
    key: jax.Array,
    config: ClassifierConfig,
    image_shape: tuple[int, int, int],
    num_classes: int,
    num_steps: int,
) -> ClassifierState:
    """A fresh state for a training of `num_steps` steps."""
    network = _network(config, num_classes)
    parameters = network.init(key, jnp.zeros((1, *image_shape)))["params"]
    return ClassifierState(parameters, _optimizer(config, num_steps).init(parameters))


def classifier_step(config: ClassifierConfig, num_classes: int, num_steps: int) -> Step:
    """One AdamW step on the cross-entropy of randomly moved images.

    Returns:
        `step(state, batch, key) -> (state, info)` for `magan_jax.training.engine.train`.
    """
    network = _network(config, num_classes)
    optimizer = _optimizer(config, num_steps)

    def step(state: ClassifierState, batch: Batch, key: jax.Array) -> tuple[Any, Info]:
        # Keys for every image of the whole batch: each device takes those of its images.
        shift_keys, dropout_keys, mirror_keys = (
            local_part(jax.random.split(k, config.batch_size)) for k in jax.random.split(key, 3)
        )
        images = random_moves(
            shift_keys,
            mirror_keys,
            scale_images(batch.images),
            config.max_shift,
            bool(config.mirror),
        )

        def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            logits: Any = network.apply({"params": parameters}, images, dropout_keys)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels)
            return jnp.mean(losses), logits

        (value, logits), gradient = jax.value_and_grad(loss, has_aux=True)(state.parameters)
        gradient = jax.lax.pmean(gradient, DEVICES)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, state.parameters)
        info = {"loss": value, "train_accuracy": jnp.mean(jnp.argmax(logits, -1) == batch.labels)}
        new_state = ClassifierState(optax.apply_updates(state.parameters, updates), optimizer_state)
        return new_state, jax.lax.pmean(info, DEVICES)

    return step


def _network(config: ClassifierConfig, num_classes: int) -> Classifier:
    return Classifier(num_classes, config.width, config.dropout, activation_dtype(config.dtype))


def _optimizer(config: ClassifierConfig, num_steps: int) -> optax.GradientTransformation:
    return adamw_cosine(config.learning_rate, config.weight_decay, num_steps)
