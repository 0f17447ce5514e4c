"""The systems of the two MNIST reports and two more: settings, published numbers, claimed orders.

Clustering report: "Assignment 2: latent space representation" (Sun, Rizk, Hys, 2024), Tables 1
and 2. SAN report: "Learning latent space representations, and application to image generation"
(Behaegel, Cornilleau, Lafaye), Figures 4, 6 and 10. Both call theirs an Inception distance, and
neither says how digits were made images for that network; values are not comparable with ours,
orders are.

Neither gives its optimiser. All systems have that of a DCGAN (`GANConfig`), but for three with one
of their own: SAN its paper's, the penalised Wasserstein distance and the published ClusterGAN what
their authors' code has for MNIST. The SAN report takes its Wasserstein loss without modification of
architecture or other specifications (Section 2.2), which is the small discriminator of Section 1.2
(three linear layers; their widths, 512 and 256, are ours), and we take that to hold for its hinge
loss too; its SAN has a mirrored one (Section 3.4) and batches of 64, so what sets SAN apart from
hinge there is more than the loss. Of the Wasserstein distance only the clipping is its paper's
(Arjovsky et al., 2017), without which there is none.

Neither report has the penalised Wasserstein distance, nor ClusterGAN as its authors published it
with that distance (Mukherjee et al., AAAI 2019: five critic steps, batches of 64, 30 + 10
dimensions). The clustering report replaces the distance by the vanilla objective (Eq. 3), and what
that does to the clusters can be seen only beside the original. Its networks are the reports' here.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, NamedTuple

from magan_jax.comparison.orders import Order
from magan_jax.objectives import CONSTANTS_OF, Constants
from magan_jax.training.gan_config import GANConfig


class Reported(NamedTuple):
    """What a report gives of a system; None where it gives nothing."""

    frechet_distance: float | None = None
    precision: float | None = None
    recall: float | None = None


class System(NamedTuple):
    """One way of training the reports' generator.

    Attributes:
        title: for tables and figures.
        settings: fields of `GANConfig` that make it what it is.
        reported: its report's numbers.
        epochs: of the report, where it says so (100 for vanilla in the one, 150 for Wasserstein
            and hinge in the other); else those of the systems that it is compared with.
    """

    title: str
    settings: dict[str, Any]
    reported: Reported = Reported()
    epochs: int = 100


_CLUSTER: dict[str, Any] = {"objective": "cluster", "prior": "cluster"}
_SMALL: dict[str, Any] = {"discriminator_layers": (512, 256)}
_PENALISED: dict[str, Any] = {"learning_rate": 1e-4, "beta1": 0.5, "beta2": 0.9, "critic_steps": 5}
_SAN: dict[str, Any] = {"batch_size": 64, "learning_rate": 1e-3, "beta1": 0.0, "beta2": 0.99}

SYSTEMS: dict[str, System] = {
    "vanilla": System("vanilla", {}, Reported(15.13, 0.62, 0.47)),
    "vanilla_small": System("vanilla, small D", _SMALL, Reported(44.12, 0.56, 0.18), epochs=150),
    "wasserstein": System(
        "Wasserstein, clipped",
        {"objective": "wasserstein"} | _SMALL,
        Reported(89.84, 0.19, 0.00),
        epochs=150,
    ),
    "wasserstein_gp": System("Wasserstein, penalty", {"objective": "wasserstein_gp"} | _PENALISED),
    "hinge": System(
        "hinge", {"objective": "hinge"} | _SMALL, Reported(22.08, 0.40, 0.20), epochs=150
    ),
    "san": System("SAN", {"objective": "san"} | _SAN, Reported(19.04), epochs=150),
    "perceptual": System("perceptual", {"objective": "perceptual"}),
    "cluster_20": System(
        "ClusterGAN, d = 20", _CLUSTER | {"latent_dim": 20}, Reported(9.60, 0.77, 0.32)
    ),
    "cluster_100": System(
        "ClusterGAN, d = 100", _CLUSTER | {"latent_dim": 100}, Reported(9.66, 0.76, 0.31)
    ),
    "cluster_200": System(
        "ClusterGAN, d = 200", _CLUSTER | {"latent_dim": 200}, Reported(12.61, 0.65, 0.41)
    ),
    "cluster_recall": System(
        "ClusterGAN, recall",
        _CLUSTER | {"latent_dim": 20, "sampling_prior": "cluster_recall"},
        Reported(10.06, 0.76, 0.33),
    ),
    "cluster_mixture": System(
        "ClusterGAN, mixture",
        {"objective": "cluster", "prior": "mixture", "latent_dim": 20},
        Reported(14.0, 0.8636, 0.14),
    ),
    "cluster_published": System(
        "ClusterGAN, published",
        _PENALISED
        | {
            "objective": "cluster_wasserstein_gp",
            "prior": "cluster",
            "latent_dim": 40,
            "batch_size": 64,
        },
    ),
}
"""By the name that `--methods` uses."""

ORDERS: tuple[Order, ...] = (
    Order(
        "ClusterGAN has the smaller Fréchet distance", "frechet_distance", "vanilla", "cluster_20"
    ),
    Order("ClusterGAN raises precision", "precision", "cluster_20", "vanilla"),
    Order("ClusterGAN lowers recall", "recall", "vanilla", "cluster_20"),
    Order("d = 200 is worse than d = 20", "frechet_distance", "cluster_200", "cluster_20"),
    Order("d = 200 is less precise than d = 20", "precision", "cluster_20", "cluster_200"),
    Order("d = 200 is more diverse than d = 20", "recall", "cluster_200", "cluster_20"),
    Order(
        "the mixture is more precise than ClusterGAN", "precision", "cluster_mixture", "cluster_20"
    ),
    Order("the mixture is more precise than vanilla", "precision", "cluster_mixture", "vanilla"),
    Order("the mixture is less diverse than ClusterGAN", "recall", "cluster_20", "cluster_mixture"),
    Order("the mixture is less diverse than vanilla", "recall", "vanilla", "cluster_mixture"),
    Order(
        "the mixture is worse than ClusterGAN", "frechet_distance", "cluster_mixture", "cluster_20"
    ),
    Order("the mixture is better than vanilla", "frechet_distance", "vanilla", "cluster_mixture"),
    Order("a random hot entry improves recall", "recall", "cluster_recall", "cluster_20"),
    Order("a random hot entry costs distance", "frechet_distance", "cluster_recall", "cluster_20"),
    Order("a perceptual loss raises precision", "precision", "perceptual", "vanilla"),
    Order("a perceptual loss costs distance", "frechet_distance", "perceptual", "vanilla"),
    Order("Wasserstein is worse than vanilla", "frechet_distance", "wasserstein", "vanilla_small"),
    Order("Wasserstein has the smaller recall", "recall", "vanilla_small", "wasserstein"),
    Order("hinge is better than Wasserstein", "frechet_distance", "wasserstein", "hinge"),
    Order("hinge is better than vanilla", "frechet_distance", "vanilla_small", "hinge"),
    Order("SAN is better than hinge", "frechet_distance", "hinge", "san"),
)
"""What the reports say of one system against another, in their tables or, of the perceptual loss,
in words; better is a smaller Fréchet distance."""


_IDENTITY = ("objective", "prior", "sampling_prior", "network")
"""Fields of `GANConfig` that make a system another one."""


def _heeds(config: GANConfig, name: str) -> bool:
    """Whether a field of it has any effect on a system's configuration."""
    if name in ("generator_width", "discriminator_width"):
        return config.network == "dcgan"
    if name == "beta1":
        return config.optimizer == "adam"
    if name == "num_clusters":
        return {config.prior, config.sampling_prior} - {None, "normal"} != set()
    return True


def chosen_config(name: str, base: GANConfig, epochs: int | None) -> GANConfig:
    """The configuration of a system.

    Args:
        name: in `SYSTEMS`.
        base: what the system does not set itself.
        epochs: passes over the data; None: as many as its report's.
    """
    system = SYSTEMS[name]
    return replace(base, **system.settings, epochs=system.epochs if epochs is None else epochs)


def check_systems(
    names: Sequence[str], base: GANConfig, epochs: int | None, default: GANConfig
) -> None:
    """Refuse settings that systems would not heed, or that would make them something else.

    Args:
        names: of the systems, in `SYSTEMS`.
        base: see `chosen_config`.
        epochs: see `chosen_config`.
        default: `base` where nobody has changed it.

    Raises:
        ValueError: naming the flag and the systems.
    """
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs is {epochs}; it must be at least 1.")
    for one in fields(base):
        value = getattr(base, one.name)
        if value == getattr(default, one.name):
            continue
        if one.name == "constants":
            _check_constants(names, base, epochs, default.constants)
            continue
        flag = f"--gan.{one.name.replace('_', '-')} is {value}"
        if one.name == "epochs":
            raise ValueError(f"{flag}; give --epochs, which is for every system.")
        if one.name in _IDENTITY:
            raise ValueError(
                f"{flag}, which is what a system's name stands for; leave it out and choose by "
                "--methods."
            )
        own = [
            name
            for name in names
            if one.name in SYSTEMS[name].settings
            or not _heeds(chosen_config(name, base, epochs), one.name)
        ]
        if own:
            raise ValueError(
                f"{flag}, but {', '.join(own)} would not heed it: it is set there by a report or a "
                "method's paper, or means nothing; leave it out, or name other --methods."
            )


def _check_constants(
    names: Sequence[str], base: GANConfig, epochs: int | None, default: Constants
) -> None:
    """Refuse a constant that no system reads. One is enough: no other's equations have it."""
    read = {
        constant
        for name in names
        for constant in CONSTANTS_OF[chosen_config(name, base, epochs).objective]
    }
    for one in fields(default):
        value = getattr(base.constants, one.name)
        if value != getattr(default, one.name) and one.name not in read:
            raise ValueError(
                f"--gan.constants.{one.name} is {value}, but the objective of none of "
                f"{', '.join(names)} has it; leave it out, or name other --methods."
            )
