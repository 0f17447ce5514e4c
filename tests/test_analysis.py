import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import three_with_one_missing

import magan_jax
from magan_jax import analyze
from magan_jax.latent import stream as module

KEY = jax.random.key(3)
ROOT = np.sqrt(2 / np.pi)


def identity(z):
    return z


def sign_of_first(x):
    return jnp.stack([x[:, 0], -x[:, 0]], axis=-1)


def test_half_spaces_have_their_closed_form():
    """μ = ±√(2/π) e₁, σ₁ = √(1 − 2/π), other σ = 1, d = 2√(2/π)."""
    n, d = 40_000, 8
    found = analyze(KEY, identity, sign_of_first, latent_dim=d, num_classes=2, num_samples=n)
    assert found.counts.sum() == found.num_samples == n
    assert abs(found.counts[0] - n / 2) < 4 * np.sqrt(n) / 2
    error = 5 / np.sqrt(n / 2)
    mean = np.zeros((2, d))
    mean[:, 0] = ROOT, -ROOT
    np.testing.assert_allclose(found.mean, mean, atol=error)
    std = np.ones((2, d))
    std[:, 0] = np.sqrt(1 - 2 / np.pi)
    np.testing.assert_allclose(found.std, std, atol=error)
    np.testing.assert_allclose(found.distance[0, 1], 2 * ROOT, atol=error)
    spread = np.sqrt(d - 2 / np.pi)
    np.testing.assert_allclose(found.epsilon, 2 * ROOT / spread, atol=error)
    np.testing.assert_allclose(found.epsilon_debiased, 2 * ROOT / spread, atol=error)
    np.testing.assert_array_equal(found.nearest, [1, 0])
    np.testing.assert_array_equal(found.mean_label, [0, 1])
    wanted = 1 / (1 + np.exp(-2 * found.mean[0, 0]))
    np.testing.assert_allclose(found.mean_confidence[0], wanted, rtol=1e-4)
    assert found.p_value[0, 1] == 1 / 200
    low, high = (end[0, 1] for end in found.distance_debiased_interval)
    assert low < 2 * ROOT < high < low + 0.1


def test_rotated_half_spaces_have_the_rotated_means():
    random = np.random.default_rng(0)
    rotation, _ = np.linalg.qr(random.normal(size=(6, 6)))

    def rotate(z):
        return z @ jnp.array(rotation, jnp.float32)

    found = analyze(KEY, rotate, sign_of_first, latent_dim=6, num_classes=2, num_samples=20_000)
    np.testing.assert_allclose(found.mean[0], ROOT * rotation[:, 0], atol=0.05)


def test_unequal_classes_and_a_class_that_never_occurs():
    """Class 0 is z₁ > 1 with mean φ(1)/Q(1); class 2 never has the largest logit."""
    from scipy.stats import norm

    def classify(x):
        return jnp.stack([x[:, 0] - 1, 1 - x[:, 0], jnp.full(len(x), -100.0)], axis=-1)

    n = 20_000
    found = analyze(KEY, identity, classify, latent_dim=3, num_classes=3, num_samples=n)
    share = norm.sf(1)
    assert abs(found.counts[0] / n - share) < 4 * np.sqrt(share / n)
    np.testing.assert_allclose(found.mean[0, 0], norm.pdf(1) / share, atol=0.04)
    np.testing.assert_allclose(found.mean[1, 0], -norm.pdf(1) / (1 - share), atol=0.04)
    assert found.counts[2] == 0
    np.testing.assert_array_equal(found.valid, [True, True, False])
    assert found.nearest[2] == found.mean_label[2] == -1
    for array in (found.mean[2], found.std[2], found.distance[2], found.epsilon[2]):
        assert np.isnan(array).all()
    assert np.isfinite(found.epsilon[:2]).all()


def test_equal_means_are_told_apart_from_real_distances():
    """Labels by the sign of a product: every class mean is zero, any distance is noise."""

    def by_product(x):
        return jnp.stack([x[:, 0] * x[:, 1], -x[:, 0] * x[:, 1]], axis=-1)

    p_values, debiased = [], []
    for seed in range(40):
        found = analyze(
            jax.random.key(seed),
            identity,
            by_product,
            latent_dim=10,
            num_classes=2,
            num_samples=600,
        )
        assert found.distance[0, 1] > 0.1
        debiased.append(found.distance[0, 1] ** 2 - np.sum(found.spread**2 / found.counts))
        p_values.append(found.p_value[0, 1])
    assert abs(np.mean(debiased)) < 4 * np.std(debiased) / np.sqrt(40)
    assert 0.3 < np.mean(p_values) < 0.7  # uniform under the null
    assert np.mean(np.array(p_values) < 0.05) < 0.2


def test_equal_means_of_unequal_spread_and_size_are_not_called_distinct():
    """An inner ball and its outer 5 % shell: both means are zero, the labels are not noise."""

    def shell(x):
        radius = jnp.sum(x**2, axis=-1) - 5.99  # χ²₂ at 95 %
        return jnp.stack([-radius, radius], axis=-1)

    p_values = [
        analyze(jax.random.key(s), identity, shell, latent_dim=2, num_classes=2).p_value[0, 1]
        for s in range(60)
    ]
    assert np.mean(np.array(p_values) <= 0.05) < 0.15


def test_tiny_samples_have_no_small_p_values():
    """Four latents have four rotations: no p below about a quarter can be honest."""
    found = [
        analyze(
            jax.random.key(s), identity, sign_of_first, latent_dim=2, num_classes=2, num_samples=4
        ).p_value[0, 1]
        for s in range(30)
    ]
    assert np.isfinite(found).sum() >= 5
    assert np.nanmin(found) > 0.15


def test_distances_shrink_with_n_but_not_debiased_ones():
    settings = {"latent_dim": 50, "num_classes": 2}
    small = [
        analyze(jax.random.key(s), identity, sign_of_first, num_samples=100, **settings)
        for s in range(30)
    ]
    plain = np.mean([a.distance[0, 1] for a in small])
    debiased = np.sqrt(np.mean([a.distance_debiased[0, 1] ** 2 for a in small]))
    assert plain > 2 * ROOT + 0.4
    assert abs(debiased - 2 * ROOT) < 0.15


def numpy_analysis(n, d, num_classes, classify):
    """Algorithm 1 as the paper writes it, on the same latents, in float64."""
    key, _ = jax.random.split(KEY)
    z = np.array(
        [jax.random.normal(jax.random.fold_in(key, np.uint32(i)), (1, d))[0] for i in range(n)]
    )
    labels = np.argmax(classify(z), -1)
    groups = [z[labels == k].astype(np.float64) for k in range(num_classes)]
    mean = np.array([g.mean(0) for g in groups])
    std = np.array([g.std(0, ddof=1) for g in groups])
    distance = np.linalg.norm(mean[:, None] - mean[None], axis=-1)
    return np.array([len(g) for g in groups]), mean, std, distance


def three_ways(x):
    return jnp.stack([x[:, 0], x[:, 1], x[:, 2]], axis=-1)


def test_equals_algorithm_1_latent_by_latent():
    counts, mean, std, distance = numpy_analysis(137, 4, 3, three_ways)
    found = analyze(KEY, identity, three_ways, latent_dim=4, num_classes=3, num_samples=137)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.mean, mean, atol=1e-5)
    np.testing.assert_allclose(found.std, std, rtol=1e-4)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-4)
    others = distance + np.diag(np.full(3, np.inf))
    np.testing.assert_allclose(
        found.epsilon, others.min(1) / np.linalg.norm(std, axis=1), rtol=1e-4
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 64},
        {"batch_size": 999},
        {"batch_size": 3500},
        {"num_devices": 1},
        {"num_devices": 2, "batch_size": 2000},
    ],
)
def test_batch_size_and_devices_change_nothing(changes):
    settings = {"latent_dim": 4, "num_classes": 3, "num_samples": 5_432}
    wanted = analyze(KEY, identity, three_ways, **settings)
    found = analyze(KEY, identity, three_ways, **settings, **changes)
    np.testing.assert_array_equal(found.counts, wanted.counts)
    chex.assert_trees_all_close(found.replicates, wanted.replicates, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.distance, wanted.distance, rtol=1e-4)
    np.testing.assert_allclose(found.p_value, wanted.p_value, atol=0.0051)


MANY = 150


def first_many(x):
    return x[:, :MANY]


def many_classes(n, **changes):
    settings = {"latent_dim": 160, "num_classes": MANY, "num_samples": n, "num_permutations": 3}
    return analyze(KEY, identity, first_many, **(settings | changes))


def test_many_classes_equal_algorithm_1_and_a_jackknife_by_hand():
    n = 7_500
    key, _ = jax.random.split(KEY)
    z = jax.vmap(lambda i: jax.random.normal(jax.random.fold_in(key, i), (1, 160))[0])(
        jnp.arange(n, dtype=jnp.uint32)
    )
    z = np.asarray(z, np.float64)
    labels = z[:, :MANY].argmax(1)
    part = np.arange(n) % 20

    def by_hand(kept):
        groups = [z[kept & (labels == k)] for k in range(MANY)]
        mean = np.array([g.mean(0) for g in groups])
        std = np.array([g.std(0, ddof=1) for g in groups])
        return mean, std, np.linalg.norm(mean[:, None] - mean, axis=-1)

    found = many_classes(n)
    mean, std, distance = by_hand(part >= 0)
    np.testing.assert_array_equal(found.counts, np.bincount(labels, minlength=MANY))
    np.testing.assert_allclose(found.mean, mean, atol=1e-5)
    np.testing.assert_allclose(found.std, std, rtol=1e-4)
    np.testing.assert_allclose(found.distance, distance, rtol=1e-5, atol=1e-5)
    others = distance + np.diag(np.full(MANY, np.inf))
    np.testing.assert_array_equal(found.nearest, others.argmin(1))
    without = np.array([by_hand(part != r)[2] for r in range(20)])
    reach = 2.0930240544 * np.sqrt(19 * without.var(0))  # t₁₉ at 97.5 %
    np.testing.assert_allclose(found.distance_interval.high - distance, reach, atol=1e-4)


@pytest.mark.parametrize(
    "changes", [{"batch_size": 64}, {"batch_size": 3500}, {"num_devices": 1}, {"num_devices": 3}]
)
def test_batch_size_and_devices_change_nothing_with_many_classes(changes, monkeypatch):
    wanted = many_classes(5_432)
    monkeypatch.setattr(module, "_SEGMENT_ITERATIONS", 1)
    monkeypatch.setattr(module, "_PER_GROUP", 1)  # 3000 latents on the devices, then on the host
    found = many_classes(5_432, **changes)
    np.testing.assert_array_equal(found.replicates.count, wanted.replicates.count)
    chex.assert_trees_all_close(found.replicates, wanted.replicates, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(found.distance, wanted.distance, rtol=1e-4, atol=1e-4)
    chex.assert_trees_all_close(
        found.distance_interval, wanted.distance_interval, rtol=1e-3, atol=1e-3
    )


def test_same_key_same_bits_and_functions_traced_once():
    traced = chex.assert_max_traces(lambda z: z * 1.0, n=4)  # two shape checks, two programs
    settings = {"latent_dim": 4, "num_classes": 3}
    first = analyze(KEY, traced, three_ways, num_samples=2_000, **settings)
    again = analyze(KEY, traced, three_ways, num_samples=2_000, **settings)
    chex.assert_trees_all_equal(first, again)
    analyze(KEY, traced, three_ways, num_samples=7_001, **settings)  # any N, the same program


def test_it_works_with_64_bits_too():
    arguments = {"latent_dim": 3, "num_classes": 2, "num_samples": 3000, "num_permutations": 9}
    usual = analyze(KEY, identity, sign_of_first, **arguments)
    with jax.enable_x64(True):
        found = analyze(KEY, lambda z: z, lambda x: sign_of_first(x), **arguments)
    assert found.counts.sum() == 3000
    np.testing.assert_allclose(found.mean, usual.mean, atol=1e-6)  # the same numbers are drawn


def test_prior_of_the_users_own():
    def shifted(key, n):
        return 100 + jax.random.normal(key, (n, 2))

    def above(x):
        return jnp.stack([x[:, 0] - 100, 100 - x[:, 0]], axis=-1)

    found = analyze(
        KEY, identity, above, latent_dim=2, num_classes=2, num_samples=20_000, prior=shifted
    )
    np.testing.assert_allclose(found.mean[0], [100 + ROOT, 100], atol=0.05)
    np.testing.assert_allclose(found.std[0], [np.sqrt(1 - 2 / np.pi), 1], atol=0.05)
    assert found.p_value[0, 1] == 1 / 200


@pytest.mark.parametrize("kind", [jnp.uint8, jnp.int8, jnp.bfloat16, jnp.float16])
def test_a_prior_of_narrow_numbers_is_summed_in_wide_ones(kind):
    def whole(kind):
        return lambda key, n: jax.random.randint(key, (n, 3), 0, 100).astype(kind)

    found, expected = (
        analyze(
            KEY,
            lambda z: z.astype(jnp.float32) / 100,
            lambda x: x[:, :2],
            latent_dim=3,
            num_classes=2,
            num_samples=20_000,
            num_permutations=9,
            prior=whole(which),
        )
        for which in (kind, jnp.float32)
    )
    np.testing.assert_array_equal(found.mean, expected.mean)
    np.testing.assert_array_equal(found.std, expected.std)
    np.testing.assert_array_equal(found.p_value, expected.p_value)
    # The first of two, uniform on 0 to 99, where it is not below the other.
    first, weight = np.arange(100), np.arange(1, 101)
    error = found.std[0, 0] / np.sqrt(found.counts[0])
    assert abs(found.mean[0, 0] - np.average(first, weights=weight)) < 4 * error


def unhashable_prior():
    class Equal:
        def __eq__(self, other):
            return True

        def __call__(self, key, n):
            return jax.random.normal(key, (n, 4))

    return Equal()


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (lambda key, n: 1e-20 * jax.random.normal(key, (n, 4)), "latents of the size .*e-20"),
        (lambda key, n: 1e19 * jax.random.normal(key, (n, 4)), "float32 cannot square what lies"),
        (lambda key, n: 1j * jax.random.normal(key, (n, 4)), "latents of type complex64; real"),
        (lambda key: jax.random.normal(key, (1, 4)), r"prior\(key, 1\) fails \(TypeError"),
        ("normal", "prior is 'normal'; a function is needed"),
        (unhashable_prior(), "prior is a Equal, which a compiled program cannot be kept for"),
    ],
)
def test_a_prior_that_cannot_be_analysed_is_refused(prior, message):
    with pytest.raises(ValueError, match=message):
        analyze(
            KEY, identity, sign_of_first, latent_dim=4, num_classes=2, num_samples=50, prior=prior
        )


def test_a_prior_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match="prior gives latents that are not finite"):
        analyze(
            KEY, identity, three_with_one_missing, latent_dim=2, num_classes=3, num_samples=100,
            prior=lambda key, n: jnp.full((n, 2), jnp.nan),
        )  # fmt: skip


def test_a_prior_that_is_drawn_once_is_refused():
    def frozen(key, n):
        return np.random.default_rng().normal(size=(n, 2)).astype(np.float32)

    with pytest.raises(ValueError, match="prior gives the same latent for every key"):
        analyze(
            KEY, identity, sign_of_first, latent_dim=2, num_classes=2, num_samples=50, prior=frozen
        )


def sometimes_nan(z):
    return jnp.where(z[:, :1] > 2.5, jnp.nan, z)


@pytest.mark.parametrize(
    ("generate", "classify", "changes", "message"),
    [
        (identity, sign_of_first, {"latent_dim": 0}, "latent_dim is 0"),
        (identity, sign_of_first, {"num_samples": 1}, "num_samples is 1"),
        (identity, sign_of_first, {"num_samples": 2**31}, "num_samples is"),
        (identity, sign_of_first, {"num_samples": 10.5}, "num_samples is 10.5"),
        (identity, sign_of_first, {"batch_size": 0}, "batch_size is 0"),
        (identity, sign_of_first, {"num_permutations": -1}, "num_permutations is -1"),
        (identity, sign_of_first, {"num_classes": 3}, "num_classes is 3, .* for 2 classes"),
        (lambda z: z.sum(), sign_of_first, {}, "one image for each latent"),
        (identity, lambda x: x[:, 0], {}, r"logits \[n, num_classes\]"),
        (identity, sign_of_first, {"prior": lambda key, n: jnp.zeros((n, 5))}, "prior"),
        (sometimes_nan, sign_of_first, {}, "not finite for .* of 1000 latents"),
        (identity, sign_of_first, {"num_devices": 9}, "num_devices is 9"),
    ],
)
def test_bad_input_gets_one_sentence(generate, classify, changes, message):
    settings = {"latent_dim": 4, "num_classes": 2} | changes
    with pytest.raises(ValueError, match=message) as error:
        analyze(KEY, generate, classify, **settings)
    assert "\n" not in str(error.value)


def test_public_names_are_exported():
    for name in ("analyze", "bisect_epsilon"):
        assert name in magan_jax.__all__
    assert module.BLOCK % module.REPLICATES == 0


def test_a_long_stream_in_several_calls_is_the_stream_in_one(monkeypatch):
    def found():
        return analyze(KEY, identity, sign_of_first, latent_dim=4, num_classes=2, num_samples=4_321)

    whole = found()
    monkeypatch.setattr(module, "_SEGMENT_ITERATIONS", 1)
    joined = found()
    np.testing.assert_array_equal(joined.counts, whole.counts)
    np.testing.assert_array_equal(joined.nearest, whole.nearest)
    np.testing.assert_array_equal(joined.replicates.count, whole.replicates.count)
    np.testing.assert_array_equal(joined.p_value, whole.p_value)
    for name in ("mean", "std", "distance", "epsilon_debiased", "epsilon_debiased_interval"):
        chex.assert_trees_all_close(getattr(joined, name), getattr(whole, name), rtol=1e-4)


def test_a_long_stream_shows_its_progress_only_where_asked(monkeypatch, capsys):
    monkeypatch.setattr(module, "_SEGMENT_ITERATIONS", 1)
    for quiet, shown in ((None, False), (False, True)):
        analyze(
            KEY,
            identity,
            sign_of_first,
            latent_dim=4,
            num_classes=2,
            num_samples=4_500,
            quiet=quiet,
        )
        assert ("latents" in capsys.readouterr().err) == shown
