import subprocess
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import QuadMesh
from scipy.cluster.hierarchy import linkage

from magan_jax import analyze, cluster, labels_along_rays, measure_invariance, plots
from magan_jax.plots.geometry import draw_dendrogram, draw_distances
from magan_jax.plots.style import png_of

NAMES = ["T-shirt/top", "Trousers", "Pullover", "Ankle boot"]
KEY = jax.random.key(0)


def identity(z):
    return z


def classify(x):
    """Three classes and a fourth that never occurs."""
    return jnp.concatenate([x[:, :3], jnp.full((len(x), 1), -99.0)], axis=1)


@pytest.fixture(scope="module")
def study():
    analyses = [
        analyze(KEY, identity, classify, latent_dim=5, num_classes=4, num_samples=n)
        for n in (60, 900)
    ]
    invariance = measure_invariance(
        KEY, identity, classify, analyses[1], num_directions=30, tolerance=1e-2
    )
    rays = labels_along_rays(identity, classify, analyses[1], num_points=21)
    return analyses, [cluster(a) for a in analyses], invariance, rays


def figures(study):
    analyses, clusterings, invariance, rays = study
    images = np.zeros((4, 8, 8, 1))
    yield plots.plot_samples(np.zeros((13, 8, 8, 3)), "thirteen")
    yield plots.plot_class_means(images, analyses[1], NAMES)
    yield plots.plot_distances(analyses, NAMES)
    yield plots.plot_dendrograms(clusterings[0], analyses[0], NAMES)
    yield plots.plot_nearest(analyses, NAMES)
    yield plots.plot_map(clusterings, analyses, NAMES)
    yield plots.plot_cophenetic(clusterings, analyses)
    yield plots.plot_epsilon(analyses, invariance, NAMES)
    yield plots.plot_shifts(
        np.zeros((3, 4, 8, 8, 1)),
        np.tile([0, 1, 2, -1], (3, 1)),
        analyses[1].epsilon,
        NAMES,
        "shifts",
    )
    yield plots.plot_rays(rays, invariance, NAMES, 1000)
    history = {
        name: np.linspace(1, 0.5, 40)
        for name in (
            "discriminator_loss",
            "generator_loss",
            "real_taken_for_real",
            "fake_taken_for_real",
            "train_accuracy",
        )
    }
    yield plots.plot_training(
        history, history | {"test_accuracy": np.array([0.7, 0.8])}, 20, 20, (2, 1)
    )


def test_every_figure_keeps_everything_inside_its_edges(study):
    for figure in figures(study):
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()  # titles, ticks, labels and legends included
        assert -0.02 <= box.x0 <= box.x1 <= width + 0.02, figure.axes[0].get_title()
        assert -0.02 <= box.y0 <= box.y1 <= height + 0.02, figure.axes[0].get_title()


def test_every_axis_with_numbers_has_a_label(study):
    for figure in figures(study):
        for axis in figure.axes:
            if axis.lines or axis.patches:
                assert axis.get_ylabel(), axis.get_title()


def test_shown_distances_are_the_analysis(study):
    analyses = study[0]
    figure = plots.plot_distances(analyses, NAMES)
    for axis, analysis in zip(figure.axes, analyses, strict=False):
        shown = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
        np.testing.assert_allclose(shown, analysis.distance)
        texts = [t.get_text() for t in axis.texts]
        assert texts[1] == f"{analysis.distance[0, 1]:.2f}"
        assert texts[-1] == "–"


def test_many_classes_have_colours():
    assert len(plots.class_colours(37)) == 37
    for count in (3, 10, 15, 100):
        assert len(set(plots.class_colours(count))) == count


def test_names_of_classes_are_no_formulas_and_do_not_vanish(study):
    analyses, _, invariance, rays = study
    odd = ["b$_$c", "$5 to $10", "_hidden", "a_b"]
    figures = [
        plots.plot_nearest(analyses, odd),
        plots.plot_epsilon(analyses, invariance, odd),
        plots.plot_rays(rays, invariance, odd, 1000),
        plots.plot_embeddings({"t": np.arange(8.0).reshape(4, 2)}, {"t": np.arange(4)}, odd),
    ]
    for figure in figures:
        png_of(figure)
    legend = figures[-1].legends or [figures[-1].axes[0].get_legend()]
    assert [text.get_text().strip() for text in legend[0].get_texts()] == odd


def test_epsilon_beyond_the_rays_is_not_cut_off(study):
    analyses, _, invariance, _ = study
    far = [one._replace(epsilon=one.epsilon * 50) for one in analyses]
    (axis,) = plots.plot_epsilon([*far, far[0]], invariance, NAMES).axes
    assert axis.get_ylim()[1] > np.nanmax([one.epsilon for one in far])


@pytest.mark.parametrize("which", [0, 1])
def test_a_measured_epsilon_that_is_a_lower_bound_is_not_drawn_as_measured(study, which):
    analyses, _, invariance, _ = study
    censored = np.arange(len(NAMES)) == which
    beyond = invariance._replace(
        measured=np.where(censored, invariance.upper, 0.5), measured_censored=censored
    )
    figure = plots.plot_epsilon(analyses, beyond, NAMES)
    (axis,) = figure.axes
    bars = axis.containers[2 * len(analyses)]
    assert [bar.get_fill() for bar in bars] == [not one for one in censored]
    legend = figure.legends[0]
    filled = {
        text.get_text(): patch.get_fill()
        for text, patch in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if text.get_text().startswith("measured")
    }
    open_bar, whole_bar = f"measured: beyond {invariance.upper:g}", "measured: 5 % of random"
    assert filled.pop(open_bar) is False
    ((label, fill),) = filled.items()
    assert label.startswith(whole_bar)
    assert fill


def test_a_distance_that_does_not_exist_is_a_dash_that_can_be_seen(study):
    distance = np.array([[0, 2, np.nan], [2, 0, np.nan], [np.nan, np.nan, np.nan]])
    figure, axis = plt.subplots()
    draw_distances(axis, distance, NAMES[:3], label="of something")
    colours = {text.get_text(): text.get_color() for text in axis.texts}
    assert colours == {"0.00": "white", "2.00": "black", "–": "black"}
    assert figure.axes[1].get_ylabel() == "of something"


def test_a_class_that_one_seed_lacks_is_shown_of_the_others():
    values = np.array([[0.1, 0.2, np.nan], [0.3, np.nan, np.nan]])
    figure = plots.plot_epsilon_of_seeds({"ε": values}, NAMES[:3])
    heights = [bar.get_height() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(heights, [0.2, 0.2, np.nan])
    distances = np.stack([np.full((2, 2), v) for v in (1.0, 3.0, np.nan)])
    figure = plots.plot_distances_of_seeds(distances, NAMES[:2], 1000)
    mean, spread = (
        np.ma.filled(axis.images[0].get_array().astype(float), np.nan) for axis in figure.axes[:2]
    )
    np.testing.assert_allclose(mean, 2.0)
    np.testing.assert_allclose(spread, np.sqrt(2))


def test_an_exit_below_the_axis_is_whole_and_says_so(study):
    """As 0.01 it would be read, where its mark is drawn; half of it was cut off there."""
    analyses, _, invariance, _ = study
    plus, censored = np.array(invariance.plus), np.array(invariance.plus_censored)
    plus[1], censored[1] = 0.004, False
    below = invariance._replace(plus=plus, plus_censored=censored)
    figure = plots.plot_epsilon(analyses, below, NAMES)
    before = plots.plot_epsilon(analyses, invariance, NAMES)
    texts = [[t.get_text() for t in f.axes[0].texts] for f in (figure, before)]
    assert texts[0].count("<0.01") == texts[1].count("<0.01") + 1
    (marks,) = (c for c in figure.axes[0].collections if c.get_label() == "exit along +σ")
    assert not marks.get_clip_on()
    assert 0.01 in marks.get_offsets()[:, 1]


def test_numbers_on_logarithmic_axes_are_written_out(study):
    analyses, _, invariance, _ = study
    figure = plots.plot_epsilon(analyses, invariance, NAMES)
    figure.draw_without_rendering()
    shown = {t.get_text() for t in figure.axes[0].get_yticklabels(which="both")} - {""}
    assert {"0.01", "0.1", "1"} <= shown
    assert all(float(text) > 0 for text in shown)  # no "$10^{-1}$"


def test_colours_of_a_ray_change_where_it_leaves_its_class():
    templates = jax.random.normal(jax.random.key(3), (4, 5))

    def nearest_template(x):
        return x @ templates.T

    analysis = analyze(KEY, identity, nearest_template, latent_dim=5, num_classes=4)
    invariance = measure_invariance(KEY, identity, nearest_template, analysis, num_directions=2)
    rays = labels_along_rays(identity, nearest_template, analysis, num_points=21)
    figure = plots.plot_rays(rays, invariance, NAMES, 1000)
    meshes = [c for c in figure.axes[0].collections if isinstance(c, QuadMesh)]
    checked = 0
    for k, mesh in enumerate(meshes):
        edges, colours = mesh.get_coordinates()[0, :, 0], mesh.get_array()[0]
        assert (np.diff(edges) > 0).all()
        own = np.flatnonzero(colours == k)
        for end, edge, censored in (
            (-invariance.minus[k], edges[own[0]], invariance.minus_censored[k]),
            (invariance.plus[k], edges[own[-1] + 1], invariance.plus_censored[k]),
        ):
            if not censored and end:
                checked += 1
                assert edge == pytest.approx(end)
    assert checked >= 4


@pytest.mark.parametrize("method", ["single", "average", "complete", "ward"])
def test_each_merge_shows_its_own_support_even_where_heights_are_equal(method):
    # Two pairs at the same distance, of which one is certain and one is not.
    means = np.array([[0.0], [1.0], [10.0], [11.0], [30.0], [30.5]])
    merges = linkage(means, method)
    support = np.arange(len(merges)) / 100
    axis = plt.figure().subplots()
    draw_dendrogram(axis, merges, list("abcdef"), support)
    names = [text.get_text() for text in axis.get_xticklabels()]
    pairs = {frozenset("ab"), frozenset("cd"), frozenset("ef")}
    shown = {}
    for text in axis.texts:
        left = int((text.xy[0] - 10) // 10)  # scipy has a leaf at 5, 15, 25, …
        members = frozenset(names[left : left + 2])
        if members in pairs and text.xy[1] < 1.5:
            shown[members] = text.get_text()
    for number, (one, other) in enumerate(merges[:3, :2].astype(int)):
        assert shown[frozenset(("abcdef"[one], "abcdef"[other]))] == f"{support[number]:.0%}"


def test_a_users_own_figures_stay_as_they_are():
    program = """
import matplotlib
matplotlib.use("svg")
before = dict(matplotlib.rcParams)
import numpy as np
from magan_jax import plots
from magan_jax.plots.style import png_of
png_of(plots.plot_epsilon_of_seeds({"e": np.ones((3, 2))}, ["a", "$b$"]))
import matplotlib.pyplot as plt
print(dict(matplotlib.rcParams) == before, plt.get_fignums())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "True []", found.stderr
