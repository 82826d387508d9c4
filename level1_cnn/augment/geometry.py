"""Augmentations that move pixels: the eight symmetries, rotation, zoom, shift and shear in one resampling."""

import math

import tensorflow as tf

from level1_cnn.augment.draws import uniform
from level1_cnn.augment.settings import Augmentation


def transform(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, c), each with its own random symmetry, rotation, zoom, shear and shift.

    A symmetry alone only permutes pixels. Together with any other change it becomes part of the change's matrix at no
    cost, and all pixels are read in one bilinear resampling with reflection at the edges.
    """
    if settings.rotation or settings.zoom or settings.shift or settings.shear:
        return apply_affine(pictures, settings, seed)
    return apply_symmetry(pictures, seed) if settings.dihedral else pictures


def apply_symmetry(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, c), each in a random one of the square's 8 symmetries, values unchanged."""
    shape = tf.shape(pictures)
    transpose, flip_rows, flip_columns = tf.unstack(uniform(seed, 0.0, 1.0, 3, shape[0], 1, 1) < 0.5)
    positions = tf.range(shape[1])
    row, column = positions[:, tf.newaxis], positions[tf.newaxis, :]
    row, column = tf.where(transpose, column, row), tf.where(transpose, row, column)
    row = tf.where(flip_rows, shape[1] - 1 - row, row)
    column = tf.where(flip_columns, shape[1] - 1 - column, column)
    # One gather of pixels is several times faster than three choices between whole pictures.
    pixels = tf.reshape(pictures, [shape[0], -1, shape[3]])
    pixels = tf.gather(pixels, tf.reshape(row * shape[1] + column, [shape[0], -1]), batch_dims=1)
    return tf.ensure_shape(tf.reshape(pixels, shape), pictures.shape)


def apply_affine(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, c), each randomly rotated, zoomed and sheared about its centre, and shifted."""
    count = tf.shape(pictures)[0]
    seeds = tf.unstack(tf.random.split(seed, 2))
    angle, zoom, shear, right, down = tf.unstack(uniform(seeds[0], -1.0, 1.0, 5, count))
    angle *= settings.rotation * math.pi / 180
    slope = tf.tan(shear * (settings.shear * math.pi / 180))
    scale = 1.0 / (1.0 + zoom * settings.zoom)
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    matrices = _matrices(tf.cos(angle) * scale, -tf.sin(angle) * scale, tf.sin(angle) * scale, tf.cos(angle) * scale)
    matrices = matrices @ _matrices(one, slope, zero, one)
    if settings.dihedral:
        matrices = matrices @ _symmetries(seeds[1], count)
    pictures = warp(pictures, matrices, tf.stack([right, down], axis=1) * settings.shift)
    return tf.minimum(pictures, 255.0)  # the sum of a pixel's four weights may exceed 1 by a rounding error


def warp(pictures: tf.Tensor, matrices: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, c) whose pixel p is the input at M (p - centre) + centre + shift, bilinear.

    ``matrices`` (n, 2, 2) act on (x, y); ``shifts`` (n, 2) are shares of the side. Beyond an edge the picture is
    reflected.
    """
    side = tf.cast(tf.shape(pictures)[1], tf.float32)
    centre = (side - 1) / 2
    offsets = centre - centre * tf.reduce_sum(matrices, axis=2) + shifts * side
    rows = tf.concat([matrices, offsets[:, :, tf.newaxis]], axis=2)
    transforms = tf.pad(tf.reshape(rows, [-1, 6]), [[0, 0], [0, 2]])
    result = tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=transforms,
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(result, pictures.shape)


def _symmetries(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Return ``count`` random symmetries as matrices (count, 2, 2): a sign per axis, and the axes swapped or not."""
    bits = tf.cast(uniform(seed, 0.0, 1.0, 3, count) < 0.5, tf.float32)
    x_sign, y_sign, swap = 2 * bits[0] - 1, 2 * bits[1] - 1, bits[2]
    return _matrices(x_sign * (1 - swap), x_sign * swap, y_sign * swap, y_sign * (1 - swap))


def _matrices(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.stack([a, b], axis=1), tf.stack([c, d], axis=1)], axis=1)
