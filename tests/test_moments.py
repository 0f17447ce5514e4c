import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.latent.moments import (
    Moments,
    merge,
    merge_all,
    moments_of_groups,
    standard_deviation,
)


def sample(n=400, groups=5, offset=0.0, seed=0):
    random = np.random.default_rng(seed)
    group = random.integers(-1, groups + 2, n)  # some in no group
    group[group == 3] = 2  # one group stays empty
    return (random.normal(offset, 2, (n, 6))).astype(np.float32), group


def reference(vectors, group, groups):
    """NumPy in float64, group by group."""
    count, mean, scatter = np.zeros(groups), np.zeros((groups, 6)), np.zeros((groups, 6))
    for k in range(groups):
        rows = vectors[group == k].astype(np.float64)
        count[k] = len(rows)
        if len(rows):
            mean[k] = rows.mean(0)
            scatter[k] = ((rows - rows.mean(0)) ** 2).sum(0)
    return Moments(count, mean, scatter)


def assert_close(found, wanted, rtol=1e-4):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(a, np.float64), b, rtol=rtol, atol=1e-5)


def test_groups_equal_numpy():
    vectors, group = sample()
    assert_close(
        moments_of_groups(jnp.array(vectors), jnp.array(group), 5), reference(vectors, group, 5)
    )


def test_far_from_zero_nothing_cancels():
    """E[x²] − E[x]² in float32 has no digit left here: 1e8 against 4."""
    vectors, group = sample(offset=1e4)
    found = moments_of_groups(jnp.array(vectors), jnp.array(group), 5)
    np.testing.assert_allclose(found.scatter, reference(vectors, group, 5).scatter, rtol=2e-3)


def test_merging_parts_equals_the_whole_in_any_order():
    vectors, group = sample()
    parts = [
        moments_of_groups(jnp.array(vectors[i::7]), jnp.array(group[i::7]), 5) for i in range(7)
    ]
    whole = reference(vectors, group, 5)
    merged = parts[0]
    for part in parts[1:]:
        merged = merge(merged, part)
    assert_close(merged, whole)
    stacked = jax.tree.map(lambda *x: np.stack(x), *parts)
    assert_close(merge_all(stacked), whole)
    assert_close(merge_all(jax.tree.map(lambda x: x[::-1], stacked)), whole)


def test_weights_repeat_and_leave_out_parts():
    vectors, group = sample()
    parts = jax.tree.map(
        lambda *x: np.stack(x),
        *[moments_of_groups(jnp.array(vectors[i::3]), jnp.array(group[i::3]), 5) for i in range(3)],
    )
    chosen = np.concatenate([np.arange(400)[1::3]] * 2 + [np.arange(400)[2::3]])
    assert_close(
        merge_all(parts, np.array([0, 2, 1])), reference(vectors[chosen], group[chosen], 5)
    )


def test_standard_deviation_has_n_minus_one_and_no_value_below_two():
    vectors, group = sample()
    group[group == 4] = 1
    group[0] = 4  # a single member
    found = standard_deviation(reference(vectors, group, 5))
    np.testing.assert_allclose(found[0], vectors[group == 0].astype(float).std(0, ddof=1))
    assert np.isnan(found[[3, 4]]).all()


@pytest.mark.parametrize("empty_first", [True, False])
def test_empty_parts_change_nothing(empty_first):
    vectors, group = sample(50)
    full = moments_of_groups(jnp.array(vectors), jnp.array(group), 5)
    none = moments_of_groups(jnp.zeros((4, 6)), jnp.full(4, -1), 5)
    pair = (none, full) if empty_first else (full, none)
    chex.assert_trees_all_close(merge(*pair), full, rtol=1e-6)
