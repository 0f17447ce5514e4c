"""Rows about the search for exits."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax import Exits, analyze, bisect_epsilon
from magan_jax.latent.labels import logits_and_finite
from magan_jax.networks import Classify, Generate
from magan_jax.training.classifier import classifier_function
from magan_jax.training.classifier_step import classifier_step, init_classifier
from magan_jax.training.engine import Batch, train
from magan_jax.training.gan import generator_function
from magan_jax.training.gan_step import gan_step, init_gan
from throughput.latent_rows import reachable_labels
from throughput.limits import MachineLimit
from throughput.protocol import CLASSIFIER, GAN, IMAGE_SHAPE, NUM_CLASSES
from throughput.torch_forms import in_every_form
from throughput.torch_networks import torch_classifier, torch_generator
from throughput.torch_peers import torch_search
from throughput.turns import Row, compare, goals, row_of


class Search(NamedTuple):
    """One search for exits, the same for ours and for the peers.

    Attributes:
        generate: G.
        classify: C.
        mean: `[K, d]`.
        shifts: `[K, M, d]`.
        labels: `[K]`, of the means.
    """

    generate: Generate
    classify: Classify
    mean: np.ndarray
    shifts: np.ndarray
    labels: np.ndarray
    upper: float = 3.0
    tolerance: float = 1e-4
    scan_points: int = 32

    @property
    def num_rays(self) -> int:
        """Rays of all classes."""
        return self.shifts.shape[0] * self.shifts.shape[1]

    @property
    def halvings(self) -> int:
        """Of each bracket, to the tolerance."""
        return math.ceil(math.log2(self.upper / self.scan_points / self.tolerance))

    def ours(self, batch_size: int | None = None) -> Exits:
        """`bisect_epsilon`."""
        return bisect_epsilon(
            self.generate,
            self.classify,
            self.mean,
            self.shifts,
            upper=self.upper,
            tolerance=self.tolerance,
            scan_points=self.scan_points,
            labels=self.labels,
            batch_size=batch_size,
        )

    def evaluations(self) -> int:
        """Of the networks: each mean, the scan of each ray to its exit, the halvings there."""
        found = self.ours()
        step = self.upper / self.scan_points
        scanned = np.minimum(np.floor(found.epsilon / step) + 1, self.scan_points)
        kept = (found.prototype_label == self.labels)[:, None]
        each = np.where(kept, scanned + np.where(found.censored, 0, self.halvings), 0)
        return int(each.sum()) + len(self.mean)


def evaluation_rows(data: Batch, turns: int, directions: int, limits: MachineLimit) -> list[Row]:
    """The evaluations of the bisection against the bare forward pass, and against a grid's."""
    search = _search(data, directions)
    return [_search_against_forward(search, turns, limits), _search_against_grid(search)]


def search_rows(data: Batch, turns: int, directions: int, wanted: tuple[str, ...]) -> list[Row]:
    """The bisection against a PyTorch loop."""
    return _search_against_torch(_search(data, directions), turns, wanted)


def _search(data: Batch, directions: int, train_steps: int = 150) -> Search:
    """Rays from the class means of briefly trained networks.

    Where rays leave their class decides how long the search takes, so the networks are trained,
    if only for a moment, and the rays start at the means of the classes that they then have.
    """
    generate, classify = _briefly_trained(data, train_steps)
    analysis = analyze(
        jax.random.key(2),
        generate,
        classify,
        latent_dim=GAN.latent_dim,
        num_classes=NUM_CLASSES,
        num_samples=2000,
        num_permutations=0,
        quiet=True,
    )
    own = np.flatnonzero(analysis.valid & (analysis.mean_label == np.arange(NUM_CLASSES)))
    shape = (len(own), NUM_CLASSES * directions // len(own), GAN.latent_dim)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], shape)
    shifts = (signs * analysis.std[own, None]).astype(np.float32)
    return Search(generate, classify, analysis.mean[own].astype(np.float32), shifts, own)


def _briefly_trained(data: Batch, steps: int) -> tuple[Generate, Classify]:
    """G and C of the paper's size after so many steps."""
    keys = jax.random.split(jax.random.key(3), 4)
    gan_config = replace(GAN, learning_rate=1e-3)
    gan = train(
        keys[0],
        gan_step(gan_config, IMAGE_SHAPE),
        init_gan(keys[1], gan_config, IMAGE_SHAPE),
        jax.tree.map(lambda x: x[: steps * GAN.batch_size], data),
        num_epochs=1,
        batch_size=GAN.batch_size,
        quiet=True,
    )
    classifier = train(
        keys[2],
        classifier_step(CLASSIFIER, NUM_CLASSES, steps),
        init_classifier(keys[3], CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, steps),
        jax.tree.map(lambda x: x[: steps * CLASSIFIER.batch_size], data),
        num_epochs=1,
        batch_size=CLASSIFIER.batch_size,
        quiet=True,
    )
    return (
        generator_function(gan_config, IMAGE_SHAPE, gan.state),
        classifier_function(CLASSIFIER, NUM_CLASSES, classifier.state),
    )


def _search_against_forward(search: Search, turns: int, limits: MachineLimit) -> Row:
    on_cpu = jax.default_backend() == "cpu"
    batches = (125, 250, 500, 1000) if on_cpu else (4000, 16_000)
    num_latents = 4 * max(batches)
    latents = jax.random.normal(jax.random.key(0), (num_latents, GAN.latent_dim))
    functions = search.generate, search.classify
    return compare(
        "search: evaluations of bisect_epsilon",
        "latents/s",
        search.ours,
        {
            f"bare C(G(z)), batch {batch}": partial(_forward, functions, latents, batch)
            for batch in batches
        },
        turns,
        our_units=search.evaluations(),
        peer_units=num_latents,
        **goals(0.9, accelerator=0.9),
        reachable=reachable_labels(functions, limits),
    )


@partial(jax.jit, static_argnames="batch")
def _forward(functions: Any, z: jax.Array, batch: int) -> jax.Array:
    """Labels in one compiled loop over batches: nothing but the networks."""
    generate, classify = functions

    def label(part: jax.Array) -> jax.Array:
        return jnp.argmax(logits_and_finite(generate, classify, part)[0], axis=-1)

    return jax.lax.map(label, z.reshape(-1, batch, z.shape[-1]))


def _search_against_torch(search: Search, turns: int, wanted: tuple[str, ...]) -> list[Row]:
    forms = in_every_form(
        "PyTorch loop over classes and points",
        lambda form: torch_search(
            torch_generator(GAN),
            torch_classifier(CLASSIFIER),
            search.mean,
            search.shifts,
            upper=search.upper,
            scan_points=search.scan_points,
            halvings=search.halvings,
            form=form,
        ),
        wanted,
        with_graphs=False,
    )
    if not forms:
        return []
    row = compare(
        "search: the whole",
        "searches/s",
        search.ours,
        forms,
        turns,
        our_units=1,
        peer_units=1,
        **goals(2.0, accelerator=3.0),
    )
    return [row]


def _search_against_grid(search: Search) -> Row:
    grid = search.num_rays * math.ceil(search.upper / search.tolerance)
    return row_of(
        "search: network evaluations",
        "evaluations",
        search.evaluations(),
        grid,
        "a grid as fine as the tolerance",
        grid / search.evaluations(),
        **goals(100.0, accelerator=100.0),
    )
