"""Augmentations that combine two pictures and their targets: mixup and cutmix."""

import tensorflow as tf

from level1_cnn.augment.draws import per_picture, uniform
from level1_cnn.augment.occlusion import boxes, paste
from level1_cnn.augment.settings import Augmentation

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def mix(pictures: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> Batch:
    """Return (pictures (n, side, side, 3), targets (n, outputs), weights (n,)) after mixup or cutmix with another case.

    For each picture it is random whether mixup, cutmix or neither applies, and how large the partner's share is: a draw
    from Beta(alpha, alpha) (Zhang et al. 2018, Yun et al. 2019), folded to at most 0.5, so that the case's metadata
    always describe the larger part of the result. The partner is another case of the same batch.
    """
    if not (settings.mixup or settings.cutmix):
        return pictures, targets, weights
    count = tf.shape(pictures)[0]
    seeds = tf.unstack(tf.random.split(seed, 5))
    draws = uniform(seeds[0], 0.0, 1.0, count)
    partners = _partners(seeds[1], count)
    others = tf.gather(pictures, partners)
    shares = tf.zeros([count])
    if settings.mixup:
        use_mixup = draws < settings.mixup_probability
        shares = tf.where(use_mixup, _draw_shares(seeds[2], settings.mixup, count), 0.0)
        pictures = mix_up(pictures, others, shares)
    if settings.cutmix:
        # Mixup takes the low end of the same draw and cutmix the high end, so no picture gets both.
        use_cutmix = draws >= 1.0 - settings.cutmix_probability
        area = tf.where(use_cutmix, _draw_shares(seeds[3], settings.cutmix, count), 0.0)
        pictures, pixel_shares = cut_mix(pictures, others, area, seeds[4])
        shares = tf.where(use_cutmix, pixel_shares, shares)
    return pictures, *mix_targets(targets, weights, partners, shares)


def mix_up(pictures: tf.Tensor, others: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Return (1 - share) * picture + share * other for pictures and others (n, side, side, 3) and ``shares`` (n,)."""
    return pictures + per_picture(shares) * (others - pictures)


def cut_mix(pictures: tf.Tensor, others: tf.Tensor, areas: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return each picture with a square of its partner pasted at the same position, and the share of these pixels (n,).

    The area of the square is the share ``areas`` (n,) of the picture. Its centre is a random pixel, so part of the
    square may be outside of the picture.
    """
    side = tf.shape(pictures)[1]
    length = tf.cast(tf.round(tf.sqrt(areas) * tf.cast(side, tf.float32)), tf.int32)[:, tf.newaxis]
    centre = tf.random.stateless_uniform([2, tf.shape(pictures)[0], 1], seed, 0, side, dtype=tf.int32)
    squares = boxes(side, centre - length // 2, centre - length // 2 + length)
    share = tf.reduce_mean(tf.cast(squares, tf.float32), axis=[1, 2])
    return paste(pictures, others, squares), share


def mix_targets(
    targets: tf.Tensor, weights: tf.Tensor, partners: tf.Tensor, shares: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return targets (n, outputs) and weights (n,) whose loss is the mixture of the weighted losses of both cases.

    A case of weight a mixed with the share s of a case of weight b gets the weight (1 - s) a + s b. Its target is the
    mean of both targets, weighted by these two terms; for equal weights, the partner's target has weight s. (Exact for
    cross-entropy, which is linear in its target.)
    """
    own, other = (1.0 - shares) * weights, shares * tf.gather(weights, partners)
    total = own + other
    share = tf.where(total > 0, tf.math.divide_no_nan(other, total), shares)[:, tf.newaxis]
    return targets + share * (tf.gather(targets, partners) - targets), total


def _partners(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Return the index of a partner for each case: the one before it in a random circular order, never itself."""
    order = tf.argsort(uniform(seed, 0.0, 1.0, count))
    return tf.gather(tf.roll(order, 1, axis=0), tf.math.invert_permutation(order))


def _draw_shares(seed: tf.Tensor, alpha: float, count: tf.Tensor) -> tf.Tensor:
    """Return min(x, 1 - x) of Beta(alpha, alpha) draws x (count,), in 0..0.5, computed from two gamma draws each."""
    # Double precision, because with a small alpha both gamma draws could be 0 in float32.
    first, second = tf.unstack(tf.random.stateless_gamma([2, count], seed, alpha, dtype=tf.float64))
    return tf.cast(tf.math.divide_no_nan(tf.minimum(first, second), first + second), tf.float32)
