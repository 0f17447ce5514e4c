"""What more chips would give: an estimate from the compiled training step, not a measurement.

    python experiments/scaling.py                                    # a chip like TPU v5p
    python experiments/scaling.py --peak 197e12 --bandwidth 200e9    # one like TPU v5e

Weak scaling: the batch per chip stays, so that n chips do n times the work in one step. A step
computes for F/(u·P) seconds and then, nothing overlapped, waits for its collectives: a ring
all-reduce of B bytes takes 2 (n − 1)/n · B/W, and each of the m collectives 2 (side − 1) hops in
each of the three dimensions of a torus of n = side³ chips. F, B and m are read off the program.
"""

from dataclasses import dataclass

import tyro

from magan_jax.cli import one_sentence
from magan_jax.tables import markdown_table
from throughput.exchange import Exchange, exchange_of_gan_step


@dataclass(frozen=True)
class Config:
    """A chip, its links, and what is asked of them; the defaults are assumptions, stated here."""

    peak: float = 459e12
    """P, operations per second of one chip (TPU v5p, bfloat16 products)."""
    utilisation: float = 0.2
    """u, the share of it that these small networks reach."""
    bandwidth: float = 600e9
    """W, bytes per second between a chip and its neighbours (TPU v5p: 4,800 Gbit/s)."""
    hop: float = 1e-6
    """Seconds from one chip to the next."""
    chips: tuple[int, ...] = (8, 64, 512)
    """Numbers of chips."""
    batches: tuple[int, ...] = (128, 1024)
    """Images per chip and step."""
    latents: float = 1e9
    """Latents that an analysis labels."""
    label_flops: float = 1e11
    """Operations of C(G(z)): a generator of 256×256 images and a ResNet-50, roughly."""
    label_utilisation: float = 0.4
    """Share of the peak that such networks reach."""


def efficiency(exchange: Exchange, config: Config, chips: int, batch: int) -> float:
    """Images per second of n chips over n times those of one."""
    compute = exchange.flops_per_image * batch / (config.utilisation * config.peak)
    side = chips ** (1 / 3)
    hops = 3 * 2 * (side - 1)
    waiting = 2 * (chips - 1) / chips * exchange.bytes / config.bandwidth
    return compute / (compute + waiting + exchange.collectives * hops * config.hop)


def label_hours(config: Config, chips: int) -> float:
    """Hours to label all latents; the moments are exchanged too rarely to count."""
    rate = chips * config.label_utilisation * config.peak / config.label_flops
    return config.latents / rate / 3600


def main() -> None:
    """Print the table of the README."""
    config = tyro.cli(Config, description=__doc__.splitlines()[0])
    for name in ("peak", "utilisation", "bandwidth", "label_flops", "label_utilisation"):
        if not getattr(config, name) > 0:
            raise ValueError(f"--{name} is {getattr(config, name)}; it must be positive.")
    exchange = exchange_of_gan_step()
    print(
        f"A step exchanges {exchange.bytes:,} bytes in {exchange.collectives} collectives and "
        f"computes {exchange.flops_per_image / 1e6:,.0f} MFLOP per image.\n"
    )
    columns = [f"efficiency, {batch:,} images per chip" for batch in config.batches]
    columns.append(f"hours for {config.latents:.0e} latents at {config.label_flops:.0e} FLOP each")
    rows = [
        [
            str(chips),
            *(f"{efficiency(exchange, config, chips, b):.0%}" for b in config.batches),
            f"{label_hours(config, chips):.2g}",
        ]
        for chips in config.chips
    ]
    print(markdown_table(["chips", *columns], rows), end="")


if __name__ == "__main__":
    one_sentence(main)
