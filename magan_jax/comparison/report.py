"""What a comparison leaves: results.json, figures, and one HTML page."""

from collections.abc import Mapping

import numpy as np

from magan_jax.comparison.figures import systems_figures
from magan_jax.comparison.outcome import Exploration, Outcome
from magan_jax.comparison.results import orders_markdown, systems_markdown, systems_results
from magan_jax.comparison.systems import ORDERS
from magan_jax.data import is_published
from magan_jax.files import jsonable, write_arrays, write_bytes, write_csv, write_json
from magan_jax.report import of_other_data, write_figures, write_page
from magan_jax.results import metrics_table, run_results
from magan_jax.run import Run
from magan_jax.runtime import is_first_host


def report_systems(
    run: Run, outcomes: Mapping[str, Outcome], exploration: Exploration, extractor: str
) -> None:
    """Write all that a comparison leaves, and say in a few lines what it found."""
    with run.timed("figures"):
        figures = systems_figures(outcomes, exploration, run.dataset.class_names)
    if not is_first_host():
        return
    folder = run.workdir
    results = run_results(run) | systems_results(outcomes, ORDERS, exploration)
    results |= {"extractor": extractor, "on_mnist": is_published(run.dataset, "mnist")}
    write_figures(folder, figures)
    write_json(folder / "config.json", results["config"])
    write_json(folder / "results.json", results)
    write_bytes(folder / "systems.md", systems_markdown(outcomes).encode())
    write_bytes(folder / "orders.md", orders_markdown(results["orders"]).encode())
    write_arrays(folder / "latents.npz", _arrays(outcomes))
    stages = {
        f"{name}-seed{judged.seed}": judged.gan.progress
        for name, one in outcomes.items()
        for judged in one.judged
    }
    write_csv(folder / "metrics.csv", *metrics_table(stages))
    write_page(folder, "report_systems.html", jsonable(results), figures, [])
    verdicts = [order["verdict"] for order in results["orders"]]
    lines = [f"{one.system.title}: {_line(one)}" for one in outcomes.values()]
    run.say(
        "\n".join(lines) + f"\norders of the reports{of_other_data(run.dataset)}: "
        f"{verdicts.count('holds')} hold, "
        f"{verdicts.count('does not hold')} do not, {verdicts.count('open')} are open\n"
        f"{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )
    run.finish()


def _line(outcome: Outcome) -> str:
    if not outcome.judged:
        return outcome.failure or "not trained"
    means = {
        name: np.mean([one.scores[name].value for one in outcome.judged])
        for name in ("frechet_distance", "precision", "recall")
    }
    failed = "" if outcome.failure is None else f" (failed: {outcome.failure})"
    return (
        f"Fréchet distance {means['frechet_distance']:.2f}, precision {means['precision']:.2f}, "
        f"recall {means['recall']:.2f}{failed}"
    )


def _arrays(outcomes: Mapping[str, Outcome]) -> dict[str, np.ndarray]:
    """Seeds `[S]`, class moments and exits `[S, K, ...]` of what was judged, by system."""
    arrays: dict[str, np.ndarray] = {}
    for name, one in outcomes.items():
        if one.judged:
            arrays |= {
                f"{name}_{field}": np.stack([getattr(j.analysis, field) for j in one.judged])
                for field in ("counts", "mean", "std", "distance_debiased", "epsilon_debiased")
            }
            arrays[f"{name}_seeds"] = np.array([j.seed for j in one.judged])
            arrays[f"{name}_measured_epsilon"] = np.stack([j.exits.measured for j in one.judged])
    return arrays
