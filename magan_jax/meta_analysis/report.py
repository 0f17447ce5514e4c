"""What the study of one generator leaves, or of several from different seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from magan_jax.files import jsonable
from magan_jax.latent.agreement import Likeness
from magan_jax.latent.settings import AnalysisConfig
from magan_jax.meta_analysis.across_seeds import (
    classes_across,
    combine,
    compare_seeds,
    comparison_entry,
    paper_numbers,
    verdicts_across,
)
from magan_jax.meta_analysis.claims.claim import Claim, claims_markdown
from magan_jax.meta_analysis.figures import findings_figures, seeds_figures
from magan_jax.meta_analysis.findings import Findings
from magan_jax.meta_analysis.results import analysis_arrays, findings_results
from magan_jax.outputs import write_outputs
from magan_jax.results import run_results
from magan_jax.run import Run, RunConfig
from magan_jax.runtime import is_first_host


def report(run: Run[RunConfig], findings: Sequence[Findings], analysis: AnalysisConfig) -> None:
    """Write all that a run leaves, and say in a few lines what it found.

    Args:
        run: the run under way.
        findings: one for each seed. Of several, each has a folder `seed<seed>` of its own with
            all that a run from this one seed would leave; above them stands what they say
            together.
        analysis: its settings.
    """
    if len(findings) == 1:
        report_findings(run, findings[0], analysis, run.workdir)
    else:
        for one in findings:
            report_findings(run, one, analysis, run.workdir / f"seed{one.seed}")
        report_seeds(run, findings, analysis)
    run.finish()


def report_findings(
    run: Run[RunConfig], findings: Findings, analysis: AnalysisConfig, folder: Path
) -> None:
    """Write the studies of one generator into `folder`."""
    names = run.dataset.class_names
    with run.timed("figures"):
        figures = findings_figures(
            findings, names, batch_size=analysis.batch_size, num_devices=run.config.num_devices
        )
    if not is_first_host():
        return
    results = run_results(run) | findings_results(findings, names)
    claims, classifier = findings.claims, findings.classifier
    sizes = [analysis["num_samples"] for analysis in results["analyses"]]
    write_outputs(
        folder,
        results,
        figures,
        template="report_study.html",
        tables={"claims.md": claims_markdown(claims, *sizes) if claims else None},
        arrays={"analysis.npz": analysis_arrays(findings.studies)},
        progress={"classifier": classifier.progress, "gan": findings.gan.progress},
    )
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


def report_seeds(
    run: Run[RunConfig], findings: Sequence[Findings], analysis: AnalysisConfig
) -> None:
    """Write what several seeds say together, above the folders of each."""
    names, folder = run.dataset.class_names, run.workdir
    compared = compare_seeds(findings, run.train_set, analysis.num_clusters)
    with run.timed("figures"):
        figures = seeds_figures(findings, compared, names)
    if not is_first_host():
        return
    entries = [jsonable(findings_results(one, names)) for one in findings]
    numbers = paper_numbers(findings) if findings[0].claims else []
    results = run_results(run) | {
        "seeds": [{"seed": one.seed, "folder": f"seed{one.seed}"} for one in findings],
        "across_seeds": combine(entries),
        "agreement": [comparison_entry(one) for one in compared],
        "paper_numbers": [number._asdict() for number in numbers],
    }
    write_outputs(
        folder,
        results,
        figures,
        template="report_seeds.html",
        filters={"classes": classes_across, "verdicts": verdicts_across},
    )
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


def _interval_of(likeness: Likeness) -> str:
    """` [low, high]`; nothing where there are too few seeds for one."""
    known = np.isfinite([likeness.low, likeness.high]).all()
    return f" [{likeness.low:.2f}, {likeness.high:.2f}]" if known else ""


def _claims_line(claims: Sequence[Claim]) -> str:
    if not claims:
        return "the paper's claims are about Fashion-MNIST itself, and not tested on these data"
    return f"the paper's claims that hold: {sum(c.holds is True for c in claims)} of {len(claims)}"
