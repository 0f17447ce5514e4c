"""What a variational autoencoder minimises: a reconstruction loss and a divergence of latents.

ELBO (Kingma and Welling, 2014; VAE report, Eq. 1): the divergence is the mean of KL(q(z|x) ‖ p(z)).
MMD (Zhao et al., 2017, InfoVAE; VAE report, Eq. 2): λ times the maximum mean discrepancy between
the latents of a batch and as many of the prior; KL has no weight there.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

DivergenceName = Literal["elbo", "mmd"]


class Encoded(NamedTuple):
    """A batch of encoded images.

    Attributes:
        mean: `[N, d]`, of q(z|x).
        log_variance: `[N, d]`.
        sample: `[M, d]`, a latent drawn from each q(z|x), of the whole batch (M ≥ N: of all
            devices).
        prior: `[M, d]`, latents drawn from p(z) = N(0, I).
    """

    mean: jax.Array
    log_variance: jax.Array
    sample: jax.Array
    prior: jax.Array


def bernoulli_loss(logits: jax.Array, light: jax.Array) -> jax.Array:
    """−log p(x|z) in nats: cross-entropy summed over pixels, mean over images.

    From logits: a saturated sigmoid would make it infinite.

    Args:
        logits: `[N, H, W, C]`.
        light: `[N, H, W, C]` in [0, 1]; greys count as probabilities.
    """
    losses = optax.sigmoid_binary_cross_entropy(logits, light)
    return jnp.mean(jnp.sum(losses.reshape(len(losses), -1), axis=-1))


def kl_to_standard_normal(mean: jax.Array, log_variance: jax.Array) -> jax.Array:
    """KL(N(mean, variance) ‖ N(0, I)) in nats: `[..., d] -> [...]`.

    ½ Σ (μ² + σ² − log σ² − 1) (Kingma and Welling, 2014, Appendix B).
    """
    terms = jnp.square(mean) + jnp.exp(log_variance) - log_variance - 1
    return 0.5 * jnp.sum(terms, axis=-1)


def maximum_mean_discrepancy(a: jax.Array, b: jax.Array) -> jax.Array:
    """MMD² of two samples `[n, d]`, `[m, d]`, unbiased: it may be negative.

    VAE report, Eq. 2, with E over different pairs (Gretton et al., 2012, Eq. 3). The kernel is
    exp(−‖z − z′‖² / 2d): 2d is the mean squared distance of two standard normal latents. The report
    does not give its width.
    """
    return _within(a) + _within(b) - 2 * jnp.mean(_kernel(a, b))


def _within(a: jax.Array) -> jax.Array:
    """The mean of the kernel over pairs of different rows."""
    n = len(a)
    kernel = _kernel(a, a)
    return (jnp.sum(kernel) - jnp.trace(kernel)) / (n * (n - 1))


def _kernel(a: jax.Array, b: jax.Array) -> jax.Array:
    squared = jnp.sum(jnp.square(a[:, None] - b[None]), axis=-1)  # [n, m]; a product would cancel
    return jnp.exp(-squared / (2 * a.shape[-1]))


def _elbo(encoded: Encoded) -> jax.Array:
    return jnp.mean(kl_to_standard_normal(encoded.mean, encoded.log_variance))


def _mmd(encoded: Encoded) -> jax.Array:
    return maximum_mean_discrepancy(encoded.sample, encoded.prior)


class Divergence(NamedTuple):
    """A divergence of the latents from the prior.

    Attributes:
        of: its value, `[]`.
        weight: the setting of `VAEConfig` that weighs it beside the reconstruction loss; None: 1.
        label: with its unit.
    """

    of: Callable[[Encoded], jax.Array]
    weight: str | None
    label: str


DIVERGENCES: dict[DivergenceName, Divergence] = {
    "elbo": Divergence(_elbo, None, "KL [nats]"),
    "mmd": Divergence(_mmd, "mmd_weight", "squared MMD"),
}
"""By the name that a configuration uses."""
