"""The clustering report's look into latent spaces: gradient ascent and t-SNE."""

import os

import jax
import numpy as np
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from magan_jax.comparison.outcome import Embedding, Exploration, Outcomes
from magan_jax.latent.ascent import ascend
from magan_jax.latent.labels import label_latents
from magan_jax.metrics import Extractor, features_of
from magan_jax.networks import Classify, Generate
from magan_jax.prior import Prior
from magan_jax.sampling import images_of

# Streams of the key: what is drawn of one system does not depend on which others there are.
_UNTRAINED, _PLAIN, _CLUSTERED, _STARTS = range(4)


def check_exploration(num_points: int, num_starts: int) -> None:
    """Refuse numbers of points and starts that cannot work; to be called before any training."""
    least = int(TSNE().perplexity) + 1
    if num_points < least:
        raise ValueError(
            f"num_points is {num_points}; t-SNE needs at least {least}, more than its perplexity."
        )
    if num_starts < 1:
        raise ValueError(f"num_starts is {num_starts}; it must be at least 1.")


def explore(
    key: jax.Array,
    outcomes: Outcomes,
    untrained: Generate,
    classify: Classify,
    extractor: Extractor,
    num_classes: int,
    *,
    num_starts: int,
    num_points: int,
    num_devices: int | None = None,
) -> Exploration:
    """Climb towards every class, and embed latents and features in the plane.

    The first seed judged of the first system with a normal prior, and of the first ClusterGAN, are
    looked into; what was not trained is left out.

    Args:
        key: of latents and embeddings.
        outcomes: by name.
        untrained: a generator of the normal prior's dimension before any training.
        classify: C.
        extractor: whose features are embedded.
        num_classes: K.
        num_starts: latents that climb towards each of the K classes.
        num_points: points of each embedding.
        num_devices: see `magan_jax.parallel.on_devices`.
    """
    trained = [one for one in outcomes.values() if one.judged]
    plain = [one for one in trained if one.judged[0].gan.encode is None]
    clustered = [one for one in trained if one.judged[0].gan.encode is not None]
    looked_into: dict[str, tuple[int, Generate, Prior]] = {}
    if plain:
        prior = plain[0].judged[0].gan.prior
        looked_into["before training"] = _UNTRAINED, untrained, prior
    for stream, one in ((_PLAIN, plain), (_CLUSTERED, clustered)):
        if one:
            gan = one[0].judged[0].gan
            looked_into[one[0].system.title] = stream, gan.generate, gan.prior
    of_latents: dict[str, Embedding] = {}
    of_features: dict[str, Embedding] = {}
    for title, (stream, generate, prior) in looked_into.items():
        latents = np.asarray(prior(jax.random.fold_in(key, stream), num_points))
        labels = label_latents(generate, classify, latents, num_devices=num_devices).label
        features = features_of(extractor.function, images_of(generate, latents))
        of_latents[f"latents, {title}"] = Embedding(_plane(latents), labels)
        of_features[f"features of images, {title}"] = Embedding(_plane(features), labels)
    embeddings = of_latents | of_features
    if not plain:
        return Exploration(None, None, "", embeddings)
    gan = plain[0].judged[0].gan
    starts = np.asarray(gan.prior(jax.random.fold_in(key, _STARTS), num_starts))
    every = np.repeat(starts, num_classes, axis=0)
    wanted = np.tile(np.arange(num_classes), num_starts)
    ascent = ascend(gan.generate, classify, every, wanted, num_devices=num_devices)
    return Exploration(every, ascent, plain[0].system.title, embeddings)


def _plane(points: np.ndarray) -> np.ndarray:
    """t-SNE with a fixed seed, as scikit-learn does it by default.

    A core is left to others: OpenMP's threads wait for one another without rest, and on two cores
    with a program beside it 1000 points took 45 s by two threads, 6 s by one (alone, 5 and 7).
    """
    with threadpool_limits(max(1, (os.cpu_count() or 1) - 1), "openmp"):
        return TSNE(random_state=0).fit_transform(np.asarray(points, np.float32))
