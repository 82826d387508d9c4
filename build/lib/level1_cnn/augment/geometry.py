"""Augmentations that move pixels: the eight symmetries, rotation, zoom, shift and shear in one resampling."""

import math

import tensorflow as tf

from level1_cnn.augment.draws import between
from level1_cnn.augment.settings import Augmentation


def place(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return each of the pictures (n, side, side, c) in a symmetry, angle, size, shear and position of its own.

    A symmetry alone only permutes pixels. With any of the others it is part of their matrix, which costs nothing,
    and pixels are read in one bilinear resampling in which edges reflect.
    """
    if settings.rotation or settings.zoom or settings.shift or settings.shear:
        return move(pictures, settings, seed)
    return turn(pictures, seed) if settings.dihedral else pictures


def turn(pictures: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Return each of the square pictures in one of the 8 symmetries of the square; no pixel value changes."""
    shape = tf.shape(pictures)
    swapped, flipped, mirrored = tf.unstack(between(seed, 0.0, 1.0, 3, shape[0], 1, 1) < 0.5)
    place = tf.range(shape[1])
    down, across = place[:, tf.newaxis], place[tf.newaxis, :]
    down, across = tf.where(swapped, across, down), tf.where(swapped, down, across)
    down = tf.where(flipped, shape[1] - 1 - down, down)
    across = tf.where(mirrored, shape[1] - 1 - across, across)
    # One gather of pixels is several times faster than three choices between whole pictures.
    pixels = tf.reshape(pictures, [shape[0], -1, shape[3]])
    turned = tf.gather(pixels, tf.reshape(down * shape[1] + across, [shape[0], -1]), batch_dims=1)
    return tf.ensure_shape(tf.reshape(turned, shape), pictures.shape)


def move(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures rotated, zoomed and sheared about their centres and shifted, each by its own amounts."""
    count = tf.shape(pictures)[0]
    seeds = tf.unstack(tf.random.split(seed, 2))
    angle, zoom, shear, right, down = tf.unstack(between(seeds[0], -1.0, 1.0, 5, count))
    angle *= settings.rotation * math.pi / 180
    slope = tf.tan(shear * (settings.shear * math.pi / 180))
    scale = 1.0 / (1.0 + zoom * settings.zoom)
    one, zero = tf.ones_like(angle), tf.zeros_like(angle)
    matrices = _matrices(tf.cos(angle) * scale, -tf.sin(angle) * scale, tf.sin(angle) * scale, tf.cos(angle) * scale)
    matrices = matrices @ _matrices(one, slope, zero, one)
    if settings.dihedral:
        matrices = matrices @ _symmetries(seeds[1], count)
    moved = warp(pictures, matrices, tf.stack([right, down], axis=1) * settings.shift)
    return tf.minimum(moved, 255.0)  # a pixel's four weights sum to 1 but for rounding


def warp(pictures: tf.Tensor, matrices: tf.Tensor, shifts: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, c) whose pixel p shows the input at M (p - centre) + centre + shift, bilinear.

    ``matrices`` (n, 2, 2) act on (x, y), ``shifts`` (n, 2) are shares of the side; beyond an edge the picture reflects.
    """
    side = tf.cast(tf.shape(pictures)[1], tf.float32)
    centre = (side - 1) / 2
    offsets = centre - centre * tf.reduce_sum(matrices, axis=2) + shifts * side
    rows = tf.concat([matrices, offsets[:, :, tf.newaxis]], axis=2)
    transforms = tf.pad(tf.reshape(rows, [-1, 6]), [[0, 0], [0, 2]])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=transforms,
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )
    return tf.ensure_shape(moved, pictures.shape)


def _symmetries(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Return ``count`` drawn symmetries as matrices (count, 2, 2): a sign per axis, and the axes swapped or not."""
    drawn = tf.cast(between(seed, 0.0, 1.0, 3, count) < 0.5, tf.float32)
    across, down, swapped = 2 * drawn[0] - 1, 2 * drawn[1] - 1, drawn[2]
    return _matrices(across * (1 - swapped), across * swapped, down * swapped, down * (1 - swapped))


def _matrices(a: tf.Tensor, b: tf.Tensor, c: tf.Tensor, d: tf.Tensor) -> tf.Tensor:
    return tf.stack([tf.stack([a, b], axis=1), tf.stack([c, d], axis=1)], axis=1)
