"""The package's public names, which are found at their first use."""

import subprocess
import sys

import pytest

import magan_jax


def test_every_public_name_is_there():
    for name in magan_jax.__all__:
        assert getattr(magan_jax, name).__name__ == name
        assert name in dir(magan_jax)
    assert sorted(magan_jax.__all__) == sorted(magan_jax._MODULES)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = magan_jax.analyse


def test_training_starts_without_the_libraries_of_the_statistics():
    program = "import sys, magan_jax.training.gan; print('sklearn' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr
