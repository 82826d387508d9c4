"""Augmentations of fine structure: Gaussian blur, noise, and local contrast equalisation."""

import tensorflow as tf

from level1_cnn.augment.colour import luma
from level1_cnn.augment.draws import apply_to_some, per_picture, uniform
from level1_cnn.augment.settings import Augmentation

BLUR_REACH = 2.5  # radius of the Gaussian kernel in sigmas: 1 % of the weight is beyond it
BINS = 256
TILES, TILE_PIXELS = 8, 16  # at most 8 x 8 tiles, as is usual; a smaller tile has too few pixels for a histogram


def blur(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some of them blurred by a Gaussian with a random sigma."""
    if not settings.blur:
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures blurred, each by its own sigma."""
        side = tf.cast(tf.shape(selection)[1], tf.float32)
        sigmas = uniform(seed, 0.0, 1.0, tf.shape(selection)[0]) * settings.blur * side
        radius = tf.cast(tf.math.ceil(BLUR_REACH * settings.blur * side), tf.int32)
        selection = blur_by(selection, sigmas, tf.minimum(radius, tf.shape(selection)[1]))
        return tf.clip_by_value(selection, 0.0, 255.0)  # the sum of the kernel may exceed 1 by a rounding error

    return apply_to_some(pictures, settings.blur_probability, seed, change)


def blur_by(pictures: tf.Tensor, sigmas: tf.Tensor, radius: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3) blurred by ``sigmas`` (n,) pixels with a kernel of ``radius`` pixels.

    Reflection at the edges keeps the mean. Every channel of every picture is a channel of one depthwise convolution.
    """
    side, count = tf.shape(pictures)[1], tf.shape(pictures)[0]
    offsets = tf.cast(tf.range(-radius, radius + 1), tf.float32)
    kernels = tf.nn.softmax(-0.5 * tf.square(offsets[:, tf.newaxis] / tf.maximum(sigmas, 1e-3)), axis=0)
    kernels = tf.repeat(kernels, 3, axis=1)[:, tf.newaxis, :, tf.newaxis]
    channels = tf.reshape(tf.transpose(pictures, [1, 2, 0, 3]), [1, side, side, 3 * count])
    channels = tf.pad(channels, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
    for kernel in (kernels, tf.transpose(kernels, [1, 0, 2, 3])):
        channels = tf.nn.depthwise_conv2d(channels, kernel, [1, 1, 1, 1], "VALID")
    return tf.transpose(tf.reshape(channels, [side, side, count, 3]), [2, 0, 1, 3])


def add_noise(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some with a random amount of Gaussian noise: grey, coloured or both."""
    if not (settings.noise or settings.colour_noise):
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures with noise."""
        seeds = tf.unstack(tf.random.split(seed, 3))
        grey, colour = tf.unstack(uniform(seeds[0], 0.0, 255.0, 2, tf.shape(selection)[0]))
        if settings.noise:
            noise = tf.random.stateless_normal(tf.shape(selection[..., :1]), seeds[1])
            selection += noise * per_picture(grey * settings.noise)
        if settings.colour_noise:
            noise = tf.random.stateless_normal(tf.shape(selection), seeds[2])
            selection += noise * per_picture(colour * settings.colour_noise)
        return tf.clip_by_value(selection, 0.0, 255.0)

    return apply_to_some(pictures, settings.noise_probability, seed, change)


def equalise_contrast(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return the pictures (n, side, side, 3), some with the contrast equalised within tiles, up to a random limit."""
    if not settings.local_contrast:
        return pictures

    def change(selection: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Return the selected pictures equalised, each up to its own limit."""
        return equalise(selection, uniform(seed, 0.0, settings.local_contrast, tf.shape(selection)[0]))

    return apply_to_some(pictures, settings.local_contrast_probability, seed, change)


def equalise(pictures: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """Return pictures (n, side, side, 3) after contrast-limited adaptive histogram equalisation of their luma.

    Each tile maps its grey levels by its own cumulative histogram, clipped at ``limits`` (n,) times the mean height of
    the histogram, so that no grey level is stretched more than 1 + limit times. A pixel gets the bilinear mixture of
    the maps of the four tiles around it (Zuiderveld, Graphics Gems IV, 1994). The change of luma is added to all three
    colours, which keeps the hue.
    """
    grey = luma(pictures)
    side = tf.shape(pictures)[1]
    tiles = tf.clip_by_value(side // TILE_PIXELS, 1, TILES)
    bins = tf.cast(tf.clip_by_value(tf.round(grey), 0.0, 255.0), tf.int32)
    maps = tf.reshape(_grey_maps(bins, tiles, limits), [-1])
    near, far, share = _neighbours(side, tiles)
    picture = (tf.range(tf.shape(pictures)[0]) * tiles * tiles)[:, tf.newaxis, tf.newaxis]

    def map_greys(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """Return the grey levels mapped by the tiles in ``row`` and ``column`` of every pixel."""
        return tf.gather(maps, (picture + row[:, tf.newaxis] * tiles + column) * BINS + bins)

    above = map_greys(near, near) * (1 - share) + map_greys(near, far) * share
    below = map_greys(far, near) * (1 - share) + map_greys(far, far) * share
    change = above + (below - above) * share[:, tf.newaxis] - grey
    return tf.clip_by_value(pictures + change[..., tf.newaxis], 0.0, 255.0)


def _grey_maps(bins: tf.Tensor, tiles: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """Return old grey level -> new grey level per tile (n, tiles ** 2, BINS), from ``bins`` (n, side, side) int32."""
    count, side = tf.shape(bins)[0], tf.shape(bins)[1]
    band = tf.range(side) * tiles // side
    tile = (tf.range(count) * tiles * tiles)[:, tf.newaxis, tf.newaxis] + band[:, tf.newaxis] * tiles + band
    ones = tf.ones([tf.size(bins)])
    counts = tf.math.unsorted_segment_sum(ones, tf.reshape(tile * BINS + bins, [-1]), count * tiles * tiles * BINS)
    counts = tf.reshape(counts, [count, tiles * tiles, BINS])
    density = counts / tf.reduce_sum(counts, axis=2, keepdims=True)
    density = tf.minimum(density, limits[:, tf.newaxis, tf.newaxis] / BINS)
    density += (1.0 - tf.reduce_sum(density, axis=2, keepdims=True)) / BINS  # the clipped share goes to all bins
    return 255.0 * (tf.cumsum(density, axis=2) - density / 2)


def _neighbours(side: tf.Tensor, tiles: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return for each of ``side`` pixels the tiles with centres before and after it, and the weight of the second."""
    position = (tf.cast(tf.range(side), tf.float32) + 0.5) * tf.cast(tiles, tf.float32)
    position = position / tf.cast(side, tf.float32) - 0.5
    near = tf.cast(tf.math.floor(position), tf.int32)
    share = position - tf.cast(near, tf.float32)
    return tf.maximum(near, 0), tf.minimum(near + 1, tiles - 1), share
