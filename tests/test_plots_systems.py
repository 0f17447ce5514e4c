import numpy as np
import pytest

from magan_jax import plots
from magan_jax.comparison.systems import SYSTEMS

TITLES = [system.title for system in SYSTEMS.values()]
RANDOM = np.random.default_rng(0)
REPORTED = {
    system.title: (system.reported.precision, system.reported.recall) for system in SYSTEMS.values()
}


def precisions(seeds):
    return {title: RANDOM.uniform(0.2, 0.9, (seeds, 2)) for title in TITLES}


def curves(seeds):
    return {
        title: {
            "frechet_distance": RANDOM.uniform(5, 500, (seeds, 4)),
            "precision": RANDOM.uniform(0, 1, (seeds, 4)),
            "recall": RANDOM.uniform(0, 1, (seeds, 4)),
        }
        for title in TITLES
    }


def figures():
    images = {title: RANDOM.uniform(-1, 1, (16, 28, 28, 1)) for title in TITLES[:3]}
    images[TITLES[1]] = None
    reasons = {TITLES[1]: "GAN: discriminator_loss became nan at step 3; try a lower rate."}
    yield plots.plot_samples_of_systems(images, reasons)
    yardstick = {"frechet_distance": 1.0, "precision": 0.9, "recall": np.nan}
    for seeds in (1, 3):
        yield plots.plot_metric_curves(curves(seeds), yardstick)
        yield plots.plot_precision_recall(precisions(seeds), REPORTED)
    losses = {f"{player}_loss": np.linspace(1, 2, 90) for player in ("discriminator", "generator")}
    yield plots.plot_losses_of_systems(dict.fromkeys(TITLES[:5], losses), dict.fromkeys(TITLES, 30))
    points = {title: RANDOM.normal(size=(30, 2)) for title in "abcd"}
    labels = dict.fromkeys("abcd", np.arange(30) % 3)
    yield plots.plot_embeddings(points, labels, ["one", "two", "three"])
    yield plots.plot_image_rows(list(np.zeros((3, 5, 8, 8, 1))), ["a", "b", "c"], "rows")


def test_every_figure_keeps_everything_inside_its_edges():
    for figure in figures():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert -0.02 <= box.x0 <= box.x1 <= width + 0.02
        assert -0.02 <= box.y0 <= box.y1 <= height + 0.02


def test_a_failed_system_says_why_in_its_row():
    figure = next(figures())
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    assert texts == ["GAN: discriminator_loss became nan at step 3; try a lower rate."]


def test_curves_are_means_over_seeds_and_their_range():
    found = curves(3)
    figure = plots.plot_metric_curves(found, dict.fromkeys(found[TITLES[0]], np.nan))
    for axis, metric in zip(figure.axes, ("frechet_distance", "precision", "recall"), strict=True):
        for line, title in zip(axis.lines, TITLES, strict=True):
            np.testing.assert_allclose(line.get_ydata(), found[title][metric].mean(axis=0))
        ends = axis.collections[0].get_paths()[0].vertices[:, 1]
        assert ends.min() == pytest.approx(found[TITLES[0]][metric].min())
        assert ends.max() == pytest.approx(found[TITLES[0]][metric].max())


def test_ours_are_filled_and_the_reports_hollow():
    found = precisions(2)
    figure = plots.plot_precision_recall(found, REPORTED)
    lines = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    hollow = {(*line.get_xdata(), *line.get_ydata()) for line in lines if line.get_mfc() == "none"}
    assert hollow == {(r, p) for p, r in REPORTED.values() if r is not None}
    filled = {line.get_label(): line for line in lines if line.get_label() in TITLES}
    for title, points in found.items():
        precision, recall = points.mean(axis=0)
        assert filled[title].get_xdata() == pytest.approx([recall])
        assert filled[title].get_ydata() == pytest.approx([precision])


def test_no_two_systems_look_alike():
    figure = plots.plot_precision_recall(precisions(1), REPORTED)
    handles, names = figure.axes[0].get_legend_handles_labels()
    looks = {(h.get_marker(), h.get_color()) for h in handles}
    assert len(looks) == len(names) == len(TITLES) + 1
