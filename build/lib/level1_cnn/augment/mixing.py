"""Augmentations that combine two pictures and their targets: mixup and cutmix."""

import tensorflow as tf

from level1_cnn.augment.draws import between, per_picture
from level1_cnn.augment.occlusion import boxes, paste
from level1_cnn.augment.settings import Augmentation

Mixed = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def mix(pictures: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> Mixed:
    """Return (pictures (n, side, side, 3), targets (n, outputs), weights (n,)) after mixup or cutmix with another case.

    Each picture draws whether it is mixed up, cut and mixed, or left alone, and how large the other's share is: that of
    Beta(alpha, alpha) (Zhang et al. 2018, Yun et al. 2019), taken as at most a half, so that what is known of the case
    besides its picture goes on belonging to most of it. The partner is a case of the batch other than itself.
    """
    if not (settings.mixup or settings.cutmix):
        return pictures, targets, weights
    count = tf.shape(pictures)[0]
    seeds = tf.unstack(tf.random.split(seed, 5))
    drawn = between(seeds[0], 0.0, 1.0, count)
    partners = _partners(seeds[1], count)
    others = tf.gather(pictures, partners)
    shares = tf.zeros([count])
    if settings.mixup:
        mixed_up = drawn < settings.mixup_probability
        shares = tf.where(mixed_up, _beta(seeds[2], settings.mixup, count), 0.0)
        pictures = mix_up(pictures, others, shares)
    if settings.cutmix:
        # Cut and mixed are those at the other end of the draw: never one that was mixed up.
        cut = drawn >= 1.0 - settings.cutmix_probability
        area = tf.where(cut, _beta(seeds[3], settings.cutmix, count), 0.0)
        pictures, pasted = cut_mix(pictures, others, area, seeds[4])
        shares = tf.where(cut, pasted, shares)
    return pictures, *mix_targets(targets, weights, partners, shares)


def mix_up(pictures: tf.Tensor, others: tf.Tensor, shares: tf.Tensor) -> tf.Tensor:
    """Return the weighted means of pictures and others (n, side, side, 3), the others with ``shares`` (n,)."""
    return pictures + per_picture(shares) * (others - pictures)


def cut_mix(pictures: tf.Tensor, others: tf.Tensor, areas: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the pictures with a square of the others pasted at its own place, and the share of pixels pasted (n,).

    The square's area is that share ``areas`` (n,) of the picture; its centre lies anywhere, so part of it may be lost.
    """
    side = tf.shape(pictures)[1]
    length = tf.cast(tf.round(tf.sqrt(areas) * tf.cast(side, tf.float32)), tf.int32)[:, tf.newaxis]
    centre = tf.random.stateless_uniform([2, tf.shape(pictures)[0], 1], seed, 0, side, dtype=tf.int32)
    pasted = boxes(side, centre - length // 2, centre - length // 2 + length)
    share = tf.reduce_mean(tf.cast(pasted, tf.float32), axis=[1, 2])
    return paste(pictures, others, pasted), share


def mix_targets(
    targets: tf.Tensor, weights: tf.Tensor, partners: tf.Tensor, shares: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return targets (n, outputs) and weights (n,) whose loss is the mixture of both cases' weighted losses.

    A case of weight a mixed with a share s of one of weight b weighs (1 - s) a + s b, and its target is the mean by
    these two parts: for equal weights, the share itself. (Exact for cross-entropy, which is linear in its target.)
    """
    own, other = (1.0 - shares) * weights, shares * tf.gather(weights, partners)
    total = own + other
    share = tf.where(total > 0, tf.math.divide_no_nan(other, total), shares)[:, tf.newaxis]
    return targets + share * (tf.gather(targets, partners) - targets), total


def _partners(seed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Return a partner for everyone: a drawn order is a ring, and everyone takes the one before it; nobody itself."""
    order = tf.argsort(between(seed, 0.0, 1.0, count))
    return tf.gather(tf.roll(order, 1, axis=0), tf.math.invert_permutation(order))


def _beta(seed: tf.Tensor, alpha: float, count: tf.Tensor) -> tf.Tensor:
    """Return the smaller part of Beta(alpha, alpha) draws (count,), in 0..0.5, from two gamma draws each."""
    # In double precision: with a small alpha both gammas may otherwise be 0.
    one, two = tf.unstack(tf.random.stateless_gamma([2, count], seed, alpha, dtype=tf.float64))
    return tf.cast(tf.math.divide_no_nan(tf.minimum(one, two), one + two), tf.float32)
