"""What results.json says of autoencoders, on made-up ones."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from magan_jax.conditional.results import (
    exit_quantiles,
    keeps_mean,
    latents_markdown,
    means_apart,
    samplers_markdown,
)


def made_up(prototype_label):
    """Draws around three class means, of which one in twenty leaves early."""
    epsilon = np.array([[0.2, *np.linspace(1, 2, 20)], [0.0] * 21, [0.4, *np.linspace(1, 3, 20)]])
    return SimpleNamespace(
        exits=SimpleNamespace(
            epsilon=epsilon,
            prototype_label=np.array(prototype_label),
            censored=np.zeros(epsilon.shape, bool),
        ),
        latents=SimpleNamespace(mean=np.zeros((3, 2)), std=np.full((3, 2), 2.0)),
        analysis=SimpleNamespace(mean=np.array([[4.0, 0.0], [0.0, 0.0], [np.nan, np.nan]])),
    )


def test_a_mean_of_another_label_has_no_way_out():
    judged = made_up([0, 2, 2])
    np.testing.assert_array_equal(keeps_mean(judged), [True, False, True])
    # The twentieth part of 21 draws: one of them is below.
    np.testing.assert_allclose(exit_quantiles(judged), [1.0, np.nan, 1.0])
    np.testing.assert_allclose(exit_quantiles(made_up([0, 1, 2])), [1.0, 0.0, 1.0])


def test_an_exit_that_was_not_seen_is_no_number():
    judged = made_up([0, 1, 2])
    judged.exits.censored[2, 1:] = True  # one draw of 21 leaves: less than a twentieth part
    np.testing.assert_allclose(exit_quantiles(judged), [1.0, 0.0, np.nan])
    judged.exits.censored[2, 1] = False
    np.testing.assert_allclose(exit_quantiles(judged), [1.0, 0.0, 1.0])
    # Of 30 draws the quantile lies between the second and the third: two exits do not tell it.
    epsilon = np.ones((1, 30))
    epsilon[0, :3] = 0.2, 0.3, 0.4
    for exits, known in ((2, False), (3, True)):
        judged.exits.epsilon = epsilon
        judged.exits.censored = np.arange(30)[None] >= exits
        judged.exits.prototype_label = np.array([0])
        assert np.isfinite(exit_quantiles(judged)[0]) == known


def test_means_apart_are_in_spreads_of_the_encoders_classes():
    apart = means_apart(made_up([0, 1, 2]))
    assert apart[:2] == pytest.approx([4 / np.sqrt(8), 0])
    assert np.isnan(apart[2])


def entry(mean, std=0.01):
    return {"mean": mean, "std": std, "values": [mean]}


def test_tables_say_what_results_say():
    metrics = {name: entry(x) for name, x in (("frechet_distance", 12.34), ("precision", 0.5))}
    metrics["recall"] = entry(None, None)  # as JSON has what is not a number
    system = {
        "title": "ELBO, d = 2",
        "divergence": "mmd",
        "failure": None,
        "seeds": [0, 1],
        "reconstruction": entry(136.66),
        "divergence_at_end": entry(0.00051, 0.0001),
        "reconstructed": {"cosine": entry(0.7741), "accuracy": entry(0.761, None)},
        "samplers": [
            {
                "title": "Medium 1",
                "accuracy_weight": 10.0,
                "scale": entry(0.356),
                "metrics": metrics,
                **{
                    name: entry(x)
                    for name, x in (
                        ("cosine", 0.9), ("accuracy", 0.8), ("judged_accuracy", 0.7),
                        ("searched_objective", 1.1), ("objective", 1.2),
                    )
                },
            }
        ],
        "prior": metrics,
        "measured_with": {name: {"yardstick": 0.891} for name in metrics},
        "latent": {
            name: entry(x)
            for name, x in (
                ("encoder_spread", 0.9), ("prior_spread", 0.8), ("means_apart", 0.24),
                ("nearest_distance_debiased", 0.85), ("epsilon_debiased", 1.098),
                ("exit_quantile", 0.333),
            )
        },
    }  # fmt: skip
    failed = {"title": "MMD, d = 2", "failure": "seed 0: became\nnan | at once", "seeds": []}
    results = {
        "systems": {"elbo_2": system, "mmd_2": failed},
        "real": {"cosine": [0.5, 0.6], "accuracy": [1.0, 0.9]},
    }
    results = json.loads(json.dumps(results))  # a table may be made of results.json as well
    shown = samplers_markdown(results).splitlines()[2:]
    within = " ± 0.01"
    assert shown == [
        f"| ELBO, d = 2 | Medium 1 | 10 | 0.36{within} | 0.900 ± 0.010 | 0.800 ± 0.010 "
        f"| 0.700 ± 0.010 | 1.100 ± 0.010 | 1.200 ± 0.010 | 12.3 ± 0.0 | 0.50{within} | – |",
        "| ELBO, d = 2 | *reconstructed test images* |  |  | 0.774 ± 0.010 | 0.761 |" + "  |" * 6,
        "| ELBO, d = 2 | *latents of the prior* |"
        + "  |" * 7
        + f" 12.3 ± 0.0 | 0.50{within} | – |",
        "| MMD, d = 2 | seed 0: became nan \\| at once |" + "  |" * 10,
        "| *real test images* |  |  |  | 0.550 |  | 0.950 |  |  | 0.9 | 0.89 | 0.89 |",
    ]
    assert latents_markdown(results).splitlines()[2:] == [
        "| ELBO, d = 2 | 136.7 ± 0.0 | 0.0005 ± 0.0001 | 0.90 ± 0.01 | 0.80 ± 0.01 | 0.24 ± 0.01 "
        "| 0.85 ± 0.01 | 1.098 ± 0.010 | 0.33 ± 0.01 |"
    ]
