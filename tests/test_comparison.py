"""Orders between systems, over seeds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from magan_jax.comparison.orders import Order, difference
from magan_jax.comparison.results import order_entry, orders_markdown
from magan_jax.comparison.systems import ORDERS, SYSTEMS, chosen_config
from magan_jax.seeds import over_seeds
from magan_jax.training.gan_config import GANConfig


def test_seeds_are_compared_as_pairs() -> None:
    a, b = np.array([5.0, 6.0, 7.5, 9.0]), np.array([1.0, 1.5, 2.0, 1.2])
    interval = ttest_rel(a, b).confidence_interval(0.95)
    found = difference(a, b)
    assert found[:3] == pytest.approx((a.mean() - b.mean(), *interval))
    assert found.verdict == "holds"
    assert difference(b, a).verdict == "does not hold"
    # In which unit decides nothing.
    assert difference(a / 100, b / 100).verdict == "holds"
    assert difference(b / 100, a / 100).verdict == "does not hold"
    # What is the seed's alone decides nothing, however large it is.
    own = np.array([100.0, -200.0, 50.0, 0.0])
    assert difference(a + own, b + own)[:3] == pytest.approx(found[:3])


def test_only_seeds_of_both_systems_are_compared() -> None:
    def outcome(of_seeds):
        judged = [
            SimpleNamespace(seed=seed, scores={"recall": SimpleNamespace(value=value)})
            for seed, value in of_seeds.items()
        ]
        return SimpleNamespace(system=SYSTEMS["vanilla"], judged=judged, failure="seed 1: …")

    order = Order("a claim", "recall", "vanilla", "hinge")
    pair = {
        "vanilla": outcome({0: 0.5, 2: 0.8, 3: 0.6}),
        "hinge": outcome({3: 0.5, 1: 9.0, 0: 0.3}),
    }
    entry = order_entry(order, pair)
    assert [one["values"].tolist() for one in entry["ours"]] == [[0.5, 0.6], [0.3, 0.5]]
    assert entry["difference"] == pytest.approx(0.15)
    apart = order_entry(order, {"vanilla": outcome({0: 0.5}), "hinge": outcome({1: 0.4})})
    assert (apart["verdict"], apart["reason"]) == ("open", "no seed of both could be judged")


def test_what_seeds_leave_open_stays_open() -> None:
    assert difference(np.array([1.0, 3.0]), np.array([1.5, 2.0])).verdict == "open"
    alone = difference(np.array([9.0]), np.array([1.05]))
    assert alone.mean == pytest.approx(7.95)
    assert alone.verdict == "open"
    assert np.isnan(alone.low)


def test_differences_without_any_deviation_say_nothing_about_it() -> None:
    found = difference(np.ones(3), np.zeros(3))
    assert (found.mean, found.verdict) == (1.0, "open")
    assert np.isnan([found.low, found.high]).all()
    # Shares of images, whose differences are equal but for rounding.
    found = difference(np.array([0.3, 0.4]), np.array([0.2, 0.3]))
    assert found.verdict == "open"
    assert np.isnan([found.low, found.high]).all()
    assert difference(np.ones(3), np.ones(3)).verdict == "open"


def test_a_diverged_seed_is_not_compared() -> None:
    with pytest.raises(ValueError, match="more is"):
        difference(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="less is"):
        difference(np.ones(2), np.array([]))
    with pytest.raises(ValueError, match="more has 2 seeds, less 3; they must be the same"):
        difference(np.ones(2), np.ones(3))


def test_the_reports_own_numbers_have_the_orders_that_they_claim() -> None:
    in_words = {order.claim for order in ORDERS if "perceptual" in (order.more, order.less)}
    assert len(in_words) == 2
    for order in ORDERS:
        if order.claim in in_words:
            continue
        more, less = (
            getattr(SYSTEMS[name].reported, order.metric) for name in (order.more, order.less)
        )
        assert more > less, order.claim


def test_losses_of_the_san_report_differ_in_nothing_else() -> None:
    """Its Section 2.2: "without any modification of the architecture nor other specifications"."""
    base = GANConfig(network="mlp")
    vanilla, *others = (
        chosen_config(name, base, 150) for name in ("vanilla_small", "wasserstein", "hinge")
    )
    for other in others:
        assert replace(other, objective="vanilla") == vanilla


def test_the_published_clustergan_is_that_of_its_authors_on_mnist() -> None:
    """Mukherjee et al., AAAI 2019, and the code that goes with it."""
    config = chosen_config("cluster_published", GANConfig(network="mlp"), None)
    optimiser = (config.optimizer, config.learning_rate, config.beta1, config.beta2)
    assert optimiser == ("adam", 1e-4, 0.5, 0.9)
    assert (config.batch_size, config.critic_steps, config.num_clusters) == (64, 5, 10)
    assert config.latent_dim - config.num_clusters == 30
    weights = config.constants.penalty, config.constants.continuous, config.constants.label
    assert weights == (10, 10, 10)
    assert config.objective == "cluster_wasserstein_gp"


def test_orders_as_a_table() -> None:
    decided = {
        "claim": "SAN is better", "metric": "frechet_distance", "titles": ["hinge", "SAN"],
        "reported": [22.08, 19.04], "difference": -20.675, "interval": [-44.39, 3.03],
        "verdict": "open", "ours": [over_seeds([45.0, 47.0]), over_seeds([66.0, 68.0])],
    }  # fmt: skip
    missing = decided | {"difference": None, "interval": None, "reported": [None, 0.3]}
    alone = decided | {"interval": [np.nan, np.nan], "verdict": "holds"}
    equal = decided | {"difference": -0.0003, "interval": [-0.001, 0.0004]}
    _, _, *rows = orders_markdown([decided, missing, alone, equal]).splitlines()
    assert rows[0] == (
        "| SAN is better | Fréchet distance | hinge | SAN | 22.08, 19.04 "
        "| 46.00 ± 1.41, 67.00 ± 1.41 | -20.68 [-44.39, +3.03] | open |"
    )
    assert rows[1].endswith("| –, 0.30 | – | – | open |")
    assert rows[2].endswith("| -20.68 | yes |")
    assert rows[3].endswith("| +0.00 [+0.00, +0.00] | open |")
