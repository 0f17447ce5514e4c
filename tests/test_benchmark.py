import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import benchmark


@pytest.fixture
def clock(monkeypatch):
    """A clock that each work moves on by what it is said to cost."""
    now = [0.0]
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: now[0])

    def costing(*seconds):
        left = list(seconds)

        def work():
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return work

    return costing


def test_works_take_turns_after_their_warm_ups(clock):
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    found = benchmark.take_turns(works, turns=2, warm_ups=3)
    assert "".join(order) == "aaabbbabab"
    assert found["a"].shape == (2,)


def test_ratio_is_that_of_neighbouring_turns_against_the_fastest_peer(clock):
    row = benchmark.compare(
        "row", "images/s", clock(1, 1, 1, 1.0, 2.0, 4.0),
        {"slow": clock(100.0), "fast": clock(9, 9, 9, 3.0, 8.0, 4.0)},
        benchmark.Config(turns=3), our_units=10, peer_units=5, must=1.0,
    )  # fmt: skip
    assert row.peer_name == "fast"
    assert row.ours == 5.0  # the median of 10, 5 and 2.5 a second
    assert row.peer == pytest.approx(1.25)
    assert (row.low, row.ratio, row.high) == (2.0, 6.0, 8.0)


def test_operations_of_a_step_are_those_of_its_products():
    """Two dense products of 128 × 6272 × 256 and 128 × 256 × 10 among them; none is lost."""
    gan = benchmark.GANConfig(generator_width=2, discriminator_width=2)
    state = benchmark.init_gan(benchmark.jax.random.key(0), gan, benchmark.IMAGE_SHAPE)
    found = benchmark.flops_of(benchmark.gan_step(gan, benchmark.IMAGE_SHAPE), state, 128)
    g = 100 * 196 + 49 * 4 * 32 + 196 * 2 * 16  # multiply-adds of one image, width 2
    d = 196 * 16 * 2 + 49 * 32 * 4 + 196
    products = 2 * 128 * (3 * g + 8 * d)
    assert 0.7 * products < found < 3 * products


def test_table_shows_every_row():
    rows = [
        benchmark.Row("a", "s", 1.0, 2.0, "peer", 2.0, 1.5, 2.5, 1.0, None, 0.25),
        benchmark.Row("b", "s", 1.0, 2.0, "peer", 0.5, 0.5, 0.5, None, None),
    ]
    lines = benchmark.markdown(rows).splitlines()
    assert len(lines) == 4
    assert "| 2.00 (1.50–2.50) | 1 / – | 25% |" in lines[2]
    assert lines[3].endswith("| – / – | – |")
    assert np.all([line.count("|") == 7 for line in lines])
