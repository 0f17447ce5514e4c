"""What a run leaves: results.json, analysis.npz, metrics.csv, figures, and one HTML page."""

import base64
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from magan_jax.across_seeds import combine, compare_seeds, comparison_entry, paper_numbers
from magan_jax.claims.claim import Claim, claims_markdown
from magan_jax.data import Dataset, is_published
from magan_jax.figures import FigureEntry, seeds_figures, study_figures
from magan_jax.files import jsonable, write_arrays, write_bytes, write_csv, write_json
from magan_jax.findings import Findings
from magan_jax.latent.agreement import Likeness
from magan_jax.plots.style import png_of
from magan_jax.results import analysis_arrays, metrics_table, run_results, study_results
from magan_jax.run import Run
from magan_jax.runtime import is_first_host


def report(run: Run, findings: Sequence[Findings]) -> None:
    """Write all that a run leaves, and say in a few lines what it found.

    Args:
        run: the run under way.
        findings: one for each seed. Of several, each has a folder `seed<seed>` of its own with
            all that a run from this one seed would leave; above them stands what they say
            together.
    """
    if len(findings) == 1:
        report_study(run, findings[0], run.workdir)
    else:
        for one in findings:
            report_study(run, one, run.workdir / f"seed{one.seed}")
        report_seeds(run, findings)
    run.finish()


def report_study(run: Run, findings: Findings, folder: Path) -> None:
    """Write the studies of one generator into `folder`."""
    names = run.dataset.class_names
    with run.timed("figures"):
        figures = study_figures(
            findings,
            names,
            batch_size=run.config.analysis.batch_size,
            num_devices=run.config.num_devices,
        )
    if not is_first_host():
        return
    results = run_results(run) | study_results(findings, names)
    claims, classifier = findings.claims, findings.classifier
    sizes = [analysis["num_samples"] for analysis in results["analyses"]]
    write_figures(folder, figures)
    write_json(folder / "config.json", results["config"])
    write_arrays(folder / "analysis.npz", analysis_arrays(findings.studies))
    stages = {"classifier": classifier.progress, "gan": findings.gan.progress}
    write_csv(folder / "metrics.csv", *metrics_table(stages))
    if claims:
        write_bytes(folder / "claims.md", claims_markdown(claims, *sizes).encode())
    else:
        (folder / "claims.md").unlink(missing_ok=True)
    write_json(folder / "results.json", results)
    write_page(folder, "report.html", results, figures, [claim._asdict() for claim in claims])
    large = findings.studies[-1].analysis
    own = int(np.sum(large.mean_label == np.arange(len(names))))
    run.say(
        f"seed {findings.seed}\n"
        f"classifier: {classifier.test_accuracy:.4f} of the test images right\n"
        f"class means labelled with their own class at N = {large.num_samples:,}: "
        f"{own} of {len(names)}\n"
        f"{_claims_line(claims)}\n"
        f"{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )


def report_seeds(run: Run, findings: Sequence[Findings]) -> None:
    """Write what several seeds say together, above the folders of each."""
    names, folder = run.dataset.class_names, run.workdir
    compared = compare_seeds(findings, run.train_set, run.config.analysis.num_clusters)
    with run.timed("figures"):
        figures = seeds_figures(findings, compared, names)
    if not is_first_host():
        return
    entries = [jsonable(study_results(one, names)) for one in findings]
    numbers = paper_numbers(findings) if findings[0].claims else []
    results = run_results(run) | {
        "seeds": [{"seed": one.seed, "folder": f"seed{one.seed}"} for one in findings],
        "across_seeds": combine(entries),
        "agreement": [comparison_entry(one) for one in compared],
        "paper_numbers": [number._asdict() for number in numbers],
    }
    write_figures(folder, figures)
    write_json(folder / "config.json", results["config"])
    write_json(folder / "results.json", results)
    write_page(folder, "report_seeds.html", jsonable(results), figures, [])
    accuracy = [one.classifier.test_accuracy for one in findings]
    likeness = compared[-1].agreement
    run.say(
        f"{len(findings)} seeds\n"
        f"classifier: {np.mean(accuracy):.4f} ± {np.std(accuracy, ddof=1):.4f} of the test images\n"
        + (
            f"rank correlation of two seeds' distances: {likeness.distance.mean:.2f}"
            f"{_interval_of(likeness.distance)}, p = {likeness.distance.p_value:.3f}\n"
            if likeness is not None
            else ""
        )
        + f"{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )


def of_other_data(dataset: Dataset) -> str:
    """A word where what a report says of MNIST is looked at on other data."""
    if is_published(dataset, "mnist"):
        return ""
    return f" (made of MNIST, looked at on {dataset.name})"


def _interval_of(likeness: Likeness) -> str:
    """` [low, high]`; nothing where there are too few seeds for one."""
    known = np.isfinite([likeness.low, likeness.high]).all()
    return f" [{likeness.low:.2f}, {likeness.high:.2f}]" if known else ""


def write_figures(folder: Path, figures: Sequence[FigureEntry]) -> None:
    """Write figures/*.png, and remove those of an earlier run with other settings."""
    place = folder / "figures"
    place.mkdir(parents=True, exist_ok=True)
    written, lacking = set(), set[str]()
    for entry in figures:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            picture = png_of(entry.figure)
        for warning in said:
            if str(warning.message).startswith("Glyph"):  # once for each letter and figure
                lacking.add(entry.name)
            else:
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )
        path = place / f"{entry.name}.png"
        write_bytes(path, picture)
        written.add(path)
    for stale in set(place.glob("*.png")) - written:
        stale.unlink()
    if lacking:
        warnings.warn(
            f"no font here has all letters of the class names: {len(lacking)} figures in {place} "
            "show boxes in their place; install one (fonts-noto-cjk on Debian) and call again.",
            stacklevel=2,
        )


def write_page(
    folder: Path,
    template: str,
    results: Mapping[str, Any],
    figures: Sequence[FigureEntry],
    claims: Sequence[Mapping[str, Any]],
) -> None:
    """Render report.html from a template, its figures (already in `folder`) inside the page."""
    pictures = []
    for entry in figures:
        png = (folder / "figures" / f"{entry.name}.png").read_bytes()
        pictures.append(
            {"name": entry.name, "caption": entry.caption, "data": base64.b64encode(png).decode()}
        )
    page = Environment(
        loader=PackageLoader("magan_jax", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters["number"] = _number
    page.filters["interval"] = _interval
    page.filters["across"] = _across
    page.filters["classes"] = _classes
    page.filters["verdicts"] = _verdicts
    page.filters["mean"] = lambda values: float(np.mean(values))
    page.filters["metric"] = _metric
    page.filters["points"] = _points
    html = page.get_template(template).render(results=results, figures=pictures, claims=claims)
    write_bytes(folder / "report.html", html.encode())


def _metric(name: str) -> str:
    """A metric as readers know it."""
    known = {"frechet_distance": "Fréchet distance", "frechet_distance_infinity": "FD∞"}
    return known.get(name, name.replace("_", " "))


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


def _points(difference: Mapping[str, Any]) -> str:
    """The interval of a difference of shares, in points."""
    ends = [difference[end] for end in ("low", "high")]
    return _interval([None if end is None else 100 * end for end in ends], 1)


def _across(entry: Any, digits: int = 3) -> str:
    """What `combine` made of a number, mean ± standard deviation over the seeds that have it."""
    if not isinstance(entry, Mapping):
        return _number(entry, digits)
    mean = _number(entry["mean"], digits)
    return (
        mean
        if entry["std"] is None
        else f"{mean} ±\N{NO-BREAK SPACE}{_number(entry['std'], digits)}"
    )


def _classes(entry: Any, names: Sequence[str], seeds: int) -> str:
    """What `combine` made of a class's number: names, and how many seeds have each."""
    found = entry["values"] if isinstance(entry, Mapping) else {str(entry): seeds}
    return ", ".join(
        f"{'none' if label == 'None' else names[int(label)]} ({count})"
        for label, count in found.items()
    )


def _verdicts(entry: Any, seeds: int) -> str:
    """What `combine` made of a claim's verdict."""
    found = entry["values"] if isinstance(entry, Mapping) else {str(entry): seeds}
    undecided = found.get("None", 0)
    return f"{found.get('True', 0)}" + (f" ({undecided} open)" if undecided else "")


def _claims_line(claims: Sequence[Claim]) -> str:
    if not claims:
        return "the paper's claims are about Fashion-MNIST itself, and not tested on these data"
    return f"the paper's claims that hold: {sum(c.holds is True for c in claims)} of {len(claims)}"
