"""What a run leaves: results.json, analysis.npz, metrics.csv, figures, and one HTML page."""

import base64
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from magan_jax.claims import Claim, Study, claims_markdown
from magan_jax.figures import FigureEntry, study_figures
from magan_jax.files import write_arrays, write_bytes, write_csv, write_json
from magan_jax.latent.invariance import Purity, RayLabels
from magan_jax.results import analysis_arrays, metrics_table, study_results
from magan_jax.run import Run
from magan_jax.runtime import is_first_host
from magan_jax.training.classifier import TrainedClassifier
from magan_jax.training.engine import Progress
from magan_jax.training.gan import TrainedGAN


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
        about_paper=bool(claims),
        batch_size=run.config.analysis.batch_size,
        num_devices=run.config.num_devices,
    )
    run.seconds["figures"] = time.perf_counter() - began
    run.seconds["total"] = sum(run.seconds.values())
    results = study_results(run, classifier, gan, studies, purities, claims)
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
