"""Inputs of the augmentation tests: pictures of noise, a seed, and settings that change nothing."""

import numpy as np
import tensorflow as tf

from level1_cnn.augment.settings import Augmentation

SEED = tf.constant([3, 5], tf.int64)
NO_CHANGES = Augmentation(dihedral=False, rotation=0, zoom=0, shift=0, brightness=0, contrast=0, saturation=0)


def noise_pictures(count: int = 4, side: int = 24) -> np.ndarray:
    """Return pictures of noise, the same in each call, (count, side, side, 3), float32 0..255."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3)).astype(np.float32)
