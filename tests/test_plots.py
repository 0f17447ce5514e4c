import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from magan_jax import analyze, cluster, labels_along_rays, measure_invariance, plots

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
    yield plots.plot_rays(rays, invariance, NAMES)
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
        figure.canvas.draw()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()  # titles, ticks, labels and legends included
        assert -0.02 <= box.x0 <= box.x1 <= width + 0.02, figure.axes[0].get_title()
        assert -0.02 <= box.y0 <= box.y1 <= height + 0.02, figure.axes[0].get_title()
        plt.close(figure)


def test_every_axis_with_numbers_has_a_label(study):
    for figure in figures(study):
        for axis in figure.axes:
            if axis.lines or axis.patches:
                assert axis.get_ylabel(), axis.get_title()
        plt.close(figure)


def test_shown_distances_are_the_analysis(study):
    analyses = study[0]
    figure = plots.plot_distances(analyses, NAMES)
    for axis, analysis in zip(figure.axes, analyses, strict=False):
        shown = np.ma.filled(axis.images[0].get_array().astype(float), np.nan)
        np.testing.assert_allclose(shown, analysis.distance)
        texts = [t.get_text() for t in axis.texts]
        assert texts[1] == f"{analysis.distance[0, 1]:.2f}"
        assert texts[-1] == "–"
    plt.close(figure)


def test_many_classes_have_colours():
    assert len(plots.class_colours(37)) == 37
    assert len(set(plots.class_colours(10))) == 10
