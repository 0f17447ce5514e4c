"""Every objective in the one step: its networks, its constraints, its several updates of D."""

from dataclasses import replace

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from magan_jax.models.dcgan import Generator
from magan_jax.objectives import CONSTANTS_OF, OBJECTIVES, Constants
from magan_jax.parallel import DEVICES, local_part, on_devices
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.gan import train_gan, train_gans
from magan_jax.training.gan_config import GANConfig, compares_features
from magan_jax.training.gan_step import gan_step, images_per_step, init_gan
from magan_jax.training.optimizers import OPTIMIZERS
from magan_jax.training.stage import Stage

SHAPE = (8, 8, 1)
KEY = jax.random.key(0)
NOWHERE = Stage(None, {})
IMAGES = np.random.default_rng(0).integers(0, 256, (32, *SHAPE)).astype(np.uint8)
DATA = Batch(IMAGES, np.zeros(32, np.int32))
SMALL = GANConfig(
    latent_dim=5,
    num_clusters=3,
    prior="cluster",
    epochs=1,
    batch_size=8,
    critic_steps=2,
    network="mlp",
    generator_width=2,
    discriminator_width=2,
    generator_layers=(6,),
    discriminator_layers=(5,),
    learning_rate=1e-3,
)


def first(n):
    return jax.tree.map(lambda x: x[:n], DATA)


def layers(images):
    """Features of a frozen network that is no pytree."""
    return images[:, ::2], jnp.square(images).sum((1, 2, 3))


FROZEN = jax.tree.structure(jax.tree_util.Partial(layers))


def steps_on(num_devices, config, state):
    """Two steps, on the first and on the second half of the data."""
    step = gan_step(config, SHAPE, FROZEN if compares_features(config) else None)
    run = on_devices(
        lambda state, batch, key: step(state, jax.tree.map(local_part, batch), key),
        num_devices=num_devices,
    )
    for i in range(2):
        batch = jax.tree.map(lambda x, i=i: x[16 * i : 16 * (i + 1)], DATA)
        state, info = run(state, batch, jax.random.fold_in(KEY, i))
    return state, info


def kernels(tree):
    return [x for path, x in jax.tree_util.tree_leaves_with_path(tree) if "kernel" in str(path[-1])]


@pytest.mark.parametrize(
    ("objective", "network"), [*((name, "mlp") for name in OBJECTIVES), ("wasserstein_gp", "dcgan")]
)
def test_every_objective_trains_the_same_networks_on_one_and_on_two_devices(
    objective, network, monkeypatch
):
    """Two steps, each of two updates of D and one of G and E.

    By plain gradient descent: Adam makes a whole step of a gradient that is 0 but for rounding.
    """
    monkeypatch.setitem(OPTIMIZERS, "descent", lambda rate, *_: optax.sgd(rate))
    config = replace(
        SMALL, objective=objective, network=network, optimizer="descent", learning_rate=1e-2
    )
    start = init_gan(KEY, config, SHAPE)
    (one, info), (two, info_of_two) = (steps_on(n, config, start) for n in (1, 2))
    chex.assert_trees_all_close(two, one, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(info_of_two, info, rtol=1e-5, atol=1e-6)
    chex.assert_tree_all_finite((one, info))
    for name in ("generator", "discriminator", "encoder"):
        pairs = zip(kernels(getattr(one, name)), kernels(getattr(start, name)), strict=True)
        assert all(np.any(a != b) for a, b in pairs), name
    described = OBJECTIVES[objective](Constants())
    assert bool(one.encoder) == described.encodes
    kept = described.constrain(one.discriminator)  # clipped or renormalised already
    chex.assert_trees_all_close(kept, one.discriminator, rtol=1e-6)


def test_critic_steps_are_updates_of_d_on_images_of_their_own(monkeypatch):
    """Three, by hand: hinge on a plain network by gradient descent, all in one loop."""
    monkeypatch.setitem(OPTIMIZERS, "descent", lambda rate, *_: optax.sgd(rate))
    config = replace(
        SMALL,
        objective="hinge",
        critic_steps=3,
        learning_rate=0.1,
        optimizer="descent",
        prior="normal",
    )
    state = init_gan(KEY, config, SHAPE)
    run = on_devices(gan_step(config, SHAPE), num_devices=1)
    new, info = run(state, first(24), KEY)

    def leaky(x):
        return jnp.where(x > 0, x, 0.2 * x)

    def layer(p, x):
        return x @ p["kernel"] + p["bias"]

    def generated(p, z):
        return jnp.tanh(layer(p["image"], leaky(layer(p["hidden_0"], z)))).reshape(-1, *SHAPE)

    def f(p, x):
        hidden = leaky(layer(p["trunk"]["hidden_0"], x.reshape(len(x), -1)))
        return layer(p["last"]["Dense_0"], hidden)[:, 0]

    def descend(p, gradient):
        return jax.tree.map(lambda p, g: p - config.learning_rate * g, p, gradient)

    def loss_d(p, x, fake):
        return jnp.mean(jax.nn.relu(1 - f(p, x))) + jnp.mean(jax.nn.relu(1 + f(p, fake)))

    z = jax.random.normal(KEY, (8, 3, 5))
    real = (IMAGES[:24].astype(np.float32) / 127.5 - 1).reshape(8, 3, *SHAPE)
    d = state.discriminator
    for i in range(3):
        fake = generated(state.generator, z[:, i])
        value, gradient = jax.value_and_grad(loss_d)(d, real[:, i], fake)
        d = descend(d, gradient)
    gradient = jax.grad(lambda p: -jnp.mean(f(d, generated(p, z[:, 2]))))(state.generator)
    g = descend(state.generator, gradient)
    chex.assert_trees_all_close(new.discriminator, d, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(new.generator, g, rtol=1e-5, atol=1e-6)
    # Each update is more than that tolerance: the loop by hand with one less is another state.
    assert any(
        np.abs(a - b).max() > 1e-4
        for a, b in zip(kernels(d), kernels(state.discriminator), strict=True)
    )
    assert float(info["discriminator_loss"]) == pytest.approx(float(value), rel=1e-4)


def test_every_update_of_d_moves_the_statistics_of_g():
    config = replace(SMALL, network="dcgan", prior="normal")
    run = on_devices(gan_step(config, SHAPE), num_devices=1)
    state = init_gan(KEY, config, SHAPE)
    new, _ = run(state, first(16), KEY)
    statistics, z = state.statistics, jax.random.normal(KEY, (8, 2, 5))
    for i in range(2):
        variables = {"params": state.generator, "batch_stats": statistics}
        _, updates = Generator(2, SHAPE).apply(
            variables, z[:, i], training=True, mutable=["batch_stats"]
        )
        statistics = updates["batch_stats"]
    chex.assert_trees_all_close(new.statistics, statistics, rtol=1e-5, atol=1e-6)


def test_without_batchnorm_where_the_objective_says_so():
    config = replace(SMALL, network="dcgan")
    for objective, has_one in (("vanilla", True), ("wasserstein_gp", False)):
        state = init_gan(KEY, replace(config, objective=objective), SHAPE)
        assert ("BatchNorm_0" in state.discriminator["trunk"]) == has_one
    state = init_gan(KEY, replace(config, objective="cluster"), SHAPE)
    assert "BatchNorm_0" in state.discriminator["trunk"]
    assert "BatchNorm_0" not in state.encoder["trunk"]


def test_a_trained_encoder_finds_clusters_again_and_comes_with_the_prior_in_use():
    """Of the encoder's losses almost alone, G writes the cluster into its images."""
    config = replace(
        SMALL,
        objective="cluster",
        sampling_prior="cluster_recall",
        discriminator_layers=(16,),
        critic_steps=1,
        epochs=60,
        learning_rate=1e-2,
    )
    found = train_gan(KEY, config, IMAGES, stage=NOWHERE)
    z = found.prior(jax.random.key(8), 200)
    assert jnp.std(jnp.sum(z[:, 2:], 1)) > 0.1  # the hot entry is drawn, as it was not in training
    images = found.generate(z)
    continuous, logits = found.encode(images)
    chex.assert_shape((continuous, logits), [(200, 2), (200, 3)])
    assert jnp.mean(jnp.argmax(logits, 1) == jnp.argmax(z[:, 2:], 1)) > 0.95  # chance is 1/3
    alone, _ = found.encode(images[1:2])
    chex.assert_trees_all_close(alone, continuous[1:2], atol=1e-5)
    parameters = found.progress.state.encoder
    chex.assert_trees_all_equal(jax.tree.leaves(found.encode), jax.tree.leaves(parameters))


def test_training_draws_from_its_own_prior_and_not_from_the_one_in_use():
    config = replace(SMALL, objective="cluster", critic_steps=1)
    state = init_gan(KEY, config, SHAPE)
    as_trained, _ = steps_on(1, config, state)
    for_recall, _ = steps_on(1, replace(config, sampling_prior="cluster_recall"), state)
    chex.assert_trees_all_equal(for_recall, as_trained)
    other, _ = steps_on(1, replace(config, prior="cluster_recall"), state)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_equal(other, as_trained)


def test_a_step_is_traced_as_often_for_many_updates_as_for_few(monkeypatch):
    counted = []
    objective = OBJECTIVES["hinge"](Constants())

    def discriminator(*arguments):
        counted.append(1)
        return objective.discriminator(*arguments)

    monkeypatch.setitem(
        OBJECTIVES, "hinge", lambda _: objective._replace(discriminator=discriminator)
    )
    for length, critic_steps in ((1, 1), (1, 4), (2, 2), (3, 2)):
        config = replace(SMALL, objective="hinge", critic_steps=critic_steps)
        chunk = chunk_function(gan_step(config, SHAPE), 200, images_per_step(config), length)
        state = jax.eval_shape(lambda config=config: init_gan(KEY, config, SHAPE))
        counted.clear()
        jax.jit(
            jax.shard_map(
                chunk,
                mesh=jax.make_mesh((1,), (DEVICES,), devices=jax.devices()[:1]),
                in_specs=jax.P(),
                out_specs=jax.P(),
                check_vma=False,
            )
        ).trace(state, DATA, KEY, jnp.uint32(0))
        # In the last update of D and, where there are others, in the loop of these.
        assert len(counted) == (1 if critic_steps == 1 else 2)


def scaled(factor, images):
    return (factor * images,)


def test_each_training_of_an_ensemble_has_its_frozen_network(tmp_path):
    """Together as alone, each with its own, and from a checkpoint too."""
    config = replace(SMALL, objective="perceptual", critic_steps=1)
    keys = jax.random.split(KEY, 2)
    features = [jax.tree_util.Partial(scaled, jnp.float32(s)) for s in (0.1, 3.0)]
    stage = Stage(tmp_path / "gan", {})
    together = train_gans(keys, config, IMAGES, stage=stage, features=features)
    kept = train_gans(keys, config, IMAGES, stage=stage, features=features)
    for key, own, one, again in zip(keys, features, together, kept, strict=True):
        alone = train_gan(key, config, IMAGES, stage=NOWHERE, features=own)
        chex.assert_trees_all_close(one.progress.state, alone.progress.state, atol=1e-5)
        chex.assert_trees_all_equal(again.progress.state, one.progress.state)
    assert together[0].encode is None
    other = train_gan(keys[0], config, IMAGES, stage=NOWHERE, features=features[1])
    a, b = (x.progress.history["generator_loss"][0] for x in (other, together[0]))
    assert abs(a - b) > 0.01


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (None, "compares the features of a frozen network: for 2 training.* not none"),
        ([layers], "needs 2 function.* not 1"),
        ([layers, lambda x: (x,)], "features holds different functions"),
    ],
)
def test_frozen_networks_that_do_not_fit_are_refused(features, message):
    config = replace(SMALL, objective="perceptual")
    with pytest.raises(ValueError, match=message):
        train_gans(jax.random.split(KEY, 2), config, IMAGES, stage=NOWHERE, features=features)


class Noted:
    """Constants that note who asks for which."""

    def __init__(self):
        self.asked = set()

    def __getattr__(self, name):
        value = getattr(Constants(), name)
        self.asked.add(name)
        return value


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_table_of_constants_has_those_that_an_objective_reads(objective):
    constants = Noted()
    noting = replace(SMALL, objective=objective, constants=constants)
    plain = replace(noting, constants=Constants())
    frozen = FROZEN if compares_features(plain) else None
    state = jax.eval_shape(lambda key: init_gan(key, plain, SHAPE), KEY)
    step = on_devices(gan_step(noting, SHAPE, frozen), num_devices=1)
    jax.eval_shape(step, state, first(16), KEY)
    assert constants.asked == set(CONSTANTS_OF[objective])
