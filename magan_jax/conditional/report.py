"""What the study of autoencoders leaves: results.json, figures, and one HTML page."""

import numpy as np

from magan_jax.conditional.claims import check_claims, claims_markdown
from magan_jax.conditional.figures import samplers_figures
from magan_jax.conditional.outcome import Outcomes, VAEOutcome
from magan_jax.conditional.results import latents_markdown, samplers_markdown, samplers_results
from magan_jax.data import is_published
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.outcome import count_verdicts
from magan_jax.outputs import write_outputs
from magan_jax.results import run_results
from magan_jax.run import Run, RunConfig
from magan_jax.runtime import is_first_host
from magan_jax.training.classifier import TrainedClassifier


def report_samplers(
    run: Run[RunConfig], outcomes: Outcomes, judge: TrainedClassifier, real: ConditionalScores
) -> None:
    """Write all that the study leaves, and say in a few lines what it found.

    Args:
        run: the run under way.
        outcomes: by name.
        judge: the classifier of real images.
        real: cosine and accuracy of the real test images, `[1, K]`.
    """
    claims = check_claims(outcomes)
    with run.timed("figures"):
        figures = samplers_figures(run, outcomes, real)
    if not is_first_host():
        return
    folder = run.workdir
    results = run_results(run) | samplers_results(outcomes, claims)
    results |= {
        "on_mnist": is_published(run.dataset, "mnist"),
        "judge": {"test_accuracy": judge.test_accuracy},
        "real": {"cosine": real.cosine[0], "accuracy": real.accuracy[0]},
    }
    progress = {"classifier": judge.progress}
    for name, one in outcomes.items():
        for judged in one.judged:
            progress[f"{name}-seed{judged.seed}"] = judged.vae.progress
            progress[f"{name}-classifier-seed{judged.seed}"] = judged.classifier.progress
    write_outputs(
        folder,
        results,
        figures,
        template="report_samplers.html",
        tables={
            "samplers.md": samplers_markdown(results),
            "latents.md": latents_markdown(results),
            "claims.md": claims_markdown(claims),
        },
        arrays={"samplers.npz": _arrays(outcomes)},
        progress=progress,
    )
    lines = [f"{one.system.title}: {_line(one)}" for one in outcomes.values()]
    verdicts = [claim.verdict for claim in claims]
    lines.append(f"claims of the report{count_verdicts(verdicts, run.dataset)}")
    run.say(
        "\n".join(lines)
        + f"\n{results['seconds']['total']:.0f} s in all; read {folder / 'report.html'}"
    )
    run.finish()


def _line(outcome: VAEOutcome) -> str:
    """The three samplers of the first weight."""
    if not outcome.judged:
        return outcome.failure or "not trained"
    weight = outcome.judged[0].samplers[0].accuracy_weight
    parts = []
    for i, sampler in enumerate(outcome.judged[0].samplers):
        if sampler.accuracy_weight == weight:
            scores = [one.samplers[i].scores for one in outcome.judged]
            accuracy = np.mean([one.accuracy.mean() for one in scores])
            cosine = np.mean([one.cosine.mean() for one in scores])
            parts.append(f"{sampler.kind} accuracy {accuracy:.3f} at cosine {cosine:.3f}")
    failed = [] if outcome.failure is None else [f"failed: {outcome.failure}"]
    return ", ".join(parts + failed)


def _arrays(outcomes: Outcomes) -> dict[str, np.ndarray]:
    """Class latents, θ and exits of every autoencoder, `[S, ...]`, by system."""
    arrays: dict[str, np.ndarray] = {}
    for name, one in outcomes.items():
        if not one.judged:
            continue
        arrays |= {
            f"{name}_{field}": np.stack([getattr(judged.latents, field) for judged in one.judged])
            for field in ("num_images", "mean", "std")
        }
        for i, sampler in enumerate(one.judged[0].samplers):
            arrays[f"{name}_{sampler.kind}_{sampler.accuracy_weight:g}_theta"] = np.stack(
                [judged.samplers[i].theta for judged in one.judged]
            )
        arrays[f"{name}_exits"] = np.stack([judged.exits.epsilon for judged in one.judged])
        arrays[f"{name}_labelled_mean"] = np.stack([judged.analysis.mean for judged in one.judged])
    return arrays
