import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import benchmark
from magan_jax.training import stage
from magan_jax.training.engine import Batch
from magan_jax.training.gan import GANConfig, gan_step, init_gan
from throughput import training_rows, turns
from throughput.latent_rows import Search
from throughput.protocol import IMAGE_SHAPE

TINY = GANConfig(generator_width=2, discriminator_width=2)


@pytest.fixture
def clock(monkeypatch):
    """A clock that each work moves on by what it is said to cost."""
    now = [0.0]
    monkeypatch.setattr(turns.time, "perf_counter", lambda: now[0])

    def costing(*seconds):
        left = list(seconds)

        def work():
            now[0] += left.pop(0) if len(left) > 1 else left[0]

        return work

    return costing


def test_works_take_turns_after_their_warm_ups(clock):
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    found = turns.take_turns(works, turns=2, warm_ups=3)
    assert "".join(order) == "aaabbbabab"
    assert found["a"].shape == (2,)


def test_ratio_is_that_of_neighbouring_turns_against_the_fastest_peer(clock):
    row = turns.compare(
        "row", "images/s", clock(1, 1, 1, 1.0, 2.0, 4.0),
        {"slow": clock(100.0), "fast": clock(9, 9, 9, 3.0, 8.0, 4.0)},
        turns=3, our_units=10, peer_units=5, must=1.0, reachable=20.0,
    )  # fmt: skip
    assert row.peer_name == "fast"
    assert row.ours == 5.0  # the median of 10, 5 and 2.5 a second
    assert row.peer == pytest.approx(1.25)
    assert (row.low, row.ratio, row.high) == (2.0, 6.0, 8.0)
    assert row.limit == 0.25


def test_operations_of_a_step_are_those_of_its_products():
    """Two dense products of 128 × 6272 × 256 and 128 × 256 × 10 among them; none is lost."""
    state = init_gan(jax.random.key(0), TINY, IMAGE_SHAPE)
    found = training_rows.flops_of(gan_step(TINY, IMAGE_SHAPE), state, 128)
    g = 100 * 196 + 49 * 4 * 32 + 196 * 2 * 16  # multiply-adds of one image, width 2
    d = 196 * 16 * 2 + 49 * 32 * 4 + 196
    products = 2 * 128 * (3 * g + 8 * d)
    assert 0.7 * products < found < 3 * products


def test_engine_pays_for_its_share_of_a_checkpoint(monkeypatch):
    """Saved once, at the end; a checkpoint as often as the engine writes it makes it slower."""
    saved = []
    save = stage.save_checkpoint
    monkeypatch.setattr(stage, "save_checkpoint", lambda *a: saved.append(a[0]) or save(*a))
    monkeypatch.setattr(training_rows, "GAN", TINY)
    data = Batch(np.zeros((300, *IMAGE_SHAPE), np.uint8), np.zeros(300, np.int32))
    row = training_rows.engine_row(data, turns=2, chunk_steps=2)
    assert len(saved) == 1
    assert not saved[0].exists()
    assert 0 < row.low <= row.ratio <= row.high < 2
    monkeypatch.setattr(training_rows, "CHECKPOINT_SECONDS", 1e-4)
    assert training_rows.engine_row(data, turns=2, chunk_steps=2).ratio < row.ratio / 10


def test_search_counts_the_evaluations_of_every_ray():
    search = Search(lambda z: z, lambda x: x, np.eye(2), np.ones((2, 3, 2)), 3.0, 1e-4, 32)
    assert search.halvings == 10  # 3 / 32 / 2¹⁰ ≤ 1e-4 < 3 / 32 / 2⁹
    assert search.evaluations == 6 * (1 + 32 + 10)


def test_table_shows_every_row():
    rows = [
        turns.Row("a", "s", 1.0, 2.0, "peer", 2.0, 1.5, 2.5, 1.0, None, 0.25),
        turns.Row("b", "s", 1.0, 2.0, "peer", 0.5, 0.5, 0.5, None, None),
    ]
    lines = turns.markdown(rows).splitlines()
    assert len(lines) == 4
    assert "| 2.00 (1.50–2.50) | 1 / – | 25% |" in lines[2]
    assert lines[3].endswith("| – / – | – |")
    assert np.all([line.count("|") == 7 for line in lines])


def test_help_needs_no_pytorch(tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    found = subprocess.run(
        [sys.executable, benchmark.__file__, "--help"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    for flag in ("--rows", "--json", "--turns", "--chunk-steps", "--latents", "--directions"):
        assert flag in found.stdout


def test_unknown_rows_are_named_before_any_work(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--rows", "gan", "speed"])
    with pytest.raises(ValueError, match="speed; choose of gan, classifier"):
        benchmark.main()
