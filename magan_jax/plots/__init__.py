"""Arrays to matplotlib figures, one function each; every figure can be read on its own.

Figure numbers are those of the MAGAN paper.
"""

from magan_jax.plots.conditional import (
    plot_exit_curves,
    plot_one_scale,
    plot_plane,
    plot_thetas,
    plot_trade_off,
    plot_vae_training,
)
from magan_jax.plots.epsilon import plot_epsilon, plot_rays
from magan_jax.plots.geometry import (
    plot_cophenetic,
    plot_dendrograms,
    plot_distances,
    plot_map,
    plot_nearest,
)
from magan_jax.plots.images import plot_class_means, plot_samples, plot_shifts
from magan_jax.plots.seeds import (
    plot_class_means_of_seeds,
    plot_dendrograms_of_seeds,
    plot_distances_of_seeds,
    plot_epsilon_of_seeds,
    plot_likenesses,
    plot_nearest_of_seeds,
)
from magan_jax.plots.style import class_colours
from magan_jax.plots.systems import (
    plot_embeddings,
    plot_image_rows,
    plot_losses_of_systems,
    plot_metric_curves,
    plot_precision_recall,
    plot_samples_of_systems,
)
from magan_jax.plots.training import plot_training

__all__ = [
    "class_colours",
    "plot_class_means",
    "plot_class_means_of_seeds",
    "plot_cophenetic",
    "plot_dendrograms",
    "plot_dendrograms_of_seeds",
    "plot_distances",
    "plot_distances_of_seeds",
    "plot_embeddings",
    "plot_epsilon",
    "plot_epsilon_of_seeds",
    "plot_exit_curves",
    "plot_image_rows",
    "plot_likenesses",
    "plot_losses_of_systems",
    "plot_map",
    "plot_metric_curves",
    "plot_nearest",
    "plot_nearest_of_seeds",
    "plot_one_scale",
    "plot_plane",
    "plot_precision_recall",
    "plot_rays",
    "plot_samples",
    "plot_samples_of_systems",
    "plot_shifts",
    "plot_thetas",
    "plot_trade_off",
    "plot_training",
    "plot_vae_training",
]
