"""How generated images are judged."""

from dataclasses import dataclass

from magan_jax.errors import check_positive


@dataclass(frozen=True)
class JudgingConfig:
    """The metrics of generated images."""

    num_images: int = 10_000
    """Generated images judged, and real ones that they are compared with."""
    k_precision: int = 3
    """Neighbour that balls reach to, for precision and recall."""
    k_density: int = 5
    """The same for density and coverage."""

    @property
    def k(self) -> dict[str, int]:
        """By method, as `reference_of` takes them."""
        return {"precision_recall": self.k_precision, "density_coverage": self.k_density}


def check_judging_config(config: JudgingConfig) -> None:
    """Refuse settings that cannot work, naming the field; to be called before any training."""
    check_positive("judging.num_images", config.num_images)
    for name in ("k_precision", "k_density"):
        k = getattr(config, name)
        if not 1 <= k < config.num_images:
            raise ValueError(
                f"judging.{name} is {k}; it must be 1 to {config.num_images - 1}, one less than "
                "judging.num_images."
            )
