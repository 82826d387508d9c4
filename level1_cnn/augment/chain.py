"""Augmentation: pure tensor functions that change every picture of a batch by amounts drawn for it alone."""

import math

import tensorflow as tf

from level1_cnn.augment.settings import Augmentation
from level1_cnn.views import draw_views


def augment(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return a changed batch of pictures (n, side, side, 3), float32 pixels 0..255 in and out.

    ``seed`` is a shape (2,) integer tensor; the same seed gives the same changes (stateless), so nothing is frozen
    when a graph is traced and a run can be repeated.
    """
    seeds = tf.unstack(tf.random.split(seed, 5))
    if settings.dihedral:
        pictures = draw_views(pictures, seeds[0])
    if settings.rotation or settings.zoom or settings.shift:
        pictures = move(pictures, settings, seeds[1])
    if settings.brightness or settings.contrast:
        pictures = relight(pictures, settings.brightness, settings.contrast, seeds[2])
    if settings.saturation:
        pictures = resaturate(pictures, settings.saturation, seeds[3])
    if settings.dropout:
        pictures = drop_square(pictures, settings.dropout, seeds[4])
    return tf.clip_by_value(pictures, 0.0, 255.0)


def move(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Rotate (degrees), zoom (share) and shift (share of the side) every picture about its centre; edges reflect."""
    side = tf.cast(tf.shape(pictures)[1], tf.float32)
    angle, zoom, right, down = tf.unstack(_between(seed, 4, tf.shape(pictures)[0]))
    angle = angle * (settings.rotation * math.pi / 180)
    scale = 1.0 / (1.0 + zoom * settings.zoom)
    cos, sin, centre = tf.cos(angle) * scale, tf.sin(angle) * scale, (side - 1) / 2
    # Output pixel (x, y) takes the input at (a x + b y + c, d x + e y + f): the centre stays, then moves by the shift.
    c = centre - cos * centre + sin * centre + right * settings.shift * side
    f = centre - sin * centre - cos * centre + down * settings.shift * side
    zero = tf.zeros_like(cos)
    transforms = tf.stack([cos, -sin, c, sin, cos, f, zero, zero], axis=1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=pictures,
        transforms=transforms,
        output_shape=tf.shape(pictures)[1:3],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def relight(pictures: tf.Tensor, brightness: float, contrast: float, seed: tf.Tensor) -> tf.Tensor:
    """Add up to ``brightness`` (share of 255) and stretch about the picture's mean by up to ``contrast`` (share)."""
    added, stretch = tf.unstack(_between(seed, 2, tf.shape(pictures)[0]))
    mean = tf.reduce_mean(pictures, axis=[1, 2], keepdims=True)
    stretched = (pictures - mean) * _per_picture(1.0 + stretch * contrast) + mean
    return stretched + _per_picture(added * brightness * 255.0)


def resaturate(pictures: tf.Tensor, saturation: float, seed: tf.Tensor) -> tf.Tensor:
    """Move colours from or towards grey (Rec. 601 luma) by up to ``saturation`` (share)."""
    (change,) = tf.unstack(_between(seed, 1, tf.shape(pictures)[0]))
    grey = tf.tensordot(pictures, tf.constant([0.299, 0.587, 0.114]), axes=1)[..., tf.newaxis]
    return grey + (pictures - grey) * _per_picture(1.0 + change * saturation)


def drop_square(pictures: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """Set one square of ``share`` of the side, anywhere in the picture, to the picture's mean colour."""
    side = tf.shape(pictures)[1]
    length = tf.cast(share * tf.cast(side, tf.float32), tf.int32)
    corner = tf.random.stateless_uniform([2, tf.shape(pictures)[0], 1], seed, 0, side - length + 1, tf.int32)
    inside = (tf.range(side) >= corner) & (tf.range(side) < corner + length)
    square = inside[0][:, :, tf.newaxis, tf.newaxis] & inside[1][:, tf.newaxis, :, tf.newaxis]
    return tf.where(square, tf.reduce_mean(pictures, axis=[1, 2], keepdims=True), pictures)


def _between(seed: tf.Tensor, rows: int, count: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform([rows, count], seed, -1.0, 1.0)


def _per_picture(values: tf.Tensor) -> tf.Tensor:
    return values[:, tf.newaxis, tf.newaxis, tf.newaxis]
