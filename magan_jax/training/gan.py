"""Training of the generator and the discriminator, and of an encoder where there is one.

Losses, the last layer of the discriminator and what else they need are the objective's
(`magan_jax.objectives`); the step is the same for all.
"""

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from magan_jax.latent.prior import ClusteredPrior, Prior
from magan_jax.models import NETWORKS, Encoder, NetworkName, Size
from magan_jax.objectives import OBJECTIVES, Judged, Made, Objective
from magan_jax.parallel import DEVICES, local_part
from magan_jax.training.engine import Batch, Info, Progress, Step
from magan_jax.training.ensemble import member, stacked
from magan_jax.training.gan_config import (
    GANConfig,
    check_gan_config,
    compares_features,
    prior_in_use,
    training_prior,
)
from magan_jax.training.images import scale_images
from magan_jax.training.optimizers import OPTIMIZERS
from magan_jax.training.precision import activation_dtype
from magan_jax.training.stage import Stage, train_stage

Features = Callable[[jax.Array], tuple[jax.Array, ...]]
"""A frozen network: images `[N, H, W, C]` to its features, one array `[N, ...]` per layer."""

Evaluate = Callable[[Callable[[jax.Array], jax.Array], Prior], dict[str, float]]
"""From a generator and its prior to numbers."""

_OBJECTIVE_STREAM = 2**32 - 1
"""Latents are drawn from a step's key itself, what the objective draws from this part of it."""


class GANState(NamedTuple):
    """All that a GAN's training carries from step to step.

    Attributes:
        generator: G's parameters.
        encoder: E's parameters; `{}` where the objective has no encoder.
        statistics: G's running means and variances; `{}` without BatchNorm.
        generator_optimizer: the optimiser's moments for G and E, which one loss trains.
        discriminator: D's parameters, `{"trunk", "last"}`.
        discriminator_optimizer: the optimiser's moments for D.
        frozen: arrays of the frozen network, which stay as they are; `()` where the objective
            needs none. They are here because each training of an ensemble has its own.
    """

    generator: Any
    encoder: Any
    statistics: Any
    generator_optimizer: Any
    discriminator: Any
    discriminator_optimizer: Any
    frozen: tuple[jax.Array, ...]


@partial(jax.jit, static_argnames=("config", "image_shape"))
def init_gan(
    key: jax.Array,
    config: GANConfig,
    image_shape: tuple[int, int, int],
    frozen: tuple[jax.Array, ...] = (),
) -> GANState:
    """A fresh state; G, D and E start from keys of their own.

    Args:
        key: of all that is drawn.
        config: the settings.
        image_shape: `(H, W, C)`.
        frozen: see `GANState`.
    """
    generator_key, discriminator_key, encoder_key = jax.random.split(key, 3)
    objective, networks = _objective(config), _networks(config, image_shape)
    image = jnp.zeros((1, *image_shape))
    variables = networks.generator.init(
        generator_key, jnp.zeros((1, config.latent_dim)), training=False
    )
    hidden, trunk = networks.trunk.init_with_output(discriminator_key, image)
    last = objective.last.init(discriminator_key, hidden.shape[1])
    discriminator = {"trunk": trunk["params"], "last": last}
    encoder: Any = {}
    if networks.encoder is not None:
        encoder = networks.encoder.init(encoder_key, image)["params"]
    optimizer = _optimizer(config)
    return GANState(
        generator=variables["params"],
        encoder=encoder,
        statistics=variables.get("batch_stats", {}),
        generator_optimizer=optimizer.init((variables["params"], encoder)),
        discriminator=discriminator,
        discriminator_optimizer=optimizer.init(discriminator),
        frozen=frozen,
    )


def gan_step(config: GANConfig, image_shape: tuple[int, int, int], features: Any = None) -> Step:
    """`critic_steps` updates of D, then one of G (and E) against the new D.

    Every update of D has real and fake images of its own, `batch_size` of each; G's shares the
    fake images of the last one.

    Args:
        config: the settings.
        image_shape: `(H, W, C)`.
        features: structure of the frozen network as a pytree (`jax.tree.structure`), of which
            `GANState.frozen` are the leaves; None where the objective needs none.

    Returns:
        `step(state, batch, key) -> (state, info)` for `magan_jax.training.engine.train` with
        batches of `images_per_step(config)` images. `info` holds both losses and the share of real
        and of fake images that D takes for real (f > 0), before its last update and after it,
        respectively; a Wasserstein critic is free to put any number in the place of 0.
    """
    networks, objective = _networks(config, image_shape), _objective(config)
    optimizer, prior = _optimizer(config), training_prior(config)
    split = prior.split if isinstance(prior, ClusteredPrior) else None
    batch_size, critic_steps = config.batch_size, config.critic_steps

    def generate(statistics: Any, latents: jax.Array, parameters: Any) -> tuple[jax.Array, Any]:
        variables = {"params": parameters, "batch_stats": statistics}
        fake, updates = networks.generator.apply(
            variables, latents, training=True, mutable=["batch_stats"]
        )
        return fake, updates.get("batch_stats", {})

    def judge(parameters: Any, images: jax.Array) -> Judged:
        features, _ = networks.trunk.apply(
            {"params": parameters["trunk"]}, images, mutable=["batch_stats"]
        )
        logits = objective.last.logits(parameters["last"], features)
        return Judged(images, features, parameters["last"], logits)

    def update_discriminator(
        critic: tuple[Any, Any], real: jax.Array, fake: jax.Array, key: jax.Array
    ) -> tuple[tuple[Any, Any], tuple[jax.Array, jax.Array]]:
        parameters, moments = critic

        def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
            judged = judge(parameters, real), judge(parameters, fake)
            value = objective.discriminator(key, partial(judge, parameters), *judged)
            return value, judged[0].logits

        found, gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
        parameters, moments = _update(optimizer, gradient, moments, parameters)
        return (objective.constrain(parameters), moments), found

    def step(state: GANState, batch: Batch, key: jax.Array) -> tuple[GANState, Info]:
        # [images of an update, updates, …], so that each device has its part of every update.
        real = scale_images(batch.images).reshape(-1, critic_steps, *image_shape)
        latents = local_part(
            prior(key, batch_size * critic_steps).reshape(batch_size, critic_steps, -1)
        )
        keys = jax.random.split(jax.random.fold_in(key, _OBJECTIVE_STREAM), critic_steps)

        def critic_step(carry: Any, seen: Any) -> tuple[Any, None]:
            (critic, statistics), (images, z, objective_key) = carry, seen
            fake, statistics = generate(statistics, z, state.generator)
            critic, _ = update_discriminator(critic, images, fake, objective_key)
            return (critic, statistics), None

        # All updates of D but the last: none, and nothing compiled, where there is one.
        before_last = jax.tree.map(lambda x: x[:, :-1].swapaxes(0, 1), (real, latents))
        carry = (state.discriminator, state.discriminator_optimizer), state.statistics
        (critic, statistics), _ = jax.lax.scan(critic_step, carry, (*before_last, keys[:-1]))
        real, latents = real[:, -1], latents[:, -1]

        # Made once for both updates: G does not change in between.
        fake, pull_back, statistics = jax.vjp(
            partial(generate, statistics, latents), state.generator, has_aux=True
        )
        critic, (loss_d, real_logits) = update_discriminator(critic, real, fake, keys[-1])

        def generator_loss(images: jax.Array, encoder: Any) -> tuple[jax.Array, jax.Array]:
            judged = judge(critic[0], images)
            encode = _encode(networks.encoder, encoder)
            frozen = None if features is None else features.unflatten(state.frozen)
            made = Made(judged, real, latents, split, encode, frozen)
            return objective.generator(made), judged.logits

        (loss_g, fake_logits), (towards, encoder_gradient) = jax.value_and_grad(
            generator_loss, argnums=(0, 1), has_aux=True
        )(fake, state.encoder)
        gradient = (*pull_back(towards), encoder_gradient)
        (generator, encoder), moments = _update(
            optimizer, gradient, state.generator_optimizer, (state.generator, state.encoder)
        )
        info = {
            "discriminator_loss": loss_d,
            "generator_loss": loss_g,
            "real_taken_for_real": jnp.mean(real_logits > 0),
            "fake_taken_for_real": jnp.mean(fake_logits > 0),
        }
        new_state = GANState(generator, encoder, statistics, moments, *critic, state.frozen)
        return new_state, jax.lax.pmean(info, DEVICES)

    return step


def images_per_step(config: GANConfig) -> int:
    """Training images that a step sees, all devices together: each update of D has its own."""
    return config.batch_size * config.critic_steps


class TrainedGAN(NamedTuple):
    """A trained generator and how it came about.

    Attributes:
        generate: `z [N, d] -> images [N, H, W, C]` in [-1, 1], parameters closed over.
        prior: `(key, n) -> z [n, d]`, the latents to give it.
        encode: `images -> (z_n [N, d_n], logits of the cluster [N, K])`, parameters closed over;
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
    (see `magan_jax.latent.networks`) they are not compiled in.

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
            evaluate(generator_function(config, image_shape, member(states, i)), prior)
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
            _objective(config).equilibrium,
            one,
        )
        for one in (progress.member(i) for i in range(len(keys)))
    ]


def generator_function(
    config: GANConfig, image_shape: tuple[int, int, int], state: GANState
) -> Callable[[jax.Array], jax.Array]:
    """The trained generator as a function of the latents alone: `[N, d] -> [N, H, W, C]`.

    Its activations are float32 whatever they were in training: the parameters are, and a label
    near the boundary of two classes must not move (see `magan_jax.latent.labels`). It is a pytree
    of its parameters (see `magan_jax.latent.networks`).
    """
    variables = {"params": state.generator, "batch_stats": state.statistics}
    size = _generator_size(config)
    return jax.tree_util.Partial(_generator_in_use(config.network, size, image_shape), variables)


def encoder_function(
    config: GANConfig, image_shape: tuple[int, int, int], state: GANState
) -> Callable[[jax.Array], tuple[jax.Array, jax.Array]] | None:
    """The trained encoder, `images -> (z_n [N, d_n], logits [N, K])`, or None; in float32 too."""
    encoder = _networks(config, image_shape, jnp.float32).encoder
    if encoder is None:
        return None
    return jax.tree_util.Partial(_encoder_in_use(encoder), {"params": state.encoder})


@cache
def _generator_in_use(
    network: NetworkName, size: Size, image_shape: tuple[int, int, int]
) -> Callable[[Any, jax.Array], jax.Array]:
    """One function for all parameters, so that nothing is compiled anew for others."""
    generator = NETWORKS[network].generator(size, image_shape, None, jnp.float32)

    def generate(variables: Any, latents: jax.Array) -> jax.Array:
        images = generator.apply(variables, latents, training=False)
        assert isinstance(images, jax.Array)
        return images

    return generate


@cache
def _encoder_in_use(encoder: Encoder) -> Callable[[Any, jax.Array], tuple[jax.Array, jax.Array]]:
    """One function for all parameters; Linen modules of equal settings are equal."""

    def encode(variables: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        found: Any = encoder.apply(variables, images)
        return found

    return encode


class _Networks(NamedTuple):
    generator: nn.Module
    trunk: nn.Module
    encoder: Encoder | None


def _networks(config: GANConfig, image_shape: tuple[int, int, int], dtype: Any = None) -> _Networks:
    """All networks of a training, in its number format or in `dtype`."""
    family, objective, prior = NETWORKS[config.network], _objective(config), training_prior(config)
    dtype = activation_dtype(config.dtype) if dtype is None else dtype
    size = Size(config.discriminator_width, config.discriminator_layers)
    encoder = None
    if objective.encodes:
        assert isinstance(prior, ClusteredPrior)
        encoder = Encoder(
            family.trunk(size, DEVICES, dtype, False),
            prior.continuous_dim,
            prior.num_clusters,
            dtype,
        )
    return _Networks(
        family.generator(_generator_size(config), image_shape, DEVICES, dtype),
        family.trunk(size, DEVICES, dtype, objective.batch_norm),
        encoder,
    )


def _encode(encoder: Encoder | None, parameters: Any) -> Any:
    """The encoder with its parameters, or None."""
    return None if encoder is None else partial(encoder.apply, {"params": parameters})


def _generator_size(config: GANConfig) -> Size:
    return Size(config.generator_width, config.generator_layers)


def _objective(config: GANConfig) -> Objective:
    return OBJECTIVES[config.objective](config.constants)


def _optimizer(config: GANConfig) -> optax.GradientTransformation:
    return OPTIMIZERS[config.optimizer](config.learning_rate, config.beta1, config.beta2)


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
    trees = [f if jax.tree.leaves(f) != [f] else jax.tree_util.Partial(f) for f in features]
    structures = {jax.tree.structure(tree) for tree in trees}
    if len(structures) > 1:
        raise ValueError(
            "features holds different functions; give one jax.tree_util.Partial of the same "
            "function for each training, with parameters of its own."
        )
    return structures.pop(), [tuple(map(jnp.asarray, jax.tree.leaves(tree))) for tree in trees]


def _update(
    optimizer: optax.GradientTransformation, gradient: Any, optimizer_state: Any, parameters: Any
) -> tuple[Any, Any]:
    """Average the gradient over the devices and take one step."""
    gradient = jax.lax.pmean(gradient, DEVICES)
    updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
    return optax.apply_updates(parameters, updates), optimizer_state
