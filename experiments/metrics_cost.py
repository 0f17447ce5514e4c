"""Time and memory of precision, recall, density and coverage, and the package `prdc` beside them.

    python experiments/metrics_cost.py --num-samples 50000
    python experiments/metrics_cost.py --num-samples 5000 --turns 5

The features are standard normals. With turns, ours and `prdc` (`pip install -e '.[bench]'`) take
turns, after one call of each that does not count, and must agree.
"""

import argparse
import contextlib
import io
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

from magan_jax.metrics import density_coverage, precision_recall
from magan_jax.metrics.neighbours import squared_neighbour_distances

K = 5


def ours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """All four, the radii of the real balls shared."""
    near = squared_neighbour_distances(real, K)
    precision = precision_recall(real=real, fake=fake, k=K, inclusive=False, real_neighbours=near)
    density = density_coverage(real=real, fake=fake, k=K, inclusive=False, real_neighbours=near)
    return {**precision._asdict(), **density._asdict()}


def theirs(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The same by `prdc`."""
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):  # it prints the numbers of samples
        return {name: float(value) for name, value in compute_prdc(real, fake, K).items()}


def timed(
    function: Callable[[np.ndarray, np.ndarray], dict[str, float]],
    real: np.ndarray,
    fake: np.ndarray,
) -> tuple[float, dict[str, float]]:
    """Seconds and result."""
    started = time.perf_counter()
    found = function(real, fake)
    return time.perf_counter() - started, found


def peak_mib() -> float:
    """The most memory that this process has held, in MiB (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--num-samples", type=int, default=5000, help="rows of each set")
    parser.add_argument("--width", type=int, default=128, help="features of each row")
    parser.add_argument("--turns", type=int, default=0, help="of ours and prdc; 0: ours alone")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    shape = (2, given.num_samples, given.width)
    real, fake = random.normal(size=shape).astype(np.float32)
    before = peak_mib()
    seconds, found = timed(ours, real, fake)
    print(" × ".join(map(str, (given.num_samples, *shape[1:]))), found)
    print(f"ours, with compilation: {seconds:.1f} s, {peak_mib():.0f} MiB ({before:.0f} before)")
    if not given.turns:
        return
    expected = theirs(real, fake)
    if any(abs(found[name] - value) > 1e-6 for name, value in expected.items()):
        sys.exit(f"error: prdc gives {expected}.")
    rows = [(timed(ours, real, fake)[0], timed(theirs, real, fake)[0]) for _ in range(given.turns)]
    ratio = [b / a for a, b in rows]
    mine, other = np.median(rows, axis=0)
    print(f"medians of {given.turns} turns: ours {mine:.2f} s, prdc {other:.2f} s")
    print(f"ratio {np.median(ratio):.2f} ({min(ratio):.2f}–{max(ratio):.2f})")


if __name__ == "__main__":
    main()
