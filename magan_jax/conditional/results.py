"""What results.json says of autoencoders and their samplers: plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magan_jax.conditional.claims import Claim
from magan_jax.conditional.outcome import JudgedVAE, Outcomes, Sampler, VAEOutcome
from magan_jax.conditional.systems import SAMPLERS, TABLE_4
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.objectives.variational import DIVERGENCES
from magan_jax.results import score_entry
from magan_jax.seeds import mean_of_known, over_seeds
from magan_jax.tables import markdown_table, mean_and_std, number

METRICS = ("frechet_distance", "precision", "recall", "density", "coverage")


def samplers_results(outcomes: Outcomes, claims: Sequence[Claim]) -> dict[str, Any]:
    """`systems`, `table_4` (the report's) and `claims` of results.json."""
    return {
        "systems": {name: _system_entry(one) for name, one in outcomes.items()},
        "table_4": [row._asdict() for row in TABLE_4],
        "claims": [claim._asdict() for claim in claims],
    }


def _system_entry(outcome: VAEOutcome) -> dict[str, Any]:
    system, judged = outcome.system, outcome.judged
    seeds = [one.seed for one in judged]
    entry: dict[str, Any] = system._asdict() | {"failure": outcome.failure, "seeds": seeds}
    if not judged:
        return entry
    return entry | {
        "epochs": judged[0].vae.progress.epochs,
        "seconds": judged[0].vae.progress.seconds,
        "reconstruction": over_seeds([one.reconstruction for one in judged]),
        "divergence_at_end": over_seeds([last_epoch(one, system.divergence) for one in judged]),
        "divergence_label": DIVERGENCES[system.divergence].label,
        "train_accuracy": over_seeds([one.train_accuracy for one in judged]),
        "test_accuracy": over_seeds([one.classifier.test_accuracy for one in judged]),
        "reconstructed": _scores_entry([one.reconstructed for one in judged]),
        "samplers": [
            _sampler_entry([one.samplers[i] for one in judged])
            for i in range(len(judged[0].samplers))
        ],
        "grid": {
            "theta": judged[0].grid.theta,
            "num_draws": judged[0].grid.num_draws,
            "cosine": np.stack([one.grid.scores.cosine.mean(axis=1) for one in judged]),
            "accuracy": np.stack([one.grid.scores.accuracy.mean(axis=1) for one in judged]),
            "judged_accuracy": np.stack([one.grid_judged.accuracy.mean(axis=1) for one in judged]),
        },
        "prior": {
            name: over_seeds([one.prior_metrics[name].value for one in judged]) for name in METRICS
        },
        "measured_with": {
            name: {
                k: v for k, v in score_entry(judged[0].prior_metrics[name]).items() if k != "value"
            }
            for name in METRICS
        },
        "latent": _latent_entry(judged),
    }


def last_epoch(judged: JudgedVAE, name: str) -> float:
    """The mean of a logged number over the last epoch."""
    progress = judged.vae.progress
    return float(progress.history[name][-progress.steps_per_epoch :].mean())


def _scores_entry(scores: Sequence[ConditionalScores]) -> dict[str, Any]:
    return {
        "cosine": over_seeds([float(one.cosine.mean()) for one in scores]),
        "accuracy": over_seeds([float(one.accuracy.mean()) for one in scores]),
    }


def _sampler_entry(samplers: Sequence[Sampler]) -> dict[str, Any]:
    """One kind and weight, over seeds."""
    first = samplers[0]
    weight = first.accuracy_weight
    return {
        "kind": first.kind,
        "title": SAMPLERS[first.kind],
        "accuracy_weight": weight,
        "theta": over_seeds([float(one.theta.mean()) for one in samplers]),
        "num_draws": [one.num_draws for one in samplers],
        # θ of other n is another scale; this one is the same for all.
        "scale": over_seeds([float(one.theta.mean() / np.sqrt(one.num_draws)) for one in samplers]),
        **_scores_entry([one.scores for one in samplers]),
        "judged_accuracy": over_seeds([float(one.judged.accuracy.mean()) for one in samplers]),
        "objective": over_seeds([float(one.scores.objective(weight).mean()) for one in samplers]),
        "searched_objective": over_seeds([one.searched for one in samplers]),
        "metrics": {
            name: over_seeds([one.metrics[name].value for one in samplers]) for name in METRICS
        },
        "of_classes": {
            "cosine": np.stack([one.scores.cosine[0] for one in samplers]),
            "accuracy": np.stack([one.scores.accuracy[0] for one in samplers]),
        },
    }


def _latent_entry(judged: Sequence[JudgedVAE]) -> dict[str, Any]:
    """Where the classes lie: by the encoder, and by the labels of the prior's latents."""

    def over(numbers: Sequence[float]) -> dict[str, Any]:
        return over_seeds(list(numbers))

    return {
        "num_samples": judged[0].analysis.num_samples,
        "encoder_spread": over(
            [float(np.linalg.norm(one.latents.std, axis=1).mean()) for one in judged]
        ),
        "prior_spread": over([mean_of_known(one.analysis.spread) for one in judged]),
        "nearest_distance_debiased": over(
            [mean_of_known(one.analysis.nearest_distance_debiased) for one in judged]
        ),
        "epsilon_debiased": over([mean_of_known(one.analysis.epsilon_debiased) for one in judged]),
        "means_apart": over([mean_of_known(means_apart(one)) for one in judged]),
        "exit_quantile": over([mean_of_known(exit_quantiles(one)) for one in judged]),
        "classes_with_exit": over([np.isfinite(exit_quantiles(one)).sum() for one in judged]),
        "means_of_other_label": [
            [int(k) for k in np.flatnonzero(~keeps_mean(one))] for one in judged
        ],
        "missing_classes": [
            [int(k) for k in np.flatnonzero(one.analysis.counts == 0)] for one in judged
        ],
    }


def keeps_mean(judged: JudgedVAE) -> np.ndarray:
    """Bool `[K]`: the image of the class's mean has its label."""
    label = judged.exits.prototype_label
    return np.asarray(label == np.arange(len(label)))


def exit_quantiles(judged: JudgedVAE) -> np.ndarray:
    """`[K]`: the θ at which 5 % of the draws around a class mean have left its class.

    NaN where the mean itself has another label, since there is no way out of where one is not, and
    where so few draws leave before the end of the search that this would be a lower bound.
    """
    exits = judged.exits
    # Interpolated between two of the draws, of which both must have been seen to leave.
    leave = np.sum(~exits.censored, axis=1) > np.ceil(0.05 * (exits.epsilon.shape[1] - 1))
    quantiles = np.quantile(exits.epsilon, 0.05, axis=1)
    return np.where(keeps_mean(judged) & leave, quantiles, np.nan)


def means_apart(judged: JudgedVAE) -> np.ndarray:
    """`[K]`: from a class's mean by the encoder to its mean by labels, in spreads of the former."""
    away = np.linalg.norm(judged.analysis.mean - judged.latents.mean, axis=1)
    return away / np.linalg.norm(judged.latents.std, axis=1)


def samplers_markdown(results: Mapping[str, Any]) -> str:
    """All chosen samplers, and what they are to be seen beside, as a Markdown table.

    Args:
        results: `systems` as `samplers_results` gives them, and `real`.
    """
    rows = []
    yardstick = None
    for system in results["systems"].values():
        title = system["title"]
        if system["failure"] is not None:
            rows.append([title, system["failure"]])
        if not system["seeds"]:
            continue
        for entry in system["samplers"]:
            rows.append(
                [
                    title,
                    entry["title"],
                    f"{entry['accuracy_weight']:g}",
                    mean_and_std(entry["scale"], 2),
                    *(mean_and_std(entry[name], 3) for name in _LIKENESS),
                    *_shown_metrics(entry["metrics"]),
                ]
            )
        one = system["reconstructed"]
        likeness = (mean_and_std(one["cosine"], 3), mean_and_std(one["accuracy"], 3))
        rows.append([title, "*reconstructed test images*", "", "", *likeness])
        rows.append([title, "*latents of the prior*", *[""] * 7, *_shown_metrics(system["prior"])])
        yardstick = yardstick or system["measured_with"]
    if yardstick is not None:
        real = [f"{np.mean(results['real'][name]):.3f}" for name in ("cosine", "accuracy")]
        shown = [
            number(yardstick[name]["yardstick"], digits) for name, digits in _METRICS_SHOWN.items()
        ]
        rows.append(["*real test images*", "", "", "", real[0], "", real[1], "", "", *shown])
    return markdown_table(
        [
            "autoencoder",
            "sampler",
            "accuracy weighs",
            "θ/√n",
            "cosine",
            "accuracy",
            "by the classifier of real images",
            "objective, chosen on",
            "on new draws",
            "Fréchet distance",
            "precision",
            "recall",
        ],
        rows,
    )


def latents_markdown(results: Mapping[str, Any]) -> str:
    """The latent spaces as a Markdown table."""
    rows = []
    for system in results["systems"].values():
        if not system["seeds"]:
            continue
        divergence, latent = system["divergence_at_end"], system["latent"]
        rows.append(
            [
                system["title"],
                mean_and_std(system["reconstruction"], 1),
                mean_and_std(divergence, _digits_of(divergence)),
                *(mean_and_std(latent[name], digits) for name, digits in _LATENT.items()),
            ]
        )
    return markdown_table(
        [
            "autoencoder",
            "reconstruction [nats]",
            "KL, or squared MMD",
            "‖σ‖, encoder",
            "‖σ‖, labels",
            "means apart",
            "debiased d_min",
            "debiased ε",
            "exit",
        ],
        rows,
    )


_LIKENESS = ("cosine", "accuracy", "judged_accuracy", "searched_objective", "objective")
_METRICS_SHOWN = {"frechet_distance": 1, "precision": 2, "recall": 2}
_LATENT = {
    "encoder_spread": 2,
    "prior_spread": 2,
    "means_apart": 2,
    "nearest_distance_debiased": 2,
    "epsilon_debiased": 3,
    "exit_quantile": 2,
}
"""Columns of the tables, with their digits."""


def _shown_metrics(metrics: Mapping[str, Any]) -> list[str]:
    return [mean_and_std(metrics[name], digits) for name, digits in _METRICS_SHOWN.items()]


def _digits_of(entry: Mapping[str, Any]) -> int:
    """After the point: nats are tens, a squared discrepancy is a thousandth."""
    return 1 if abs(entry["mean"] or 0.0) >= 1 else 4
