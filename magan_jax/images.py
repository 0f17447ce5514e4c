"""Images as data sets hold them and as networks take them, and how training moves them."""

import jax
import jax.numpy as jnp
import numpy as np

from magan_jax.errors import NetworkOutputError, warn

BLACK = 0.01
"""So little below 0 a black of images in [0, 1] may lie, by rounding or a resizing."""


def scale_images(images: jax.Array | np.ndarray) -> jax.Array:
    """uint8 in 0..255 to float32 in [-1, 1], any shape."""
    return jnp.asarray(images, jnp.float32) / 127.5 - 1.0


def quantise_images(images: np.ndarray, *, name: str = "images") -> np.ndarray:
    """Images `[N, H, W, C]` as uint8, as data sets hold them.

    Floats in [-1, 1] are rounded to the nearest of the 256 values that real images have: otherwise
    an extractor may tell generated images by values that no real image can have. The range is
    fixed, never that of a batch. What is beyond [-1, 1] is refused rather than cut off; floats of
    which none is below 0 are taken with a warning, since they look like images in [0, 1].

    Raises:
        ValueError: for another shape, type or range.
    """
    array = np.asarray(images)
    if array.ndim != 4 or not array.size:
        raise ValueError(f"{name} has the shape {array.shape}; images [N, H, W, C] are needed.")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" and array.dtype.name != "bfloat16":
        raise ValueError(
            f"{name} is of type {array.dtype}; images must be uint8, or floats in [-1, 1]."
        )
    if array.min() >= -BLACK and array.max() <= 1:
        warn(
            f"{name} are floats from {array.min():.3g} to {array.max():.3g}, none clearly below 0; "
            "they are taken as in [-1, 1], where 0 is grey: pass 2 x - 1 if they lie in [0, 1]."
        )
    quantised = np.empty(array.shape, np.uint8)
    for first in range(0, len(array), 1000):
        part = array[first : first + 1000].astype(np.float32)
        bad = ~np.isfinite(part.reshape(len(part), -1)).all(axis=1)
        if bad.any():
            raise NetworkOutputError(
                f"{bad.sum()} of the {name} in rows {first} to {first + len(part) - 1} are not "
                f"finite, the first is row {first + np.argmax(bad)}; look at what made them."
            )
        if not (np.abs(part) <= 1 + 1e-5).all():  # NaN too
            raise ValueError(
                f"{name} goes from {part.min()} to {part.max()} in rows {first} to "
                f"{first + len(part) - 1}; floats must be finite and lie in [-1, 1]; or pass uint8."
            )
        quantised[first : first + 1000] = np.clip(np.rint((part + 1) * 127.5), 0, 255)
    return quantised


def random_shift(
    key: jax.Array, image: jax.Array, max_shift: int | jax.Array, reach: int | None = None
) -> jax.Array:
    """The image `[H, W, C]` moved by up to `max_shift` pixels each way; black (-1) comes in.

    In a compiled function `max_shift` may be an argument, if it is not above `reach`.
    """
    reach = int(max_shift) if reach is None else reach
    padding = ((reach, reach), (reach, reach), (0, 0))
    padded = jnp.pad(image, padding, constant_values=-1.0)
    row, column = reach - max_shift + jax.random.randint(key, (2,), 0, 2 * max_shift + 1)
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


def random_erasing(key: jax.Array, image: jax.Array, max_size: int) -> jax.Array:
    """The image `[H, W, C]` with a black (-1) rectangle of 0 to `max_size` pixels along each side,
    anywhere inside."""
    place_key, size_key = jax.random.split(key)
    size = jax.random.randint(size_key, (2,), 0, max_size + 1)
    sides = jnp.array(image.shape[:2])
    first = jax.random.randint(place_key, (2,), 0, sides - size + 1)
    rows, columns = (
        (jnp.arange(side) >= first[i]) & (jnp.arange(side) < first[i] + size[i])
        for i, side in enumerate(image.shape[:2])
    )
    return jnp.where((rows[:, None] & columns[None])[..., None], -1.0, image)


def random_appearance(
    key: jax.Array, image: jax.Array, max_shift: int, max_erased: int, brightness: float
) -> jax.Array:
    """The image `[H, W, C]` as no class minds it: shifted, a part erased, darker or brighter."""
    shift_key, erase_key, light_key = jax.random.split(key, 3)
    image = random_shift(shift_key, image, max_shift)
    image = random_erasing(erase_key, image, max_erased)
    return random_brightness(light_key, image, brightness)


def random_brightness(key: jax.Array, image: jax.Array, spread: float) -> jax.Array:
    """The image `[H, W, C]` in [-1, 1], its light times exp(N(0, `spread`²)), cut at 1."""
    factor = jnp.exp(spread * jax.random.normal(key))
    return 2 * jnp.minimum((image + 1) / 2 * factor, 1) - 1
