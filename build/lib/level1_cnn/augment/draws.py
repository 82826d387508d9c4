"""What the augmentations draw with: numbers per picture or object, and which pictures are changed at all."""

from collections.abc import Callable

import tensorflow as tf


def between(seed: tf.Tensor, low: float, high: float, *shape: int | tf.Tensor) -> tf.Tensor:
    """Return float32 numbers of ``shape``, uniform in [low, high), that depend on ``seed`` (2,) alone."""
    return tf.random.stateless_uniform(shape, seed, low, high)


def per_picture(values: tf.Tensor) -> tf.Tensor:
    """Return values (n,) as (n, 1, 1, 1), one for all pixels of a picture."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def sometimes(
    pictures: tf.Tensor, probability: float, seed: tf.Tensor, change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Return the pictures (n, side, side, c), each replaced by ``change(chosen pictures, seed)`` with a probability.

    Only the pictures that were drawn are computed, so that a probability of 0.2 costs about a fifth.
    """
    if probability >= 1:
        return change(pictures, seed)
    choosing, changing = tf.unstack(tf.random.split(seed, 2))
    chosen = tf.where(between(choosing, 0.0, 1.0, tf.shape(pictures)[0]) < probability)

    def scattered() -> tf.Tensor:
        changed = change(tf.gather_nd(pictures, chosen), changing)
        return tf.ensure_shape(tf.tensor_scatter_nd_update(pictures, chosen, changed), pictures.shape)

    return tf.cond(tf.shape(chosen)[0] > 0, scattered, lambda: pictures)
