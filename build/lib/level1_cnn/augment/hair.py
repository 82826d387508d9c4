"""Augmentation that draws hair: smooth quadratic strokes, anti-aliased, of a direction and colour drawn per picture."""

from typing import NamedTuple

import tensorflow as tf

from level1_cnn.augment.draws import between, sometimes
from level1_cnn.augment.settings import Augmentation

# Shares of the side, seen on the contest's pictures: a hair is 0.1 mm wide in a field of 10 to 20 mm.
WIDTH, HALF_LENGTH = (0.003, 0.010), (0.15, 0.6)
# Hairs of one skin lie roughly one way: a slope for all, its own deviation and bend for each.
SLOPE, DEVIATION, BEND = 0.8, 0.4, 0.6
STEEPEST = SLOPE + DEVIATION + 2 * BEND * HALF_LENGTH[1]
OPACITY = (0.55, 1.0)
BLACK, BROWN = (22.0, 14.0, 10.0), (115.0, 82.0, 58.0)  # RGB between which a picture's hair colour lies


class Strokes(NamedTuple):
    """n x k hairs, lengths in shares of the side: one is a quadratic function of u, along its main axis."""

    middle: tf.Tensor  # (n, k): u of its middle
    position: tf.Tensor  # (n, k): across, at the middle
    slope: tf.Tensor  # (n, k)
    bend: tf.Tensor  # (n, k): across, per square of the way from the middle
    half_length: tf.Tensor  # (n, k): along u
    width: tf.Tensor  # (n, k)
    opacity: tf.Tensor  # (n, k): 0 draws nothing
    upright: tf.Tensor  # (n,) bool: u runs down instead of across


def grow_hair(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some with 1 to ``settings.hair`` hairs over them."""
    if not settings.hair:
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.unstack(tf.random.split(seed, 2))
        cover = coverage(draw_strokes(seeds[0], tf.shape(chosen)[0], settings.hair), tf.shape(chosen)[1])
        light = between(seeds[1], 0.0, 1.0, tf.shape(chosen)[0], 1, 1, 1)
        colours = tf.constant(BLACK) + light * (tf.constant(BROWN) - tf.constant(BLACK))
        return chosen + cover[..., tf.newaxis] * (colours - chosen)

    return sometimes(pictures, settings.hair_probability, seed, change)


def draw_strokes(seed: tf.Tensor, count: tf.Tensor, most: int) -> Strokes:
    """Return ``most`` strokes for each of ``count`` pictures; a drawn number of them, at least one, is visible."""
    seeds = tf.unstack(tf.random.split(seed, 2))
    middle, position, slope, bend, half_length, width, opacity = tf.unstack(between(seeds[0], 0.0, 1.0, 7, count, most))
    common, visible, upright = tf.unstack(between(seeds[1], 0.0, 1.0, 3, count, 1))
    shown = tf.cast(tf.range(most), tf.float32) < tf.math.ceil(visible * most)
    return Strokes(
        middle,
        position,
        SLOPE * (2 * common - 1) + DEVIATION * (2 * slope - 1),
        BEND * (2 * bend - 1),
        _within(HALF_LENGTH, half_length),
        _within(WIDTH, width),
        tf.where(shown | (tf.range(most) == 0), _within(OPACITY, opacity), 0.0),
        upright[:, 0] < 0.5,
    )


def coverage(strokes: Strokes, side: tf.Tensor) -> tf.Tensor:
    """Return the opacity 0..1 of the strokes at every pixel, (n, side, side); where strokes cross, the larger one.

    A stroke is a function of u, so at each of the ``side`` columns only the few pixels around it are computed; their
    distance to it is the vertical one divided by sqrt(1 + slope ** 2), exact for a straight line.
    """
    length = tf.cast(side, tf.float32)
    u = (tf.range(length) + 0.5) / length
    away = u - strokes.middle[..., tf.newaxis]
    slope, bend = strokes.slope[..., tf.newaxis], strokes.bend[..., tf.newaxis]
    across = (strokes.position[..., tf.newaxis] + slope * away + bend * away**2) * length - 0.5
    steepness = tf.sqrt(1 + (slope + 2 * bend * away) ** 2)
    radius = strokes.width[..., tf.newaxis] * length / 2 * _taper(away, strokes.half_length[..., tf.newaxis])
    around = _footprint(length)
    nearest = tf.round(across)
    distance = tf.abs((nearest - across)[..., tf.newaxis] + around) / steepness[..., tf.newaxis]
    opacity = (strokes.opacity[..., tf.newaxis] * tf.minimum(2 * radius, 1.0))[..., tf.newaxis]
    cover = opacity * tf.clip_by_value(radius[..., tf.newaxis] + 0.5 - distance, 0.0, 1.0)
    return _painted(cover, tf.cast(nearest[..., tf.newaxis] + around, tf.int32), strokes.upright, side)


def _footprint(length: tf.Tensor) -> tf.Tensor:
    reach = tf.math.ceil((WIDTH[1] / 2 * length + 0.5) * (1 + STEEPEST**2) ** 0.5)
    return tf.range(-reach, reach + 1)


def _taper(away: tf.Tensor, half_length: tf.Tensor) -> tf.Tensor:
    """Return the share of its width that a hair has: all at the root, less and less over the last third to the tip."""
    along = away / half_length
    return tf.where(along > -1, tf.clip_by_value((1 - along) * 1.5, 0.0, 1.0), 0.0)


def _painted(cover: tf.Tensor, place: tf.Tensor, upright: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    """Return the largest ``cover`` (n, k, side, m) at each pixel (n, side, side): ``place`` across, column u."""
    count = tf.shape(cover)[0]
    u = tf.range(side)[:, tf.newaxis]
    within = (place >= 0) & (place < side)
    place = tf.clip_by_value(place, 0, side - 1)
    index = tf.where(upright[:, tf.newaxis, tf.newaxis, tf.newaxis], u * side + place, place * side + u)
    index += (tf.range(count) * side * side)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    values, places = tf.reshape(tf.where(within, cover, 0.0), [-1]), tf.reshape(index, [-1])
    painted = tf.math.unsorted_segment_max(values, places, count * side * side)
    return tf.reshape(tf.maximum(painted, 0.0), [count, side, side])


def _within(limits: tuple[float, float], share: tf.Tensor) -> tf.Tensor:
    return limits[0] + (limits[1] - limits[0]) * share
