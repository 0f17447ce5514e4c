import time

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.parallel import DEVICES, local_part, on_devices
from magan_jax.training import engine
from magan_jax.training.engine import Batch, _chunk_length, train
from magan_jax.training.progress import Progress

pytestmark = pytest.mark.optimized

N = 48
DATA = Batch(np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2, 1), np.arange(N, dtype=np.int32))


def counting_step(state, batch, key):
    """Counts how often each example was seen; adds noise of the whole batch's key."""
    seen = jnp.zeros(N).at[batch.labels].add(1)
    size = batch.labels.shape[0] * jax.lax.axis_size(DEVICES)
    noise = local_part(jax.random.normal(key, (size,)))
    total = jax.lax.psum(jnp.sum(noise * batch.images[:, 0, 0, 0]), DEVICES)
    new = {"seen": state["seen"] + jax.lax.psum(seen, DEVICES), "sum": state["sum"] + total}
    return new, {"total": total, "first": jax.lax.pmin(batch.labels[0] * 1.0, DEVICES)}


def fresh():
    return {"seen": jnp.zeros(N), "sum": jnp.zeros(())}


def run(**changes):
    settings = {"num_epochs": 3, "batch_size": 8, "quiet": True} | changes
    return train(jax.random.key(7), counting_step, fresh(), DATA, **settings)


def test_an_epoch_sees_every_example_once_in_a_new_order():
    found = run()
    np.testing.assert_array_equal(found.state["seen"], 3)
    assert (found.steps, found.epochs, found.steps_per_epoch) == (18, 3, 6)
    chex.assert_shape(found.history["total"], (18,))
    orders = found.history["first"].reshape(3, 6)
    assert len({tuple(order) for order in orders}) == 3
    one = run(num_epochs=1)
    np.testing.assert_array_equal(one.state["seen"], 1)


def test_left_over_examples_change_from_epoch_to_epoch():
    found = run(batch_size=20, num_epochs=10, num_devices=1)
    assert found.steps_per_epoch == 2
    seen = np.asarray(found.state["seen"])
    assert seen.sum() == 400
    assert seen.min() >= 4  # every example comes in most epochs


@pytest.mark.parametrize("chunk_steps", [1, 2, 5, 6, 1000])
def test_result_does_not_depend_on_chunks(chunk_steps):
    chex.assert_trees_all_equal(run(chunk_steps=chunk_steps).state, run().state)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_result_does_not_depend_on_devices(num_devices):
    found, all_four = run(num_devices=num_devices), run()
    chex.assert_trees_all_close(found.state, all_four.state, rtol=1e-5)
    chex.assert_trees_all_close(found.history["total"], all_four.history["total"], rtol=1e-4)


def test_result_does_not_depend_on_resuming():
    kept = []
    whole = run(after_epoch=lambda progress: kept.append(jax.device_get(progress)))
    assert [progress.epochs for progress in kept] == [1, 2, 3]
    resumed = run(resume=Progress(*kept[0]))
    chex.assert_trees_all_equal(resumed.state, whole.state)
    np.testing.assert_array_equal(resumed.history["total"], whole.history["total"])


def test_evaluation_joins_the_history_once_per_epoch():
    found = run(evaluate=lambda state: {"seen": float(state["seen"].sum())})
    np.testing.assert_array_equal(found.history["seen"], [48, 96, 144])


def test_an_epoch_of_a_prime_number_of_steps_is_cut_in_two_lengths():
    assert _chunk_length(12, 5) == 4
    assert _chunk_length(937, 128) == 128
    assert _chunk_length(468, 128) == 117
    data = jax.tree.map(lambda x: x[:44], DATA)  # 11 steps, in chunks of 5, 5 and 1
    settings = {"num_epochs": 2, "batch_size": 4, "quiet": True, "num_devices": 1}
    cut = train(jax.random.key(1), counting_step, fresh(), data, chunk_steps=5, **settings)
    whole = train(jax.random.key(1), counting_step, fresh(), data, **settings)
    chex.assert_trees_all_equal(cut.state, whole.state)
    np.testing.assert_array_equal(cut.history["total"], whole.history["total"])


def test_the_callers_state_survives():
    state = fresh()
    train(jax.random.key(0), counting_step, state, DATA, num_epochs=1, batch_size=8, quiet=True)
    np.testing.assert_array_equal(state["seen"], 0)


def test_step_is_traced_once():
    traced = chex.assert_max_traces(counting_step, n=1)
    train(
        jax.random.key(0),
        traced,
        fresh(),
        DATA,
        num_epochs=4,
        batch_size=8,
        chunk_steps=2,
        quiet=True,
    )


def test_a_value_that_is_not_finite_stops_with_its_step():
    def step(state, batch, key):
        return state + 1, {"loss": jnp.where(state == 4, jnp.nan, 1.0)}

    with pytest.raises(FloatingPointError, match=r"loss became nan at step 4"):
        train(jax.random.key(0), step, jnp.zeros(()), DATA, num_epochs=1, batch_size=8, quiet=True)


@pytest.mark.parametrize("num_epochs", [1, 2])
def test_a_state_that_an_epoch_spoils_is_noticed_before_it_is_kept(num_epochs):
    """Each step's loss is that of the parameters before it: an epoch's last one has no next yet."""

    def step(state, batch, key):
        return jnp.where(state == 5, jnp.nan, state + 1), {"loss": 1.0}

    kept, seen = [], []
    settings = {"num_epochs": num_epochs, "batch_size": 8, "quiet": True}
    settings |= {"after_epoch": kept.append, "evaluate": lambda state: seen.append(state) or {}}
    with pytest.raises(FloatingPointError, match="the training state is not finite after step 5;"):
        train(jax.random.key(0), step, jnp.zeros(()), DATA, **settings)
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(FloatingPointError, match="the training state of training 2 of 3 is not f"):
        train(keys, step, jnp.array([-90.0, 0.0, 100.0]), DATA, **settings)
    assert not kept
    assert not seen


def test_a_state_that_is_not_finite_is_not_gone_on_from():
    def step(state, batch, key):
        return state, {"loss": 1.0}

    settings = {"num_epochs": 1, "batch_size": 8, "quiet": True}
    found = train(jax.random.key(0), step, jnp.zeros(()), DATA, **settings)
    spoiled = found._replace(state=jnp.full((), jnp.nan))
    with pytest.raises(FloatingPointError, match="the training state is not finite after step 5;"):
        train(jax.random.key(0), step, jnp.zeros(()), DATA, resume=spoiled, **settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 0}, "between 1 and the 48"),
        ({"batch_size": 49}, "between 1 and the 48"),
        ({"batch_size": 6}, "6, which 4 devices cannot share equally; use a multiple, such as 8"),
        ({"num_epochs": 0}, "num_epochs is 0"),
        ({"chunk_steps": 0}, "chunk_steps is 0"),
        ({"num_devices": 5}, "num_devices is 5, but this process has 4"),
        ({"resume": Progress(fresh(), 5, 5, {}, 0.0, 0.0, {})}, "5 steps per epoch"),
    ],
)
def test_sizes_that_cannot_work_are_refused_before_tracing(changes, message):
    def never(state, batch, key):
        raise AssertionError("traced")

    settings = {"num_epochs": 1, "batch_size": 8, "quiet": True} | changes
    with pytest.raises(ValueError, match=message):
        train(jax.random.key(0), never, fresh(), DATA, **settings)


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_devices_share_rows_in_order(num_devices):
    rows = jnp.arange(8.0)
    gather = on_devices(
        lambda x: jax.lax.all_gather(local_part(x) * 2, DEVICES, tiled=True),
        num_devices=num_devices,
    )
    np.testing.assert_array_equal(gather(rows), rows * 2)


def test_the_host_looks_at_a_chunk_while_the_next_one_is_computed(monkeypatch):
    """Six steps an epoch in chunks of two; an epoch's end waits for all of it."""
    events = []
    on_devices, device_get = engine.on_devices, jax.device_get

    def logged(*arguments, **settings):
        call = on_devices(*arguments, **settings)

        def dispatch(*given):
            events.append("go")
            return call(*given)

        return dispatch

    def look(tree):
        events.append("look")
        return device_get(tree)

    monkeypatch.setattr(engine, "on_devices", logged)
    monkeypatch.setattr(engine.jax, "device_get", look)
    found = run(num_epochs=2, chunk_steps=2)
    assert events == 2 * ["go", "go", "look", "go", "look", "look"]
    monkeypatch.undo()
    chex.assert_trees_all_equal(found.history, run(num_epochs=2).history)


def test_speed_leaves_out_every_chunk_that_is_compiled(monkeypatch):
    """Of chunks of 4 and 2 steps in an epoch each is compiled once, for a thousand seconds."""
    now, late = iter(np.arange(1000.0)), [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: next(now) + late[0])
    monkeypatch.setattr(engine, "_chunk_length", lambda *_: 4)
    real = engine.chunk_function

    def compiling(*arguments):
        late[0] += 1000
        return real(*arguments)

    monkeypatch.setattr(engine, "chunk_function", compiling)
    found = run(num_epochs=3)
    assert late[0] == 2000
    assert found.images_per_second == pytest.approx(2 * 6 * 8 / 4)


def test_a_key_without_a_type_is_refused():
    for key in (jax.random.PRNGKey(0), jax.random.PRNGKey(0)[None]):
        with pytest.raises(ValueError, match=r"a typed key, or several, is needed"):
            train(key, counting_step, fresh(), DATA, num_epochs=1, batch_size=8)


def test_speed_leaves_out_the_first_chunk_and_what_comes_between(monkeypatch):
    """Each look at the clock is a second later; evaluation is as long as a hundred."""
    now = iter(np.arange(1000.0))
    late = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: next(now) + late[0])

    def evaluate(state):
        late[0] += 100
        return {}

    found = run(num_epochs=2, chunk_steps=3, evaluate=evaluate)
    # Of four chunks three are timed, each from the look before it or from the epoch's begin.
    assert found.images_per_second == pytest.approx(3 * 3 * 8 / 3)
