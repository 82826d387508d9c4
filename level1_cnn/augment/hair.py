"""Augmentation that draws hair: smooth, anti-aliased quadratic strokes; direction and colour are random per picture."""

from typing import NamedTuple

import tensorflow as tf

from level1_cnn.augment.draws import apply_to_some, uniform
from level1_cnn.augment.settings import Augmentation

# Shares of the side, from the contest's pictures: a hair is 0.1 mm wide in a field of view of 10 to 20 mm.
WIDTH, HALF_LENGTH = (0.003, 0.010), (0.15, 0.6)
# Hairs on one skin have similar directions: a common slope, and a deviation and bend for each hair.
SLOPE, DEVIATION, BEND = 0.8, 0.4, 0.6
STEEPEST = SLOPE + DEVIATION + 2 * BEND * HALF_LENGTH[1]
OPACITY = (0.55, 1.0)
BLACK, BROWN = (22.0, 14.0, 10.0), (115.0, 82.0, 58.0)  # RGB; a picture's hair colour is between these two


class Strokes(NamedTuple):
    """k hairs on each of n pictures, with lengths in shares of the side.

    A hair is a quadratic function v(u), where u runs along the main axis of the picture's hairs and v across it.
    """

    middle: tf.Tensor  # (n, k): u of the middle
    position: tf.Tensor  # (n, k): v at the middle
    slope: tf.Tensor  # (n, k)
    bend: tf.Tensor  # (n, k): v per squared distance from the middle
    half_length: tf.Tensor  # (n, k): along u
    width: tf.Tensor  # (n, k)
    opacity: tf.Tensor  # (n, k): 0 draws nothing
    upright: tf.Tensor  # (n,) bool: u runs from top to bottom instead of from left to right


def draw_hair(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some of them with 1 to ``settings.hair`` hairs."""
    if not settings.hair:
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures with hairs in colours from black to brown."""
        seeds = tf.unstack(tf.random.split(seed, 2))
        cover = coverage(draw_strokes(seeds[0], tf.shape(selection)[0], settings.hair), tf.shape(selection)[1])
        light = uniform(seeds[1], 0.0, 1.0, tf.shape(selection)[0], 1, 1, 1)
        colours = tf.constant(BLACK) + light * (tf.constant(BROWN) - tf.constant(BLACK))
        return selection + cover[..., tf.newaxis] * (colours - selection)

    return apply_to_some(pictures, settings.hair_probability, seed, change)


def draw_strokes(seed: tf.Tensor, count: tf.Tensor, most: int) -> Strokes:
    """Return ``most`` strokes for each of ``count`` pictures; a random number of them, at least one, is visible."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    middle, position, slope, bend, half_length, width, opacity = tf.unstack(uniform(seeds[0], 0.0, 1.0, 7, count, most))
    common, visible, upright = tf.unstack(uniform(seeds[1], 0.0, 1.0, 3, count, 1))
    is_visible = tf.cast(tf.range(most), tf.float32) < tf.math.ceil(visible * most)
    return Strokes(
        middle,
        position,
        SLOPE * (2 * common - 1) + DEVIATION * (2 * slope - 1),
        BEND * (2 * bend - 1),
        _interpolate(HALF_LENGTH, half_length),
        _interpolate(WIDTH, width),
        tf.where(is_visible | (tf.range(most) == 0), _interpolate(OPACITY, opacity), 0.0),
        upright[:, 0] < 0.5,
    )


def coverage(strokes: Strokes, side: tf.Tensor) -> tf.Tensor:
    """Return the opacity 0..1 of the strokes at every pixel, (n, side, side); where strokes cross, the largest counts.

    A stroke is a function v(u), so for each of the ``side`` values of u only the few pixels around v are computed.
    Their distance from the stroke is the distance along v divided by sqrt(1 + slope ** 2), exact for a straight line.
    """
    length = tf.cast(side, tf.float32)
    u = (tf.range(length) + 0.5) / length
    offset = u - strokes.middle[..., tf.newaxis]
    slope, bend = strokes.slope[..., tf.newaxis], strokes.bend[..., tf.newaxis]
    across = (strokes.position[..., tf.newaxis] + slope * offset + bend * offset**2) * length - 0.5
    steepness = tf.sqrt(1 + (slope + 2 * bend * offset) ** 2)
    radius = strokes.width[..., tf.newaxis] * length / 2 * _taper(offset, strokes.half_length[..., tf.newaxis])
    around = _footprint(length)
    nearest = tf.round(across)
    distance = tf.abs((nearest - across)[..., tf.newaxis] + around) / steepness[..., tf.newaxis]
    opacity = (strokes.opacity[..., tf.newaxis] * tf.minimum(2 * radius, 1.0))[..., tf.newaxis]
    cover = opacity * tf.clip_by_value(radius[..., tf.newaxis] + 0.5 - distance, 0.0, 1.0)
    return _combine_strokes(cover, tf.cast(nearest[..., tf.newaxis] + around, tf.int32), strokes.upright, side)


def _footprint(length: tf.Tensor) -> tf.Tensor:
    """Return the offsets in pixels across a hair that the widest and steepest hair can cover."""
    reach = tf.math.ceil((WIDTH[1] / 2 * length + 0.5) * (1 + STEEPEST**2) ** 0.5)
    return tf.range(-reach, reach + 1)


def _taper(offset: tf.Tensor, half_length: tf.Tensor) -> tf.Tensor:
    """Return the share of the full width along a hair: 1 from the root, falling to 0 over the last third to the tip."""
    along = offset / half_length
    return tf.where(along > -1, tf.clip_by_value((1 - along) * 1.5, 0.0, 1.0), 0.0)


def _combine_strokes(cover: tf.Tensor, v: tf.Tensor, upright: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Return the largest ``cover`` at each pixel (n, side, side); ``cover`` and ``v`` in pixels are (n, k, u, m)."""
    count = tf.shape(cover)[0]
    u = tf.range(side)[:, tf.newaxis]
    in_picture = (v >= 0) & (v < side)
    v = tf.clip_by_value(v, 0, side - 1)
    index = tf.where(upright[:, tf.newaxis, tf.newaxis, tf.newaxis], u * side + v, v * side + u)
    index += (tf.range(count) * side * side)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    values, indices = tf.reshape(tf.where(in_picture, cover, 0.0), [-1]), tf.reshape(index, [-1])
    largest = tf.math.unsorted_segment_max(values, indices, count * side * side)
    return tf.reshape(tf.maximum(largest, 0.0), [count, side, side])


def _interpolate(limits: tuple[float, float], share: tf.Tensor) -> tf.Tensor:
    return limits[0] + (limits[1] - limits[0]) * share
