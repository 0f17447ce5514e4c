import json
import os
import shutil
import stat
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from magan_jax import files
from magan_jax.files import (
    check_writable,
    digest_of,
    hold_folder,
    jsonable,
    replace_folder,
    restore_folder,
    write_arrays,
    write_bytes,
    write_csv,
    write_json,
    write_set,
)
from magan_jax.latent.geometry import Interval


def test_not_a_number_becomes_null(tmp_path):
    value = {
        "a": np.array([1.0, np.nan, np.inf]),
        "b": np.float32("nan"),
        "c": jnp.int32(3),
        "d": Interval(np.array([0.5]), np.array([-np.inf])),
        "e": (True, None, "x"),
        "f": np.bool_(False),
        7: tmp_path,
    }
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    for word in ("NaN", "Infinity"):
        assert word not in text
    assert json.loads(text) == {
        "a": [1.0, None, None],
        "b": None,
        "c": 3,
        "d": [[0.5], [None]],
        "e": [True, None, "x"],
        "f": False,
        "7": str(tmp_path),
    }
    assert type(jsonable(np.int64(3))) is int


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.replace", lambda a, b: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_set_is_never_half_old_and_half_new(tmp_path, monkeypatch):
    images, labels, colours = (tmp_path / name for name in ("images", "labels", "colours"))
    write_set({labels: b"old", images: b"old"}, key=labels)
    colours.write_bytes(b"of another set")
    moves, real = [], os.replace

    def interrupted(a, b):
        if len(moves) == stop:
            raise KeyboardInterrupt
        moves.append(b)
        real(a, b)

    monkeypatch.setattr("os.replace", interrupted)
    for stop in (0, 1):
        moves.clear()
        with pytest.raises(KeyboardInterrupt):
            write_set({labels: b"new", images: b"new"}, key=labels, without=[colours])
        assert not labels.exists()
        assert images.read_bytes() == (b"old", b"new")[stop]
    stop = 2
    moves.clear()
    write_set({labels: b"new", images: b"new"}, key=labels, without=[colours])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {
        images: b"new",
        labels: b"new",
    }


def test_a_set_that_cannot_be_written_leaves_the_old_one(tmp_path):
    labels = tmp_path / "labels"
    write_set({labels: b"old"}, key=labels)
    with pytest.raises(FileNotFoundError):
        write_set({labels: b"new", tmp_path / "nowhere" / "images": b"new"}, key=labels)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == {labels: b"old"}


def test_arrays_need_no_pickle(tmp_path):
    write_arrays(tmp_path / "x.npz", {"a": np.arange(3), "b": jnp.ones((2, 2))})
    with np.load(tmp_path / "x.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["a"], [0, 1, 2])
        np.testing.assert_array_equal(stored["b"], np.ones((2, 2)))
    with pytest.raises(TypeError, match="array a holds Python objects"):
        write_arrays(tmp_path / "y.npz", {"a": np.array([{}])})


def test_table_with_empty_cells(tmp_path):
    write_csv(tmp_path / "x.csv", ["a", "b"], [[1, None], ["x,y", 0.5]])
    assert (tmp_path / "x.csv").read_text() == 'a,b\n1,\n"x,y",0.5\n'


def test_folders_are_replaced_whole(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in tmp_path.rglob("*")] == ["old", "new"]


def test_a_folder_is_not_lost_where_replacing_it_was_killed(tmp_path, monkeypatch):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    real, calls = os.replace, []

    def killed(source, target):
        calls.append(source)
        if len(calls) > 1:  # the second rename, and the one that would undo the first
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(tmp_path / "new", tmp_path / "old")
    monkeypatch.setattr(os, "replace", real)
    assert not (tmp_path / "old").exists()
    restore_folder(tmp_path / "old")
    assert (tmp_path / "old" / "old").read_text() == "old"
    # Killed while the old folder was removed, by a process of the same number.
    shutil.copytree(tmp_path / "old", tmp_path / f".old.{os.getpid()}.old")
    replace_folder(tmp_path / "new", tmp_path / "old")
    assert [p.name for p in tmp_path.rglob("*")] == ["old", "new"]
    restore_folder(tmp_path / "nothing" / "there")


def test_a_folder_that_cannot_be_written_to_is_refused(tmp_path):
    check_writable(tmp_path / "made" / "here", "--workdir")
    assert (tmp_path / "made" / "here").stat().st_mode & stat.S_IWUSR
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="--workdir is .*file.* cannot be written to"):
        check_writable(tmp_path / "file", "--workdir")
    with pytest.raises(ValueError, match="cannot be written to"):
        check_writable(tmp_path / "file" / "below", "--workdir")


def test_a_digest_tells_networks_apart_by_every_number():
    networks = {"a": np.zeros((2, 3), np.float32), "b": [np.ones(4, np.float32)]}
    same = {"a": jax.numpy.zeros((2, 3)), "b": [jax.numpy.ones(4)]}
    assert digest_of(networks) == digest_of(same)
    others = [
        networks | {"b": [np.array([1, 1, 1, 1 + 2**-23], np.float32)]},
        networks | {"a": np.zeros((3, 2), np.float32)},
        networks | {"a": np.zeros((2, 3), np.int32)},
    ]
    assert len({digest_of(one) for one in (networks, *others)}) == 4


def test_a_folder_in_which_another_process_works_is_refused(tmp_path):
    program = (
        "import sys; from pathlib import Path; from magan_jax.files import hold_folder;"
        "hold_folder(Path(sys.argv[1]), 'it'); print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="--workdir is .*, in which another call is at work"):
            hold_folder(tmp_path, "--workdir")
        other.communicate("")
    assert hold_folder(tmp_path, "--workdir")  # it has ended
    assert hold_folder(tmp_path, "--workdir")  # and this process may call again


def test_where_there_are_no_locks_nothing_is_held(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    assert not hold_folder(tmp_path, "--workdir")
