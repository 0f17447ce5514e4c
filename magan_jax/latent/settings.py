"""How an experiment studies the latent space of a generator that it trained."""

from dataclasses import dataclass

from magan_jax.errors import check_positive, check_real, check_whole


@dataclass(frozen=True)
class AnalysisConfig:
    """The analysis of the latent space."""

    num_samples: int = 1000
    """N, latents labelled; the paper's number."""
    large_num_samples: int = 1_000_000
    """A second, large N, at which sampling noise is gone."""
    num_permutations: int = 199
    """Permutations of the labels behind each p-value."""
    num_clusters: int = 3
    """Clusters that the dendrograms are cut into; the paper speaks of three."""
    num_directions: int = 4096
    """Random shift directions per class for the measured ε."""
    upper: float = 3.0
    """Shifts are followed up to so many standard deviations."""
    tolerance: float = 1e-3
    """The measured exits are exact to this many standard deviations."""
    num_shifts: int = 1000
    """Random shifts per class for each purity."""
    num_images: int = 10_000
    """Generated images that the metrics compare with as many training images."""
    batch_size: int | None = None
    """Latents in one forward pass; None: 125 on a CPU, 4000 on an accelerator, fewer of images
    larger than 28 x 28."""


def check_analysis_config(config: AnalysisConfig, num_classes: int) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training."""
    for name in ("num_directions", "num_shifts"):
        check_positive(f"analysis.{name}", getattr(config, name))
    if config.num_images <= 5:
        raise ValueError(
            f"analysis.num_images is {config.num_images}; it must be more than 5, the neighbour "
            "that the balls of density and coverage reach to."
        )
    for name in ("num_samples", "large_num_samples"):
        check_latents_labelled(f"analysis.{name}", getattr(config, name))
    if config.large_num_samples <= config.num_samples:
        raise ValueError(
            f"analysis.large_num_samples is {config.large_num_samples}; it must be larger than "
            f"analysis.num_samples, {config.num_samples}."
        )
    check_whole("analysis.num_permutations", config.num_permutations, 0)
    most = max(num_classes, AnalysisConfig.num_clusters)  # of two classes there are no clusters
    if not 1 <= config.num_clusters <= most:
        raise ValueError(f"analysis.num_clusters is {config.num_clusters}; it must be 1 to {most}.")
    if config.batch_size is not None:
        check_positive("analysis.batch_size", config.batch_size)
    check_exit_search(config.upper, config.tolerance, of="analysis.")


def check_latents_labelled(name: str, num_samples: int) -> None:
    """Refuse a number of labelled latents that gives no deviation or cannot be counted."""
    if not 2 <= num_samples < 2**31:
        raise ValueError(
            f"{name} is {num_samples}; a standard deviation needs at least 2 latents, and they are "
            "numbered below 2³¹."
        )


def check_exit_search(upper: float, tolerance: float, *, of: str = "") -> None:
    """Refuse bounds that a bisection in float32 cannot keep to; `of` stands before their names."""
    upper, tolerance = check_real(f"{of}upper", upper), check_real(f"{of}tolerance", tolerance)
    if not 0 < upper < float("inf"):
        raise ValueError(f"{of}upper is {upper}; it must be positive and finite.")
    if not upper * 2.0**-22 <= tolerance < upper:
        raise ValueError(
            f"{of}tolerance is {tolerance}; it must lie between {upper * 2.0**-22:.1g} (float32 "
            f"resolves no less of {of}upper) and {of}upper = {upper}."
        )


@dataclass(frozen=True)
class LatentSpaceConfig:
    """What a study of several generators asks of each one's latent space."""

    num_samples: int = 1_000_000
    """Latents of the prior that are labelled."""
    upper: float = 3.0
    """Shifts are followed up to so many standard deviations from their class mean."""
    tolerance: float = 1e-3
    """Their exits are exact to this many standard deviations."""
    batch_size: int | None = None
    """Latents in one forward pass; None: 125 on a CPU, 4000 on an accelerator, fewer of images
    larger than 28 x 28."""


@dataclass(frozen=True)
class DirectionsConfig(LatentSpaceConfig):
    """The same, with random directions from each class mean."""

    num_directions: int = 4096
    """Random shift directions per class for the measured ε."""


def check_latent_space_config(config: LatentSpaceConfig) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training."""
    check_latents_labelled("analysis.num_samples", config.num_samples)
    if config.batch_size is not None:
        check_positive("analysis.batch_size", config.batch_size)
    check_exit_search(config.upper, config.tolerance, of="analysis.")
    if isinstance(config, DirectionsConfig):
        check_positive("analysis.num_directions", config.num_directions)
