"""Class-conditional samplers: draws, scores, searches."""

import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from magan_jax.errors import NetworkOutputError
from magan_jax.latent.conditional import conditional_images, draw_of_class, score_conditional
from magan_jax.latent.encodings import ClassLatents
from magan_jax.latent.scale_search import NUM_DRAWS, THETAS, search_scales, search_simple

KEY = jax.random.key(0)
SIDES = ClassLatents(
    np.array([10, 10]),
    np.array([[-1.0, 0.0, 0.3], [1.0, 0.5, 0.0]]),
    np.array([[1.0, 0.5, 2.0], [2.0, 0.7, 1.0]]),
)
"""Two classes, told apart by the sign of the first of three dimensions."""


def generate(z):
    """A pixel for each dimension and a lit one, so that no image is dark."""
    light = jax.nn.sigmoid(jnp.concatenate([z, jnp.ones((len(z), 1))], axis=1))
    return (2 * light - 1).reshape(-1, 2, 2, 1)


def classify(images):
    first = images[:, 0, 0, 0]
    return jnp.stack([-first, first], axis=1)


def test_n_draws_are_one_of_a_smaller_deviation():
    deviation = jnp.array([1.0, 3.0])
    for n in (1, 4):
        z = draw_of_class(KEY, jnp.array([2.0, -1.0]), deviation, jnp.full(n, 1 / n), 50_000)
        chex.assert_shape(z, (50_000, 2))
        np.testing.assert_allclose(np.mean(z, axis=0), [2, -1], atol=0.06)
        np.testing.assert_allclose(np.std(z, axis=0), deviation / np.sqrt(n), rtol=0.02)


@pytest.mark.parametrize(("theta", "n"), [(0.5, 1), (1.0, 1), (1.0, 3)])
def test_accuracy_is_the_share_on_the_right_side(theta, n):
    count = 20_000
    found = score_conditional(
        KEY, generate, classify, SIDES, theta, num_draws=n, num_samples=count, num_devices=1
    )
    chex.assert_shape(list(found), (1, 2))
    expected = norm.cdf(1 / (theta * SIDES.std[:, 0] / np.sqrt(n)))
    error = np.sqrt(expected * (1 - expected) / count)
    assert (np.abs(found.accuracy[0] - expected) < 4 * error).all()


def cosine_by_pairs(images):
    light = (np.float64(images).reshape(len(images), -1) + 1) / 2
    unit = light / np.linalg.norm(light, axis=1, keepdims=True)
    return np.mean([unit[i] @ unit[j] for i in range(len(unit)) for j in range(i)])


@pytest.mark.parametrize("n", [1, 2])
def test_cosine_is_that_of_all_pairs_of_the_same_draws(n):
    theta = np.array([[0.2, 1.0, 0.0], [0.9, 0.1, 0.4]])
    found = score_conditional(
        KEY, generate, classify, SIDES, theta, num_draws=n, num_samples=60, num_devices=1
    )
    images = conditional_images(KEY, generate, SIDES, theta, num_draws=n, num_samples=60)
    chex.assert_shape(images, (2, 60, 2, 2, 1))
    expected = [cosine_by_pairs(of_class) for of_class in images]
    np.testing.assert_allclose(found.cosine[0], expected, rtol=1e-5)
    right = [np.mean(np.argmax(classify(x), axis=1) == k) for k, x in enumerate(images)]
    np.testing.assert_allclose(found.accuracy[0], right, atol=1e-7)
    np.testing.assert_allclose(found.objective(3.0), found.cosine + 3 * (1 - found.accuracy))


@pytest.mark.parametrize("count", [2, 50])
def test_without_deviation_all_images_are_one(count):
    found = score_conditional(KEY, generate, classify, SIDES, 0.0, num_samples=count, num_devices=1)
    np.testing.assert_allclose(found.cosine, 1, atol=1e-5)
    np.testing.assert_array_equal(found.accuracy, 1)


def test_samplers_side_by_side_are_samplers_alone_on_any_number_of_devices():
    thetas = np.random.default_rng(2).uniform(size=(5, 2, 3))
    draws = np.array([1, 3, 2, 1, 1])
    together = [
        score_conditional(
            KEY, generate, classify, SIDES, thetas, num_draws=draws, num_samples=40, num_devices=d
        )
        for d in (1, 2, 4)
    ]
    for other in together[1:]:
        chex.assert_trees_all_close(other, together[0], atol=1e-6)
    for i, n in enumerate(draws):  # whatever the others' numbers of draws
        alone = score_conditional(
            KEY, generate, classify, SIDES, thetas[i], num_draws=n, num_samples=40, num_devices=1
        )
        np.testing.assert_allclose(alone.cosine[0], together[0].cosine[i], atol=1e-6)
        np.testing.assert_allclose(alone.accuracy[0], together[0].accuracy[i], atol=1e-6)


def test_the_first_of_more_draws_is_the_only_one_of_fewer():
    """One deviation and only the first weight: whatever stands beside it."""
    mean, deviation = jnp.zeros(2), jnp.ones(2)
    alone = draw_of_class(KEY, mean, deviation, jnp.array([1.0]), 100)
    beside = draw_of_class(KEY, mean, deviation, jnp.array([1.0, 0.0, 0.0]), 100)
    second = draw_of_class(KEY, mean, deviation, jnp.array([0.0, 1.0, 0.0]), 100)
    chex.assert_trees_all_close(alone, beside)
    assert np.abs(np.corrcoef(np.ravel(alone), np.ravel(second))[0, 1]) < 0.25


def test_other_parameters_are_not_compiled_anew():
    chex.clear_trace_counter()

    # Shapes are looked at once, the networks tried once, and the program compiled once.
    @chex.assert_max_traces(n=3)
    def scaled(scale, z):
        return generate(scale * z)

    for scale in (1.0, 0.5):
        score_conditional(
            KEY,
            jax.tree_util.Partial(scaled, jnp.float32(scale)),
            classify,
            SIDES,
            0.5,
            num_samples=10,
            num_devices=1,
        )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score(theta=-0.1), "theta has values that are negative or not finite"),
        (lambda: score(theta=np.nan), "theta has values"),
        (lambda: score(num_samples=1), "num_samples is 1; a pair of images needs 2"),
        (lambda: score(num_draws=0), "num_draws is 0; whole numbers, 1 to 10,000"),
        (lambda: score(num_draws=1.5), "num_draws is 1.5; whole numbers"),
        (lambda: score(num_draws=True), "num_draws is True; whole numbers"),
        (
            lambda: score(num_draws=np.array([1, 2, 3]), theta=np.ones((2, 2, 3))),
            "one for each of 2",
        ),
        (lambda: score(theta=np.ones((2, 5))), r"theta has the shape \(2, 5\); of M samplers"),
        (lambda: score(theta=np.ones((0, 2, 3))), r"theta has the shape \(0, 2, 3\)"),
        (lambda: score(theta=np.ones((1, 1, 2, 3))), r"theta has the shape \(1, 1, 2, 3\)"),
        (
            lambda: score(latents=SIDES._replace(std=SIDES.std * np.nan)),
            "latents have means or dev",
        ),
        (
            lambda: score(latents=SIDES._replace(std=SIDES.std[:1])),
            r"deviations \(1, 3\); both must",
        ),
        (lambda: images_of_theta(np.nan), "theta has values that are negative or not finite"),
        (lambda: images_of_theta(np.ones((2, 2, 3))), "theta is of 2 samplers; one is needed"),
        (lambda: images_of_theta(np.ones(2)), r"theta has the shape \(2,\)"),
        (lambda: images_of_theta(1.0, num_draws=2.5), "num_draws is 2.5"),
        (lambda: score(generate=lambda z: -jnp.ones((len(z), 2, 2, 1))), "40 images that are dark"),
        (lambda: score(num_draws=10**19), "num_draws is 10000000000000000000; whole numbers, 1"),
        (lambda: score(generate=lambda z: 2 * generate(z)), r"images with values beyond \[-1, 1\]"),
        (
            lambda: images_of_theta(1.0, generate=lambda z: generate(np.asarray(z))),
            "generate fails for latents .*TracerArrayConversionError.*needs jax.pure_callback",
        ),
        (
            lambda: images_of_theta(1.0, generate=lambda z: jnp.tile(generate(z), (2, 1, 1, 1))),
            r"generate gave \(4, 2, 2, 1\) for latents \(2, 3\); it must give one image for each",
        ),
        (
            lambda: score(latents=SIDES._replace(mean=[[0.0, 1.0]])),
            r"latents have means \(1, 2\) and deviations \(2, 3\)",
        ),
        (lambda: score(generate=lambda z: generate(z) / 0), "not finite for 40 of 40"),
        (lambda: score(classify=lambda x: jnp.tile(classify(x), 2)), "num_classes is 2, but class"),
        (lambda: score(key=0), "key is 0; one key is needed"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_statistics_may_be_lists():
    lists = SIDES._replace(mean=SIDES.mean.tolist(), std=SIDES.std.tolist())
    chex.assert_trees_all_equal(score(latents=lists), score(latents=SIDES))
    of_lists, of_arrays = (
        conditional_images(KEY, generate, latents, 0.5, num_samples=2) for latents in (lists, SIDES)
    )
    np.testing.assert_array_equal(of_lists, of_arrays)


def images_of_theta(theta, num_draws=1, generate=generate):
    return conditional_images(KEY, generate, SIDES, theta, num_draws=num_draws, num_samples=5)


def score(
    theta=0.5,
    num_draws=1,
    num_samples=20,
    generate=generate,
    classify=classify,
    latents=SIDES,
    key=KEY,
):
    return score_conditional(
        key,
        generate,
        classify,
        latents,
        theta,
        num_draws=num_draws,
        num_samples=num_samples,
        num_devices=1,
    )


def test_one_theta_may_have_many_numbers_of_draws():
    found = score(theta=1.0, num_draws=np.array([1, 3]), num_samples=40)
    chex.assert_shape(list(found), (2, 2))
    assert (found.cosine[1] > found.cosine[0]).all()  # a smaller deviation: more alike


SEARCH = {"num_samples": 60, "num_devices": 1}


def test_simple_scores_the_reports_grid():
    found = search_simple(KEY, generate, classify, SIDES, **SEARCH)
    assert set(zip(found.theta.tolist(), found.num_draws.tolist(), strict=True)) == {
        (t / 10, n) for t in range(11) for n in NUM_DRAWS
    }
    objective = (found.scores.cosine + 1 - found.scores.accuracy).mean(axis=1)
    assert objective[found.best()] == objective.min()
    single = found.best(num_draws=1)
    assert found.num_draws[single] == 1
    assert objective[single] == objective[found.num_draws == 1].min()
    with pytest.raises(ValueError, match="num_draws is 7; the grid has 1, 2, 3, 5"):
        found.best(num_draws=7)
    # What accuracy weighs more, θ pays for.
    assert found.theta[found.best(50.0, 1)] < found.theta[found.best(0.01, 1)]


def every_theta(num_dims):
    return np.stack(np.meshgrid(*[THETAS] * num_dims, indexing="ij"), -1).reshape(-1, num_dims)


def objective(latents, thetas, weight=1.0):
    return score_conditional(KEY, generate, classify, latents, thetas, **SEARCH).objective(weight)


@pytest.mark.parametrize("weight", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("per_class", [False, True])
def test_few_dimensions_are_searched_whole(per_class, weight):
    found = search_scales(
        KEY,
        generate,
        classify,
        SIDES,
        start=0.5,
        per_class=per_class,
        accuracy_weight=weight,
        **SEARCH,
    )
    chex.assert_shape(found.theta, (2, 3))
    if not per_class:
        np.testing.assert_array_equal(found.theta[0], found.theta[1])
    whole = objective(SIDES, np.broadcast_to(every_theta(3)[:, None], (1331, 2, 3)), weight)
    best = whole.min(axis=0).mean() if per_class else whole.mean(axis=1).min()
    assert objective(SIDES, found.theta[None], weight).mean() == pytest.approx(best, abs=1e-6)
    start = objective(SIDES, np.full((1, 2, 3), 0.5), weight).mean()
    np.testing.assert_allclose(found.objective, [start, best], atol=1e-5)


def test_what_accuracy_weighs_decides_theta():
    """So that the test above can tell one weight from another."""
    first = [
        search_scales(
            KEY, generate, classify, SIDES, start=0.5, per_class=True, accuracy_weight=w, **SEARCH
        ).theta[:, 0]
        for w in (0.1, 1.0)
    ]
    assert (first[0] > first[1]).any()


FOUR = ClassLatents(
    SIDES.num_images,
    np.hstack([SIDES.mean, [[0.1], [-0.2]]]),
    np.hstack([SIDES.std, [[1.0], [1.5]]]),
)
"""One dimension more: too many to be searched whole."""


def generate_four(z):
    return generate(jnp.concatenate([z[:, :2], z[:, 2:3] * z[:, 3:]], axis=1))


@pytest.mark.parametrize("per_class", [False, True])
def test_descent_ends_where_no_single_step_helps(per_class):
    found = search_scales(
        KEY, generate_four, classify, FOUR, start=0.5, per_class=per_class, max_sweeps=9, **SEARCH
    )
    chex.assert_shape(found.theta, (2, 4))
    assert (np.diff(found.objective) <= 1e-9).all()
    assert found.objective[-1] == pytest.approx(found.objective[-2])  # it ended by itself
    assert found.evaluations == 11 * 2 * 4 * (len(found.objective) - 1)
    if not per_class:
        np.testing.assert_array_equal(found.theta[0], found.theta[1])

    def of(thetas):
        found = score_conditional(KEY, generate_four, classify, FOUR, thetas, **SEARCH)
        return found.objective()

    reached = of(found.theta[None])[0]
    assert reached.mean() == pytest.approx(found.objective[-1], abs=1e-6)
    assert found.objective[0] == pytest.approx(of(np.full((1, 2, 4), 0.5)).mean(), abs=1e-6)
    for d in range(4):
        others = np.tile(found.theta, (len(THETAS), 1, 1))
        others[:, :, d] = THETAS[:, None]
        beside = of(others)
        least = beside.min(axis=0) if per_class else beside.mean(axis=1).min()
        assert (least >= (reached if per_class else reached.mean()) - 1e-6).all()


def test_finer_samplers_do_no_worse_and_leave_harmless_dimensions_free():
    start = 0.5
    medium = [
        search_scales(KEY, generate, classify, SIDES, start=start, per_class=p, **SEARCH)
        for p in (False, True)
    ]
    assert medium[0].objective[0] == pytest.approx(medium[1].objective[0])
    assert medium[1].objective[-1] <= medium[0].objective[-1] + 1e-9 < medium[0].objective[0]
    # Only the first dimension says which class it is.
    np.testing.assert_array_equal(medium[0].theta[:, 1:], 1.0)
    assert medium[0].theta[0, 0] < 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": 0.55}, r"start is 0.55; it must be one of 0.0, 0.1"),
        ({"accuracy_weight": 0.0}, "accuracy_weight is 0.0; it must be positive"),
        ({"accuracy_weight": np.nan}, "accuracy_weight is nan"),
        ({"max_sweeps": 0}, "max_sweeps is 0; it must be a whole number, at least 1"),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings, message):
    given = {"start": 0.5, "per_class": True, **SEARCH, **settings}
    with pytest.raises(ValueError, match=message):
        search_scales(KEY, generate, classify, SIDES, **given)


def test_images_that_are_not_finite_are_not_handed_over():
    def broken(z):
        return jnp.where(z[:, :1, None, None] > 0, jnp.nan, jnp.ones((len(z), 4, 4, 1)))

    with pytest.raises(NetworkOutputError, match="generate gave values that are not finite for"):
        conditional_images(KEY, broken, SIDES, 1.0, num_samples=20)


def test_images_from_0_to_1_are_warned_of():
    def in_0_to_1(z):
        return (generate(z) + 1) / 2

    with pytest.warns(UserWarning, match="no image of generate has a value below 0"):
        score_conditional(KEY, in_0_to_1, lambda x: classify(2 * x - 1), SIDES, 1.0, num_samples=9)
    with warnings.catch_warnings(action="error"):
        score_conditional(KEY, generate, classify, SIDES, 1.0, num_samples=9)
