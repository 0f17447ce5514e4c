import os
import subprocess
import sys

SCRIPT = """
import sys
from pathlib import Path
from magan_jax.compilation import keep_compiled
folder = keep_compiled(Path(sys.argv[1]))
import jax
jax.jit(lambda x: x * 3 + 1)(2.0)
print(folder)
"""


def kept(folder, **environment):
    """What a process of its own (the setting is one of the process) says and leaves."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("JAX_COMPILATION")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=plain | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_programs_are_kept_in_a_private_folder(tmp_path):
    folder = tmp_path / "a" / "cache"
    assert kept(folder) == str(folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert any(folder.iterdir())


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    assert kept(folder) == "None"
    assert not any(folder.iterdir())


def test_a_folder_that_cannot_be_made_is_not_used(tmp_path):
    (tmp_path / "file").write_text("")
    assert kept(tmp_path / "file" / "cache") == "None"


def test_a_folder_named_to_jax_stays_in_force(tmp_path):
    named = tmp_path / "named"
    assert kept(tmp_path / "cache", JAX_COMPILATION_CACHE_DIR=str(named)) == str(named)
    assert not (tmp_path / "cache").exists()


def test_nothing_is_kept_for_a_user_without_a_home():
    script = """
from pathlib import Path
from magan_jax.compilation import keep_compiled
def homeless():
    raise RuntimeError("Could not determine home directory.")
Path.home = homeless
print(keep_compiled())
"""
    without = ("JAX_COMPILATION", "XDG_CACHE_HOME")
    plain = {k: v for k, v in os.environ.items() if not k.startswith(without)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=plain, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "None"
