"""Random draws of the augmentations: numbers per picture or object, and the selection of pictures to change."""

from collections.abc import Callable

import tensorflow as tf


def uniform(seed: tf.Tensor, low: float, high: float, *shape: int | tf.Tensor) -> tf.Tensor:
    """Return float32 numbers of ``shape``, uniform in [low, high); they depend only on ``seed`` (2,)."""
    return tf.random.stateless_uniform(shape, seed, low, high)


def per_picture(values: tf.Tensor) -> tf.Tensor:
    """Return values (n,) in shape (n, 1, 1, 1), so that each applies to all pixels of its picture."""
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]


def apply_to_some(
    pictures: tf.Tensor, probability: float, seed: tf.Tensor, change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> tf.Tensor:
    """Return the pictures (n, side, side, c), each replaced with ``probability`` by the result of ``change``.

    ``change(selection, seed)`` gets only the randomly selected pictures, so a probability of 0.2 costs about a fifth.
    """
    if probability >= 1:
        return change(pictures, seed)
    seeds = tf.unstack(tf.random.split(seed, 2))
    indices = tf.where(uniform(seeds[0], 0.0, 1.0, tf.shape(pictures)[0]) < probability)

    def replace_selection() -> tf.Tensor:
        """Return all pictures, with the selected ones changed."""
        results = change(tf.gather_nd(pictures, indices), seeds[1])
        return tf.ensure_shape(tf.tensor_scatter_nd_update(pictures, indices, results), pictures.shape)

    return tf.cond(tf.shape(indices)[0] > 0, replace_selection, lambda: pictures)
