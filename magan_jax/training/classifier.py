"""Training of the classifier on real, labelled images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.models import Classifier
from magan_jax.models.classifier import check_classifiable
from magan_jax.parallel import DEVICES, device_count, local_part
from magan_jax.training.engine import Batch, Info, Progress, Step, check_batch_size
from magan_jax.training.ensemble import member, stacked
from magan_jax.training.images import random_moves, scale_images
from magan_jax.training.optimizers import adamw_cosine
from magan_jax.training.precision import ActivationDtype, activation_dtype, check_dtype
from magan_jax.training.stage import Stage, train_stage


@dataclass(frozen=True)
class ClassifierConfig:
    """The classifier and its training."""

    epochs: int = 100
    """Passes over the training images."""
    batch_size: int = 128
    """Images per step, all devices together."""
    width: int = 32
    """Channels of the first convolution."""
    dropout: float = 0.3
    """Dropout rate in training."""
    max_shift: int = 1
    """Training images are shifted by up to so many pixels in each direction."""
    mirror: bool | None = None
    """Half of the training images are mirrored; None: if the data set's classes survive that."""
    learning_rate: float = 2e-3
    """AdamW's peak step size; it falls to zero along a cosine."""
    weight_decay: float = 1e-2
    """AdamW's decay."""
    dtype: ActivationDtype | None = None
    """Activations in training; None: as --dtype."""


class ClassifierState(NamedTuple):
    """All that the classifier's training carries from step to step.

    Attributes:
        parameters: C's parameters.
        optimizer: AdamW's moments and step count.
    """

    parameters: Any
    optimizer: Any


def check_classifier_config(
    config: ClassifierConfig, images_shape: Sequence[int], num_devices: int | None = None
) -> None:
    """Refuse settings that cannot work on such images, naming the field and the mend.

    Args:
        config: the settings.
        images_shape: of the training images, `(N, H, W, C)`.
        num_devices: see `magan_jax.parallel.on_devices`.

    Raises:
        ValueError: for the first thing that cannot work.
    """
    check_classifiable(images_shape)
    for name in ("epochs", "width"):
        if getattr(config, name) < 1:
            raise ValueError(
                f"classifier.{name} is {getattr(config, name)}; it must be at least 1."
            )
    if not config.learning_rate > 0:
        raise ValueError(
            f"classifier.learning_rate is {config.learning_rate}; it must be positive."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"classifier.dropout is {config.dropout}; it must lie in [0, 1).")
    if config.max_shift < 0 or config.weight_decay < 0:
        raise ValueError(
            f"classifier.max_shift is {config.max_shift} and classifier.weight_decay is "
            f"{config.weight_decay}; neither may be negative."
        )
    check_dtype("classifier.dtype", config.dtype)
    check_batch_size(
        config.batch_size, images_shape[0], device_count(num_devices), "classifier.batch_size"
    )


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


class TrainedClassifier(NamedTuple):
    """A trained classifier and how good it is.

    Attributes:
        classify: `images [N, H, W, C] -> logits [N, K]`, parameters closed over.
        test_accuracy: share of the test images with the right label.
        progress: the training's end: state, history, speed.
    """

    classify: Callable[[jax.Array], jax.Array]
    test_accuracy: float
    progress: Progress


def train_classifier(
    key: jax.Array,
    config: ClassifierConfig,
    train_set: Batch,
    test_set: Batch,
    *,
    num_classes: int,
    stage: Stage,
    num_devices: int | None = None,
) -> TrainedClassifier:
    """Train a classifier on uint8 images; the test set is only watched, nothing is chosen by it.

    Raises:
        ValueError: for settings that cannot work.
        FloatingPointError: when training diverges.
    """
    trained = train_classifiers(
        key[None],
        config,
        train_set,
        test_set,
        num_classes=num_classes,
        stage=stage,
        num_devices=num_devices,
    )
    return trained[0]


def train_classifiers(
    keys: jax.Array,
    config: ClassifierConfig,
    train_set: Batch,
    test_set: Batch,
    *,
    num_classes: int,
    stage: Stage,
    num_devices: int | None = None,
) -> list[TrainedClassifier]:
    """`train_classifier` for each of the keys `[S]`, all at once, each as if alone."""
    check_classifier_config(config, train_set.images.shape, num_devices)
    image_shape: Any = train_set.images.shape[1:]
    num_steps = config.epochs * (len(train_set.images) // config.batch_size)
    init_keys, train_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    measure_accuracy = accuracy_function(config, num_classes)
    test_set = jax.device_put(test_set)

    def evaluate(states: ClassifierState) -> dict[str, np.ndarray]:
        accuracies = [measure_accuracy(member(states, i), test_set) for i in range(len(keys))]
        return {"test_accuracy": np.array(jax.device_get(accuracies))}

    progress = train_stage(
        stage,
        train_keys,
        classifier_step(config, num_classes, num_steps),
        stacked(
            [init_classifier(key, config, image_shape, num_classes, num_steps) for key in init_keys]
        ),
        train_set,
        num_epochs=config.epochs,
        batch_size=config.batch_size,
        num_devices=num_devices,
        evaluate=evaluate,
        title="classifier" if len(keys) == 1 else f"{len(keys)} classifiers",
    )
    return [
        TrainedClassifier(
            classifier_function(config, num_classes, one.state),
            float(measure_accuracy(one.state, test_set)),
            one,
        )
        for one in (progress.member(i) for i in range(len(keys)))
    ]


def accuracy_function(
    config: ClassifierConfig, num_classes: int
) -> Callable[[ClassifierState, Batch], jax.Array]:
    """`(state, test set) -> []`: share of the images with the right label, compiled.

    In float32, as `classifier_function`.
    """

    @jax.jit
    def accuracy(state: ClassifierState, test_set: Batch) -> jax.Array:
        classify = classifier_function(config, num_classes, state)

        def right(example: Batch) -> jax.Array:
            logits = classify(scale_images(example.images)[None])[0]
            return jnp.argmax(logits) == example.labels

        return jnp.mean(jax.lax.map(right, test_set, batch_size=500))

    return accuracy


def classifier_function(
    config: ClassifierConfig, num_classes: int, state: ClassifierState
) -> Callable[[jax.Array], jax.Array]:
    """The trained classifier as a function of the images alone: `[N, H, W, C] -> [N, K]`.

    Its activations are float32 whatever they were in training: the parameters are, and a label
    near the boundary of two classes must not move (see `magan_jax.latent.labels`). It is a pytree
    of its parameters (see `magan_jax.latent.networks`).
    """
    return jax.tree_util.Partial(
        classifier_in_use(config.width, num_classes), {"params": state.parameters}
    )


@cache
def classifier_in_use(width: int, num_classes: int) -> Callable[[Any, jax.Array], jax.Array]:
    """`{"params": ...}, images -> logits`: one function for all parameters, so that nothing is
    compiled anew for others."""
    network = Classifier(num_classes, width)

    def classify(variables: Any, images: jax.Array) -> jax.Array:
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                f"images are {images.dtype} of the shape {images.shape}; floats [N, H, W, C] in "
                "[-1, 1] are needed, which of uint8 are images / 127.5 - 1."
            )
        logits = network.apply(variables, images)
        assert isinstance(logits, jax.Array)
        return logits

    return classify


def layer_features(
    config: ClassifierConfig, num_classes: int, state: ClassifierState
) -> Callable[[jax.Array], tuple[jax.Array, ...]]:
    """The trained classifier's hidden layers, each after its rectifier, as a function of images.

    `[N, H, W, C] -> ([N, H/2, W/2, width], [N, H/4, W/4, 2·width], [N, 4·width])`, in float32 and
    without dropout: the φ_l of a perceptual loss. It is a pytree of its parameters, as
    `classifier_function`.
    """
    return jax.tree_util.Partial(
        _layers_in_use(config.width, num_classes), {"params": state.parameters}
    )


def feature_function(
    config: ClassifierConfig, num_classes: int, state: ClassifierState
) -> Callable[[jax.Array], jax.Array]:
    """The last of `layer_features`: `[N, H, W, C] -> [N, 4 · width]`, compiled.

    For `magan_jax.metrics`. In full float32, as `classifier_function`, and a pytree of its
    parameters too.
    """
    return jax.tree_util.Partial(
        last_layer_in_use(config.width, num_classes), {"params": state.parameters}
    )


@cache
def _layers_in_use(
    width: int, num_classes: int
) -> Callable[[Any, jax.Array], tuple[jax.Array, ...]]:
    network = Classifier(num_classes, width)
    rectified = ("LayerNorm_0", "LayerNorm_1", "Dense_0")

    def layers(variables: Any, images: jax.Array) -> tuple[jax.Array, ...]:
        _, seen = network.apply(
            variables,
            images,
            capture_intermediates=lambda module, _: module.name in rectified,
            mutable=["intermediates"],
        )
        captured = seen["intermediates"]
        return tuple(nn.relu(captured[name]["__call__"][0]) for name in rectified)

    return layers


@cache
def last_layer_in_use(width: int, num_classes: int) -> Callable[[Any, jax.Array], jax.Array]:
    """`{"params": ...}, images -> features [N, 4 · width]`: one function for all parameters."""
    layers = _layers_in_use(width, num_classes)

    @jax.jit
    def last_layer(variables: Any, images: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):
            return layers(variables, images)[-1]

    return last_layer


def _network(config: ClassifierConfig, num_classes: int) -> Classifier:
    return Classifier(num_classes, config.width, config.dropout, activation_dtype(config.dtype))


def _optimizer(config: ClassifierConfig, num_steps: int) -> optax.GradientTransformation:
    return adamw_cosine(config.learning_rate, config.weight_decay, num_steps)
