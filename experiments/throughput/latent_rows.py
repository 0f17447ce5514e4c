"""Rows about the latent analysis: labelling, the search for exits, growth, memory."""

import math
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax import Exits, analyze, bisect_epsilon
from magan_jax.latent.labels import logits_and_finite
from magan_jax.latent.networks import Classify, Generate
from magan_jax.training.classifier import classifier_function, classifier_step, init_classifier
from magan_jax.training.engine import Batch, train
from magan_jax.training.gan import gan_step, generator_function, init_gan
from throughput import torch_peers
from throughput.protocol import CLASSIFIER, GAN, IMAGE_SHAPE, NUM_CLASSES
from throughput.turns import MachineLimit, Row, Work, compare, printed_by, row_of, take_turns


def networks() -> tuple[Generate, Classify]:
    """G and C of the paper's size, not trained: speed does not depend on the weights."""
    gan = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE)
    classifier = init_classifier(jax.random.key(1), CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, 1)
    return (
        generator_function(GAN, IMAGE_SHAPE, gan),
        classifier_function(CLASSIFIER, NUM_CLASSES, classifier),
    )


def label_rows(turns: int, num_latents: int, limits: MachineLimit) -> list[Row]:
    """Labelled latents per second, class moments included; a multiple of 1000 in each turn."""
    num_latents = -(-num_latents // 1000) * 1000
    forms = {
        f"PyTorch loop and NumPy, {form}, batch {batch}": torch_peers.repeated(
            torch_peers.torch_labels(
                torch_peers.torch_generator(GAN),
                torch_peers.torch_classifier(CLASSIFIER),
                NUM_CLASSES,
                GAN.latent_dim,
                batch,
                form,
            ),
            num_latents // batch,
        )
        for form in torch_peers.torch_forms(with_graphs=False)
        for batch in (250, 1000)
    }
    if not forms:
        return []
    functions = networks()
    row = compare(
        "labels: sample, G, C, class moments",
        "latents/s",
        _analysis(*functions, GAN.latent_dim, NUM_CLASSES, num_latents),
        forms,
        turns,
        our_units=num_latents,
        peer_units=num_latents,
        must=1.5,
        reachable=limits.operations_per_second / _flops_of_label(functions),
    )
    return [row]


def _flops_of_label(functions: tuple[Generate, Classify]) -> float:
    """Operations of G and C for one latent, in the accelerators' form (see `flops_of`)."""
    num_latents = 1000
    latents = jnp.zeros((num_latents, GAN.latent_dim))
    traced = jax.jit(lambda z: functions[1](functions[0](z))).trace(latents)
    cost: Any = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
    return float(cost["flops"]) / num_latents


def _analysis(
    generate: Generate,
    classify: Classify,
    latent_dim: int,
    num_classes: int,
    num_samples: int,
    batch_size: int | None = None,
) -> Work:
    def work() -> None:
        analyze(
            jax.random.key(0),
            generate,
            classify,
            latent_dim=latent_dim,
            num_classes=num_classes,
            num_samples=num_samples,
            num_permutations=0,
            batch_size=batch_size,
            quiet=True,
        )

    return work


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


def search_rows(
    data: Batch, turns: int, directions: int, limits: MachineLimit, train_steps: int = 150
) -> list[Row]:
    """The bisection against the bare forward pass, a PyTorch loop and a grid.

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
    search = Search(generate, classify, analysis.mean[own].astype(np.float32), shifts, own)
    return [
        _search_against_forward(search, turns, limits),
        *_search_against_torch(search, turns),
        _search_against_grid(search),
    ]


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
    num_latents = 4000
    latents = jax.random.normal(jax.random.key(0), (num_latents, GAN.latent_dim))
    functions = search.generate, search.classify
    return compare(
        "search: evaluations of bisect_epsilon",
        "latents/s",
        search.ours,
        {
            f"bare C(G(z)), batch {batch}": partial(_forward, functions, latents, batch)
            for batch in (125, 250, 500, 1000)
        },
        turns,
        our_units=search.evaluations(),
        peer_units=num_latents,
        must=0.9,
        reachable=limits.operations_per_second / _flops_of_label(functions),
    )


@partial(jax.jit, static_argnames="batch")
def _forward(functions: Any, z: jax.Array, batch: int) -> jax.Array:
    """Labels in one compiled loop over batches: nothing but the networks."""
    generate, classify = functions

    def label(part: jax.Array) -> jax.Array:
        return jnp.argmax(logits_and_finite(generate, classify, part)[0], axis=-1)

    return jax.lax.map(label, z.reshape(-1, batch, z.shape[-1]))


def _search_against_torch(search: Search, turns: int) -> list[Row]:
    forms = {
        f"PyTorch loop over classes and points, {form}": torch_peers.torch_search(
            torch_peers.torch_generator(GAN),
            torch_peers.torch_classifier(CLASSIFIER),
            search.mean,
            search.shifts,
            upper=search.upper,
            scan_points=search.scan_points,
            halvings=search.halvings,
            form=form,
        )
        for form in torch_peers.torch_forms(with_graphs=False)
    }
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
        must=2.0,
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
        must=100.0,
    )


def growth_rows(turns: int) -> list[Row]:
    """Time against N or rays, classes and dimensions, where G and C cost nothing."""
    return [*_analysis_growth(turns), *_search_growth(turns)]


def _analysis_growth(turns: int) -> list[Row]:
    def of(n: int, num_classes: int = 10, d: int = 100) -> Work:
        # These networks cost nothing, so no batch suits them better than another.
        return _analysis(_itself, _first_logits(num_classes), d, num_classes, n, 1000)

    return [
        _growth("analyze, N 10⁶ against 10⁴", of(10**6), of(10**4), turns, factor=100),
        _growth(
            # Of fewer latents a part of the stream has too few of each class for an interval, and
            # the distances of 1000 · 1000 classes without each part take longer than the stream.
            "analyze, 1000 classes against 10 (N = 10⁶, 1024 dimensions)",
            of(10**6, 1000, 1024),
            of(10**6, 10, 1024),
            turns,
            must=1 / 1.5,
        ),
        _growth(
            "analyze, 1600 dimensions against 400",
            of(20_000, 10, 1600),
            of(20_000, 10, 400),
            turns,
            factor=4,
        ),
    ]


def _search_growth(turns: int) -> list[Row]:
    random = np.random.default_rng(0)

    def of(num_classes: int, directions: int, d: int = 100) -> Work:
        shifts = random.standard_normal((num_classes, directions, d), np.float32)
        mean = np.eye(num_classes, d, dtype=np.float32)
        labels = np.arange(num_classes)
        search = Search(_itself, _first_logits(num_classes), mean, shifts, labels)
        # A batch that divides 10 · 512: a padded last one would flatter the larger search.
        return partial(search.ours, batch_size=1024)

    return [
        _growth(
            "bisect_epsilon, 10 · 4096 rays against 10 · 512",
            of(10, 4096),
            of(10, 512),
            turns,
            factor=8,
        ),
        _growth(
            "bisect_epsilon, 1000 classes · 4 rays against 10 · 400 (1024 dimensions)",
            of(1000, 4, 1024),
            of(10, 400, 1024),
            turns,
            must=1 / 1.5,
        ),
        _growth(
            "bisect_epsilon, 1600 dimensions against 400",
            of(10, 512, 1600),
            of(10, 512, 400),
            turns,
            factor=4,
        ),
    ]


def _growth(
    what: str, larger: Work, smaller: Work, turns: int, factor: float = 1.0, must: float = 0.9
) -> Row:
    """The time that `factor` smaller ones would take, over the time of the larger one."""
    seconds = take_turns({"large": larger, "small": smaller}, turns, warm_ups=1)
    expected = factor * seconds["small"]
    return row_of(
        f"growth: {what}",
        "s",
        seconds["large"],
        expected,
        "the smaller, in proportion",
        expected / seconds["large"],
        must=must,
    )


def _itself(z: jax.Array) -> jax.Array:
    return z


def _first_logits(num_classes: int) -> Classify:
    return lambda x: x[:, :num_classes]


# The peak of a process that does nothing else, in KiB.
_MEMORY = """
import sys, jax
from pathlib import Path
from magan_jax import analyze
analyze(jax.random.key(0), lambda z: z, lambda x: x[:, :10], latent_dim=100, num_classes=10,
        num_samples=int(sys.argv[1]), quiet=True)
status = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in status if line.startswith("VmHWM")).split()[1])
"""
# VmHWM, since the peak that getrusage knows of begins with that of the parent process.


def memory_row() -> Row:
    """Peak memory of a process that analyses many latents."""
    large, small = (int(printed_by(_MEMORY, n)[0]) / 1024 for n in ("1000000", "10000"))
    return row_of(
        "memory: analyze, N = 1,000,000",
        "MiB",
        large,
        small,
        "itself at N = 10,000",
        small / large,
        must=1 / 1.1,
    )
