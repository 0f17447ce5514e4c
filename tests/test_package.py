"""The package's public names, which are found at their first use."""

import ast
import subprocess
import sys
from pathlib import Path

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


TRAINING, ANALYSIS = {"models", "objectives", "training"}, {"latent", "metrics"}
STUDIES = {"meta_analysis", "comparison", "conditional", "augmentation"}
OUTPUTS = {"plots", "results", "seeds", "tables", "outcome", "outputs", "run", "finished"}
LATER = OUTPUTS | STUDIES


def imported(node):
    """The parts of the package that an import statement takes something from."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module == "magan_jax":
        names = [f"magan_jax.{magan_jax._MODULES.get(a.name, a.name)}" for a in node.names]
    else:
        names = [getattr(node, "module", None) or ""]
    return [name.split(".")[1] for name in names if name.startswith("magan_jax.")]


@pytest.mark.parametrize(
    ("parts", "later"),
    [
        ({"data", "images", "prior", "networks", "sampling"}, TRAINING | ANALYSIS | LATER),
        (TRAINING, ANALYSIS | LATER),
        ({"latent"}, TRAINING | {"metrics"} | LATER),  # two functions are all that it sees
        ({"metrics"}, TRAINING | {"latent"} | LATER),
        ({"plots"}, {"training", "run"} | STUDIES),
        (OUTPUTS, STUDIES),
        *(({study}, STUDIES - {study}) for study in sorted(STUDIES)),
    ],
)
def test_data_flow_one_way(parts, later):
    root = Path(magan_jax.__file__).parent
    found = 0
    for path in root.rglob("*.py"):
        if path.relative_to(root).parts[0].removesuffix(".py") not in parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for module in imported(node):
                found += 1
                assert module not in later, (path, module)
    assert found > 3
