"""The figures of the study of autoencoders, in reading order."""

from typing import Any

import jax
import numpy as np

from magan_jax import plots
from magan_jax.blocks import evenly_spaced
from magan_jax.conditional.outcome import JudgedVAE, Outcomes, VAEOutcome
from magan_jax.conditional.results import keeps_mean
from magan_jax.conditional.systems import SAMPLERS, TABLE_4
from magan_jax.conditional.trade_off import trade_off
from magan_jax.images import scale_images
from magan_jax.latent.conditional import ConditionalScores, conditional_images
from magan_jax.outputs import FigureEntry
from magan_jax.plots.conditional import Curve, Mark
from magan_jax.run import Run, RunConfig
from magan_jax.sampling import images_of
from magan_jax.training.vae import reconstructed

_SHOWN = 12  # images in a row


def samplers_figures(
    run: Run[RunConfig], outcomes: Outcomes, real: ConditionalScores
) -> list[FigureEntry]:
    """Trade-off, images, latents, exits, trainings."""
    trained = {name: one for name, one in outcomes.items() if one.judged}
    if not trained:
        return []
    names = run.dataset.class_names
    best = next(reversed(trained.values()))
    planar = next((one for one in trained.values() if one.system.latent_dim == 2), None)
    return [
        _trade_off(trained, real),
        _one_scale(best),
        _reconstructions(trained, run),
        *_samples(best, names),
        _exits(best, names),
        _thetas(best, names),
        *([] if planar is None else [_plane(planar, run)]),
        FigureEntry(
            "training",
            "Reconstruction loss and divergence over epochs (first seed).",
            plots.plot_vae_training(
                {one.system.title: one.judged[0].vae.progress.history for one in trained.values()},
                {
                    one.system.title: one.judged[0].vae.progress.steps_per_epoch
                    for one in trained.values()
                },
            ),
        ),
    ]


def _trade_off(trained: Outcomes, real: ConditionalScores) -> FigureEntry:
    """The report's Figure 1, for every dimension."""
    panels: dict[str, list[Curve]] = {}
    for name, one in trained.items():
        system = one.system
        seeds = [trade_off(judged.grid.scores) for judged in one.judged]
        marks = [
            Mark(
                SAMPLERS[sampler.kind],
                float(np.mean([judged.samplers[i].scores.cosine.mean() for judged in one.judged])),
                float(
                    np.mean([judged.samplers[i].scores.accuracy.mean() for judged in one.judged])
                ),
                f"{sampler.accuracy_weight:g}",
            )
            for i, sampler in enumerate(one.judged[0].samplers)
            if sampler.kind != "simple"
        ]
        published = [
            Mark(SAMPLERS[row.sampler], row.cosine, row.accuracy)
            for row in TABLE_4
            if row.system == name
        ]
        panels.setdefault(f"d = {system.latent_dim}", []).append(
            Curve(system.divergence.upper(), seeds, marks, published)
        )
    return FigureEntry(
        "figure_1_trade_off",
        "Figure 1: accuracy against the mean cosine of two images of a class (a line for each "
        "seed: Simple's whole grid of θ and n). Filled marks are Medium 1 and 2, chosen with the "
        "weight of the accuracy beside them and judged on other draws; hollow ones the report's "
        "Table 4; the dotted line is the cosine of real test images.",
        plots.plot_trade_off(panels, float(real.cosine.mean())),
    )


def _one_scale(outcome: VAEOutcome) -> FigureEntry:
    judged = outcome.judged[0]
    return FigureEntry(
        "one_scale",
        f"{outcome.system.title}: the mean of n draws with deviation θσ is one draw with θσ/√n, so "
        "that all n of Simple's grid lie on one line.",
        plots.plot_one_scale(judged.grid.theta, judged.grid.num_draws, judged.grid.scores),
    )


def _reconstructions(trained: Outcomes, run: Run[RunConfig]) -> FigureEntry:
    """A row of test images, and what each autoencoder makes of them."""
    labels = run.dataset.test_labels
    shown = [int(np.flatnonzero(labels == k)[0]) for k in np.unique(labels)]
    images = run.dataset.test_images[shown]
    rows = {"test images": images} | {
        one.system.title: reconstructed(one.judged[0].vae, images) for one in trained.values()
    }
    return FigureEntry(
        "reconstructions",
        "The first test image of each class, and its reconstructions (first seed).",
        plots.plot_image_rows(
            [np.asarray(scale_images(row)) for row in rows.values()], list(rows), "reconstructions"
        ),
    )


def _samples(outcome: VAEOutcome, names: Any) -> list[FigureEntry]:
    """A row of images for each class, by each sampler of the last weight."""
    judged, entries = outcome.judged[0], []
    weights = dict.fromkeys(sampler.accuracy_weight for sampler in judged.samplers)
    for sampler in judged.samplers:
        if sampler.accuracy_weight != list(weights)[-1]:
            continue
        images = conditional_images(
            jax.random.key(0),
            judged.vae.generate,
            judged.latents,
            sampler.theta,
            num_draws=sampler.num_draws,
            num_samples=_SHOWN,
        )
        kind = SAMPLERS[sampler.kind]
        means = images_of(judged.vae.generate, judged.latents.mean)
        rows = [np.concatenate([means[k : k + 1], images[k]]) for k in range(len(names))]
        accuracy, cosine = (float(x.mean()) for x in sampler.scores)
        title = f"{outcome.system.title}, {kind}: accuracy {accuracy:.3f}, cosine {cosine:.3f}"
        entries.append(
            FigureEntry(
                f"samples_{sampler.kind}",
                f"{outcome.system.title}, {kind}, chosen where the accuracy weighs "
                f"{sampler.accuracy_weight:g}: the image of each class mean, then images drawn "
                f"around it, not selected; seed {judged.seed}, as are the numbers above them.",
                plots.plot_image_rows(rows, names, title, ["mean"]),
            )
        )
    return entries


def _exits(outcome: VAEOutcome, names: Any) -> FigureEntry:
    """Accuracy at every θ, from one search."""
    judged = outcome.judged[0]
    elsewhere = ", ".join(str(names[k]) for k in np.flatnonzero(~keeps_mean(judged)))
    remark = f" The mean of {elsewhere} itself has another label: a line at 0." if elsewhere else ""
    single = judged.grid.num_draws == 1
    return FigureEntry(
        "exits",
        f"{outcome.system.title}: the share of draws that have not left their class on the "
        "straight way from its mean, for every θ, by bisection (lines), and the accuracy of Simple "
        "with n = 1 on other draws (points). Points far above a line: draws that left the class "
        f"and came back.{remark}",
        plots.plot_exit_curves(
            judged.exits, judged.grid.theta[single], judged.grid.scores.accuracy[single], names
        ),
    )


def _thetas(outcome: VAEOutcome, names: Any) -> FigureEntry:
    judged = outcome.judged[0]
    return FigureEntry(
        "theta",
        f"{outcome.system.title}: the θ that Medium 1 chose for each dimension, and Medium 2 for "
        "each dimension and class (dimensions by the share of their variance that lies between "
        "classes).",
        plots.plot_thetas(
            {
                f"{SAMPLERS[s.kind]}, accuracy weighs {s.accuracy_weight:g}": s.theta
                if s.kind == "medium2"
                else s.theta[:1]
                for s in judged.samplers
                if s.kind != "simple"
            },
            names,
            _by_separation(judged),
        ),
    )


def _by_separation(judged: JudgedVAE) -> np.ndarray:
    """Dimensions, that in which the classes are most apart first."""
    between = judged.latents.mean.var(axis=0)
    within = np.mean(judged.latents.std**2, axis=0)
    return np.argsort(-between / (between + within), kind="stable")


def _plane(outcome: VAEOutcome, run: Run[RunConfig]) -> FigureEntry:
    """Two latent dimensions can be seen as they are."""
    judged = outcome.judged[0]
    images = scale_images(evenly_spaced(run.dataset.test_images, 5000))
    points = np.asarray(jax.jit(lambda x: judged.vae.encode(x)[0])(images))
    return FigureEntry(
        "plane",
        f"{outcome.system.title}: encoded test images, each class's mean and standard deviation "
        "(ellipses), and the images that a grid of latents gives.",
        plots.plot_plane(
            points,
            evenly_spaced(run.dataset.test_labels, 5000),
            judged.latents.mean,
            judged.latents.std,
            lambda z: images_of(judged.vae.generate, z),
            run.dataset.class_names,
        ),
    )
