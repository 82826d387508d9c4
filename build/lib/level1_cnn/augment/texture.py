"""Augmentations of fine structure: Gaussian blur, noise, and contrast equalised within tiles."""

import tensorflow as tf

from level1_cnn.augment.colour import luma
from level1_cnn.augment.draws import between, per_picture, sometimes
from level1_cnn.augment.settings import Augmentation

BLUR_REACH = 2.5  # sigmas after which a Gaussian is cut off: 1 % of its weight lies beyond
BINS = 256
TILES, TILE_PIXELS = 8, 16  # at most 8 x 8 tiles, as is usual; a side below 16 pixels holds too few for a histogram


def blur(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some of them out of focus: a Gaussian whose sigma each draws itself."""
    if not settings.blur:
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        side = tf.cast(tf.shape(chosen)[1], tf.float32)
        sigmas = between(seed, 0.0, 1.0, tf.shape(chosen)[0]) * settings.blur * side
        radius = tf.cast(tf.math.ceil(BLUR_REACH * settings.blur * side), tf.int32)
        blurred = blur_by(chosen, sigmas, tf.minimum(radius, tf.shape(chosen)[1]))
        return tf.clip_by_value(blurred, 0.0, 255.0)  # the kernel's weights sum to 1 but for rounding

    return sometimes(pictures, settings.blur_probability, seed, change)


def blur_by(pictures: tf.Tensor, sigmas: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3) blurred by ``sigmas`` (n,) pixels; the kernel ends ``radius`` pixels out.

    Edges reflect, so the mean stays. Every channel of every picture is a channel of one depthwise convolution.
    """
    side, count = tf.shape(pictures)[1], tf.shape(pictures)[0]
    away = tf.cast(tf.range(-radius, radius + 1), tf.float32)
    kernels = tf.nn.softmax(-0.5 * tf.square(away[:, tf.newaxis] / tf.maximum(sigmas, 1e-3)), axis=0)
    kernels = tf.repeat(kernels, 3, axis=1)[:, tf.newaxis, :, tf.newaxis]
    channels = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), [1, side, side, 3 * count])
    channels = tf.pad(channels, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
    for kernel in (kernels, tf.transpose(kernels, [1, 0, 2, 3])):
        channels = tf.nn.depthwise_conv2d(channels, kernel, [1, 1, 1, 1], "VALID")
    return tf.transpose(tf.reshape(channels, [side, side, count, 3]), [2, 0, 1, 3])


def add_noise(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures, some with Gaussian noise: grey, coloured or both; each draws how much."""
    if not (settings.noise or settings.colour_noise):
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        seeds = tf.unstack(tf.random.split(seed, 3))
        grey, colour = tf.unstack(between(seeds[0], 0.0, 255.0, 2, tf.shape(chosen)[0]))
        if settings.noise:
            drawn = tf.random.stateless_normal(tf.shape(chosen[..., :1]), seeds[1])
            chosen += drawn * per_picture(grey * settings.noise)
        if settings.colour_noise:
            drawn = tf.random.stateless_normal(tf.shape(chosen), seeds[2])
            chosen += drawn * per_picture(colour * settings.colour_noise)
        return tf.clip_by_value(chosen, 0.0, 255.0)

    return sometimes(pictures, settings.noise_probability, seed, change)


def stretch_locally(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures, some with their contrast equalised within tiles, up to a limit that each draws itself."""
    if not settings.local_contrast:
        return pictures

    def change(chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return equalise(chosen, between(seed, 0.0, settings.local_contrast, tf.shape(chosen)[0]))

    return sometimes(pictures, settings.local_contrast_probability, seed, change)


def equalise(pictures: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3) after contrast-limited adaptive histogram equalisation of their luma.

    Each tile maps its greys by its own cumulative histogram, cut at ``limits`` (n,) times its mean height, so that no
    grey is stretched more than 1 + limit times; a pixel takes the bilinear mixture of the four tiles around it
    (Zuiderveld, Graphics Gems IV, 1994). The change of luma is added to all three colours, which keeps the hue.
    """
    grey = luma(pictures)
    side = tf.shape(pictures)[1]
    tiles = tf.clip_by_value(side // TILE_PIXELS, 1, TILES)
    bins = tf.cast(tf.clip_by_value(tf.round(grey), 0.0, 255.0), tf.int32)
    maps = tf.reshape(_grey_maps(bins, tiles, limits), [-1])
    near, far, share = _neighbours(side, tiles)
    picture = (tf.range(tf.shape(pictures)[0]) * tiles * tiles)[:, tf.newaxis, tf.newaxis]

    def mapped(down: tf.Tensor, across: tf.Tensor) -> tf.Tensor:
        return tf.gather(maps, (picture + down[:, tf.newaxis] * tiles + across) * BINS + bins)

    above = mapped(near, near) * (1 - share) + mapped(near, far) * share
    below = mapped(far, near) * (1 - share) + mapped(far, far) * share
    change = above + (below - above) * share[:, tf.newaxis] - grey
    return tf.clip_by_value(pictures + change[..., tf.newaxis], 0.0, 255.0)


def _grey_maps(bins: tf.Tensor, tiles: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """Return the new grey (n, tiles ** 2, BINS) of every old one, from ``bins`` (n, side, side) int32."""
    count, side = tf.shape(bins)[0], tf.shape(bins)[1]
    band = tf.range(side) * tiles // side
    tile = (tf.range(count) * tiles * tiles)[:, tf.newaxis, tf.newaxis] + band[:, tf.newaxis] * tiles + band
    ones = tf.ones([tf.size(bins)])
    seen = tf.math.unsorted_segment_sum(ones, tf.reshape(tile * BINS + bins, [-1]), count * tiles * tiles * BINS)
    seen = tf.reshape(seen, [count, tiles * tiles, BINS])
    density = seen / tf.reduce_sum(seen, axis=2, keepdims=True)
    cut = tf.minimum(density, limits[:, tf.newaxis, tf.newaxis] / BINS)
    cut += (1.0 - tf.reduce_sum(cut, axis=2, keepdims=True)) / BINS
    return 255.0 * (tf.cumsum(cut, axis=2) - cut / 2)


def _neighbours(side: tf.Tensor, tiles: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return for each of ``side`` pixels the tile centres before and after it, and the share of the second."""
    place = (tf.cast(tf.range(side), tf.float32) + 0.5) * tf.cast(tiles, tf.float32) / tf.cast(side, tf.float32) - 0.5
    near = tf.cast(tf.math.floor(place), tf.int32)
    share = place - tf.cast(near, tf.float32)
    return tf.maximum(near, 0), tf.minimum(near + 1, tiles - 1), share
