"""What the VAE report says, decided on made-up autoencoders."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

from magan_jax.conditional.claims import check_claims, claims_markdown
from magan_jax.conditional.systems import SYSTEMS, TABLE_4, chosen_config
from magan_jax.conditional.trade_off import accuracy_at, trade_off
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.scale_search import NUM_DRAWS, THETAS, SimpleSearch
from magan_jax.outcome import Outcome
from magan_jax.training.vae import VAEConfig, check_vae_config

GRID = [(float(theta), n) for theta in THETAS for n in NUM_DRAWS]


def scores(cosine, accuracy):
    """Of M samplers and two classes that differ by as much each way."""
    cosine, accuracy = (np.asarray(x, float)[:, None] for x in (cosine, accuracy))
    return ConditionalScores(accuracy + np.array([0.001, -0.001]), cosine + np.array([-0.01, 0.01]))


def judged(accuracy_of, train_accuracy=0.98, medium=(0.8168, 0.996), seed=0):
    """An autoencoder whose cosine is 1 − s / 2 at the scale s = θ/√n."""
    scale = np.array([theta / np.sqrt(n) for theta, n in GRID])
    cosine = 1 - scale / 2
    theta, num_draws = (np.array(x) for x in zip(*GRID, strict=True))
    samplers = [
        SimpleNamespace(kind=kind, accuracy_weight=1.0, scores=scores(*[[x] for x in found]))
        for kind, found in (("simple", (0.9, 0.1)), ("medium2", (0.7, 0.2)), ("medium1", medium))
    ]

    def chosen(kind, weight):
        assert (kind, weight) == ("medium1", 1.0)
        return samplers[-1]

    return SimpleNamespace(
        seed=seed,
        train_accuracy=train_accuracy,
        grid=SimpleSearch(theta, num_draws, scores(cosine, accuracy_of(cosine))),
        samplers=samplers,
        chosen=chosen,
    )


def each(lines, **settings):
    """A seed for each line."""
    return [judged(one, seed=i, **settings) for i, one in enumerate(lines)]


def outcomes_of(**of_systems):
    return {name: Outcome(SYSTEMS[name], found) for name, found in of_systems.items()}


def by_claim(outcomes):
    return {one.claim: one for one in check_claims(outcomes)}


def line(slope, top=1.0):
    return lambda cosine: top - slope * (1 - cosine)


def test_the_trade_off_is_a_line_between_samplers():
    found = scores([0.9, 0.5, 0.7], [1.0, 0.6, 0.9])
    cosine, accuracy = trade_off(found)
    np.testing.assert_allclose(cosine, [0.5, 0.7, 0.9])
    np.testing.assert_allclose(accuracy, [0.6, 0.9, 1.0])
    np.testing.assert_allclose(accuracy_at(found, [0.6, 0.85]), [0.75, 0.975])
    assert np.isnan(accuracy_at(found, [0.4, 0.95])).all()


ALIKE = "ELBO and MMD trade accuracy for difference alike (d = 20)"
LITTLE = (0.0, 0.001, -0.001)


@pytest.mark.parametrize(
    ("apart", "deviations", "verdict"),
    [
        (0.0, LITTLE, "holds"),
        (0.006, LITTLE, "holds"),
        (0.015, LITTLE, "does not hold"),
        (-0.015, LITTLE, "does not hold"),
        # Surely not nought, but 0.01 lies within: neither alike nor apart.
        (0.012, (0.0, 0.02, -0.02), "open"),
        (0.0, (0.0, 0.3, -0.3), "open"),
    ],
)
def test_two_alike_trade_offs_are_alike_and_others_are_not(apart, deviations, verdict):
    # The mean of slope · (1 − cos) over 0.75 to 0.95 is slope · 0.15.
    elbo = each(line(0.2) for _ in deviations)
    mmd = each(line(0.2 + apart / 0.15 + e) for e in deviations)
    found = by_claim(outcomes_of(elbo_20=elbo, mmd_20=mmd))[ALIKE]
    assert found.verdict == verdict
    assert float(found.ours) == pytest.approx(apart, abs=2e-3)


def test_autoencoders_of_one_seed_are_a_pair():
    """Far apart from seed to seed, and always about as far from each other."""
    slopes = (0.1, 0.3, 0.5)
    elbo = each(map(line, slopes))
    mmd = each(line(s + 0.2 + e) for s, e in zip(slopes, LITTLE, strict=True))
    found = by_claim(outcomes_of(elbo_20=elbo, mmd_20=mmd[::-1]))[ALIKE]
    assert found.verdict == "does not hold"
    assert np.ptp(found.interval) < 0.002
    few = by_claim(outcomes_of(elbo_20=elbo[:1], mmd_20=mmd[:1]))[ALIKE]
    assert few.verdict == "open"
    none = by_claim(outcomes_of(elbo_20=elbo[:1], mmd_20=mmd[1:]))[ALIKE]
    assert none.verdict == "open"
    assert "no seed has both" in none.reason


@pytest.mark.parametrize(
    ("slope", "near", "far"),
    [(0.05, "holds", "holds"), (0.15, "does not hold", "holds"), (0.4,) + ("does not hold",) * 2],
)
def test_accuracies_of_figure_1(slope, near, far):
    seeds = each(line(slope + e) for e in LITTLE)
    found = by_claim(outcomes_of(elbo_20=seeds))
    assert found["ELBO, d = 20: accuracy where the mean cosine is 0.9"].verdict == near
    assert found["ELBO, d = 20: accuracy where the mean cosine is 0.75"].verdict == far
    few = by_claim(outcomes_of(elbo_20=seeds[:1]))
    assert few["ELBO, d = 20: accuracy where the mean cosine is 0.9"].verdict == "open"


def test_an_accuracy_ends_at_one():
    seeds = each(line(0.0, top) for top in (1.0, 0.998, 0.99))
    found = by_claim(outcomes_of(elbo_20=seeds))
    assert found["ELBO, d = 20: accuracy where the mean cosine is 0.9"].interval[1] == 1
    assert found["ELBO, d = 20, θ = 0.4, n = 2: accuracy"].interval[1] == 1


def test_seeds_without_a_number_are_named():
    short = judged(line(0.2), seed=7)
    grid = short.grid
    near = ConditionalScores(grid.scores.accuracy, 1 - (1 - grid.scores.cosine) / 4)
    short.grid = grid._replace(scores=near)  # its least cosine is 0.875
    outcomes = outcomes_of(elbo_20=[judged(line(0.2)), short], mmd_10=[judged(line(0.2)), short])
    found = by_claim(outcomes)
    claim = found["ELBO, d = 20: accuracy where the mean cosine is 0.75"]
    assert (claim.verdict, claim.ours) == ("open", "–")
    assert claim.reason == "seed 7: no sampler of the grid has so low a cosine"
    medium = found["MMD, d = 10: Medium 1 (accuracy weighs 1) lies above Simple's curve"]
    assert medium.reason == "seed 7: Simple has no sampler of that cosine"


@pytest.mark.parametrize(
    ("deviation", "verdict"),
    # Ours is 0.9586. Of three seeds that deviate by 0.0085 the mean is known to ±0.021, one more
    # lies within ±0.042: the report's 0.995 is one of those, but so is much else.
    [(0.001, "does not hold"), (0.0038, "does not hold"), (0.0085, "open")],
)
def test_a_wide_interval_confirms_nothing(deviation, verdict):
    seeds = each(line(0.2, 0.9869 + e) for e in (0.0, deviation, -deviation))
    found = by_claim(outcomes_of(elbo_20=seeds))["ELBO, d = 20, θ = 0.4, n = 2: accuracy"]
    assert float(found.ours) == pytest.approx(0.9586, abs=1e-4)
    assert found.verdict == verdict


def test_a_published_number_is_one_of_another_training():
    """Outside of the interval of our mean, inside of that for one more: it may be such a one."""
    seeds = each(line(0.2, 1.0123 + e) for e in (0.0, 0.003, -0.003))
    found = by_claim(outcomes_of(elbo_20=seeds))["ELBO, d = 20, θ = 0.4, n = 2: accuracy"]
    reach = t.ppf(0.975, 2) * 0.003 / np.sqrt(3)
    assert reach < 0.995 - float(found.ours) < 2 * reach < 0.02
    assert found.verdict == "holds"


def test_table_4_is_looked_up_at_its_own_theta_and_n():
    seeds = each(line(0.2 + e) for e in LITTLE)
    found = by_claim(outcomes_of(elbo_20=seeds))["ELBO, d = 20, θ = 0.4, n = 2: cosine"]
    assert float(found.ours) == pytest.approx(1 - 0.4 / np.sqrt(2) / 2, abs=1e-4)
    assert found.paper == "0.9200"
    assert found.verdict == "open"  # without any deviation between seeds
    assert np.isnan(found.interval).all()
    assert found.reason.endswith(
        "all seeds have the same number, which says nothing of further ones"
    )
    accuracy = by_claim(outcomes_of(mmd_20=seeds))["MMD, d = 20, θ = 0.6, n = 3: accuracy"]
    assert float(accuracy.ours) == pytest.approx(1 - 0.2 * 0.6 / np.sqrt(3) / 2, abs=1e-3)


@pytest.mark.parametrize(
    ("accuracy", "verdict"), [(0.99, "holds"), (0.9, "does not hold"), (0.96336, "open")]
)
def test_medium_1_is_held_against_simple_at_its_own_cosine(accuracy, verdict):
    seeds = [
        judged(line(0.2), medium=(0.8168, accuracy + e), seed=i)
        for i, e in enumerate((0.0, 0.002, -0.002))
    ]  # Simple has 1 − 0.2 (1 − 0.8168) = 0.96336 there
    found = by_claim(outcomes_of(mmd_10=seeds))
    claim = found["MMD, d = 10: Medium 1 (accuracy weighs 1) lies above Simple's curve"]
    assert claim.verdict == verdict
    assert float(claim.ours) == pytest.approx(accuracy - 0.96336, abs=1e-3)


def test_the_worst_classifier_decides():
    claim = "the classifier is right on more than 0.97 of the reconstructed training images"
    seeds = [judged(line(0.1), share) for share in (0.99, 0.96)]
    assert by_claim(outcomes_of(elbo_2=seeds))[claim].verdict == "does not hold"
    assert by_claim(outcomes_of(elbo_2=seeds[:1]))[claim].verdict == "holds"
    failed = {"elbo_2": Outcome(SYSTEMS["elbo_2"], [], "loss became nan")}
    assert by_claim(failed)[claim].verdict == "open"
    assert by_claim(failed)[claim].ours == "–"


def test_the_table_has_a_row_for_each_claim():
    seeds = each(line(0.2 + e) for e in (0, 1e-3))
    claims = check_claims(outcomes_of(elbo_20=seeds, mmd_20=seeds, mmd_10=seeds))
    lines = claims_markdown(claims).splitlines()
    assert len(claims) == 1 + 1 + 4 + 4 + 1
    assert len(lines) == 2 + len(claims)
    assert all(row.count("|") == 7 for row in lines)


def test_systems_are_the_reports():
    assert list(SYSTEMS) == ["elbo_2", "elbo_10", "elbo_20", "mmd_2", "mmd_10", "mmd_20"]
    for name, system in SYSTEMS.items():
        config = chosen_config(name, VAEConfig())
        assert (config.divergence, config.latent_dim) == (system.divergence, system.latent_dim)
        check_vae_config(config, (60_000, 28, 28, 1), 1)
    assert all(row.system in SYSTEMS for row in TABLE_4)
