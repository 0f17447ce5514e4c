"""How the networks were trained."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from magan_jax.plots.style import COLOURS, GREY, house_style, subplots


@house_style
def plot_training(
    gan: Mapping[str, np.ndarray],
    classifier: Mapping[str, np.ndarray],
    gan_steps_per_epoch: int,
    classifier_steps_per_epoch: int,
    equilibrium: tuple[float, float] | None,
) -> Figure:
    """Losses of G and D, what D takes for real, and the classifier's accuracy, over epochs.

    `equilibrium` are the losses of D and of G when the generated images are as good as real ones,
    None where there are no such numbers.
    """
    figure, axes = subplots(1, 3, figsize=(13, 3.8), layout="constrained")

    def draw(axis, values, steps_per_epoch, label, colour):
        x, y = windows(values, steps_per_epoch)
        axis.plot(x, y, color=colour, label=label)

    draw(axes[0], gan["discriminator_loss"], gan_steps_per_epoch, "discriminator", COLOURS[0])
    draw(axes[0], gan["generator_loss"], gan_steps_per_epoch, "generator", COLOURS[1])
    axes[0].set(title="GAN losses", ylabel="loss")
    if equilibrium is not None:
        axes[0].axhline(equilibrium[0], color=GREY, ls=":", lw=1)
        axes[0].axhline(equilibrium[1], color=GREY, ls="--", lw=1)
        axes[0].set(title="GAN losses (dotted: D, dashed: G at equilibrium)")
    draw(axes[1], gan["real_taken_for_real"], gan_steps_per_epoch, "real images", COLOURS[0])
    draw(axes[1], gan["fake_taken_for_real"], gan_steps_per_epoch, "generated images", COLOURS[1])
    axes[1].set(title="what D takes for real (f > 0)", ylabel="share of images", ylim=(0, 1))
    draw(
        axes[2],
        classifier["train_accuracy"],
        classifier_steps_per_epoch,
        "training, with dropout",
        COLOURS[4],
    )
    test = classifier["test_accuracy"]
    axes[2].plot(np.arange(1, len(test) + 1), test, "o-", ms=3, color=COLOURS[2], label="test")
    _, seen = windows(classifier["train_accuracy"], classifier_steps_per_epoch)
    lowest = float(min(test.min(), seen.min()))
    axes[2].set(
        title=f"classifier: {test[-1]:.4f} on the test set",
        ylabel="accuracy",
        ylim=(max(0.0, min(0.8, lowest - 0.02)), 1.0),
    )
    for axis in axes:
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend(loc="best", fontsize=8)
    return figure


def windows(values: np.ndarray, steps_per_epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Means over tenths of an epoch, and where their middles lie."""
    size = max(1, steps_per_epoch // 10)
    count = max(1, len(values) // size)
    means = np.array([part.mean() for part in np.array_split(values, count)])
    return (np.arange(count) + 0.5) * len(values) / count / steps_per_epoch, means
