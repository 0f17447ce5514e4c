import json
import shutil

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax.files import write_bytes
from magan_jax.run import GIVEN
from magan_jax.training import stage as module
from magan_jax.training.checkpoints import (
    CheckpointError,
    forget_unfinished,
    load_checkpoint,
    read_stage,
    same_stage,
    save_checkpoint,
)
from magan_jax.training.engine import Batch
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import init_gan
from magan_jax.training.stage import Stage, check_stage, forget_restarts, is_finished, train_stage

KEY = jax.random.key(0)
DATA = Batch(np.zeros((16, 2, 2, 1), np.uint8), np.zeros(16, np.int32))


def step(state, batch, key):
    value = state["x"] + jax.random.normal(key, (3,))
    return {"x": value}, {"first": value[0]}


def run(stage, num_epochs=3, step=step):
    return train_stage(
        stage,
        KEY,
        step,
        {"x": jnp.zeros(3)},
        DATA,
        num_epochs=num_epochs,
        batch_size=4,
        title="toy",
    )


def test_checkpoint_gives_back_the_state_and_the_history(tmp_path):
    state = init_gan(
        KEY, GANConfig(latent_dim=3, generator_width=2, discriminator_width=2), (8, 8, 1)
    )
    save_checkpoint(tmp_path / "a" / "gan", state, {"loss": np.arange(5.0)}, {"steps": 5})
    found, history = load_checkpoint(tmp_path / "a" / "gan", state)
    chex.assert_trees_all_equal(found, jax.device_get(state))
    np.testing.assert_array_equal(history["loss"], np.arange(5.0))
    assert read_stage(tmp_path / "a" / "gan") == {"steps": 5}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["gan"]  # nothing temporary is left


def flip_a_byte(folder):
    path = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def remove_a_file(folder):
    (folder / "history.npz").unlink()


def write(name, content):
    def damage(folder):
        (folder / name).write_text(content)

    return damage


@pytest.mark.parametrize(
    "damage",
    [flip_a_byte, remove_a_file]
    + [write("manifest.json", text) for text in ("{", "", "[]", "{}", "null")],
)
def test_damage_is_noticed(tmp_path, damage):
    state = {"x": jnp.arange(1000.0)}
    save_checkpoint(tmp_path / "s", state, {"loss": np.arange(5.0)}, {})
    damage(tmp_path / "s")
    with pytest.raises(CheckpointError, match="--restart"):
        load_checkpoint(tmp_path / "s", state)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"steps": 4}'])
def test_a_damaged_description_is_noticed_by_whoever_reads_it(tmp_path, text):
    stage = Stage(tmp_path / "toy", {})
    run(stage)
    write("stage.json", text)(stage.folder)
    for read in (check_stage, run, lambda stage: is_finished(stage, 3)):
        with pytest.raises(CheckpointError, match=r"stage.json has changed .*--restart"):
            read(stage)


def test_a_checkpoint_that_the_disk_has_no_room_for_is_not_begun(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=3_999_999))
    with pytest.raises(OSError, match=r"/s needs 4.0 MB on a disk that has 4.0 MB free; make room"):
        save_checkpoint(tmp_path / "s", {"x": jnp.zeros(1_000_000)}, {}, {})
    assert not any(tmp_path.iterdir())


def test_what_a_killed_process_was_writing_is_removed(tmp_path, monkeypatch):
    def killed(*_):  # what a finally clause does not see
        (tmp_path / "copy").symlink_to(next(tmp_path.glob(".s.*")))
        raise KeyboardInterrupt

    monkeypatch.setattr("magan_jax.training.checkpoints.replace_folder", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "s", {"x": jnp.zeros(3)}, {}, {})
    monkeypatch.undo()
    assert (tmp_path / "copy" / "stage.json").is_file()
    save_checkpoint(tmp_path / "other", {"x": jnp.zeros(3)}, {}, {})
    forget_unfinished(tmp_path)
    assert not (tmp_path / "copy" / "stage.json").exists()
    assert read_stage(tmp_path / "other") == {}


def test_a_foreign_file_does_no_harm(tmp_path):
    save_checkpoint(tmp_path / "s", {"x": jnp.ones(3)}, {}, {})
    (tmp_path / "s" / ".DS_Store").write_bytes(b"x")
    np.testing.assert_array_equal(load_checkpoint(tmp_path / "s", {"x": jnp.zeros(3)})[0]["x"], 1)


def test_damage_is_noticed_before_any_training(tmp_path):
    stage = Stage(tmp_path / "toy", {})
    run(stage)
    flip_a_byte(tmp_path / "toy")
    with pytest.raises(CheckpointError, match="has changed since it was written; delete"):
        check_stage(stage)


def test_networks_of_another_shape_are_refused(tmp_path):
    save_checkpoint(tmp_path / "s", {"x": jnp.zeros(3)}, {}, {})
    with pytest.raises(CheckpointError, match="does not hold the networks asked for"):
        load_checkpoint(tmp_path / "s", {"y": jnp.zeros(3)})
    for other in (4, (1, 3), ()):
        with pytest.raises(CheckpointError, match="holds networks of other shapes than those"):
            load_checkpoint(tmp_path / "s", {"x": jnp.zeros(other)})


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path / "s", {"x": jnp.ones(3)}, {}, {"steps": 1})
    monkeypatch.setattr("magan_jax.training.checkpoints.write_arrays", lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_checkpoint(tmp_path / "s", {"x": jnp.zeros(3)}, {}, {"steps": 2})
    found, _ = load_checkpoint(tmp_path / "s", {"x": jnp.zeros(3)})
    np.testing.assert_array_equal(found["x"], 1)
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


def test_a_finished_stage_is_kept(tmp_path, capsys):
    stage = Stage(tmp_path / "toy", {"seed": 0})
    first = run(stage)

    again = run(stage, step=never)
    chex.assert_trees_all_equal(again.state, jax.device_get(first.state))
    np.testing.assert_array_equal(again.history["first"], first.history["first"])
    assert 0 < again.seconds <= first.seconds  # the first one's, without its last checkpoint
    assert "kept from" in capsys.readouterr().out


def test_all_hosts_have_the_whole_progress_of_the_first(tmp_path):
    """Of one host here; the figures of a repeated call need the history on every one."""
    first = run(Stage(tmp_path / "toy", {}))
    kept = module._load(Stage(tmp_path / "toy", {}), first.state)
    for one in (kept, kept._replace(images_per_second=float("nan"))):
        sent = module._on_all_hosts(one, first.state)
        chex.assert_trees_all_equal(sent.state, one.state)
        chex.assert_trees_all_equal(sent.history, one.history)
        nothing = {"state": None, "history": None, "images_per_second": None}
        assert sent._replace(**nothing) == one._replace(**nothing)
        np.testing.assert_equal(sent.images_per_second, one.images_per_second)


def test_networks_of_another_training_are_noticed_by_what_learned_from_them(tmp_path):
    plain = {"x": {"epochs": 3}}
    run(Stage(tmp_path / "toy", plain | {GIVEN: "a"}))
    check_stage(Stage(tmp_path / "toy", plain), unknown=(GIVEN,))  # before these are there
    with pytest.raises(CheckpointError, match="another parameters of the networks it was given"):
        run(Stage(tmp_path / "toy", plain | {GIVEN: "b"}))


def test_an_interrupted_stage_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    whole = run(Stage(None, {}))

    calls = []

    def interrupted(progress):
        calls.append(progress.epochs)
        if len(calls) == 2:
            raise KeyboardInterrupt

    real = module._save
    monkeypatch.setattr(module, "_save", lambda *a: (real(*a), interrupted(a[1])))
    with pytest.raises(KeyboardInterrupt):
        run(Stage(tmp_path / "toy", {}))
    monkeypatch.setattr(module, "_save", real)
    assert read_stage(tmp_path / "toy")["steps"] == 8
    resumed = run(Stage(tmp_path / "toy", {}))
    chex.assert_trees_all_equal(resumed.state, whole.state)
    np.testing.assert_array_equal(resumed.history["first"], whole.history["first"])


def test_another_training_in_the_folder_is_refused_before_any_work(tmp_path):
    run(Stage(tmp_path / "toy", {"toy": {"epochs": 3}, "seed": 0}))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    other = Stage(tmp_path / "toy", {"toy": {"epochs": 4}, "seed": 1})
    with pytest.raises(CheckpointError, match=r"another seed, toy.epochs; delete it to"):
        check_stage(other)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    check_stage(other._replace(restart=True))
    run(other._replace(restart=True), num_epochs=4)
    assert json.loads((tmp_path / "toy" / "stage.json").read_text())["steps"] == 16


def test_an_interrupted_restart_keeps_the_old_and_goes_on_with_the_new(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    stage = Stage(tmp_path / "toy", {"seed": 0})
    old = run(stage)
    real = module._save

    def interrupted(stage, progress, finished):
        real(stage, progress, finished)
        if progress.epochs == 2:
            raise KeyboardInterrupt

    def other_step(state, batch, key):
        state, info = step(state, batch, key)
        return {"x": state["x"] + 1}, info

    monkeypatch.setattr(module, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(stage._replace(restart=True), step=other_step)
    monkeypatch.setattr(module, "_save", real)
    chex.assert_trees_all_equal(run(stage).state, jax.device_get(old.state))  # still the old one
    forget_restarts(tmp_path)  # as a call without --restart does at its end
    assert read_stage(tmp_path / "toy-restarted")["steps"] == 8
    resumed = run(stage._replace(restart=True), step=other_step)
    whole = run(Stage(None, {}), step=other_step)
    chex.assert_trees_all_equal(resumed.state, whole.state)
    chex.assert_trees_all_equal(run(stage).state, jax.device_get(whole.state))
    # Other trainings of the run may still have to be restarted: this one is not repeated.
    again = run(stage._replace(restart=True), step=lambda *_: pytest.fail("trained again"))
    chex.assert_trees_all_equal(again.state, jax.device_get(whole.state))
    assert "an earlier --restart, which did not come to its report" in capsys.readouterr().out
    forget_restarts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]
    anew = run(stage._replace(restart=True))
    chex.assert_trees_all_equal(jax.device_get(anew.state), jax.device_get(old.state))


def never(state, batch, key):
    raise AssertionError("trained again")


def test_a_restart_mends_what_is_broken(tmp_path, monkeypatch, capsys):
    stage = Stage(tmp_path / "toy", {"seed": 0}, restart=True)
    whole = run(stage)
    flip_a_byte(stage.folder)  # a restart that is done, but whose run is not
    chex.assert_trees_all_equal(run(stage).state, jax.device_get(whole.state))
    assert "trained anew, since what --restart left cannot be used" in capsys.readouterr().out
    chex.assert_trees_all_equal(run(stage, step=never).state, jax.device_get(whole.state))
    # One that was interrupted.
    forget_restarts(tmp_path)
    save_checkpoint(tmp_path / "toy-restarted", {"x": jnp.zeros(3)}, {}, {"steps": 4})
    write("stage.json", "{}")(tmp_path / "toy-restarted")
    chex.assert_trees_all_equal(run(stage).state, jax.device_get(whole.state))
    flip_a_byte(stage.folder)
    with pytest.raises(CheckpointError):  # without --restart a broken one is never passed over
        run(stage._replace(restart=False))


def test_a_restart_killed_as_it_ends_is_not_repeated(tmp_path, monkeypatch):
    """Between the note that it is done and the end of what lay there."""
    stage = Stage(tmp_path / "toy", {"seed": 0}, restart=True)
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)

    def killed(*arguments):
        write_bytes(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            run(stage)
    assert (tmp_path / "toy-restarted" / "stage.json").is_file()
    run(stage, step=never)
    forget_restarts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


def test_differences_are_named():
    assert same_stage({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 1}) == ["a.c", "d"]
    assert same_stage({"a": (1, 2)}, {"a": [1, 2]}) == []
