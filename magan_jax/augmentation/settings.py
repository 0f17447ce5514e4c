"""How labelled images are synthesized for a classifier with few labels."""

from dataclasses import dataclass, field

from magan_jax.augmentation.tuning import TuningConfig, check_tuning_config
from magan_jax.errors import check_positive
from magan_jax.latent.settings import check_exit_search


@dataclass(frozen=True)
class SynthesisConfig:
    """Synthetic images and their labels."""

    num_images: int = 20_000
    """Images added in an arm, synthetic ones or real ones without labels; `mixture` has so many of
    either."""
    num_members: int = 5
    """Classifiers of few labels whose mean labels the latents."""
    member_steps: int = 400
    """Gradient steps of each of them."""
    num_samples: int = 20_000
    """Latents behind the class means, spreads and ε."""
    num_directions: int = 256
    """Directions behind the measured ε of a class mean."""
    num_anchors: int = 200
    """Anchors of each class."""
    anchor_directions: int = 16
    """Directions bisected from each anchor."""
    anchor_draws: int = 20_000
    """Latents among which anchors are looked for, at most."""
    num_neighbours: int = 6
    """Neighbours in latent space that a soft label is averaged over."""
    neighbour_scale: float = 0.3
    """s of the latent neighbours (z + s η) / √(1 + s²) that the tuned encoder's label of a made
    image is averaged over."""
    graph_neighbours: int = 10
    """Neighbours of each image in the graph over which labels are spread."""
    graph_weight: float = 0.8
    """α: the share of a label that is its neighbours' there."""
    tuning: TuningConfig = field(default_factory=TuningConfig)
    upper: float = 3.0
    """Exits are looked for up to so many standard deviations."""
    tolerance: float = 0.01
    """Exits are exact to so many standard deviations."""


def check_synthesis_config(
    config: SynthesisConfig, num_classes: int, image_shape: tuple[int, ...]
) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training.

    Args:
        config: the settings.
        num_classes: K.
        image_shape: of the real images, `(N, H, W, C)`.
    """
    check_tuning_config(config.tuning, image_shape)
    for name in (
        "num_members",
        "member_steps",
        "num_directions",
        "num_anchors",
        "anchor_directions",
        "anchor_draws",
        "num_neighbours",
        "graph_neighbours",
    ):
        check_positive(f"synthesis.{name}", getattr(config, name))
    for name in ("num_images", "num_samples"):
        if getattr(config, name) < num_classes:
            raise ValueError(
                f"synthesis.{name} is {getattr(config, name)}; it must be at least the number of "
                f"classes, {num_classes}."
            )
    if not 0 <= config.neighbour_scale < float("inf"):
        raise ValueError(
            f"synthesis.neighbour_scale is {config.neighbour_scale}; it must be 0 or more, and "
            "finite."
        )
    if not 0 <= config.graph_weight < 1:
        raise ValueError(f"synthesis.graph_weight is {config.graph_weight}; it must lie in [0, 1).")
    if config.graph_neighbours >= config.num_images:
        raise ValueError(
            f"synthesis.graph_neighbours is {config.graph_neighbours}; it must be less than "
            f"synthesis.num_images, {config.num_images}."
        )
    check_exit_search(config.upper, config.tolerance, of="synthesis.")
