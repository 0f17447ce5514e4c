"""One step of a GAN's training: D several times, then G, and an encoder where there is one.

Losses, the last layer of the discriminator and what else they need are the objective's
(`magan_jax.objectives`); the step is the same for all.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from magan_jax.images import scale_images
from magan_jax.models import Encoder
from magan_jax.objectives import Discriminated, Made, Objective
from magan_jax.parallel import DEVICES, local_part
from magan_jax.prior import ClusteredPrior
from magan_jax.training.engine import Batch, Step
from magan_jax.training.gan_config import GANConfig, training_prior
from magan_jax.training.gan_networks import GANNetworks, networks_of, objective_of
from magan_jax.training.optimizers import OPTIMIZERS
from magan_jax.training.progress import Info

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
    objective, networks = objective_of(config), networks_of(config, image_shape)
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
    players, prior = _players_of(config, image_shape, features), training_prior(config)
    batch_size, critic_steps = config.batch_size, config.critic_steps

    def step(state: GANState, batch: Batch, key: jax.Array) -> tuple[GANState, Info]:
        # [images of an update, updates, …], so that each device has its part of every update.
        real = scale_images(batch.images).reshape(-1, critic_steps, *image_shape)
        latents = local_part(
            prior(key, batch_size * critic_steps).reshape(batch_size, critic_steps, -1)
        )
        keys = jax.random.split(jax.random.fold_in(key, _OBJECTIVE_STREAM), critic_steps)

        def critic_step(carry: Any, seen: Any) -> tuple[Any, None]:
            (critic, statistics), (images, z, objective_key) = carry, seen
            fake, statistics = _generate(players, statistics, z, state.generator)
            critic, _ = _update_discriminator(players, critic, images, fake, objective_key)
            return (critic, statistics), None

        critic = state.discriminator, state.discriminator_optimizer
        statistics = state.statistics
        if critic_steps > 1:  # all updates of D but the last; a scan of none would be traced too
            before_last = jax.tree.map(lambda x: x[:, :-1].swapaxes(0, 1), (real, latents))
            (critic, statistics), _ = jax.lax.scan(
                critic_step, (critic, statistics), (*before_last, keys[:-1])
            )
        real, latents = real[:, -1], latents[:, -1]

        # Made once for both updates: G does not change in between.
        fake, pull_back, statistics = jax.vjp(
            partial(_generate, players, statistics, latents), state.generator, has_aux=True
        )
        critic, (loss_d, real_logits) = _update_discriminator(players, critic, real, fake, keys[-1])

        def make(images: jax.Array, encode: Any, frozen: Any) -> Made:
            in_turn = _discriminate(players, critic[0], images)
            return Made(in_turn, real, latents, players.split, encode, frozen)

        trained, moments, (loss_g, fake_logits) = _update_generator(
            players, state, make, fake, pull_back
        )
        info = {
            "discriminator_loss": loss_d,
            "generator_loss": loss_g,
            "real_taken_for_real": jnp.mean(real_logits > 0),
            "fake_taken_for_real": jnp.mean(fake_logits > 0),
        }
        new_state = GANState(*trained, statistics, moments, *critic, state.frozen)
        return new_state, jax.lax.pmean(info, DEVICES)

    return step


class _Players(NamedTuple):
    """Who plays, for what, and how they learn: all that the parameters of a state do not say.

    Attributes:
        networks: G, the trunk of D, E.
        objective: their losses, and D's last layer.
        optimizer: of all of them.
        split: z to its parts; None where the prior has no clusters.
        features: structure of the frozen network; None where the objective needs none.
    """

    networks: GANNetworks
    objective: Objective
    optimizer: optax.GradientTransformation
    split: Callable[[jax.Array], Any] | None
    features: Any


def _players_of(config: GANConfig, image_shape: tuple[int, int, int], features: Any) -> _Players:
    prior = training_prior(config)
    return _Players(
        networks_of(config, image_shape),
        objective_of(config),
        _optimizer(config),
        prior.split if isinstance(prior, ClusteredPrior) else None,
        features,
    )


def _generate(
    players: _Players, statistics: Any, latents: jax.Array, parameters: Any
) -> tuple[jax.Array, Any]:
    """G(z), normalised by the batch, and G's running statistics after it."""
    fake, updates = players.networks.generator.apply(
        {"params": parameters, "batch_stats": statistics},
        latents,
        training=True,
        mutable=["batch_stats"],
    )
    return fake, updates.get("batch_stats", {})


def _discriminate_batches(
    players: _Players, parameters: Any, *batches: jax.Array
) -> list[Discriminated]:
    """D on several batches of equal size in one pass, each normalised by itself."""
    features, _ = players.networks.trunk.apply(
        {"params": parameters["trunk"]},
        jnp.concatenate(batches),
        batches=len(batches),
        mutable=["batch_stats"],
    )
    logits = players.objective.last.logits(parameters["last"], features)
    parts = (jnp.split(x, len(batches)) for x in (features, logits))
    return [
        Discriminated(images, own_features, parameters["last"], own_logits)
        for images, own_features, own_logits in zip(batches, *parts, strict=True)
    ]


def _discriminate(players: _Players, parameters: Any, images: jax.Array) -> Discriminated:
    return _discriminate_batches(players, parameters, images)[0]


def _update_discriminator(
    players: _Players, critic: tuple[Any, Any], real: jax.Array, fake: jax.Array, key: jax.Array
) -> tuple[tuple[Any, Any], tuple[jax.Array, jax.Array]]:
    """One step of D, whose parameters and moments `critic` are; its loss and f of the real."""
    objective = players.objective

    def loss(parameters: Any) -> tuple[jax.Array, jax.Array]:
        discriminated = _discriminate_batches(players, parameters, real, fake)
        value = objective.discriminator(
            key, partial(_discriminate, players, parameters), *discriminated
        )
        return value, discriminated[0].logits

    parameters, moments = critic
    found, gradient = jax.value_and_grad(loss, has_aux=True)(parameters)
    parameters, moments = _update(players.optimizer, gradient, moments, parameters)
    return (objective.constrain(parameters), moments), found


def _update_generator(
    players: _Players,
    state: GANState,
    make: Callable[..., Made],
    fake: jax.Array,
    pull_back: Callable[[jax.Array], tuple[Any]],
) -> tuple[tuple[Any, Any], Any, tuple[jax.Array, jax.Array]]:
    """One step of G and E, by the gradient in the images `fake` and from there back through G.

    Args:
        players: see there.
        state: before the step.
        make: `(images, encode, frozen)` to what the loss looks at.
        fake: G(z).
        pull_back: of G at these z: from the gradient in the images to that in its parameters.

    Returns:
        New parameters of G and E, their moments, and the loss with f(G(z)).
    """

    def loss(images: jax.Array, encoder: Any) -> tuple[jax.Array, jax.Array]:
        encode = _encode(players.networks.encoder, encoder)
        frozen = None if players.features is None else players.features.unflatten(state.frozen)
        made = make(images, encode, frozen)
        return players.objective.generator(made), made.fake.logits

    found, (towards, encoder_gradient) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
        fake, state.encoder
    )
    gradient = (*pull_back(towards), encoder_gradient)
    parameters = state.generator, state.encoder
    return *_update(players.optimizer, gradient, state.generator_optimizer, parameters), found


def images_per_step(config: GANConfig) -> int:
    """Training images that a step sees, all devices together: each update of D has its own."""
    return config.batch_size * config.critic_steps


def _encode(encoder: Encoder | None, parameters: Any) -> Any:
    """The encoder with its parameters, or None."""
    return None if encoder is None else partial(encoder.apply, {"params": parameters})


def _optimizer(config: GANConfig) -> optax.GradientTransformation:
    return OPTIMIZERS[config.optimizer](config.learning_rate, config.beta1, config.beta2)


def _update(
    optimizer: optax.GradientTransformation, gradient: Any, optimizer_state: Any, parameters: Any
) -> tuple[Any, Any]:
    """Average the gradient over the devices and take one step."""
    gradient = jax.lax.pmean(gradient, DEVICES)
    updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
    return optax.apply_updates(parameters, updates), optimizer_state
