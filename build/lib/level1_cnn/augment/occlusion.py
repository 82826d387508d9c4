"""Augmentations that hide parts: square holes, and the dark around a microscope's circle."""

import tensorflow as tf

from level1_cnn.augment.draws import between, sometimes
from level1_cnn.augment.settings import Augmentation

# The circle, in half sides: a widest radius that leaves the corners dark only just, how far its centre strays, and how
# soft its edge is. DARKNESS: how much of the light is missing outside. Chosen by eye against pictures of the contest.
WIDEST, ASTRAY, SOFTNESS, DARKNESS = 1.3, 0.12, (0.01, 0.06), (0.75, 1.0)


def drop_squares(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some with squares anywhere set to the picture's mean colour."""
    if not settings.dropout:
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        count, side = tf.shape(chosen)[0], tf.shape(chosen)[1]
        length = tf.cast(settings.dropout * tf.cast(side, tf.float32), tf.int32)
        corners = tf.random.stateless_uniform(
            [2, count, settings.dropout_holes], seed, 0, side - length + 1, dtype=tf.int32
        )
        mean = tf.reduce_mean(chosen, axis=[1, 2], keepdims=True)
        return paste(chosen, mean, boxes(side, corners, corners + length))

    return sometimes(pictures, settings.dropout_probability, seed, change)


def boxes(side: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Return which pixels (n, side, side) lie in any of k boxes: from ``first`` to before ``last``.

    Both are (2, n, k) int32; their first axis is (down, across).
    """
    place = tf.range(side)
    inside = (place >= first[..., tf.newaxis]) & (place < last[..., tf.newaxis])
    rows, columns = tf.unstack(tf.cast(inside, tf.float32))
    return tf.matmul(rows, columns, transpose_a=True) > 0.5


def paste(pictures: tf.Tensor, others: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3), with the pixels of ``others`` wherever ``hidden`` (n, side, side)."""
    # By arithmetic, exact with 0 and 1: TensorFlow's choice takes twice as long where it has to broadcast.
    share = tf.cast(hidden, tf.float32)[..., tf.newaxis]
    return pictures * (1.0 - share) + others * share


def vignette(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures, some seen through a microscope: dark outside a circle whose place and size each draws."""
    if not settings.vignette:
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        radius, down, across, soft, dark = tf.unstack(between(seed, 0.0, 1.0, 5, tf.shape(chosen)[0]))
        centres = ASTRAY * (2.0 * tf.stack([down, across], axis=1) - 1.0)
        soft = SOFTNESS[0] + (SOFTNESS[1] - SOFTNESS[0]) * soft
        dark = DARKNESS[0] + (DARKNESS[1] - DARKNESS[0]) * dark
        smallest = 1.0 - settings.vignette
        return darken_outside(chosen, centres, smallest + (WIDEST - smallest) * radius, soft, dark)

    return sometimes(pictures, settings.vignette_probability, seed, change)


def darken_outside(
    pictures: tf.Tensor, centres: tf.Tensor, radii: tf.Tensor, softness: tf.Tensor, darkness: tf.Tensor
) -> tf.Tensor:
    """Return pictures (n, side, side, 3) with a share ``darkness`` (n,) of the light gone outside a circle.

    ``centres`` (n, 2: down, across, from the middle), ``radii`` (n,) and edge ``softness`` (n,) are in half sides.
    """
    side = tf.cast(tf.shape(pictures)[1], tf.float32)
    place = (2.0 * tf.range(side) + 1.0) / side - 1.0
    down, across = (tf.square(place - centres[:, axis, tf.newaxis]) for axis in (0, 1))
    distance = tf.sqrt(down[:, :, tf.newaxis] + across[:, tf.newaxis, :])
    radii, softness, darkness = (values[:, tf.newaxis, tf.newaxis] for values in (radii, softness, darkness))
    light = 1.0 - darkness * tf.sigmoid((distance - radii) / softness)
    return pictures * light[..., tf.newaxis]
