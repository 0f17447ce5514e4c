"""What results.json says of autoencoders, on made-up ones."""

from types import SimpleNamespace

import numpy as np
import pytest

from magan_jax.conditional.results import exit_quantiles, keeps_mean, means_apart


def made_up(prototype_label):
    """Draws around three class means, of which one in twenty leaves early."""
    epsilon = np.array([[0.2, *np.linspace(1, 2, 20)], [0.0] * 21, [0.4, *np.linspace(1, 3, 20)]])
    return SimpleNamespace(
        exits=SimpleNamespace(epsilon=epsilon, prototype_label=np.array(prototype_label)),
        latents=SimpleNamespace(mean=np.zeros((3, 2)), std=np.full((3, 2), 2.0)),
        analysis=SimpleNamespace(mean=np.array([[4.0, 0.0], [0.0, 0.0], [np.nan, np.nan]])),
    )


def test_a_mean_of_another_label_has_no_way_out():
    judged = made_up([0, 2, 2])
    np.testing.assert_array_equal(keeps_mean(judged), [True, False, True])
    # The twentieth part of 21 draws: one of them is below.
    np.testing.assert_allclose(exit_quantiles(judged), [1.0, np.nan, 1.0])
    np.testing.assert_allclose(exit_quantiles(made_up([0, 1, 2])), [1.0, 0.0, 1.0])


def test_means_apart_are_in_spreads_of_the_encoders_classes():
    apart = means_apart(made_up([0, 1, 2]))
    assert apart[:2] == pytest.approx([4 / np.sqrt(8), 0])
    assert np.isnan(apart[2])
