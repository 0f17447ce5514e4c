"""Rows about labelling latents."""

from functools import partial

import jax
import jax.numpy as jnp

from magan_jax import analyze
from magan_jax.networks import Classify, Generate
from magan_jax.training.classifier import classifier_function
from magan_jax.training.classifier_step import init_classifier
from magan_jax.training.gan import generator_function
from magan_jax.training.gan_step import init_gan
from throughput.limits import MachineLimit, reachable
from throughput.protocol import CLASSIFIER, GAN, IMAGE_SHAPE, NUM_CLASSES
from throughput.torch_forms import in_every_form, repeated
from throughput.torch_networks import torch_classifier, torch_generator
from throughput.torch_peers import torch_labels
from throughput.turns import Reachable, Row, Work, compare, goals


def networks() -> tuple[Generate, Classify]:
    """G and C of the paper's size, not trained: speed does not depend on the weights."""
    gan = init_gan(jax.random.key(0), GAN, IMAGE_SHAPE)
    classifier = init_classifier(jax.random.key(1), CLASSIFIER, IMAGE_SHAPE, NUM_CLASSES, 1)
    return (
        generator_function(GAN, IMAGE_SHAPE, gan),
        classifier_function(CLASSIFIER, NUM_CLASSES, classifier),
    )


def label_rows(
    turns: int, num_latents: int, limits: MachineLimit, wanted: tuple[str, ...]
) -> list[Row]:
    """Labelled latents per second, class moments included; a multiple of the peers' batches a turn.

    On an accelerator, where the peer takes seconds for a million, it has a tenth of them.
    """
    batches = (250, 1000) if jax.default_backend() == "cpu" else (1000, 10_000)
    num_latents = -(-num_latents // max(batches)) * max(batches)
    of_peer = (
        num_latents
        if jax.default_backend() == "cpu"
        else max(batches) * (-(-num_latents // (10 * max(batches))))
    )

    def of_form(form: str, batch: int) -> Work:
        loop = torch_labels(
            torch_generator(GAN),
            torch_classifier(CLASSIFIER),
            NUM_CLASSES,
            GAN.latent_dim,
            batch,
            form,
        )
        return repeated(loop, of_peer // batch)

    forms: dict[str, Work] = {}
    for batch in batches:
        found = in_every_form(
            "PyTorch loop and NumPy", partial(of_form, batch=batch), wanted, with_graphs=False
        )
        forms |= {f"{name}, batch {batch}": work for name, work in found.items()}
    if not forms:
        return []
    functions = networks()
    row = compare(
        "labels: sample, G, C, class moments",
        "latents/s",
        analysis_of(*functions, GAN.latent_dim, NUM_CLASSES, num_latents),
        forms,
        turns,
        our_units=num_latents,
        peer_units=of_peer,
        **goals(1.5, accelerator=3.0),
        reachable=reachable_labels(functions, limits),
    )
    return [row]


def reachable_labels(functions: tuple[Generate, Classify], limits: MachineLimit) -> Reachable:
    """Latents per second of G and C at the machine's limits."""
    num_latents = 1000
    latents = jnp.zeros((num_latents, GAN.latent_dim))
    traced = jax.jit(lambda z: functions[1](functions[0](z))).trace(latents)
    return reachable(traced, num_latents, limits, exact=True)


def analysis_of(
    generate: Generate,
    classify: Classify,
    latent_dim: int,
    num_classes: int,
    num_samples: int,
    batch_size: int | None = None,
) -> Work:
    """One call of `analyze`, as work for a turn."""

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
