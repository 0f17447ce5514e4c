"""Rows about quality: what training in bfloat16 loses, against what another seed would change."""

from dataclasses import replace
from typing import Any, Literal

import jax
import numpy as np

from fashion import PRESETS
from magan_jax import label_latents
from magan_jax.data import Dataset
from magan_jax.training.classifier import TrainedClassifier, train_classifiers
from magan_jax.training.engine import Batch
from magan_jax.training.gan import train_gans
from magan_jax.training.stage import Stage
from throughput.turns import Row, row_of

QUICK = PRESETS["quick"]
LATENTS = 10_000
"""Whose images the classifier sees."""
MOST = 10.0
"""The greatest ratio: a loss of less than a tenth of a deviation is called none."""

_NOWHERE = Stage(None, {})


def dtype_rows(dataset: Dataset, num_seeds: int, num_images: int) -> list[Row]:
    """The networks of the preset `quick`, trained in bfloat16 and in float32 from the same seeds.

    Each row compares the means over seeds of a measure of which more is better: the classifier's
    accuracy on the test images and, of the images of `LATENTS` latents, the mean confidence of one
    classifier trained in float32 and the entropy of its labels (which falls when a generator
    forgets classes). All are measured in float32. The ratio is the float32 deviation over seeds
    by the loss, at most `MOST`: above 1, bfloat16 costs less than another seed may. Few seeds
    decide roughly: of four, equal trainings would fall below 1 in about one of eight cases.

    Args:
        dataset: of which the first training images are learned, and all test images seen.
        num_seeds: trainings in each of both formats, at least 2.
        num_images: training images, in as many epochs as `quick` has.
    """
    classifiers = {dtype: _classifiers(dataset, num_seeds, num_images, dtype) for dtype in _BOTH}
    accuracy = {
        dtype: np.array([one.test_accuracy for one in trained])
        for dtype, trained in classifiers.items()
    }
    judge = classifiers["float32"][0]
    seen = {dtype: _gans_seen(judge, dataset, num_seeds, num_images, dtype) for dtype in _BOTH}
    return [
        _row("dtype: classifier trained in bfloat16", "accuracy", accuracy),
        *(
            _row("dtype: GAN trained in bfloat16", unit, {dtype: seen[dtype][i] for dtype in _BOTH})
            for i, unit in enumerate(("confidence", "nats of labels"))
        ),
    ]


_BOTH: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


def _classifiers(
    dataset: Dataset, num_seeds: int, num_images: int, dtype: Any
) -> list[TrainedClassifier]:
    return train_classifiers(
        jax.random.split(jax.random.key(0), num_seeds),
        replace(QUICK.classifier, dtype=dtype),
        Batch(dataset.train_images[:num_images], dataset.train_labels[:num_images]),
        Batch(dataset.test_images, dataset.test_labels),
        num_classes=len(dataset.class_names),
        stage=_NOWHERE,
    )


def _gans_seen(
    judge: TrainedClassifier, dataset: Dataset, num_seeds: int, num_images: int, dtype: Any
) -> np.ndarray:
    """Mean confidence of a classifier and entropy of its labels, `[2, S]`."""
    gans = train_gans(
        jax.random.split(jax.random.key(1), num_seeds),
        replace(QUICK.gan, dtype=dtype),
        dataset.train_images[:num_images],
        stage=_NOWHERE,
    )
    latents = jax.random.normal(jax.random.key(2), (LATENTS, QUICK.gan.latent_dim))
    found = [label_latents(gan.generate, judge.classify, latents) for gan in gans]
    return np.array([[np.mean(one.confidence), entropy(one.label)] for one in found]).T


def entropy(labels: np.ndarray) -> float:
    """Of the shares of the classes among labels `[n]`, in nats."""
    shares = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-np.sum(shares * np.log(shares)))


def seeds_by_loss(float32: np.ndarray, bfloat16: np.ndarray) -> float:
    """The deviation of measures `[S]` over seeds by what their mean loses, at most `MOST`."""
    deviation, loss = np.std(float32, ddof=1), np.mean(float32) - np.mean(bfloat16)
    return MOST if loss <= deviation / MOST else float(deviation / loss)


def _row(name: str, unit: str, measured: dict[Any, np.ndarray]) -> Row:
    float32, bfloat16 = measured["float32"], measured["bfloat16"]
    deviation = np.std(float32, ddof=1)
    return row_of(
        name,
        unit,
        float(np.mean(bfloat16)),
        float(np.mean(float32)),
        f"float32, deviation {deviation:.2g} over {len(float32)} seeds",
        seeds_by_loss(float32, bfloat16),
        must=1.0,
    )
