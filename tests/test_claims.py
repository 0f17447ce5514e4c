import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax import analyze, cluster, measure_invariance, measure_purity
from magan_jax.data import DATASETS, load_dataset
from magan_jax.latent.geometry import Interval
from magan_jax.latent.purity import Purities
from magan_jax.meta_analysis.claims import clusters
from magan_jax.meta_analysis.claims.check import check_claims, speaks_of
from magan_jax.meta_analysis.claims.claim import (
    TOO_FEW,
    claim_of_number,
    claims_markdown,
    shown_ends,
)
from magan_jax.meta_analysis.claims.clusters import MAP_CLUSTERS, WARD_CLUSTERS, average_cophenetic
from magan_jax.meta_analysis.report import _claims_line
from magan_jax.meta_analysis.study import Study

NAMES = DATASETS["fashion_mnist"].class_names
KEY = jax.random.key(0)

OWN_LABEL = "each class mean generates an image of its own class"
FIRST = "d(T-shirt/top, trousers) = 2.26"
NEAREST = "the nearest class of T-shirt/top is shirt, at distance 2"
EPSILON = "ε of T-shirt/top = 0.2010"
ALONG = "the shift ±ε·σ, and any part of it, keeps the class"
BEYOND = "beyond ±ε·σ the class is another"
SIGNS = "the latent space is invariant to shifts p·u∘σ, p uniform in [0, ε], u random signs"
DISTINCT = "the class means are distinct points, so that distances between them mean something"
LINKAGE = "average linkage keeps the distances best, at 0.71; single linkage is the worst"
WARD, MAP = "three clusters by Ward linkage", "three clusters by the map (MDS)"


@pytest.fixture(autouse=True)
def few_bootstrap_samples(monkeypatch):
    """Each of them is a map to scale; only one test is about them."""
    monkeypatch.setattr(clusters, "_RESAMPLED", 3)


def identity(z):
    return z


def study(classify, num_samples, scale=1.0, latent_dim=12, prior=None, permutations=199, upper=3.0):
    analysis = analyze(
        KEY, identity, classify, latent_dim=latent_dim, num_classes=10, num_samples=num_samples,
        prior=prior, num_permutations=permutations,
    )  # fmt: skip
    invariance = measure_invariance(
        KEY, identity, classify, analysis, num_directions=4, upper=upper
    )
    analysis = analysis._replace(epsilon=scale * analysis.epsilon)
    purity = measure_purity(KEY, identity, classify, analysis, analysis.epsilon, num_shifts=200)
    enough = analysis.valid.sum() >= 3
    purities = Purities(purity, purity, purity)
    return Study(analysis, cluster(analysis) if enough else None, invariance, purities)


def claims_of(small, large):
    return {c.claim: c for c in check_claims(small, large, NAMES)}


def largest(x):
    return x[:, :10]


def only_first_and_seventh(x):
    return jnp.full((len(x), 10), -99.0).at[:, jnp.array([0, 6])].set(x[:, :2])


@pytest.fixture(scope="module")
def pair():
    return study(largest, 1000), study(largest, 20_000)


CENTRES = np.zeros((10, 2), np.float32)
for number, members in enumerate(MAP_CLUSTERS):
    for rank, k in enumerate(members):
        angle = 2 * np.pi * (number + 0.06 * rank) / 3
        CENTRES[k] = 10 * np.cos(angle), 10 * np.sin(angle)


def nearest_centre(x):
    """Classes around centres that group exactly as the paper's map does."""
    return -jnp.sum((x[:, None] - jnp.array(CENTRES)) ** 2, axis=-1)


def around(key, n):
    which, noise = jax.random.split(key)
    centre = jnp.array(CENTRES)[jax.random.randint(which, (n,), 0, 10)]
    return centre + 0.02 * jax.random.normal(noise, (n, 2))


def test_every_claim_is_decided_and_shows_both_sizes(pair):
    found = claims_of(*pair)
    assert list(found) == [
        OWN_LABEL, FIRST, NEAREST, EPSILON, ALONG, BEYOND, SIGNS, DISTINCT, LINKAGE, WARD, MAP
    ]  # fmt: skip
    assert all(c.holds is not None and c.large and c.reason for c in found.values())
    assert found[OWN_LABEL].ours == found[OWN_LABEL].large == "10 of 10"
    assert found[DISTINCT].large == "45 of 45 pairs differ"
    assert found[OWN_LABEL].holds is True


def test_numbers_hold_inside_the_prediction_interval_of_the_papers_n(pair):
    small, large = pair
    found = claims_of(small, large)[FIRST]
    low, high = (end[0, 1] for end in small.analysis.distance_interval)
    value = small.analysis.distance[0, 1]
    np.testing.assert_allclose(found.high - value, np.sqrt(2) * (high - value))
    np.testing.assert_allclose(value - found.low, np.sqrt(2) * (value - low))
    assert found.holds is bool(found.low <= 2.26 <= found.high)
    other_n = claims_of(study(largest, 2000), large)
    for claim in (FIRST, NEAREST, EPSILON):
        assert other_n[claim].holds is None
        assert "belongs to N = 1000" in other_n[claim].reason


@pytest.mark.parametrize(
    ("end", "said"),
    [(2.2624, "2.26 lies just outside, beyond 2.262; noise"), (2.27, "noise"), (2.25, "noise")],
)
def test_a_number_just_outside_says_so_where_the_digits_shown_would_not(pair, end, said):
    value = 2.64
    own = (value, (value - (value - end) / np.sqrt(2), 3.0))
    found = claim_of_number("d", "Figure 7", 2.26, pair[0].analysis, own, own, "noise")
    assert (found.holds, found.reason) == (end < 2.26, said)


def test_invariance_is_decided_along_sigma_and_apart_from_it_for_random_signs():
    inside = claims_of(study(largest, 1000, scale=0.01), study(largest, 5000, scale=0.01))
    assert inside[ALONG].holds is True
    assert inside[SIGNS].holds is True
    assert inside[SIGNS].low == pytest.approx(0.025 ** (1 / 200), rel=1e-6)  # 200 of 200
    far = claims_of(study(largest, 1000, scale=30.0, upper=99), study(largest, 5000, scale=30.0))
    assert far[ALONG].holds is False
    assert far[SIGNS].holds is False


def test_one_early_exit_along_sigma_refutes_the_claim(pair):
    small, large = pair
    plus, censored = small.invariance.plus.copy(), small.invariance.plus_censored.copy()
    plus[3], censored[3] = 0.5 * small.analysis.epsilon[3], False
    early = small.invariance._replace(plus=plus, plus_censored=censored)
    found = claims_of(small._replace(invariance=early), large)[ALONG]
    assert found.holds is False
    assert found.ours == "19 of 20 directions"
    assert f"Dress at +{plus[3]:.3f}σ" in found.reason
    unknown = small.invariance.prototype_label.copy()
    unknown[2] = -1
    open_claim = small._replace(invariance=small.invariance._replace(prototype_label=unknown))
    found = claims_of(open_claim, large)[ALONG]
    assert (found.holds, found.ours) == (None, "18 of 20 directions, 2 not known")


def test_an_exit_is_known_to_the_tolerance_of_its_bisection(pair):
    small, large = pair
    reach, epsilon = small.invariance.tolerance, small.analysis.epsilon
    assert reach == 1e-3
    for end, holds in ((epsilon - reach / 2, True), (epsilon - 2 * reach, False)):
        nowhere = np.zeros(10, bool)
        found = small.invariance._replace(
            plus=end, minus=end, plus_censored=nowhere, minus_censored=nowhere
        )
        assert claims_of(small._replace(invariance=found), large)[ALONG].holds is holds


def test_one_class_kept_beyond_epsilon_refutes_that_the_class_ends_there(pair):
    small, large = pair
    found = small.invariance
    epsilon, nowhere = small.analysis.epsilon, np.zeros(10, bool)
    at_border = found._replace(
        plus=epsilon.copy(), minus=epsilon.copy(), plus_censored=nowhere, minus_censored=nowhere
    )
    ends = claims_of(small._replace(invariance=at_border), large)[BEYOND]
    assert (ends.holds, ends.ours) == (True, "20 of 20 directions")
    minus = epsilon.copy()
    minus[[3, 5]] *= 2.5, 4
    further = small._replace(invariance=at_border._replace(minus=minus))
    kept = claims_of(further, large)[BEYOND]
    assert (kept.holds, kept.ours) == (False, "18 of 20 directions")
    assert kept.reason.endswith("the median one to 3.2 times ε, Sandal −σ to 4.0 times")
    # Where it was followed to is the least that the median one may be.
    followed = further.invariance._replace(minus_censored=minus > epsilon)
    bound = claims_of(small._replace(invariance=followed), large)[BEYOND]
    assert bound.reason.endswith("to at least 3.2 times ε, Sandal −σ to at least 4.0 times")
    # Not followed beyond ε: nothing is known of what comes there.
    censored = at_border._replace(plus=epsilon / 2, plus_censored=~nowhere)
    unknown = claims_of(small._replace(invariance=censored), large)[BEYOND]
    assert (unknown.holds, unknown.ours) == (None, "10 of 20 directions, 10 not known")
    # Nor of a class whose mean has another label: there is nothing to leave.
    label = found.prototype_label.copy()
    label[4] = 6
    other = small._replace(invariance=at_border._replace(prototype_label=label))
    open_claim = claims_of(other, large)[BEYOND]
    assert (open_claim.holds, open_claim.ours) == (None, "18 of 20 directions, 2 not known")
    # Classes of a real classifier do not end at ε.
    assert claims_of(small, large)[BEYOND].holds is False


def test_a_ray_followed_less_far_than_epsilon_does_not_confirm_the_claim(pair):
    _, large = pair
    short = study(largest, 1000, upper=0.1)
    assert short.invariance.plus_censored.all()
    assert (short.analysis.epsilon > 0.1).all()
    found = claims_of(short, large)[ALONG]
    assert (found.holds, found.ours) == (None, "0 of 20 directions, 20 not known")
    assert "20 directions were not followed to ε" in found.reason


def test_the_papers_own_clusters_are_recognised(monkeypatch):
    monkeypatch.setattr(clusters, "_RESAMPLED", 20)
    settings = {"latent_dim": 2, "prior": around}
    found = claims_of(
        study(nearest_centre, 1000, **settings), study(nearest_centre, 3000, **settings)
    )
    assert found[MAP].holds is True
    assert "index with the paper's clusters 1.00" in found[MAP].reason
    assert "again in 100% of the cases" in found[MAP].reason
    assert found[WARD].holds is False


def test_clusters_are_partitions_of_the_ten_classes():
    for parts in (WARD_CLUSTERS, MAP_CLUSTERS):
        assert sorted(k for members in parts for k in members) == list(range(10))


def test_linkage_shows_the_interval_beside_its_own_number(pair):
    small, large = pair
    found = claims_of(small, large)[LINKAGE]
    average = small.clustering.dendrograms["average"]
    low, high = (float(end) for end in average.cophenetic_interval)
    value = average.cophenetic
    low, high = value - np.sqrt(2) * (value - low), value + np.sqrt(2) * (high - value)
    assert f"average {value:.2f} [{low:.3g}, {high:.3g}]" in found.ours
    assert claims_of(study(largest, 2000), large)[LINKAGE].holds is None


@pytest.mark.parametrize(
    ("coefficients", "interval", "holds", "said"),
    [
        ((0.40, 0.60, 0.72, 0.50), (0.69, 0.75), True, "single is last, 0.71 is inside"),
        ((0.40, 0.73, 0.72, 0.50), (0.69, 0.75), False, "average is not first, single is last"),
        ((0.55, 0.60, 0.72, 0.50), (0.69, 0.75), False, "single is not last, 0.71 is inside"),
        # Within 0.01 of 0.72 √2 times over: the prediction interval starts at 0.7115.
        ((0.40, 0.60, 0.72, 0.50), (0.714, 0.75), False, "single is last, 0.71 is outside"),
        ((0.40, 0.60, 0.72, 0.50), (np.nan, np.nan), None, "0.71 is undecided"),
    ],
)
def test_linkages_hold_if_order_and_number_do(pair, coefficients, interval, holds, said):
    given = dict(zip(("single", "complete", "average", "ward"), coefficients, strict=True))
    dendrograms = {
        name: dendrogram._replace(
            cophenetic=given[name], cophenetic_interval=Interval(*map(np.array, interval))
        )
        for name, dendrogram in pair[0].clustering.dendrograms.items()
    }
    clustering = pair[0].clustering._replace(dendrograms=dendrograms)
    found = claims_of(pair[0]._replace(clustering=clustering), pair[1])[LINKAGE]
    assert found.holds is holds
    assert said in found.reason


def test_too_few_latents_or_permutations_leave_claims_open_but_never_nan(pair):
    few = claims_of(study(largest, 8), pair[1])
    assert list(few) == list(claims_of(*pair))  # several seeds are put beside each other
    for claim in (FIRST, NEAREST, EPSILON, DISTINCT, LINKAGE, WARD, MAP):
        assert few[claim].holds is None
    with_nine = study(lambda x: largest(x).at[:, 4].set(-99.0), 1000)
    nine = claims_of(with_nine, pair[1])
    assert list(nine) == list(few)
    assert [nine[claim].holds for claim in (OWN_LABEL, WARD, MAP)] == [None] * 3
    assert (nine[LINKAGE].holds, nine[LINKAGE].reason) == (None, TOO_FEW)
    assert np.isfinite(average_cophenetic(pair[0]))
    assert np.isnan(average_cophenetic(with_nine))
    two = claims_of(study(only_first_and_seventh, 1000), pair[1])
    assert "d_min is the smallest of 1 noisy distances" in two[NEAREST].reason
    few_permutations = claims_of(study(largest, 1000, permutations=9), pair[1])[DISTINCT]
    assert few_permutations.holds is None
    assert "9 permutations cannot" in few_permutations.reason
    none = claims_of(study(largest, 1000, permutations=0), pair[1])[DISTINCT]
    assert none.holds is None
    for claim in [*few.values(), *nine.values(), *two.values(), few_permutations, none]:
        text = f"{claim.ours} {claim.large} {claim.reason}"
        assert "nan" not in text, claim
        assert claim.low is None or np.isfinite(claim.low)


@pytest.mark.filterwarnings("ignore:the files in")
def test_claims_are_about_fashion_mnist_only(idx_folder):
    assert not speaks_of(load_dataset("fashion_mnist", idx_folder))  # other files, same name
    dataset = load_dataset("fashion_mnist", idx_folder)
    assert speaks_of(dataset._replace(official=True))
    assert not speaks_of(dataset._replace(name="mnist", official=True))


def test_table_for_a_readme_has_a_row_per_claim(pair):
    claims = check_claims(*pair, NAMES)
    lines = claims_markdown(claims, 1000, 20_000).splitlines()
    assert len(lines) == 2 + len(claims)
    assert all(line.count("|") == 7 for line in lines)


def test_numbers_keep_their_zeros():
    assert shown_ends((1.996, 2.5)) == "[2.00, 2.50]"
    assert shown_ends((0.16912, 123.4)) == "[0.169, 123]"
    assert shown_ends((0.1, np.nan)) == ""


def test_data_that_no_claim_is_about_are_not_counted_as_none_of_none(pair):
    assert "not tested on these data" in _claims_line([])
    assert _claims_line(check_claims(*pair, NAMES)).endswith(" of 11")
