"""Training of the classifier on real, labelled images, and what it is as a function afterwards."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.images import scale_images
from magan_jax.models import Classifier
from magan_jax.training.classifier_config import ClassifierConfig, check_classifier_config
from magan_jax.training.classifier_step import ClassifierState, classifier_step, init_classifier
from magan_jax.training.engine import Batch
from magan_jax.training.ensemble import member, stacked
from magan_jax.training.progress import Progress
from magan_jax.training.stage import Stage, train_stage


class TrainedClassifier(NamedTuple):
    """A trained classifier and how good it is.

    Attributes:
        classify: `images [N, H, W, C] -> logits [N, K]`, a pytree of its parameters.
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

    In full float32, as `classifier_function`.
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

    It computes in full float32 whatever training did: the parameters are, and a label near the
    boundary of two classes must not move (see `magan_jax.latent.labels`). It is a pytree of its
    parameters (see `magan_jax.networks`).
    """
    return jax.tree_util.Partial(
        classifier_in_use(config.width, num_classes), {"params": state.parameters}
    )


@cache
def classifier_in_use(width: int, num_classes: int) -> Callable[[Any, jax.Array], jax.Array]:
    """`{"params": ...}, images -> logits`: one function for all parameters, so that nothing is
    compiled anew for others."""
    network = Classifier(num_classes, width)

    @jax.jit  # whoever calls it by itself would compile every operation
    def classify(variables: Any, images: jax.Array) -> jax.Array:
        if images.ndim != 4 or not jnp.issubdtype(images.dtype, jnp.floating):
            raise ValueError(
                f"images are {images.dtype} of the shape {images.shape}; floats [N, H, W, C] in "
                "[-1, 1] are needed, which of uint8 are images / 127.5 - 1."
            )
        with jax.default_matmul_precision("highest"):  # no TF32, no bf16 passes
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
