"""The eight symmetries of the square (the dihedral group D4) as pure functions on pictures: test-time augmentation."""

import numpy as np
import tensorflow as tf

VIEWS = (
    8  # view v: transposed if v & 1, flipped left-right if v & 2, flipped upside down if v & 4; view 0 is the picture
)


def view(pictures: np.ndarray, index: int) -> np.ndarray:
    """Return symmetric view ``index`` (0..7) of square pictures (n, side, side, channels); no pixel value changes."""
    if index & 1:
        pictures = pictures.transpose(0, 2, 1, 3)
    if index & 2:
        pictures = pictures[:, :, ::-1]
    return pictures[:, ::-1] if index & 4 else pictures


def draw_views(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return each of the square pictures (n, side, side, channels) in a symmetric view drawn for it alone.

    ``seed`` is a shape (2,) integer tensor: the same seed draws the same views (stateless).
    """
    drawn = tf.random.stateless_uniform([3, tf.shape(pictures)[0], 1, 1, 1], seed) < 0.5
    pictures = tf.where(drawn[0], tf.transpose(pictures, [0, 2, 1, 3]), pictures)
    pictures = tf.where(drawn[1], tf.reverse(pictures, [2]), pictures)
    return tf.where(drawn[2], tf.reverse(pictures, [1]), pictures)
