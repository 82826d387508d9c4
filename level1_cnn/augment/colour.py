"""Augmentations of light and colour: brightness, contrast, saturation and hue, as one affine map of RGB per picture."""

import math

import numpy as np
import tensorflow as tf

from level1_cnn.augment.draws import uniform
from level1_cnn.augment.settings import Augmentation

LUMA = (0.299, 0.587, 0.114)  # Rec. 601
# RGB -> YIQ (NTSC): the luma and two colour axes; a rotation in the plane of these two changes only the hue.
YIQ = np.array([LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)], np.float32)
PIXELS_AT_ONCE = 4  # one multiplication by 12 x 12 is several times faster than four by 3 x 3


def recolour(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3) in 0..255, each with its own random light and colours.

    Contrast scales around the picture's mean colour, brightness adds a constant, saturation scales around the luma,
    hue rotates the colours. The four linear changes are combined into one matrix and one offset per picture, which
    needs only one pass over memory.
    """
    if not (settings.brightness or settings.contrast or settings.saturation or settings.hue):
        return pictures
    brightness, contrast, saturation, hue = tf.unstack(uniform(seed, -1.0, 1.0, 4, tf.shape(pictures)[0]))
    contrast, saturation = 1.0 + contrast * settings.contrast, 1.0 + saturation * settings.saturation
    matrices = _hue_matrices(hue * (settings.hue * math.pi / 180)) @ _saturation_matrices(saturation)
    offsets = brightness[:, tf.newaxis] * tf.fill([1, 3], settings.brightness * 255.0)
    if settings.contrast:
        offsets += (1.0 - contrast)[:, tf.newaxis] * tf.reduce_mean(pictures, axis=[1, 2])
    offsets = tf.linalg.matvec(matrices, offsets)
    return map_colours(pictures, matrices * contrast[:, tf.newaxis, tf.newaxis], offsets)


def map_colours(pictures: tf.Tensor, matrices: tf.Tensor, offsets: tf.Tensor) -> tf.Tensor:
    """Return M rgb + offset for every pixel, clipped to 0..255; matrices (n, 3, 3) and offsets (n, 3) per picture."""
    shape = tf.shape(pictures)
    count = tf.where(shape[1] * shape[2] % PIXELS_AT_ONCE == 0, PIXELS_AT_ONCE, 1)
    block_matrices = tf.einsum("ij,nba->niajb", tf.eye(count), matrices)
    block_matrices = tf.reshape(block_matrices, [shape[0], 3 * count, 3 * count])
    pixels = tf.reshape(pictures, [shape[0], shape[1] * shape[2] // count, 3 * count])
    pixels = pixels @ block_matrices + tf.tile(offsets, [1, count])[:, tf.newaxis]
    return tf.reshape(tf.clip_by_value(pixels, 0.0, 255.0), shape)


def luma(pictures: tf.Tensor) -> tf.Tensor:
    """Return the Rec. 601 luma (..., side, side) of pictures (..., side, side, 3)."""
    return tf.tensordot(pictures, tf.constant(LUMA), axes=1)


def _saturation_matrices(factors: tf.Tensor) -> tf.Tensor:
    """Return matrices (n, 3, 3) that scale colours around their luma by ``factors`` (n,)."""
    factors = factors[:, tf.newaxis, tf.newaxis]
    return factors * tf.eye(3) + (1.0 - factors) * tf.ones([3, 1]) * tf.constant(LUMA)


def _hue_matrices(angles: tf.Tensor) -> tf.Tensor:
    """Return matrices (n, 3, 3) that rotate colours in the IQ plane of YIQ by ``angles`` (n,) radians."""
    cos, sin = tf.cos(angles), tf.sin(angles)
    one, zero = tf.ones_like(cos), tf.zeros_like(cos)
    rotations = tf.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], axis=1)
    return tf.constant(np.linalg.inv(YIQ)) @ tf.reshape(rotations, [-1, 3, 3]) @ tf.constant(YIQ)
