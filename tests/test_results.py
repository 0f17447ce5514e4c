"""What results.json says of numbers that some classes do not have."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import unexplained

from magan_jax import analyze, measure_invariance, measure_purity
from magan_jax.comparison.results import measured_exits
from magan_jax.files import jsonable
from magan_jax.latent.purity import Purities
from magan_jax.meta_analysis.results import analysis_entry, invariance_entry
from magan_jax.meta_analysis.study import Study

KEY = jax.random.key(0)


def identity(z):
    return z


@pytest.fixture(scope="module")
def three():
    analysis = analyze(KEY, identity, identity, latent_dim=3, num_classes=3, num_samples=600)
    return analysis, measure_invariance(KEY, identity, identity, analysis, num_directions=40)


def test_an_epsilon_of_zero_is_not_blamed_on_the_label_of_the_mean(three):
    analysis, invariance = three
    assert invariance.prototype_label.tolist() == [0, 1, 2]
    epsilon = np.array([0.0, np.nan, 0.1])  # 0 is what a debiased distance of 0 gives
    purity = measure_purity(KEY, identity, identity, analysis, epsilon, num_shifts=10)
    study = Study(analysis, None, invariance, Purities(purity, purity, purity))
    classes = invariance_entry([study], ["a", "b", "c"])["classes"]
    reasons = [one["purity"]["debiased ε, N = 600"]["reason"] for one in classes]
    assert reasons == ["ε is 0: there is no shift to try", "the class has no ε of this kind", None]


def test_only_exits_that_were_seen_are_averaged(three):
    _, invariance = three
    np.testing.assert_array_equal(measured_exits(invariance), invariance.measured)
    followed = invariance._replace(
        measured=np.array([0.4, 3.0, 0.0]),
        measured_censored=np.array([False, True, False]),
        prototype_label=np.array([0, 1, 1]),
    )
    np.testing.assert_array_equal(measured_exits(followed), [0.4, np.nan, np.nan])


@pytest.mark.filterwarnings("ignore:classify gives numbers from 0 on that sum to 1")
def test_a_class_of_two_latents_has_distances_without_intervals_and_a_reason():
    def rare(z):  # two of 300 latents, in a quarter of the cases
        return jnp.eye(3)[jnp.where(z[:, 0] > 2.47, 2, jnp.where(z[:, 0] > 0, 0, 1))]

    settings = {"latent_dim": 2, "num_classes": 3, "num_samples": 300}
    found = (analyze(jax.random.key(i), identity, rare, **settings) for i in range(50))
    analysis = next(one for one in found if one.counts[2] == 2)
    assert analysis.valid.all()
    invariance = measure_invariance(KEY, identity, rare, analysis, num_directions=40)
    entry = jsonable(analysis_entry(analysis, None, invariance, ["a", "b", "c"]))
    assert entry["distance"][0][2] > 0
    assert entry["distance_interval"][0][0][2] is None
    assert entry["distance_reason"].startswith("a class loses its statistics")
    assert not unexplained(entry)
