"""What every run leaves in its folder."""

import json

import numpy as np
from matplotlib.figure import Figure

from magan_jax.outputs import FigureEntry, write_outputs
from magan_jax.runtime import environment
from magan_jax.training.progress import Progress

RESULTS = {
    "config": {"class_names": (), "seed": np.int64(3)},
    "dataset": {
        "name": "squares & <circles>",
        "source": "a folder",
        "counts": {"train": 12_000, "test": 10},
        "sha256": "0" * 64,
        "official": None,
    },
    "environment": environment(),
    "seconds": {"total": 1.5},
    "lost": np.array([1.0, np.nan]),
}


def write(folder, names, **changes):
    figures = [FigureEntry(name, f"What {name} shows.", Figure(figsize=(1, 1))) for name in names]
    write_outputs(folder, RESULTS, figures, template="page.html", **changes)


def test_all_files_are_there_and_the_page_holds_the_figures(tmp_path):
    progress = Progress(None, 4, 2, {"loss": np.arange(4.0)}, 0.5, 100.0, {})
    write(
        tmp_path,
        ["first", "second"],
        tables={"claims.md": "| a |\n"},
        arrays={"found.npz": {"mean": np.eye(2)}},
        progress={"gan": progress},
    )
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["lost"] == [1.0, None]
    assert json.loads((tmp_path / "config.json").read_text()) == {"class_names": [], "seed": 3}
    assert (tmp_path / "claims.md").read_text() == "| a |\n"
    np.testing.assert_array_equal(np.load(tmp_path / "found.npz")["mean"], np.eye(2))
    assert (tmp_path / "metrics.csv").read_text().splitlines()[0] == "stage,epoch,step,loss"
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png;base64,iVBOR") == 2
    assert "What first shows." in page
    assert "squares &amp; &lt;circles&gt;" in page
    assert "12,000 training" in page


def test_what_an_earlier_run_left_does_not_stay(tmp_path):
    write(tmp_path, ["first", "second"], tables={"claims.md": "of the paper's data"})
    write(tmp_path, ["second"], tables={"claims.md": None})
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["second.png"]
    assert not (tmp_path / "claims.md").exists()
    assert not (tmp_path / "metrics.csv").exists()
    write(tmp_path, [], tables={"claims.md": None})
    assert not list((tmp_path / "figures").iterdir())
