"""What a run leaves: results.json, analysis.npz, metrics.csv, figures, and one HTML page."""

import base64
import dataclasses
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.figure import Figure

from magan_jax import plots
from magan_jax.claims import Claim, Study, claims_markdown
from magan_jax.files import write_arrays, write_bytes, write_csv, write_json
from magan_jax.latent.analysis import Analysis
from magan_jax.latent.clustering import Clustering
from magan_jax.latent.geometry import Interval
from magan_jax.latent.invariance import Invariance, Purity, RayLabels
from magan_jax.latent.labels import Classify, Generate, label_latents
from magan_jax.run import Run
from magan_jax.runtime import environment, is_first_host
from magan_jax.training.classifier import TrainedClassifier
from magan_jax.training.engine import Progress
from magan_jax.training.gan import TrainedGAN

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class FigureEntry(NamedTuple):
    """A figure on its way into the report.

    Attributes:
        name: of its file, without `.png`.
        caption: what to see in it, one or two sentences.
        figure: the figure; it is closed when written.
    """

    name: str
    caption: str
    figure: Figure


def report_study(
    run: Run,
    classifier: TrainedClassifier,
    gan: TrainedGAN,
    studies: Sequence[Study],
    rays: RayLabels,
    purities: Mapping[str, Purity],
    claims: Sequence[Claim],
) -> None:
    """Write all that the studies of one generator leave, and say in a few lines what they found.

    Args:
        run: the run under way.
        classifier, gan: what was trained.
        studies: at the paper's N and at a large N, on which the measured exits shown rest.
        rays: labels along the rays of the large study.
        purities: by the name of the ε tried.
        claims: the paper's, decided; empty for other data.
    """
    began = time.perf_counter()
    names = run.dataset.class_names
    figures = study_figures(
        gan,
        classifier,
        studies,
        rays,
        names,
        batch_size=run.config.analysis.batch_size,
        num_devices=run.config.num_devices,
    )
    run.seconds["figures"] = time.perf_counter() - began
    run.seconds["total"] = sum(run.seconds.values())
    dataset = run.dataset
    results = {
        "preset": run.preset,
        "config": dataclasses.asdict(run.config),
        "environment": environment(),
        "dataset": {
            "name": dataset.name,
            "class_names": dataset.class_names,
            "counts": {"train": len(dataset.train_images), "test": len(dataset.test_images)},
            "image_shape": dataset.train_images.shape[1:],
            "sha256": dataset.sha256,
            "source": dataset.source,
            "official": dataset.official,
        },
        "classifier": _training_entry(classifier.progress)
        | {"test_accuracy": classifier.test_accuracy},
        "gan": _training_entry(gan.progress),
        "analyses": [
            analysis_entry(study.analysis, study.clustering, study.invariance, names)
            for study in studies
        ],
        "invariance": invariance_entry(studies[-1].invariance, purities, names),
        "claims": [claim._asdict() for claim in claims],
        "seconds": run.seconds,
    }
    if not is_first_host():
        return
    write_run(
        run.workdir,
        results,
        analysis_arrays(studies),
        {"classifier": classifier.progress, "gan": gan.progress},
        figures,
        claims,
    )
    large = studies[-1].analysis
    own = int(np.sum(large.mean_label == np.arange(len(names))))
    run.say(
        f"classifier: {classifier.test_accuracy:.4f} of the test images right\n"
        f"class means labelled with their own class at N = {large.num_samples:,}: "
        f"{own} of {len(names)}\n"
        f"the paper's claims that hold: {sum(c.holds is True for c in claims)} of {len(claims)}\n"
        f"{run.seconds['total']:.0f} s in all; read {run.workdir / 'report.html'}"
    )


def _training_entry(progress: Progress) -> dict[str, Any]:
    return {
        "epochs": progress.epochs,
        "steps": progress.steps,
        "seconds": progress.seconds,
        "images_per_second": progress.images_per_second,
    }


def study_figures(
    gan: TrainedGAN,
    classifier: TrainedClassifier,
    studies: Sequence[Study],
    rays: RayLabels,
    names: Sequence[str],
    *,
    batch_size: int,
    num_devices: int | None,
) -> list[FigureEntry]:
    """The paper's figures from our numbers, and those it lacks, in reading order."""
    generate, classify = gan.generate, classifier.classify
    analyses = [study.analysis for study in studies]
    large, invariance = studies[-1].analysis, studies[-1].invariance
    entries = [
        FigureEntry(
            "training",
            "How the GAN and the classifier were trained.",
            plots.plot_training(
                gan.progress.history,
                classifier.progress.history,
                gan.progress.steps_per_epoch,
                classifier.progress.steps_per_epoch,
            ),
        ),
        FigureEntry(
            "samples",
            "Images of 100 random latents, not selected.",
            plots.plot_samples(
                _images(generate, jax.random.normal(jax.random.key(0), (100, large.mean.shape[1]))),
                "generated images of random latents",
            ),
        ),
        FigureEntry(
            "class_means",
            "The image of each class mean, with the label and confidence that the "
            "classifier gives it.",
            plots.plot_class_means(_images(generate, np.nan_to_num(large.mean)), large, names),
        ),
        FigureEntry(
            "figure_07_distances",
            "Figure 7: distances of the class means. At small N a good part of a "
            "distance is the sampling noise of the means.",
            plots.plot_distances(analyses, names),
        ),
    ]
    both = [(s.clustering, s.analysis) for s in studies if s.clustering is not None]
    for clustering, analysis in both:
        entries.append(
            FigureEntry(
                f"figure_08_dendrograms_n{analysis.num_samples}",
                f"Figure 8: clusters of the class means at N = {analysis.num_samples:,}, by four "
                "linkages; a merge that few bootstrap trees share is not to be relied on.",
                plots.plot_dendrograms(clustering, analysis, names),
            )
        )
    entries.append(
        FigureEntry(
            "figure_09_nearest",
            "Figure 9: distance from each class mean to the nearest other, as "
            "the paper computes it and with the sampling noise taken out.",
            plots.plot_nearest(analyses, names),
        )
    )
    if both:
        found, of = zip(*both, strict=True)
        entries.append(
            FigureEntry(
                "figure_10_map",
                "Figure 10: the class means in the plane, distances kept as well as "
                "two dimensions can.",
                plots.plot_map(found, of, names),
            )
        )
        entries.append(
            FigureEntry(
                "figure_11_cophenetic",
                "Figure 11: cophenetic coefficient of each linkage.",
                plots.plot_cophenetic(found, of),
            )
        )
    entries.append(
        FigureEntry(
            "figure_12_epsilon",
            "Figure 12: the ε of each class from distances (the paper's, and "
            "debiased), and where G and C, asked directly, change the label.",
            plots.plot_epsilon(analyses, invariance, names),
        )
    )
    for name, title, analysis, epsilon in (
        (
            "figure_13_shifts_paper",
            f"shifts by the paper's ε, N = {analyses[0].num_samples:,}",
            analyses[0],
            analyses[0].epsilon,
        ),
        (
            "figure_13_shifts_measured",
            f"shifts by the smaller measured exit along ±σ, N = {large.num_samples:,}",
            large,
            np.fmin(invariance.plus, invariance.minus),
        ),
    ):
        entries.append(
            FigureEntry(
                name,
                f"Figure 13: images of the class means and of {title}.",
                _shifts(
                    generate, classify, analysis, epsilon, names, title, batch_size, num_devices
                ),
            )
        )
    entries.append(
        FigureEntry(
            "label_along_ray",
            "What the classifier sees along the ray μ + pσ of each class, and "
            "where it first leaves the class.",
            plots.plot_rays(rays, invariance, names),
        )
    )
    return entries


def _shifts(
    generate: Generate,
    classify: Classify,
    analysis: Analysis,
    epsilon: np.ndarray,
    names: Sequence[str],
    title: str,
    batch_size: int,
    num_devices: int | None,
) -> Figure:
    """Figure 13 for one choice of ε."""
    there = analysis.valid & np.isfinite(epsilon)
    shift = np.nan_to_num(epsilon)[:, None] * np.nan_to_num(analysis.std)
    latents = np.nan_to_num(analysis.mean) + np.array([-1.0, 0.0, 1.0])[:, None, None] * shift
    flat = latents.reshape(-1, latents.shape[-1])
    labels = label_latents(
        generate, classify, flat, batch_size=batch_size, num_devices=num_devices
    ).label.reshape(3, -1)
    images = _images(generate, flat)
    return plots.plot_shifts(
        images.reshape(3, len(names), *images.shape[1:]),
        np.where(there, labels, -1),
        epsilon,
        names,
        title,
    )


def _images(generate: Generate, latents: Any) -> np.ndarray:
    return np.asarray(jax.jit(generate)(jnp.asarray(latents, jnp.float32)))


def analysis_entry(
    analysis: Analysis,
    clustering: Clustering | None,
    invariance: Invariance,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """One entry of `analyses` in results.json."""
    classes = []
    for k, name in enumerate(class_names):
        nearest = int(analysis.nearest[k])
        p_value = analysis.p_value[k, nearest] if nearest >= 0 else np.nan
        entry = {
            "label": k,
            "name": name,
            "count": int(analysis.counts[k]),
            "mean_label": int(analysis.mean_label[k]) if analysis.valid[k] else None,
            "mean_confidence": analysis.mean_confidence[k],
            "nearest": nearest if nearest >= 0 else None,
            "nearest_distance": analysis.nearest_distance[k],
            "nearest_distance_interval": _pair(analysis.nearest_distance_interval, k),
            "nearest_distance_debiased": analysis.nearest_distance_debiased[k],
            "nearest_distance_debiased_interval": _pair(
                analysis.nearest_distance_debiased_interval, k
            ),
            "spread": analysis.spread[k],
            "epsilon": analysis.epsilon[k],
            "epsilon_interval": _pair(analysis.epsilon_interval, k),
            "epsilon_debiased": analysis.epsilon_debiased[k],
            "epsilon_debiased_interval": _pair(analysis.epsilon_debiased_interval, k),
            "p_value": p_value,
            "exit_plus": invariance.plus[k],
            "exit_plus_censored": bool(invariance.plus_censored[k]),
            "exit_minus": invariance.minus[k],
            "exit_minus_censored": bool(invariance.minus_censored[k]),
        }
        entry["reason"] = _missing_class_reason(analysis, k, entry)
        classes.append(entry)
    found: dict[str, Any] = {
        "num_samples": analysis.num_samples,
        "distance": analysis.distance,
        "distance_interval": list(analysis.distance_interval),
        "distance_debiased": analysis.distance_debiased,
        "distance_debiased_interval": list(analysis.distance_debiased_interval),
        "p_value": analysis.p_value,
        "p_value_reason": "null on the diagonal, for classes without statistics, and everywhere "
        "if no permutations were asked for",
        "classes": classes,
    }
    if clustering is None:
        reason = "fewer than three classes have statistics"
        return found | {"cophenetic": None, "cophenetic_reason": reason, "clusters": None}
    dendrograms = clustering.dendrograms
    return found | {
        "cophenetic": {m: d.cophenetic for m, d in dendrograms.items()},
        "cophenetic_interval": {m: list(d.cophenetic_interval) for m, d in dendrograms.items()},
        "clusters": {
            "classes": clustering.classes,
            "flat": {m: d.flat for m, d in dendrograms.items()} | {"map": clustering.map_flat},
            "merges": {m: d.merges for m, d in dendrograms.items()},
            "support": {m: d.support for m, d in dendrograms.items()},
            "map": clustering.map,
            "map_stress": clustering.map_stress,
        },
    }


def _missing_class_reason(analysis: Analysis, k: int, entry: Mapping[str, Any]) -> str | None:
    """Why an entry of a class has nulls; None if it has none."""
    if not analysis.valid[k]:
        return (
            f"{analysis.counts[k]} of {analysis.num_samples} latents have this label; statistics "
            "need two"
        )
    if analysis.nearest[k] < 0:
        return "no other class has statistics"
    if not np.isfinite(np.array(entry["epsilon_interval"], float)).all():
        return "a class loses its statistics when a part of the stream is left out: no interval"
    if not np.isfinite(entry["p_value"]):
        return "no p-value: no permutations were asked for"
    return None


def invariance_entry(
    invariance: Invariance, purities: Mapping[str, Purity], class_names: Sequence[str]
) -> dict[str, Any]:
    """`invariance` in results.json: the measured exits and the purities, per class."""
    classes = []
    for k, name in enumerate(class_names):
        known = invariance.prototype_label[k] >= 0
        random = invariance.random[k]
        classes.append(
            {
                "label": k,
                "name": name,
                "prototype_label": int(invariance.prototype_label[k]) if known else None,
                "plus": invariance.plus[k],
                "plus_censored": bool(invariance.plus_censored[k]),
                "minus": invariance.minus[k],
                "minus_censored": bool(invariance.minus_censored[k]),
                "random_quantiles": {
                    f"{q:g}": float(np.quantile(random, q, method="inverted_cdf"))
                    if known
                    else None
                    for q in QUANTILES
                },
                "random_censored": int(invariance.random_censored[k].sum()),
                "measured": invariance.measured[k],
                "measured_censored": bool(invariance.measured_censored[k]),
                "measured_interval": _pair(invariance.measured_interval, k),
                "purity": {
                    name: {
                        "epsilon": purity.epsilon[k],
                        "kept": int(purity.kept[k]) if np.isfinite(purity.fraction[k]) else None,
                        "total": purity.total,
                        "fraction": purity.fraction[k],
                        "interval": _pair(purity.interval, k),
                    }
                    for name, purity in purities.items()
                },
                "reason": None if known else "the class has no statistics, so no ray starts there",
            }
        )
    return {
        "upper": invariance.upper,
        "num_directions": invariance.random.shape[1],
        "classes": classes,
    }


def analysis_arrays(studies: Sequence[Study]) -> dict[str, np.ndarray]:
    """The arrays of analysis.npz: `n<N>_counts`, `n<N>_mean`, …, and the measured exits.

    NaN marks classes without statistics.
    """
    arrays = {"num_samples": np.array([study.analysis.num_samples for study in studies])}
    for analysis, _, invariance, _ in studies:
        prefix = f"n{analysis.num_samples}_"
        for name in (
            "counts",
            "mean",
            "std",
            "distance",
            "distance_debiased",
            "epsilon",
            "epsilon_debiased",
            "nearest",
            "p_value",
        ):
            arrays[prefix + name] = getattr(analysis, name)
        for name, values in analysis.replicates._asdict().items():
            arrays[f"{prefix}replicate_{name}"] = values
        for name in ("plus", "minus", "random", "random_censored", "measured"):
            arrays[f"{prefix}exits_{name}"] = getattr(invariance, name)
    return arrays


def metrics_table(stages: Mapping[str, Progress]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of metrics.csv: a row per tenth of an epoch, mean of each scalar in it.

    What is measured once per epoch stands in the epoch's last row.
    """
    names = sorted({name for progress in stages.values() for name in progress.history})
    rows: list[list[Any]] = []
    for stage, progress in stages.items():
        window = max(1, progress.steps_per_epoch // 10)
        for epoch in range(progress.epochs):
            starts = range(0, progress.steps_per_epoch, window)
            for first in starts:
                last = min(first + window, progress.steps_per_epoch)
                offset = epoch * progress.steps_per_epoch
                row: list[Any] = [stage, epoch + 1, offset + last]
                for name in names:
                    values = progress.history.get(name)
                    cell = None
                    if values is not None and len(values) == progress.steps:
                        cell = float(values[offset + first : offset + last].mean())
                    elif values is not None and first == starts[-1]:
                        cell = float(values[epoch])
                    row.append(cell)
                rows.append(row)
    return ["stage", "epoch", "step", *names], rows


def write_run(
    workdir: Path,
    results: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    stages: Mapping[str, Progress],
    figures: Sequence[FigureEntry],
    claims: Sequence[Claim],
) -> None:
    """Write everything that a run leaves, each file whole or not at all.

    Args:
        workdir: the folder, which exists.
        results: what becomes results.json; not-a-number becomes null.
        arrays: what becomes analysis.npz.
        stages: trainings by name, for metrics.csv.
        figures: what becomes figures/*.png; closed here.
        claims: the table of the report.
    """
    (workdir / "figures").mkdir(exist_ok=True)
    pictures = []
    for entry in figures:
        buffer = io.BytesIO()
        entry.figure.savefig(buffer, format="png", dpi=110)
        plt.close(entry.figure)
        write_bytes(workdir / "figures" / f"{entry.name}.png", buffer.getvalue())
        encoded = base64.b64encode(buffer.getvalue()).decode()
        pictures.append({"name": entry.name, "caption": entry.caption, "data": encoded})
    for stale in set((workdir / "figures").glob("*.png")) - {
        workdir / "figures" / f"{entry.name}.png" for entry in figures
    }:
        stale.unlink()  # of an earlier run with other settings
    if not claims:
        (workdir / "claims.md").unlink(missing_ok=True)
    write_json(workdir / "config.json", results["config"])
    write_arrays(workdir / "analysis.npz", arrays)
    write_csv(workdir / "metrics.csv", *metrics_table(stages))
    sizes = [analysis["num_samples"] for analysis in results["analyses"]]
    if claims:
        write_bytes(workdir / "claims.md", claims_markdown(claims, *sizes).encode())
    write_json(workdir / "results.json", results)
    page = Environment(
        loader=PackageLoader("magan_jax", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["number"] = _number
    page.filters["interval"] = _interval
    html = page.get_template("report.html").render(
        results=results, figures=pictures, claims=[claim._asdict() for claim in claims]
    )
    write_bytes(workdir / "report.html", html.encode())


def _pair(interval: Interval, k: int) -> list[float]:
    return [float(interval.low[k]), float(interval.high[k])]


def _number(value: Any, digits: int = 3) -> str:
    """A number for a table; a dash for what has no value."""
    if value is None or not np.isfinite(float(value)):
        return "–"
    if isinstance(value, (int, np.integer)):
        return f"{value:,}"
    return f"{float(value):.{digits}f}"


def _interval(pair: Any, digits: int = 3) -> str:
    """An interval for a table: empty if there is none, open where only the upper end is missing."""
    known = [end is not None and bool(np.isfinite(float(end))) for end in pair or ()]
    if known == [True, False]:
        return f"[{_number(float(pair[0]), digits)}, …"
    if not known or not all(known):
        return ""
    return f"[{_number(float(pair[0]), digits)}, {_number(float(pair[1]), digits)}]"
