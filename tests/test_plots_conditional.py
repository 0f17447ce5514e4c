import numpy as np

from magan_jax import plots
from magan_jax.latent.conditional import ConditionalScores
from magan_jax.latent.exits import Exits
from magan_jax.plots.conditional import Curve, Mark

RANDOM = np.random.default_rng(0)
NAMES = ["T-shirt/top", "Trousers", "Ankle boot"]


def curve(title, seeds):
    cosine = np.linspace(0.6, 1, 9)
    return Curve(
        title,
        [(cosine, 1 - (1 - cosine) * RANDOM.uniform(0.5, 1)) for _ in range(seeds)],
        [Mark("Medium 1", 0.8, 0.98), Mark("Medium 2", 0.75, 0.97)],
        [Mark("Simple", 0.92, 0.995)],
    )


def figures():
    for seeds in (1, 3):
        panels = {f"d = {d}": [curve("ELBO", seeds), curve("MMD", seeds)] for d in (2, 10, 20)}
        yield plots.plot_trade_off(dict(list(panels.items())[:seeds]), 0.7)
    theta, n = (x.ravel() for x in np.meshgrid(np.linspace(0, 1, 11), (1, 2, 3, 5)))
    shares = RANDOM.uniform(0.5, 1, (44, 3))
    yield plots.plot_one_scale(theta, n, ConditionalScores(shares, shares))
    epsilon = np.minimum(RANDOM.uniform(0, 3, (3, 40)), 2.0)
    yield plots.plot_exit_curves(
        Exits(epsilon, epsilon == 2.0, np.arange(3)),
        np.linspace(0, 1, 11),
        RANDOM.uniform(0, 1, (11, 3)),
        NAMES,
    )
    for d in (2, 20):
        thetas = {"Medium 1": RANDOM.uniform(size=(1, d)), "Medium 2": RANDOM.uniform(size=(3, d))}
        yield plots.plot_thetas(thetas, NAMES, np.arange(d)[::-1])
    yield plots.plot_plane(
        RANDOM.normal(size=(60, 2)),
        np.arange(60) % 3,
        RANDOM.normal(size=(3, 2)),
        np.ones((3, 2)),
        lambda z: np.zeros((len(z), 4, 4, 3)),
        NAMES,
        side=5,
    )
    losses = {"reconstruction": np.linspace(9, 8, 60)}
    histories = {"ELBO, d = 2": losses | {"elbo": np.ones(60)}, "MMD, d = 2": losses}
    yield plots.plot_vae_training(histories, dict.fromkeys(histories, 20))


def test_every_figure_keeps_everything_inside_its_edges():
    for figure in figures():
        figure.draw_without_rendering()
        width, height = figure.get_size_inches()
        box = figure.get_tightbbox()
        assert -0.02 <= box.x0 <= box.x1 <= width + 0.02
        assert -0.02 <= box.y0 <= box.y1 <= height + 0.02


def test_a_line_has_its_colour_in_every_panel():
    panels = {"d = 2": [curve("ELBO", 1), curve("MMD", 1)], "d = 20": [curve("MMD", 1)]}
    figure = plots.plot_trade_off(panels, 0.7)
    first, second = (
        [line.get_color() for line in axis.lines if line.get_linestyle() == "-"]
        for axis in figure.axes
    )
    assert first[0] != first[1] == second[0]


def test_exit_curves_are_the_share_of_rays_still_inside():
    exits = Exits(
        np.array([[0.2, 2.0, 0.4, 0.6], [2.0] * 4]),
        np.array([[False, True, False, False], [True] * 4]),
        np.arange(2),
    )
    names = ["one", "all stay"]
    figure = plots.plot_exit_curves(exits, np.array([0.0, 1.0]), np.ones((2, 2)), names)
    steps, stay = (line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post")
    x, y = np.asarray(steps.get_xdata()), np.asarray(steps.get_ydata())
    for theta, inside in ((0.1, 1.0), (0.3, 0.75), (0.5, 0.5), (1.0, 0.25)):
        assert y[np.searchsorted(x, theta, side="right") - 1] == inside
    assert (x[-1], y[-1]) == (2.0, 0.25)  # followed so far, and never to have left
    np.testing.assert_array_equal(stay.get_ydata(), 1.0)
    assert stay.get_xdata()[-1] == 2.0


def test_an_image_lies_where_its_latent_does():
    asked = []

    def generate(z):
        asked.append(z)
        return np.broadcast_to(z[:, 1, None, None, None] > 0, (len(z), 2, 2, 1)).astype(float)

    points = RANDOM.uniform(-2, 2, (500, 2))
    figure = plots.plot_plane(
        points, np.zeros(500, int), np.zeros((1, 2)), np.ones((1, 2)), generate, ["one"], side=4
    )
    (shown,) = figure.axes[1].images
    array, (left, right, bottom, top) = np.asarray(shown.get_array()), shown.get_extent()
    assert array[0].mean() > array[-1].mean()  # latents above zero give light, at the top
    assert (left, bottom) == (-right, -top)
    np.testing.assert_allclose(asked[0][0], [left * 0.75, top * 0.75])
