import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.latent import moments as module
from magan_jax.latent.moments import (
    Moments,
    add_rows,
    leave_one_out,
    merge,
    merge_all,
    merge_over_axis,
    moments_of_groups,
    standard_deviation,
)

pytestmark = pytest.mark.optimized


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


def rows_of_parts(steps, seed=1, groups=300, offset=0.0):
    """Rows `[steps, 40, 3, 6]` of three parts and their groups; some in none, some repeated."""
    random = np.random.default_rng(seed)
    group = random.integers(-1, groups + 2, (steps, 40, 3))
    group[:, :15, 1] = 7
    group[-1, :, 2] = groups  # nothing for this part in the last step
    vectors = random.normal(offset, 2, (*group.shape, 6)).astype(np.float32)
    return vectors, group


def add_all(vectors, group, groups=300):
    found = Moments(
        jnp.zeros((3, groups), jnp.int32), jnp.zeros((3, groups, 6)), jnp.zeros((3, groups, 6))
    )
    add = jax.jit(lambda *arguments: add_rows(*arguments))  # nothing traced elsewhere
    for v, g in zip(vectors, group, strict=True):
        found = add(found, jnp.array(v), jnp.array(g))
    return found


def parts_by_numpy(vectors, group, groups=300):
    parts = [
        reference(vectors[:, :, p].reshape(-1, 6), group[:, :, p].reshape(-1), groups)
        for p in range(vectors.shape[2])
    ]
    return Moments(*(np.stack(x) for x in zip(*parts, strict=True)))


@pytest.mark.parametrize("few_groups", [0, 10**6])
def test_rows_added_to_many_groups_equal_numpy(few_groups, monkeypatch):
    """Added to their own group, or compared with every group."""
    monkeypatch.setattr(module, "FEW_GROUPS", few_groups)
    vectors, group = rows_of_parts(steps=8)
    assert_close(add_all(vectors, group), parts_by_numpy(vectors, group))


def test_a_row_costs_the_same_with_any_large_number_of_groups():
    def operations(groups):
        parts = Moments(
            jnp.zeros((3, groups), jnp.int32), jnp.zeros((3, groups, 8)), jnp.zeros((3, groups, 8))
        )
        rows = jnp.zeros((50, 3, 8)), jnp.zeros((50, 3), jnp.int32)
        return jax.jit(add_rows).lower(parts, *rows).compile().cost_analysis()["flops"]

    assert operations(module.FEW_GROUPS) > 1.5 * operations(module.FEW_GROUPS // 2)
    assert operations(2000) < 1.1 * operations(100)


@pytest.mark.parametrize("few_groups", [0, 10**6])
def test_many_groups_far_from_zero_do_not_cancel(few_groups, monkeypatch):
    monkeypatch.setattr(module, "FEW_GROUPS", few_groups)
    vectors, group = rows_of_parts(steps=30, groups=60, offset=1e4)
    wanted = parts_by_numpy(vectors, group, 60)
    found = add_all(vectors, group, 60)
    np.testing.assert_array_equal(found.count, wanted.count)
    np.testing.assert_allclose(found.scatter, wanted.scatter, rtol=5e-3, atol=1e-2)


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_merging_over_an_axis_equals_the_whole(offset):
    vectors, group = sample(offset=offset)
    parts = [
        moments_of_groups(jnp.array(vectors[i::7]), jnp.array(group[i::7]), 5) for i in range(7)
    ]
    parts.append(moments_of_groups(jnp.zeros((4, 6)), jnp.full(4, -1), 5))  # nothing here
    stacked = Moments(*(jnp.stack(x) for x in zip(*parts, strict=True)))
    found = jax.vmap(lambda mine: merge_over_axis(mine, "devices"), axis_name="devices")(stacked)
    wanted = reference(vectors, group, 5)
    for device in range(8):
        np.testing.assert_array_equal(found.count[device], wanted.count)
        np.testing.assert_allclose(found.mean[device], wanted.mean, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.scatter[device], wanted.scatter, rtol=2e-3)


def test_merging_over_an_axis_holds_no_more_than_one_part_more():
    """Gathered moments of many classes would need the memory of every device."""
    mine = Moments(jnp.ones(5, jnp.int32), jnp.ones((5, 6)), jnp.ones((5, 6)))
    program = jax.make_jaxpr(lambda m: merge_over_axis(m, "devices"), axis_env=[("devices", 64)])
    results = [x.aval.size for step in program(mine).eqns for x in step.outvars]
    assert max(results) == 5 * 6


def test_float64_stays_float64_in_a_merge():
    vectors, group = sample()
    a, b = (reference(vectors[i::2] + 1e6, group[i::2], 5) for i in range(2))
    merged = merge(a, b)
    assert all(isinstance(x, np.ndarray) and x.dtype == np.float64 for x in merged)
    whole = reference((vectors + 1e6).astype(np.float32), group, 5)
    for x, y in zip(merged, whole, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_without_each_part_the_others_are_merged(offset):
    random = np.random.default_rng(2)
    group = random.integers(0, 12, 600)
    part = random.integers(0, 5, 600)
    part[group == 3] = 2  # a group of one part alone
    part[group == 4] = np.where(np.arange((group == 4).sum()) < 2, 0, 1)  # nearly of one part
    group[part == 4] = 12  # an empty part
    vectors = random.normal(offset, 2, (600, 6))
    parts = Moments(
        *(
            np.stack(x)
            for x in zip(
                *(reference(vectors[part == p], group[part == p], 12) for p in range(5)),
                strict=True,
            )
        )
    )
    for r, found in enumerate(leave_one_out(parts, merge_all(parts))):
        wanted = reference(vectors[part != r], group[part != r], 12)
        np.testing.assert_array_equal(found.count, wanted.count)
        np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(found.scatter, wanted.scatter, rtol=1e-8, atol=1e-8)


def test_merging_many_groups_slice_by_slice_changes_nothing(monkeypatch):
    vectors, group = rows_of_parts(steps=8)
    parts = parts_by_numpy(vectors, group)
    whole = merge_all(parts, np.array([2, 0, 1]))
    monkeypatch.setattr(module, "_AT_ONCE", 3 * 6 * 7)
    chex.assert_trees_all_close(merge_all(parts, np.array([2, 0, 1])), whole, rtol=1e-12)
