"""Augmentations that hide parts of a picture: square holes, and the dark border around a microscope's field of view."""

import tensorflow as tf

from level1_cnn.augment.draws import apply_to_some, uniform
from level1_cnn.augment.settings import Augmentation

# The bright circle, in half sides: the largest radius, at which only the outermost corners are dark; the largest shift
# of the centre; the softness of the edge. DARKNESS is the share of light missing outside. All values were set by eye
# on pictures of the contest.
MAX_RADIUS, MAX_SHIFT, SOFTNESS, DARKNESS = 1.3, 0.12, (0.01, 0.06), (0.75, 1.0)


def erase_squares(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some with random squares set to the picture's mean colour."""
    if not settings.dropout:
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures with squares of their mean colour."""
        count, side = tf.shape(selection)[0], tf.shape(selection)[1]
        length = tf.cast(settings.dropout * tf.cast(side, tf.float32), tf.int32)
        corners = tf.random.stateless_uniform(
            [2, count, settings.dropout_holes], seed, 0, side - length + 1, dtype=tf.int32
        )
        mean = tf.reduce_mean(selection, axis=[1, 2], keepdims=True)
        return paste(selection, mean, boxes(side, corners, corners + length))

    return apply_to_some(pictures, settings.dropout_probability, seed, change)


def boxes(side: tf.Tensor, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Return a mask (n, side, side) bool of the pixels in any of k boxes per picture.

    A box reaches from pixel ``first`` up to, but without, pixel ``last``; both are (2, n, k) int32, where the first
    axis is (row, column).
    """
    positions = tf.range(side)
    inside = (positions >= first[..., tf.newaxis]) & (positions < last[..., tf.newaxis])
    rows, columns = tf.unstack(tf.cast(inside, tf.float32))
    return tf.matmul(rows, columns, transpose_a=True) > 0.5


def paste(pictures: tf.Tensor, others: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3) with the pixels of ``others`` where ``mask`` (n, side, side) is true."""
    # Arithmetic with 0 and 1 is exact, and tf.where takes twice as long when it has to broadcast.
    share = tf.cast(mask, tf.float32)[..., tf.newaxis]
    return pictures * (1.0 - share) + others * share


def add_vignette(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some of them dark outside a random circle, as through a microscope."""
    if not settings.vignette:
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures with a dark border."""
        radius, down, across, soft, dark = tf.unstack(uniform(seed, 0.0, 1.0, 5, tf.shape(selection)[0]))
        centres = MAX_SHIFT * (2.0 * tf.stack([down, across], axis=1) - 1.0)
        soft = SOFTNESS[0] + (SOFTNESS[1] - SOFTNESS[0]) * soft
        dark = DARKNESS[0] + (DARKNESS[1] - DARKNESS[0]) * dark
        smallest = 1.0 - settings.vignette
        return darken_outside(selection, centres, smallest + (MAX_RADIUS - smallest) * radius, soft, dark)

    return apply_to_some(pictures, settings.vignette_probability, seed, change)


def darken_outside(
    pictures: tf.Tensor, centres: tf.Tensor, radii: tf.Tensor, softness: tf.Tensor, darkness: tf.Tensor
) -> tf.Tensor:
    """Return pictures (n, side, side, 3) that lose the share ``darkness`` (n,) of their light outside a circle.

    ``centres`` (n, 2: down and across from the middle), ``radii`` (n,) and edge ``softness`` (n,) are in half sides.
    """
    side = tf.cast(tf.shape(pictures)[1], tf.float32)
    positions = (2.0 * tf.range(side) + 1.0) / side - 1.0
    down, across = (tf.square(positions - centres[:, axis, tf.newaxis]) for axis in (0, 1))
    distance = tf.sqrt(down[:, :, tf.newaxis] + across[:, tf.newaxis, :])
    radii, softness, darkness = (values[:, tf.newaxis, tf.newaxis] for values in (radii, softness, darkness))
    light = 1.0 - darkness * tf.sigmoid((distance - radii) / softness)
    return pictures * light[..., tf.newaxis]
