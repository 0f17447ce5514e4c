"""What a comparison leaves: results.json, figures, and one HTML page."""

import numpy as np

from magan_jax.comparison.figures import systems_figures
from magan_jax.comparison.outcome import Exploration, GANOutcome, Outcomes
from magan_jax.comparison.results import orders_markdown, systems_markdown, systems_results
from magan_jax.comparison.systems import ORDERS
from magan_jax.data import is_published
from magan_jax.outcome import count_verdicts
from magan_jax.outputs import write_outputs
from magan_jax.results import run_results
from magan_jax.run import Run, RunConfig
from magan_jax.runtime import is_first_host


def report_systems(
    run: Run[RunConfig], outcomes: Outcomes, exploration: Exploration, extractor: str
) -> None:
    """Write all that a comparison leaves, and say in a few lines what it found."""
    with run.timed("figures"):
        figures = systems_figures(outcomes, exploration, run.dataset.class_names)
    if not is_first_host():
        return
    folder = run.workdir
    results = run_results(run) | systems_results(outcomes, ORDERS, exploration)
    results |= {"extractor": extractor, "on_mnist": is_published(run.dataset, "mnist")}
    write_outputs(
        folder,
        results,
        figures,
        template="report_systems.html",
        tables={
            "systems.md": systems_markdown(outcomes),
            "orders.md": orders_markdown(results["orders"]),
        },
        arrays={"latents.npz": _arrays(outcomes)},
        progress={
            f"{name}-seed{judged.seed}": judged.gan.progress
            for name, one in outcomes.items()
            for judged in one.judged
        },
    )
    lines = [f"{one.system.title}: {_line(one)}" for one in outcomes.values()]
    verdicts = [order["verdict"] for order in results["orders"]]
    lines.append(f"orders of the reports{count_verdicts(verdicts, run.dataset)}")
    run.say(
        "\n".join(lines)
        + f"\n{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )
    run.finish()


def _line(outcome: GANOutcome) -> str:
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


def _arrays(outcomes: Outcomes) -> dict[str, np.ndarray]:
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
