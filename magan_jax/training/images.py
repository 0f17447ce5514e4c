"""From the images of a data set to those of the networks."""

import jax
import jax.numpy as jnp
import numpy as np


def scale_images(images: jax.Array | np.ndarray) -> jax.Array:
    """uint8 in 0..255 to float32 in [-1, 1], any shape."""
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def random_shift(key: jax.Array, image: jax.Array, max_shift: int) -> jax.Array:
    """The image `[H, W, C]` moved by up to `max_shift` pixels each way; black (-1) comes in."""
    padding = ((max_shift, max_shift), (max_shift, max_shift), (0, 0))
    padded = jnp.pad(image, padding, constant_values=-1.0)
    row, column = jax.random.randint(key, (2,), 0, 2 * max_shift + 1)
    return jax.lax.dynamic_slice(padded, (row, column, 0), image.shape)


def random_moves(
    shift_keys: jax.Array, mirror_keys: jax.Array, images: jax.Array, max_shift: int, mirror: bool
) -> jax.Array:
    """Each image `[N, H, W, C]` shifted and mirrored by keys of its own `[N]`, if at all."""
    if max_shift:
        images = jax.vmap(random_shift, (0, 0, None))(shift_keys, images, max_shift)
    if mirror:
        images = jax.vmap(random_mirror)(mirror_keys, images)
    return images


def random_mirror(key: jax.Array, image: jax.Array) -> jax.Array:
    """The image `[H, W, C]`, or with probability 1/2 its mirror image, left for right."""
    return jnp.where(jax.random.bernoulli(key), image[:, ::-1], image)
