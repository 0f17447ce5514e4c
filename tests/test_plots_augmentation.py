"""Figures of the comparison of arms say what their arrays say."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from magan_jax.plots.augmentation import (
    plot_accuracy,
    plot_differences,
    plot_neighbourhoods,
    plot_pools,
    plot_purity,
)
from magan_jax.plots.style import GREY


def test_accuracies_are_means_with_bands():
    values = np.array([[0.6, 0.7], [0.8, 0.82]])
    figure = plot_accuracy({"real only": values}, {"all labels": values + 0.1}, [10, 50])
    arm, bound = figure.axes[0].lines
    np.testing.assert_allclose(arm.get_ydata(), [0.65, 0.81])
    np.testing.assert_allclose(bound.get_ydata(), [0.75, 0.91])
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    assert {0.6, 0.7, 0.8, 0.82} <= set(np.round(band[:, 1], 9))
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["real only", "bound: all labels"]


def test_of_a_single_budget_arms_stand_side_by_side_with_bars():
    values = {"real only": np.array([[0.6, 0.7]]), "anchors": np.array([[0.62, 0.66]])}
    figure = plot_accuracy(values, {}, [10])
    (axis,) = figure.axes
    first, second = (line.get_xdata()[0] for line in axis.lines)
    assert first < 10 < second
    bars = [bar.get_segments()[0] for bar in axis.collections]
    np.testing.assert_allclose(
        bars, [[[first, 0.6], [first, 0.7]], [[second, 0.62], [second, 0.66]]]
    )
    assert [t.get_text() for t in axis.get_xticklabels()] == ["10"]


def test_each_difference_stands_in_its_arms_row_though_baselines_differ():
    found = {
        5: {"classical": (0.01, -0.01, 0.03), "anchors": (0.02, 0.01, 0.03)},
        50: {"real": (-0.02, -0.03, -0.01), "anchors": (0.04, np.nan, np.nan)},
    }
    figure = plot_differences(found, {5: "real", 50: "classical"})
    left, right = figure.axes
    rows = [label.get_text() for label in left.get_yticklabels()]
    assert rows == ["classical", "anchors", "real"]
    for axis, arms in ((left, found[5]), (right, found[50])):
        points = [line for line in axis.lines if line.get_marker() == "o"]
        places = {rows[int(line.get_ydata()[0])]: line.get_xdata()[0] for line in points}
        assert places == pytest.approx({name: 100 * ends[0] for name, ends in arms.items()})
    intervals = [line for line in right.lines if len(line.get_xdata()) == 2]
    assert sum(line.get_marker() == "None" for line in intervals) == 2  # one, and the zero


def test_six_budgets_are_three_beside_each_other_and_none_is_empty():
    numbers = (5, 10, 20, 50, 100)
    gains = {n: {"anchors": (n / 1000, np.nan, np.nan)} for n in numbers}
    figure = plot_differences(gains, dict.fromkeys(numbers, "real"))
    assert [axis.get_title() for axis in figure.axes] == [f"{n} labels per class" for n in numbers]
    assert [axis.get_subplotspec().colspan.start for axis in figure.axes] == [0, 1, 2, 0, 1]
    pure = plot_purity({n: {"anchors": (0.5, n)} for n in numbers}, ["anchors"])
    assert len({axis.get_xlim() for axis in pure.axes}) == 1
    assert pure.axes[0].get_xlim()[1] > 100
    assert [axis.get_ylabel() != "" for axis in pure.axes] == [True, False, False, True, False]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6])
def test_the_left_panel_of_each_row_names_the_vertical_axis(count):
    figure = plot_purity({n: {"anchors": (0.5, 1.0)} for n in range(2, 2 + count)}, ["anchors"])
    named = {axis for axis in figure.axes if axis.get_ylabel()}
    assert named == {axis for axis in figure.axes if axis.get_subplotspec().colspan.start == 0}


def test_an_arm_has_one_colour_and_marker_in_all_figures():
    arms = ["real only", "a", "b", "c"]
    figure = plot_purity(
        {5: {"b": (0.9, 2.0)}, 50: {"a": (0.5, 1.0), "b": (0.8, 3.0), "all": (1.0, 1.5)}}, arms
    )
    left, right = figure.axes
    line = plot_accuracy({title: np.array([[0.5]]) for title in arms}, {}, [5]).axes[0].lines
    for point, place in ((left.lines[0], 2), (right.lines[0], 1), (right.lines[1], 2)):
        assert to_rgb(point.get_color()) == to_rgb(line[place].get_color())
        assert point.get_marker() == line[place].get_marker()
    assert to_rgb(right.lines[2].get_color()) == to_rgb(GREY)
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["a", "b", "bound: all"]


@pytest.mark.parametrize("channels", [1, 3])
def test_pools_are_shown_under_their_labels(channels):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, channels)).astype(np.uint8)
    figure = plot_pools({"anchors": (images, np.array([1, 0, 1]))}, ["bag", "coat"], "ten labels")
    assert [axis.get_title() for axis in figure.axes] == ["coat", "bag", "coat"]
    for axis, image in zip(figure.axes, images, strict=True):
        shown = axis.images[0].get_array()
        np.testing.assert_allclose(shown, image.squeeze() / 255, atol=1e-6)
    assert figure.axes[0].get_ylabel() == "anchors"


def test_neighbourhoods_begin_with_the_latent_alone_and_show_exits():
    entry = {
        "scale": (0.4, 0.8), "distance": (0.3, 0.6), "alone": [0.5, 0.6],
        "of_class": [[0.7, 0.6], [0.6, 0.4]],
        "right": np.array([[0.55, 0.6, 0.65], [0.55, 0.5, 0.5]]), "exit": [0.15, 3.0],
    }  # fmt: skip
    figure = plot_neighbourhoods({10: entry}, ["bag", "coat"])
    left, right = figure.axes
    np.testing.assert_allclose(left.lines[0].get_xydata(), [[0, 0.5], [0.3, 0.7], [0.6, 0.6]])
    assert left.lines[1].get_xydata().tolist() == [[0.15, pytest.approx(0.6)]]
    assert left.lines[3].get_xydata().tolist() == [[0.6, 0.4]]  # beyond, at the edge
    np.testing.assert_allclose(right.lines[1].get_xydata(), [[0, 0.55], [1, 0.5], [2, 0.5]])
    legends = [[t.get_text() for t in one.get_texts()] for one in figure.legends]
    assert legends == [["bag", "coat"], ["s = 0.4", "s = 0.8"]]
