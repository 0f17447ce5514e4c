"""The report's samplers, chosen on some draws and judged on others (VAE report, Section 3.5)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from magan_jax.blocks import in_blocks
from magan_jax.conditional.outcome import Sampler
from magan_jax.conditional.settings import SamplingConfig
from magan_jax.conditional.systems import SAMPLERS
from magan_jax.errors import NetworkOutputError
from magan_jax.latent.conditional import ConditionalScores, conditional_images, score_conditional
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.scale_search import SimpleSearch, search_scales, search_simple
from magan_jax.metrics import Scores, mean_pairwise_cosine
from magan_jax.networks import Classify, Generate, as_pytree

_BLOCK = 500


class Chosen(NamedTuple):
    """A sampler that a search chose.

    Attributes:
        kind: in `SAMPLERS`.
        accuracy_weight: of the objective that it was chosen by.
        theta: `[K, d]`.
        num_draws: n.
        searched: its objective on the search's own draws, mean over classes.
    """

    kind: str
    accuracy_weight: float
    theta: np.ndarray
    num_draws: int
    searched: float


def choose_samplers(
    key: jax.Array,
    generate: Generate,
    classify: Classify,
    latents: ClassLatents,
    config: SamplingConfig,
    *,
    num_devices: int | None = None,
    title: str = "",
) -> tuple[SimpleSearch, list[Chosen]]:
    """Simple's grid, and for each weight of the accuracy the best of each kind.

    Medium 1 and 2 start from the best θ of Simple with n = 1.

    Args:
        key: of the draws, the same for all.
        generate, classify, latents, num_devices: see `score_conditional`.
        config: the settings.
        title: in front of the progress bar.
    """
    searched = search_simple(
        key, generate, classify, latents, num_samples=config.num_searched, num_devices=num_devices
    )
    chosen = []
    for weight in config.accuracy_weights:
        best = searched.best(weight)
        objective = float(searched.scores.objective(weight)[best].mean())
        theta = np.full(latents.mean.shape, searched.theta[best])
        chosen.append(Chosen("simple", weight, theta, int(searched.num_draws[best]), objective))
        for kind in ("medium1", "medium2"):
            found = search_scales(
                key,
                generate,
                classify,
                latents,
                start=float(searched.theta[searched.best(weight, num_draws=1)]),
                per_class=kind == "medium2",
                num_samples=config.num_searched,
                accuracy_weight=weight,
                max_sweeps=config.max_sweeps,
                num_devices=num_devices,
                title=f"{title} {SAMPLERS[kind]}".strip(),
            )
            chosen.append(Chosen(kind, weight, found.theta, 1, float(found.objective[-1])))
    return searched, chosen


def judge_samplers(
    keys: jax.Array,
    generate: Generate,
    own: Classify,
    judge: Classify,
    latents: ClassLatents,
    chosen: Sequence[Chosen],
    metrics: Callable[[np.ndarray], Scores],
    *,
    num_samples: int,
    num_images: int,
    num_devices: int | None = None,
) -> list[Sampler]:
    """What chosen samplers reach on draws that no search saw, the same draws for all of them.

    Args:
        keys: `[2]`, of the draws that are scored and of the images that `metrics` sees.
        generate: `[n, d] -> images`.
        own: the classifier that they were chosen by.
        judge: another one, which sees the same draws.
        latents: of the classes.
        chosen: the samplers.
        metrics: of images `[N, H, W, C]`, as many of each class.
        num_samples: draws of each class that are scored.
        num_images: images that `metrics` sees, or a few more, for each class has as many.
        num_devices: see `magan_jax.parallel.on_devices`.
    """
    theta = np.stack([one.theta for one in chosen])
    num_draws = np.array([one.num_draws for one in chosen])
    scores, judged = (
        score_conditional(
            keys[0],
            generate,
            classify,
            latents,
            theta,
            num_draws=num_draws,
            num_samples=num_samples,
            num_devices=num_devices,
        )
        for classify in (own, judge)
    )
    samplers = []
    for i, one in enumerate(chosen):
        images = conditional_images(
            keys[1],
            generate,
            latents,
            one.theta,
            num_draws=one.num_draws,
            num_samples=-(-num_images // len(latents.mean)),
        )
        mine, other = (
            ConditionalScores(*(x[i : i + 1] for x in found)) for found in (scores, judged)
        )
        measured = metrics(images.reshape(-1, *images.shape[2:]))
        samplers.append(Sampler(*one, mine, other, measured))
    return samplers


def score_images(
    classify: Classify, images: np.ndarray, labels: np.ndarray, num_classes: int
) -> ConditionalScores:
    """The same two numbers of given images, real ones for example: `[1, K]` each.

    Args:
        classify: `images -> logits [n, K]`.
        images: `[N, H, W, C]` in [-1, 1].
        labels: int `[N]`, their classes.
        num_classes: K.

    Raises:
        ValueError: for a class with fewer than two images.
        NetworkOutputError: for images that are dark everywhere or not finite, and logits that are
            not finite.
    """
    function = as_pytree(classify)
    light = (np.asarray(images, np.float32).reshape(len(images), -1) + 1) / 2
    logits = in_blocks(lambda x: _logits(function, x), images, min(_BLOCK, len(images)))
    bad = ~(np.isfinite(light).all(axis=1) & np.isfinite(logits).all(axis=1))
    for which, what in (
        (bad, "not finite, or have logits that are not"),
        (~light.any(axis=1), "dark everywhere"),
    ):
        if which.any():
            raise NetworkOutputError(
                f"{which.sum()} of {len(images)} images are {what}, the first is number "
                f"{np.argmax(which)}; look at the images."
            )
    found = np.argmax(logits, axis=1)
    of_class = [labels == k for k in range(num_classes)]
    return ConditionalScores(
        np.array([[np.mean(found[mine] == k) for k, mine in enumerate(of_class)]]),
        np.array([[mean_pairwise_cosine(light[mine]) for mine in of_class]]),
    )


@jax.jit
def _logits(classify: Classify, images: jax.Array) -> jax.Array:
    with jax.default_matmul_precision("highest"):
        return classify(images)
