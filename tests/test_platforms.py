"""Every compiled entry point lowers for CPU, GPU and TPU, whatever machine the tests run on, and
with `jax_numpy_rank_promotion` forbidden, as many do."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from magan_jax.augmentation.fitting import FittingConfig, Moves, _fit, _fit_at_once
from magan_jax.augmentation.rows import SoftBatch, sets_to_rows, to_rows
from magan_jax.augmentation.tuning import TuningConfig, _fine_tune
from magan_jax.latent import conditional, exits, intervals, labels, stream
from magan_jax.models import NETWORKS
from magan_jax.networks import take_apart
from magan_jax.objectives import OBJECTIVES
from magan_jax.objectives.variational import DIVERGENCES
from magan_jax.parallel import DEVICES
from magan_jax.prior import standard_normal
from magan_jax.training.classifier_config import ClassifierConfig
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, chunk_function
from magan_jax.training.ensemble import stacked
from magan_jax.training.gan_config import GANConfig, compares_features
from magan_jax.training.gan_step import gan_step, init_gan
from magan_jax.training.vae import VAEConfig, init_vae, vae_step

PLATFORMS = ("cpu", "cuda", "tpu")
KEY = jax.random.key(0)
SHAPE = (8, 8, 1)
GAN = GANConfig(latent_dim=4, batch_size=8, generator_width=4, discriminator_width=4)
CLASSIFIER = ClassifierConfig(batch_size=8, width=4, max_shift=1, mirror=True)


@pytest.fixture(autouse=True)
def ranks_are_as_written():
    with jax.numpy_rank_promotion("raise"):
        yield


def generate(z):
    return jnp.tanh(z @ jnp.ones((4, 64))).reshape(-1, *SHAPE)


def classify(images):
    return images.reshape(len(images), -1)[:, :3]


def trained(step, state, batch_size=8):
    data = Batch(np.zeros((32, *SHAPE), np.uint8), np.zeros(32, np.int32))
    return chunk_function(step, 32, batch_size, 2), (state, data, KEY, jnp.uint32(0))


def entry_points(monkeypatch):
    """Each function that is handed to `on_devices`, with arguments."""
    for module in (stream, labels, exits, conditional):
        monkeypatch.setattr(module, "on_devices", lambda function, **_: function)
    # New functions: nothing compiled is shared with other tests.
    networks, arrays = take_apart(lambda z: generate(z), lambda x: classify(x))
    for name, dtype in (("", None), (" in bfloat16", "bfloat16")):
        gan, classifier = replace(GAN, dtype=dtype), replace(CLASSIFIER, dtype=dtype)
        yield f"gan{name}", trained(gan_step(gan, SHAPE), init_gan(KEY, gan, SHAPE))
        state = init_classifier(KEY, classifier, SHAPE, 3, 4)
        yield f"classifier{name}", trained(classifier_step(classifier, 3, 4), state)
    segment = stream.compiled_stream(networks, standard_normal(4), 4, 3, 1000, 19, None)
    so_far = stream.empty_stream(3, 4, 19)
    yield "stream", (segment, (arrays, KEY, jnp.uint32(0), jnp.uint32(1500), so_far))
    many, _ = take_apart(lambda z: generate(z), lambda x: x.reshape(len(x), -1))
    segment = stream.compiled_stream(many, standard_normal(4), 4, 64, 3000, 0, None)
    so_far = stream.empty_stream(64, 4, 0)
    yield "many classes", (segment, (arrays, KEY, jnp.uint32(0), jnp.uint32(1500), so_far))
    label = labels._compiled_labels(networks, 4, 8, None)
    yield "labels", (label, (arrays, jnp.zeros((8, 4))))
    search, _ = exits._compiled_search(networks, 4, 8, 5, 6, None)
    shifts = jnp.ones((12, 4))
    yield (
        "search",
        (
            search,
            (arrays, jnp.zeros((3, 4)), shifts, jnp.arange(3, dtype=jnp.int32), jnp.float32(1)),
        ),
    )
    score = conditional._compiled_scores(networks, 4, 3, 5, None)
    rows = (jnp.zeros((6, 4)), jnp.ones((6, 4)), jnp.ones((6, 2)) / 2)
    yield "samplers", (score, (arrays, KEY, jnp.arange(6, dtype=jnp.int32) % 3, *rows))
    square, parts = jnp.ones((3, 3)), jnp.ones((2, 3))
    whole = intervals._Whole(jnp.ones((3, 4)), square, square)
    part = intervals._Part(jnp.ones((2, 3, 4)), parts > 0, *[parts] * 5)
    yield "intervals", (intervals._without_each_part, (whole, part))
    for divergence in DIVERGENCES:
        vae = VAEConfig(divergence=divergence, latent_dim=3, layers=(4,), batch_size=8)
        yield divergence, trained(vae_step(vae, SHAPE), init_vae(KEY, vae, SHAPE))


@pytest.mark.parametrize(
    "name",
    [
        "gan",
        "gan in bfloat16",
        "classifier",
        "classifier in bfloat16",
        "stream",
        "many classes",
        "labels",
        "search",
        "samplers",
        "intervals",
        *DIVERGENCES,
    ],
)
def test_entry_point_lowers_for_every_platform(name, monkeypatch):
    function, arguments = dict(entry_points(monkeypatch))[name]
    check_lowering(function, arguments)


@pytest.mark.parametrize("name", ["one", "at once", "tuning"])
def test_a_training_on_few_labels_lowers_for_every_platform(name):
    """Of a classifier, of several at once, of an encoder that learns on."""
    images = SoftBatch(np.zeros((4, *SHAPE), np.uint8), np.eye(4))
    pool, pools = to_rows(*images), sets_to_rows([images] * 2)
    settings = {"config": FittingConfig(steps=2, batch_size=8, width=4), "reach": 2}
    moves = Moves(1, True)
    several_moves = Moves(jnp.array([0, 1]), jnp.array([False, True]))
    several = (stacked([KEY] * 2), pools, pools, several_moves, jnp.array([0.5, 0.9]))
    linear = jax.tree_util.Partial(lambda w, x: x.reshape(len(x), -1) @ w, jnp.ones((64, 4)))
    learn_on = partial(_fine_tune, config=TuningConfig(steps=2, batch_size=8, max_erased=3))
    function, arguments = {
        "one": (partial(_fit, **settings), (KEY, pool, pool, moves, 0.5)),
        "at once": (partial(_fit_at_once, **settings), several),
        "tuning": (partial(_in_order, learn_on), (KEY, linear, pool, pool)),
    }[name]
    check_lowering(function, arguments)


def _in_order(fine_tune, key, classify, known, pool):
    return fine_tune(key, classify=classify, known=known, pool=pool)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_step_of_every_objective_lowers_for_every_platform(objective, network):
    gan = replace(
        GAN,
        latent_dim=5,
        objective=objective,
        prior="cluster",
        num_clusters=3,
        critic_steps=2,
        network=network,
        generator_layers=(4,),
        discriminator_layers=(4,),
    )
    features = jax.tree.structure(jax.tree_util.Partial(lambda x: (classify(x),)))
    step = gan_step(gan, SHAPE, features if compares_features(gan) else None)
    state = jax.eval_shape(lambda: init_gan(KEY, gan, SHAPE))
    check_lowering(*trained(step, state, 16))


def check_lowering(function, arguments):
    one_device = jax.make_mesh((1,), (DEVICES,), devices=jax.devices()[:1])
    mapped = jax.shard_map(
        function, mesh=one_device, in_specs=jax.P(), out_specs=jax.P(), check_vma=False
    )
    lowered = export.export(jax.jit(mapped), platforms=PLATFORMS)(*arguments)
    assert lowered.platforms == PLATFORMS
    assert not lowered.disabled_safety_checks
