import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "experiments"))
import benchmark
from magan_jax.data import Dataset
from magan_jax.training import stage
from magan_jax.training.engine import Batch
from magan_jax.training.gan_config import GANConfig
from magan_jax.training.gan_step import gan_step, init_gan
from throughput import limits, quality_rows, torch_forms, training_rows, turns
from throughput.protocol import IMAGE_SHAPE
from throughput.search_rows import Search

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
        turns=3, our_units=10, peer_units=5, must=1.0,
        reachable=turns.Reachable(by_products=20.0, by_copying=4.0),
    )  # fmt: skip
    assert row.peer_name == "fast"
    assert row.ours == 5.0  # the median of 10, 5 and 2.5 a second
    assert row.peer == pytest.approx(1.25)
    assert (row.low, row.ratio, row.high) == (2.0, 6.0, 8.0)
    assert (row.limit, row.copying) == (0.25, 1.25)


def test_operations_of_a_step_are_those_of_its_products():
    """Two dense products of 128 × 6272 × 256 and 128 × 256 × 10 among them; none is lost."""
    state = init_gan(jax.random.key(0), TINY, IMAGE_SHAPE)
    found = limits.operations_of(training_rows.traced_step(gan_step(TINY, IMAGE_SHAPE), state, 128))
    g = 100 * 196 + 49 * 4 * 32 + 196 * 2 * 16  # multiply-adds of one image, width 2
    d = 196 * 16 * 2 + 49 * 32 * 4 + 196
    products = 2 * 128 * (3 * g + 8 * d)
    assert 0.7 * products < found < 3 * products


def test_a_program_is_held_against_both_limits():
    """A product of 64 × 32 by 32 × 16: 65,536 operations, and 4 bytes for each of 3584 numbers."""
    traced = jax.jit(jnp.matmul).trace(jnp.ones((64, 32)), jnp.ones((32, 16)))
    machine = limits.MachineLimit(
        operations_per_second=131_072, exact_operations_per_second=65_536, bytes_per_second=14_336
    )
    assert limits.reachable(traced, 64, machine, exact=True) == (64, 64)
    assert limits.reachable(traced, 64, machine, exact=False) == (128, 64)


def test_where_only_own_programs_are_counted_those_are():
    """So it is on a GPU, whose client knows nothing of programs for a TPU."""

    def lower(lowering_platforms=None):
        return SimpleNamespace(cost_analysis=lambda: None if lowering_platforms else {"flops": 7})

    assert limits.operations_of(SimpleNamespace(lower=lower)) == 7


def test_a_form_of_pytorch_that_fails_is_named_and_left_out(capsys, monkeypatch):
    monkeypatch.setattr(torch_forms, "torch_forms", lambda with_graphs: ["eager", "compiled"])
    monkeypatch.setattr(torch_forms, "torch_wait", lambda: None)

    def build(form):
        def work():
            if form == "compiled":
                raise RuntimeError("no compiler")

        return work

    assert list(torch_forms.in_every_form("PyTorch", build)) == ["PyTorch, eager"]
    assert "PyTorch, compiled: left out (RuntimeError: no compiler)" in capsys.readouterr().out
    assert not torch_forms.in_every_form("PyTorch", build, ("CUDA graph",))


def test_every_form_that_was_tried_stays_beside_the_fastest(clock):
    works = {name: clock(seconds) for name, seconds in (("slow", 4.0), ("fast", 2.0))}
    row = turns.compare("a", "x/s", clock(1.0), works, 3, our_units=8, peer_units=8)
    assert row.peer_name == "fast"
    assert row.peers == {"slow": 2.0, "fast": 4.0}


def test_goals_are_those_of_the_backend(monkeypatch):
    assert turns.goals(1.0, 1.5, accelerator=3.0) == {"must": 1.0, "aim": 1.5}
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert turns.goals(1.0, 1.5, accelerator=3.0) == {"must": None, "aim": 3.0}


def test_a_whole_training_begins_with_nothing_compiled():
    """Traced anew within, and the folder of compiled programs that was in force is back after."""
    traced = []

    @jax.jit
    def program(x):
        traced.append(x)
        return x + 1

    before = jax.config.jax_compilation_cache_dir
    program(1.0)
    with training_rows.nothing_compiled():
        assert not list(Path(jax.config.jax_compilation_cache_dir).iterdir())
        program(1.0)
        assert jax.config.jax_compilation_cache_dir != before
    assert len(traced) == 2
    assert jax.config.jax_compilation_cache_dir == before


def test_engine_pays_for_its_share_of_a_checkpoint(monkeypatch):
    """By a clock that each look at it moves on by a second: a turn, a bare one, a checkpoint."""
    saved = []
    save = stage.save_checkpoint
    monkeypatch.setattr(stage, "save_checkpoint", lambda *a: saved.append(a[0]) or save(*a))
    monkeypatch.setattr(training_rows, "GAN", TINY)
    looks = itertools.count()
    monkeypatch.setattr(
        training_rows, "time", SimpleNamespace(perf_counter=lambda: float(next(looks)))
    )
    data = Batch(np.zeros((300, *IMAGE_SHAPE), np.uint8), np.zeros(300, np.int32))
    row = training_rows.engine_row(data, turns=2, chunk_steps=2)
    assert len(saved) == 1
    assert not saved[0].exists()
    expected = 1 / (1 + 1 / stage.CHECKPOINT_SECONDS)
    assert (row.low, row.ratio, row.high) == pytest.approx((expected,) * 3)
    assert row.peer == pytest.approx(2 * TINY.batch_size)  # images of a chunk, in one second


def test_search_counts_the_evaluations_that_decide_something():
    """Class 0 ends at 0.5, behind the 5th of 32 points up to 3; the second mean is not of it."""

    def classify(x):
        return jnp.concatenate([0.5 - x, x - 0.5], axis=1)

    mean, shifts = np.array([[0.0], [1.0]]), np.array([[[1.0], [-1.0]], [[1.0], [-1.0]]])
    search = Search(lambda z: z, classify, mean, shifts, np.array([0, 0]))
    assert search.halvings == 10  # 3 / 32 / 2¹⁰ ≤ 1e-4 < 3 / 32 / 2⁹
    assert search.evaluations() == 2 + (6 + 10) + 32


def test_a_loss_of_quality_is_counted_in_deviations_over_seeds():
    float32 = np.array([0.8, 0.9, 1.0])  # deviation 0.1
    assert quality_rows.seeds_by_loss(float32, float32 - 0.1) == pytest.approx(1)
    assert quality_rows.seeds_by_loss(float32, float32 - 0.2) == pytest.approx(0.5)
    for none_lost in (float32, float32 + 1, float32 - 0.001):
        assert quality_rows.seeds_by_loss(float32, none_lost) == quality_rows.MOST
    assert quality_rows.seeds_by_loss(np.ones(2), np.ones(2)) == quality_rows.MOST
    assert quality_rows.seeds_by_loss(np.ones(2), np.zeros(2)) == 0


def test_entropy_of_labels():
    assert quality_rows.entropy(np.array([3, 3, 3])) == 0
    assert quality_rows.entropy(np.array([0, 0, 7, 7, 8, 8, 9, 9])) == pytest.approx(np.log(4))


def test_a_generator_that_forgets_classes_in_bfloat16_is_seen(monkeypatch):
    def classifiers(keys, config, train_set, test_set, **_):
        assert len(train_set.images) == 16
        assert len(test_set.images) == 32
        best = {"float32": 0.9, "bfloat16": 0.89}[config.dtype]
        accuracies = best + 0.02 * (np.arange(len(keys)) - 1)
        return [SimpleNamespace(test_accuracy=a, classify=lambda x: 9 * x) for a in accuracies]

    def gans(keys, config, images, **_):
        assert len(images) == 16
        kept = {"float32": [1.0, 0.9, 0.8], "bfloat16": [0.0, 0.0, 0.0]}[config.dtype]
        return [
            SimpleNamespace(generate=lambda z, k=k: z[:, :2] * jnp.array([k, 0.0]) + (k == 0))
            for k in kept
        ]

    monkeypatch.setattr(quality_rows, "train_classifiers", classifiers)
    monkeypatch.setattr(quality_rows, "train_gans", gans)
    monkeypatch.setattr(quality_rows, "LATENTS", 200)
    images, labels = np.zeros((32, 8, 8, 1), np.uint8), np.arange(32, dtype=np.int32) % 10
    dataset = Dataset(
        "any", tuple("0123456789"), images, labels, images, labels, "", "", official=None
    )
    accuracy, confidence, labels = quality_rows.dtype_rows(dataset, num_seeds=3, num_images=16)
    assert (accuracy.ours, accuracy.peer) == pytest.approx((0.89, 0.9))
    assert accuracy.ratio == pytest.approx(2)
    assert confidence.ours == pytest.approx(0.5)  # both logits are equal
    assert labels.ours == 0
    assert labels.peer == pytest.approx(np.log(2), abs=0.02)
    assert labels.ratio < 1
    assert {row.must for row in (accuracy, confidence, labels)} == {1.0}


def test_table_shows_every_row():
    rows = [
        turns.Row("a", "s", 1.0, 2.0, "peer", 2.0, 1.5, 2.5, 1.0, None, 0.25, 0.5),
        turns.Row("b", "s", 1.0, 2.0, "peer", 0.5, 0.5, 0.5, None, None),
    ]
    lines = turns.markdown(rows).splitlines()
    assert len(lines) == 4
    assert "| 2.00 (1.50–2.50) | 1 / – | 25%, 50% |" in lines[2]
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
    for flag in (
        "--rows", "--json", "--turns", "--chunk-steps", "--latents", "--directions", "--seeds",
        "--images",
    ):  # fmt: skip
        assert flag in found.stdout


def test_unknown_rows_are_named_before_any_work(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--rows", "gan", "speed"])
    with pytest.raises(ValueError, match="speed; choose of gan, classifier"):
        benchmark.main()
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--seeds", "1"])
    with pytest.raises(ValueError, match="--seeds is 1"):
        benchmark.main()
