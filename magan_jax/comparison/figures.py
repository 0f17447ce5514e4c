"""The figures of several systems, in reading order."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax import plots
from magan_jax.comparison.outcome import Exploration, GANOutcome, Outcomes
from magan_jax.comparison.results import METRICS
from magan_jax.outputs import FigureEntry
from magan_jax.prior import ClusteredPrior
from magan_jax.sampling import images_of, sample_images


def systems_figures(
    outcomes: Outcomes, exploration: Exploration, class_names: Sequence[str]
) -> list[FigureEntry]:
    """Images, curves, losses, metrics, exploration."""
    by_title = {one.system.title: one for one in outcomes.values()}
    trained = {title: one for title, one in by_title.items() if one.judged}
    entries = [_samples(by_title)]
    if trained:
        entries += _measured(trained)
    clustered = {
        name: one
        for name, one in outcomes.items()
        if one.judged and one.judged[0].gan.encode is not None
    }
    entries += [_clusters(name, one) for name, one in clustered.items()]
    entries += [_interpolation(one) for one in list(clustered.values())[:1]]
    return [*entries, *_explored(exploration, trained, class_names)]


def _samples(by_title: Outcomes) -> FigureEntry:
    return FigureEntry(
        "samples",
        "Images of random latents, not selected, the same number for each system (first seed "
        "judged).",
        plots.plot_samples_of_systems(
            {
                title: sample_images(
                    jax.random.key(0), one.judged[0].gan.generate, one.judged[0].gan.prior, 16
                )
                if one.judged
                else None
                for title, one in by_title.items()
            },
            {title: one.failure or "" for title, one in by_title.items()},
        ),
    )


def _measured(trained: Outcomes) -> list[FigureEntry]:
    """Metrics and losses."""
    first = next(iter(trained.values())).judged[0].scores
    yardstick = {name: first[name].yardstick or float("nan") for name in METRICS}
    histories = {t: one.judged[0].gan.progress for t, one in trained.items()}
    points = {
        title: np.array(
            [[s.scores["precision"].value, s.scores["recall"].value] for s in one.judged]
        )
        for title, one in trained.items()
    }
    return [
        FigureEntry(
            "metric_curves",
            "Each metric over the epochs; lines are means over seeds, bands their range, dotted "
            "what real test images reach.",
            plots.plot_metric_curves(
                {
                    title: {
                        name: np.stack([s.gan.progress.history[name] for s in one.judged])
                        for name in METRICS
                    }
                    for title, one in trained.items()
                },
                yardstick,
            ),
        ),
        FigureEntry(
            "precision_recall",
            "Precision against recall: ours filled, the report's own numbers hollow (their "
            "features differ, so only orders compare).",
            plots.plot_precision_recall(
                points,
                {
                    title: (one.system.reported.precision, one.system.reported.recall)
                    for title, one in trained.items()
                },
            ),
        ),
        FigureEntry(
            "losses",
            "Losses of each system (first seed judged); their units differ from objective to "
            "objective.",
            plots.plot_losses_of_systems(
                {title: p.history for title, p in histories.items()},
                {title: p.steps_per_epoch for title, p in histories.items()},
            ),
        ),
    ]


def _clusters(name: str, outcome: GANOutcome) -> FigureEntry:
    """A row of images for each cluster."""
    gan, title = outcome.judged[0].gan, outcome.system.title
    prior = _clustered_prior(outcome)
    drawn, cluster = _drawn_by_cluster(prior)
    rows = [images_of(gan.generate, drawn[cluster == k][:12]) for k in range(prior.num_clusters)]
    return FigureEntry(
        f"clusters_{name}",
        f"{title}: a row of images for each z_c, the noise z_n drawn at random (first seed "
        "judged).",
        plots.plot_image_rows(rows, [f"z_c = {k}" for k in range(len(rows))], title),
    )


def _interpolation(outcome: GANOutcome) -> FigureEntry:
    """From cluster to cluster: the same noise in all rows, only the cluster's place moves, on a
    straight line."""
    gan, title = outcome.judged[0].gan, outcome.system.title
    prior = _clustered_prior(outcome)
    drawn, cluster = _drawn_by_cluster(prior)
    start, count = drawn[cluster == 0][0], prior.num_clusters
    centre = np.asarray(prior.moved(jnp.tile(start, (count, 1)), jnp.arange(count)))
    share = np.linspace(0, 1, 12)[:, None]
    ways = [
        images_of(gan.generate, (1 - share) * centre[k] + share * centre[(k + 1) % count])
        for k in range(count)
    ]
    return FigureEntry(
        "interpolation",
        f"{title}: from one z_c to the next at the same z_n (first seed judged).",
        plots.plot_image_rows(ways, [f"{k} → {(k + 1) % count}" for k in range(count)], title),
    )


def _clustered_prior(outcome: GANOutcome) -> ClusteredPrior:
    """Of a system with an encoder, which no other prior can have."""
    prior: Any = outcome.judged[0].gan.prior
    assert isinstance(prior, ClusteredPrior)
    return prior


def _drawn_by_cluster(prior: ClusteredPrior) -> tuple[np.ndarray, np.ndarray]:
    """Latents `[2000, d]` and the cluster of each."""
    drawn = np.asarray(prior(jax.random.key(1), 2000))
    _, cluster = (np.asarray(part) for part in prior.split(jnp.asarray(drawn)))
    return drawn, cluster


def _explored(
    exploration: Exploration, trained: Outcomes, class_names: Sequence[str]
) -> list[FigureEntry]:
    entries = []
    ascent, starts = exploration.ascent, exploration.starts
    if ascent is not None and starts is not None:
        generate = trained[exploration.ascent_of].judged[0].gan.generate
        k = len(class_names)
        count = min(8, len(starts) // k)
        shown = count * k  # each start has one row: itself, then its end for every class
        ends = images_of(generate, ascent.latents[:shown])
        before = images_of(generate, starts[:shown:k])
        rows = [
            np.concatenate([before[i : i + 1], ends[i * k : (i + 1) * k]]) for i in range(count)
        ]
        entries.append(
            FigureEntry(
                "ascent",
                f"Gradient ascent on latents ({exploration.ascent_of}): the image of a random "
                f"latent, then where it ends for each class wanted ({', '.join(class_names)}).",
                plots.plot_image_rows(
                    rows,
                    [f"latent {i + 1}" for i in range(count)],
                    f"{exploration.ascent_of}: before, and where the ascent to each class ends",
                    ["before", *class_names],
                ),
            )
        )
    if exploration.embeddings:
        entries.append(
            FigureEntry(
                "embeddings",
                "t-SNE of latents and of the classifier's features of their images, coloured by "
                "the class that the classifier sees.",
                plots.plot_embeddings(
                    {title: one.points for title, one in exploration.embeddings.items()},
                    {title: one.labels for title, one in exploration.embeddings.items()},
                    class_names,
                ),
            )
        )
    return entries
