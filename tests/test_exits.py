import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax import bisect_epsilon

pytestmark = pytest.mark.optimized

ROOT, SIGMA = np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)


def identity(z):
    return z


def sign_of_first(x):
    return jnp.stack([x[:, 0], -x[:, 0]], axis=-1)


def half_space_rays(d=5):
    mean = np.zeros((2, d))
    mean[:, 0] = ROOT, -ROOT
    std = np.ones((2, 1, d))
    std[..., 0] = SIGMA
    return mean, np.concatenate([std, -std], axis=1)


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3, 1e-5])
def test_half_spaces_exit_at_the_closed_form(tolerance):
    """Along ±σ the label flips at √(2/π) / √(1 − 2/π) = 1.3236, on one side only."""
    mean, shifts = half_space_rays()
    found = bisect_epsilon(identity, sign_of_first, mean, shifts, upper=3.0, tolerance=tolerance)
    np.testing.assert_array_equal(found.censored, [[True, False], [False, True]])
    np.testing.assert_array_equal(found.prototype_label, [0, 1])
    np.testing.assert_array_equal(found.epsilon[found.censored], 3.0)
    exits = found.epsilon[~found.censored]
    assert (exits <= ROOT / SIGMA + 1e-6).all()
    assert (exits >= ROOT / SIGMA - tolerance - 1e-6).all()


def test_random_rays_through_rotated_half_spaces():
    random = np.random.default_rng(0)
    normal = random.normal(size=4)
    mean = np.stack([normal, -normal])
    shifts = random.normal(size=(2, 300, 4))

    def classify(x):
        side = x @ jnp.array(normal, jnp.float32)
        return jnp.stack([side, -side], axis=-1)

    found = bisect_epsilon(identity, classify, mean, shifts, upper=2.0, tolerance=1e-4)
    exact = -(mean @ normal)[:, None] / (shifts @ normal)
    leaves = (exact > 0) & (exact < 2.0)
    clear = np.abs(exact - 2.0) > 1e-3
    np.testing.assert_array_equal(found.censored[clear], ~leaves[clear])
    np.testing.assert_allclose(found.epsilon[leaves & clear], exact[leaves & clear], atol=1.5e-4)


def test_many_classes_leave_where_another_coordinate_overtakes():
    random = np.random.default_rng(4)
    mean = random.normal(size=(200, 200)) * 0.1 + 2 * np.eye(200)
    shifts = random.normal(size=(200, 3, 200))
    found = bisect_epsilon(identity, identity, mean, shifts, upper=2.0, tolerance=1e-4)
    own = np.arange(200)
    ahead = mean[own, own][:, None] - mean
    faster = shifts - shifts[own, :, own][:, :, None]
    exact = np.where(faster > 0, ahead[:, None] / np.where(faster > 0, faster, 1), np.inf).min(-1)
    np.testing.assert_array_equal(found.prototype_label, own)
    np.testing.assert_allclose(found.epsilon, np.minimum(exact, 2.0), atol=1.5e-4)


def test_labels_of_means_that_are_of_other_classes():
    mean = np.eye(40)[np.arange(40) // 2]
    found = bisect_epsilon(identity, identity, mean, np.zeros((40, 2, 40)), upper=3.0)
    np.testing.assert_array_equal(found.prototype_label, np.arange(40) // 2)
    np.testing.assert_array_equal(found.censored.all(1), np.arange(40) < 1)
    np.testing.assert_array_equal(found.epsilon[1:], 0)


def test_the_networks_are_asked_about_little_that_decides_nothing():
    """Rays that end early make place for others: few more calls than all evaluations need."""
    calls = []

    def generate(z):
        jax.debug.callback(lambda n: calls.append(int(n)), len(z))
        return z

    random = np.random.default_rng(1)
    exact = random.uniform(0.01, 1.0, (1, 500))
    shifts = np.stack([1 / exact, random.normal(size=exact.shape)], axis=-1)

    def classify(x):  # class 0 up to x₀ = 1, which a ray reaches at t = exact
        return jnp.stack([1 - x[:, 0], x[:, 0] - 1], axis=1)

    found = bisect_epsilon(
        generate,
        classify,
        np.zeros((1, 2)),
        shifts,
        upper=3.0,
        tolerance=1e-3,
        batch_size=50,
        num_devices=1,
    )
    jax.effects_barrier()
    np.testing.assert_allclose(found.epsilon, exact, atol=1.1e-3)
    needed = int(np.sum(np.floor(exact * 32 / 3) + 1 + 7))
    # At the end, when no ray waits any more, lanes stand idle: for one ray's points at most.
    assert needed <= sum(calls) <= needed + 50 * (11 + 7) + 1


def test_the_first_of_several_exits_is_found():
    """Class 0 holds on [0, 0.7) and again on [1.1, 2.5): plain bisection would miss the gap."""

    def classify(x):
        t = x[:, 0]
        inside = (t < 0.7) | ((t >= 1.1) & (t < 2.5))
        return jnp.stack([jnp.where(inside, 1.0, 0.0), jnp.where(inside, 0.0, 1.0)], axis=-1)

    found = bisect_epsilon(identity, classify, np.zeros((1, 1)), np.ones((1, 1, 1)), upper=3.0)
    np.testing.assert_allclose(found.epsilon, 0.7, atol=2e-4)
    assert not found.censored.any()


def test_a_mean_of_another_class_has_no_epsilon():
    found = bisect_epsilon(identity, sign_of_first, -np.ones((1, 2)), np.ones((1, 3, 2)), upper=4.0)
    np.testing.assert_array_equal(found.epsilon, 0.0)
    assert not found.censored.any()
    np.testing.assert_array_equal(found.prototype_label, [1])


def test_labels_name_the_classes_of_the_rows():
    mean, shifts = half_space_rays()
    whole = bisect_epsilon(identity, sign_of_first, mean, shifts, upper=3.0)
    second = bisect_epsilon(
        identity, sign_of_first, mean[1:], shifts[1:], upper=3.0, labels=np.array([1])
    )
    chex.assert_trees_all_equal(second.epsilon, whole.epsilon[1:])


@pytest.mark.parametrize(
    "changes",
    [{"batch_size": 1}, {"batch_size": 7}, {"num_devices": 1}, {"num_devices": 3, "batch_size": 4}],
)
def test_batches_and_devices_change_nothing(changes):
    random = np.random.default_rng(1)
    mean, shifts = random.normal(size=(3, 4)), random.normal(size=(3, 13, 4))

    def classify(x):
        return jnp.stack([x[:, 0] ** 2, x[:, 1] + x[:, 2], jnp.sin(3 * x[:, 3])], axis=-1)

    wanted = bisect_epsilon(identity, classify, mean, shifts, upper=3.0)
    chex.assert_shape(wanted.epsilon, (3, 13))
    found = bisect_epsilon(identity, classify, mean, shifts, upper=3.0, **changes)
    chex.assert_trees_all_close(found, wanted, atol=1e-6)


def test_the_returned_end_keeps_its_label():
    random = np.random.default_rng(2)
    mean, shifts = random.normal(size=(2, 3)), random.normal(size=(2, 50, 3))

    def classify(x):
        return jnp.stack([jnp.sin(4 * x[:, 0]), jnp.cos(5 * x[:, 1])], axis=-1)

    found = bisect_epsilon(identity, classify, mean, shifts, upper=2.0, tolerance=1e-3)
    held = found.prototype_label == np.arange(2)
    ends = mean[:, None] + found.epsilon[..., None] * shifts
    labels = np.argmax(classify(ends.reshape(-1, 3).astype(np.float32)), -1).reshape(2, 50)
    np.testing.assert_array_equal((labels == np.arange(2)[:, None])[held], True)
    beyond = mean[:, None] + (found.epsilon + 1.2e-3)[..., None] * shifts
    labels = np.argmax(classify(beyond.reshape(-1, 3).astype(np.float32)), -1).reshape(2, 50)
    left = (labels != np.arange(2)[:, None]) & held[:, None]
    assert left.sum() >= 0.97 * (held[:, None] & ~found.censored).sum() > 0


def test_functions_are_traced_once_for_any_bound():
    # Shape check, a look at the networks, scan and halving.
    traced = chex.assert_max_traces(lambda z: z + 0.0, n=4)
    mean, shifts = half_space_rays()
    for scale in (1.0, 0.999):
        bisect_epsilon(traced, sign_of_first, mean * scale, shifts, upper=3.0 * scale)


MEAN, SHIFTS = np.zeros((2, 3)), np.ones((2, 4, 3))


@pytest.mark.parametrize(
    ("mean", "shifts", "changes", "message"),
    [
        (MEAN[0], SHIFTS, {}, r"mean has the shape \(3,\)"),
        (MEAN, SHIFTS[0], {}, r"must be \[2, M, 3\]"),
        (MEAN, SHIFTS[:1], {}, r"must be \[2, M, 3\]"),
        (MEAN, SHIFTS[:, :0], {}, "M ≥ 1"),
        (MEAN * np.nan, SHIFTS, {}, "mean has 6 values that are not finite"),
        (MEAN, SHIFTS * np.inf, {}, "shifts has 24 values that are not finite"),
        (MEAN, SHIFTS, {"upper": 0.0}, "upper is 0.0"),
        (MEAN, SHIFTS, {"upper": np.inf}, "upper is inf"),
        (MEAN, SHIFTS, {"tolerance": 0.0}, "tolerance is 0.0"),
        (MEAN, SHIFTS, {"tolerance": 5.0}, "tolerance is 5.0"),
        (MEAN, SHIFTS, {"tolerance": 1e-8}, "float32 resolves no less"),
        (MEAN, SHIFTS, {"scan_points": 0}, "scan_points is 0"),
        (MEAN, SHIFTS, {"batch_size": 0}, "batch_size is 0"),
        (MEAN, SHIFTS, {"labels": np.zeros(3, int)}, "labels are"),
    ],
)
def test_bad_input_gets_one_sentence(mean, shifts, changes, message):
    def never(z):
        raise AssertionError("traced")

    with pytest.raises(ValueError, match=message):
        bisect_epsilon(never, sign_of_first, mean, shifts, **({"upper": 3.0} | changes))


@pytest.mark.parametrize("labels", [[0, 2], [-1, 0]])
def test_labels_that_the_classifier_does_not_have_are_refused(labels):
    with pytest.raises(ValueError, match="classify has the classes 0 to 1"):
        bisect_epsilon(identity, sign_of_first, MEAN, SHIFTS, upper=3.0, labels=np.array(labels))


def test_a_mean_whose_logits_are_not_finite_is_refused_where_its_label_is_right_too():
    def broken_at_zero(x):
        return jnp.where(jnp.all(x == 0, axis=1, keepdims=True), jnp.inf, sign_of_first(x))

    mean = np.zeros((1, 3), np.float32)
    with pytest.raises(ValueError, match="not finite for 4 of 4"):
        bisect_epsilon(identity, broken_at_zero, mean, SHIFTS[:1], upper=3.0)


def test_values_that_are_not_finite_are_refused():
    def broken(z):
        return jnp.where(z > 1, jnp.nan, z)

    # The rays of class 1 end at their mean, which is of class 0: nobody looks beyond it.
    with pytest.raises(ValueError, match="not finite for 4 of 8"):
        bisect_epsilon(broken, sign_of_first, MEAN, SHIFTS, upper=3.0)
