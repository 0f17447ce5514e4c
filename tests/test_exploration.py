"""What is looked into: starts, targets, embeddings."""

import os
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from magan_jax.comparison import exploration
from magan_jax.comparison.exploration import explore
from magan_jax.metrics import Extractor
from magan_jax.prior import standard_normal

CLASSES, STARTS, POINTS = 3, 4, 40


def generate(z):
    return jnp.tanh(z).reshape(-1, 2, 2, 1)


def classify(images):
    return 5 * images.reshape(len(images), -1)[:, :CLASSES]


def test_every_start_climbs_towards_every_class():
    gan = SimpleNamespace(generate=generate, prior=standard_normal(4), encode=None)
    plain = SimpleNamespace(
        system=SimpleNamespace(title="plain"), judged=[SimpleNamespace(gan=gan)], failure=None
    )
    extractor = Extractor("pixels", lambda images: images.reshape(len(images), -1))
    found = explore(
        jax.random.key(0), {"plain": plain}, generate, classify, extractor, CLASSES,
        num_starts=STARTS, num_points=POINTS,
    )  # fmt: skip
    starts = found.starts.reshape(STARTS, CLASSES, 4)
    np.testing.assert_array_equal(starts, starts[:, :1].repeat(CLASSES, 1))
    assert len(np.unique(starts[:, 0], axis=0)) == STARTS
    np.testing.assert_array_equal(found.ascent.target, np.tile(np.arange(CLASSES), STARTS))
    # What it was before belongs to the start that stands beside it.
    logits = 5 * np.tanh(found.starts[:, :CLASSES])
    share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    before = share[np.arange(len(share)), found.ascent.target]
    np.testing.assert_allclose(found.ascent.before, before, rtol=1e-5)
    assert found.ascent_of == "plain"
    assert {title.partition(",")[0] for title in found.embeddings} == {
        "latents",
        "features of images",
    }
    for one in found.embeddings.values():
        assert one.points.shape == (POINTS, 2)
        assert one.labels.shape == (POINTS,)


def test_without_a_plain_system_nothing_climbs():
    found = explore(
        jax.random.key(0), {}, generate, classify, None, CLASSES, num_starts=1, num_points=2
    )
    assert found.ascent is None
    assert found.starts is None


@pytest.mark.parametrize(("cores", "threads"), [(4, 3), (1, 1), (None, 1)])
def test_an_embedding_leaves_a_core_to_others(cores, threads, monkeypatch):
    class Embedding:
        def __init__(self, **settings):
            pass

        def fit_transform(self, points):
            return {p["num_threads"] for p in threadpool_info() if p["user_api"] == "openmp"}

    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.setattr(exploration, "TSNE", Embedding)
    assert exploration._plane(np.zeros((2, 2))) == {threads}
