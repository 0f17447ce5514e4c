"""Priors: functions `(key, n) -> z [n, d]` with independent rows.

A prior with clusters also has `split`, from latents back to what they were made of, and so can
train ClusterGAN's encoder. Equal priors are one to `jax.jit` and to every cache: compiled programs
are found again by their functions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import cause, check_positive

Prior = Callable[[jax.Array, int], jax.Array]

PriorName = Literal["normal", "cluster", "cluster_recall", "mixture"]


_SMALLEST, _LARGEST = 1e-12, 1e12
"""Of latents, whose squares float32 is to hold with all of its digits."""


@lru_cache(maxsize=16)
def check_prior(prior: Prior, latent_dim: int) -> None:
    """Refuse a prior that does not draw latents that can be analysed.

    Raises:
        ValueError: for another shape, what are no real numbers, values that are not finite or of a
            size that float32 cannot square, and the same latent for every key.
    """
    try:
        drawn = jax.eval_shape(lambda k: prior(k, 1), jax.random.key(0))
    except Exception as error:  # whatever a function of the user's may raise
        raise ValueError(
            f"prior(key, 1) fails ({cause(error)}); it must be a JAX-traceable "
            f"function (key, n) -> z [n, {latent_dim}]."
        ) from error
    if getattr(drawn, "shape", None) != (1, latent_dim):
        raise ValueError(
            f"prior(key, 1) gave {getattr(drawn, 'shape', type(drawn).__name__)}; with latent_dim "
            f"{latent_dim} it must give {(1, latent_dim)}."
        )
    if jnp.issubdtype(drawn.dtype, jnp.complexfloating):
        raise ValueError(f"prior gives latents of type {drawn.dtype}; real numbers are needed.")
    draw = jax.jit(lambda key: prior(key, 1).astype(jnp.float32))
    rows = np.concatenate([draw(jax.random.key(i)) for i in range(4)])
    if not np.isfinite(rows).all():
        raise ValueError("prior gives latents that are not finite; it must give finite ones.")
    if (rows == rows[0]).all():
        raise ValueError(
            "prior gives the same latent for every key; it must draw with the key it is given, by "
            "jax.random (what NumPy draws is drawn once, when the program is compiled)."
        )
    if not _SMALLEST <= (largest := float(np.abs(rows).max())) <= _LARGEST:
        raise ValueError(
            f"prior gives latents of the size {largest:.2g}; float32 cannot square what lies "
            f"beyond {_SMALLEST:g} to {_LARGEST:g}: let generate scale them instead."
        )


@lru_cache
def standard_normal(latent_dim: int) -> Prior:
    """N(0, I) in `latent_dim` dimensions, the prior of the MAGAN paper (Section 3)."""
    latent_dim = check_positive("latent_dim", latent_dim)

    def prior(key: jax.Array, n: int) -> jax.Array:
        return jax.random.normal(key, (n, latent_dim), jnp.float32)

    return prior


@dataclass(frozen=True)
class ClusterPrior:
    """z = [z_n, z_c]: z_n ~ N(0, spread²·I) and z_c one-hot over K clusters, all equally likely.

    The prior of ClusterGAN (Mukherjee et al., 2019). d counts both parts, being the
    dimension of what the generator is given: the clustering report's d of 20, 100 and 200 leave
    10, 90 and 190 for z_n. (The report does not say whether its d is dim z_n alone, but that its
    generator, made for 100, was kept and given a vector of dim z_n + dim z_c.)

    Attributes:
        latent_dim: d, more than K.
        num_clusters: K.
        spread: standard deviation of z_n.
        hot_mean: the hot entry of z_c is drawn from N(hot_mean, hot_deviation²). It is 1 in
            training; the report's improved recall has N(1.1, 0.15²), as we read it when sampling
            (it does not say whether in training too).
        hot_deviation: see there.
    """

    latent_dim: int
    num_clusters: int = 10
    spread: float = 0.10
    hot_mean: float = 1.0
    hot_deviation: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.num_clusters < self.latent_dim:
            raise ValueError(
                f"latent_dim is {self.latent_dim} and num_clusters {self.num_clusters}; the prior "
                "'cluster' needs at least one cluster and more dimensions than clusters."
            )

    @property
    def continuous_dim(self) -> int:
        """Dimension of z_n."""
        return self.latent_dim - self.num_clusters

    def __call__(self, key: jax.Array, n: int) -> jax.Array:
        """`(key, n) -> z [n, d]`."""
        noise_key, cluster_key, hot_key = jax.random.split(key, 3)
        continuous = self.spread * jax.random.normal(
            noise_key, (n, self.continuous_dim), jnp.float32
        )
        cluster = jax.random.randint(cluster_key, (n,), 0, self.num_clusters, jnp.int32)
        hot = self.hot_mean + self.hot_deviation * jax.random.normal(hot_key, (n, 1), jnp.float32)
        return jnp.concatenate(
            [continuous, hot * jax.nn.one_hot(cluster, self.num_clusters)], axis=1
        )

    def split(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z `[n, d]` to z_n `[n, d − K]` and the cluster `[n]`."""
        continuous, one_hot = jnp.split(latents, [self.continuous_dim], axis=1)
        return continuous, jnp.argmax(one_hot, axis=1)

    def moved(self, latents: jax.Array, cluster: jax.Array) -> jax.Array:
        """z `[n, d]` with the hot entry, of whatever value, in the place of clusters `[n]`."""
        continuous, one_hot = jnp.split(latents, [self.continuous_dim], axis=1)
        hot = one_hot.sum(axis=1, keepdims=True)
        return jnp.concatenate([continuous, hot * jax.nn.one_hot(cluster, self.num_clusters)], 1)


@dataclass(frozen=True)
class MixturePrior:
    """A mixture of K Gaussians: z = N(0, spread²·I) + e_k in d dimensions, k equally likely.

    The clustering report's Gaussian mixture latent; the report gives no equation for it.

    Attributes:
        latent_dim: d, at least K; the means e_k are the first K unit vectors.
        num_clusters: K.
        spread: standard deviation of each component.
    """

    latent_dim: int
    num_clusters: int = 10
    spread: float = 0.10

    def __post_init__(self) -> None:
        if not 1 <= self.num_clusters <= self.latent_dim:
            raise ValueError(
                f"latent_dim is {self.latent_dim} and num_clusters {self.num_clusters}; the prior "
                "'mixture' needs at least one cluster and as many dimensions as clusters."
            )

    @property
    def continuous_dim(self) -> int:
        """Dimension of z_n, which is d: the noise is in all dimensions."""
        return self.latent_dim

    def __call__(self, key: jax.Array, n: int) -> jax.Array:
        """`(key, n) -> z [n, d]`."""
        noise_key, cluster_key = jax.random.split(key)
        noise = self.spread * jax.random.normal(noise_key, (n, self.latent_dim), jnp.float32)
        return noise + self._mean(
            jax.random.randint(cluster_key, (n,), 0, self.num_clusters, jnp.int32)
        )

    def split(self, latents: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z `[n, d]` to z_n = z − e_k `[n, d]` and the cluster k `[n]`.

        k is the largest of the first K entries, the component with the highest density at z. With
        a spread of 0.10 that is the one that z was drawn from but for one z in 10¹¹ (two entries a
        distance of 1 apart change places). z_n and k together are all of z.
        """
        cluster = jnp.argmax(latents[:, : self.num_clusters], axis=1)
        return latents - self._mean(cluster), cluster

    def moved(self, latents: jax.Array, cluster: jax.Array) -> jax.Array:
        """z `[n, d]` with the same noise around the means of clusters `[n]`."""
        return self.split(latents)[0] + self._mean(cluster)

    def _mean(self, cluster: jax.Array) -> jax.Array:
        return jax.nn.one_hot(cluster, self.latent_dim)


ClusteredPrior = ClusterPrior | MixturePrior

PRIORS: dict[PriorName, Callable[[int, int], Prior]] = {
    "normal": lambda latent_dim, num_clusters: standard_normal(latent_dim),
    "cluster": ClusterPrior,
    "cluster_recall": lambda latent_dim, num_clusters: ClusterPrior(
        latent_dim, num_clusters, hot_mean=1.1, hot_deviation=0.15
    ),
    "mixture": MixturePrior,
}
"""Priors, given d and K, by the name that a configuration uses. `cluster_recall` is for sampling
from a generator that was trained with `cluster` (the clustering report's improved recall, as we
read it)."""
