"""Training of GANs, and their networks as functions afterwards."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.models import NETWORKS, Encoder, NetworkName, Size
from magan_jax.networks import as_pytree
from magan_jax.prior import Prior
from magan_jax.training.engine import Batch
from magan_jax.training.ensemble import member, stacked
from magan_jax.training.gan_config import (
    GANConfig,
    check_gan_config,
    compares_features,
    prior_in_use,
)
from magan_jax.training.gan_networks import generator_size, networks_of, objective_of
from magan_jax.training.gan_step import GANState, gan_step, images_per_step, init_gan
from magan_jax.training.progress import Progress
from magan_jax.training.stage import Stage, train_stage

Features = Callable[[jax.Array], tuple[jax.Array, ...]]
"""A frozen network: images `[N, H, W, C]` to its features, one array `[N, ...]` per layer."""

Evaluate = Callable[[int, Callable[[jax.Array], jax.Array], Prior], dict[str, float]]
"""From the number of a key, its generator and the prior to numbers."""


class TrainedGAN(NamedTuple):
    """A trained generator and how it came about.

    Attributes:
        generate: `z [N, d] -> images [N, H, W, C]` in [-1, 1], a pytree of its parameters.
        prior: `(key, n) -> z [n, d]`, the latents to give it.
        encode: `images -> (z_n [N, d_n], logits of the cluster [N, K])`, the same;
            None where the objective has no encoder.
        equilibrium: losses of D and G when the images are as good as real; None where unknown.
        progress: the training's end: state, history, speed.
    """

    generate: Callable[[jax.Array], jax.Array]
    prior: Prior
    encode: Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None
    equilibrium: tuple[float, float] | None
    progress: Progress


def train_gan(
    key: jax.Array,
    config: GANConfig,
    images: np.ndarray,
    *,
    stage: Stage,
    features: Features | None = None,
    num_devices: int | None = None,
) -> TrainedGAN:
    """Train a generator and a discriminator on `images`, uint8 `[N, H, W, C]`.

    `features` is the frozen network of an objective that needs one; as a pytree of its parameters
    (see `magan_jax.networks`) they are not compiled in.

    Raises:
        ValueError: for settings that cannot work.
        FloatingPointError: when training diverges.
    """
    per_key = None if features is None else [features]
    trained = train_gans(
        key[None], config, images, stage=stage, features=per_key, num_devices=num_devices
    )
    return trained[0]


def train_gans(
    keys: jax.Array,
    config: GANConfig,
    images: np.ndarray,
    *,
    stage: Stage,
    features: Sequence[Features] | None = None,
    evaluate: Evaluate | None = None,
    num_devices: int | None = None,
    title: str = "GAN",
) -> list[TrainedGAN]:
    """`train_gan` for each of the keys `[S]`, all at once; each as it would be trained alone.

    `features` are S frozen networks that differ in their parameters only. `evaluate` is asked about
    each generator after each epoch; its numbers join the history.
    """
    image_shape: Any = images.shape[1:]
    check_gan_config(config, images.shape, num_devices)
    structure, frozen = _frozen(config, features, len(keys))
    init_keys, train_keys = jax.vmap(jax.random.split, out_axes=1)(keys)
    states = [
        init_gan(key, config, image_shape, one) for key, one in zip(init_keys, frozen, strict=True)
    ]

    def evaluate_all(states: GANState) -> dict[str, np.ndarray]:
        assert evaluate is not None
        prior = prior_in_use(config)
        found = [
            evaluate(i, generator_function(config, image_shape, member(states, i)), prior)
            for i in range(len(keys))
        ]
        return {name: np.array([one[name] for one in found]) for name in found[0]}

    progress = train_stage(
        stage,
        train_keys,
        gan_step(config, image_shape, structure),
        stacked(states),
        # The GAN sees no labels: it is given none.
        Batch(images, np.zeros(len(images), np.int32)),
        num_epochs=config.epochs,
        batch_size=images_per_step(config),
        num_devices=num_devices,
        evaluate=None if evaluate is None else evaluate_all,
        title=title if len(keys) == 1 else f"{title}, {len(keys)} seeds",
    )
    return [
        TrainedGAN(
            generator_function(config, image_shape, one.state),
            prior_in_use(config),
            encoder_function(config, image_shape, one.state),
            objective_of(config).equilibrium,
            one,
        )
        for one in (progress.member(i) for i in range(len(keys)))
    ]


def generator_function(
    config: GANConfig, image_shape: tuple[int, int, int], state: GANState
) -> Callable[[jax.Array], jax.Array]:
    """The trained generator as a function of the latents alone: `[N, d] -> [N, H, W, C]`.

    It computes in full float32 whatever training did: the parameters are, and a label near the
    boundary of two classes must not move (see `magan_jax.latent.labels`). It is a pytree of its
    parameters (see `magan_jax.networks`).
    """
    variables = {"params": state.generator, "batch_stats": state.statistics}
    size = generator_size(config)
    return jax.tree_util.Partial(_generator_in_use(config.network, size, image_shape), variables)


def encoder_function(
    config: GANConfig, image_shape: tuple[int, int, int], state: GANState
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None:
    """The trained encoder, `images -> (z_n [N, d_n], logits [N, K])`, or None; in float32 too."""
    encoder = networks_of(config, image_shape, jnp.float32).encoder
    if encoder is None:
        return None
    return jax.tree_util.Partial(_encoder_in_use(encoder), {"params": state.encoder})


@cache
def _generator_in_use(
    network: NetworkName, size: Size, image_shape: tuple[int, int, int]
) -> Callable[[Any, jax.Array], jax.Array]:
    """One function for all parameters, so that nothing is compiled anew for others."""
    generator = NETWORKS[network].generator(size, image_shape, None, jnp.float32)

    @jax.jit  # whoever calls it by itself would compile every operation
    def generate(variables: Any, latents: jax.Array) -> jax.Array:
        with jax.default_matmul_precision("highest"):  # no TF32, no bf16 passes
            images = generator.apply(variables, latents, training=False)
        assert isinstance(images, jax.Array)
        return images

    return generate


@cache
def _encoder_in_use(encoder: Encoder) -> Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]:
    """One function for all parameters; Linen modules of equal settings are equal."""

    @jax.jit
    def encode(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        with jax.default_matmul_precision("highest"):
            found: Any = encoder.apply(variables, images)
        return found

    return encode


def _frozen(
    config: GANConfig, features: Sequence[Features] | None, num_keys: int
) -> tuple[Any, list[tuple[jax.Array, ...]]]:
    """The structure of the frozen networks and the arrays of each; none if none are needed."""
    if not compares_features(config):
        return None, [()] * num_keys
    if features is None or len(features) != num_keys:
        given = "none" if features is None else len(features)
        raise ValueError(
            f"gan.objective {config.objective!r} compares the features of a frozen network: for "
            f"{num_keys} training(s) features= needs {num_keys} function(s) of images, not {given}."
        )
    # A function that is no pytree has no arrays; as a Partial it is all structure.
    trees = [as_pytree(f) for f in features]
    structures = {jax.tree.structure(tree) for tree in trees}
    if len(structures) > 1:
        raise ValueError(
            "features holds different functions; give one jax.tree_util.Partial of the same "
            "function for each training, with parameters of its own."
        )
    return structures.pop(), [tuple(map(jnp.asarray, jax.tree.leaves(tree))) for tree in trees]
