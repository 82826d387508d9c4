"""The order of the augmentations: how a picture comes about, from the skin through the light and the lens."""

from collections.abc import Callable

import tensorflow as tf

from level1_cnn.augment.colour import recolour
from level1_cnn.augment.geometry import place
from level1_cnn.augment.hair import grow_hair
from level1_cnn.augment.mixing import mix
from level1_cnn.augment.occlusion import drop_squares, vignette
from level1_cnn.augment.settings import Augmentation
from level1_cnn.augment.texture import add_noise, blur, stretch_locally

__all__ = ["augment", "mix"]

Step = Callable[[tf.Tensor, Augmentation, tf.Tensor], tf.Tensor]
STEPS: tuple[Step, ...] = (place, grow_hair, recolour, stretch_locally, vignette, blur, add_noise, drop_squares)


def augment(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return a changed batch of pictures (n, side, side, 3), float32 pixels 0..255 in and out.

    ``seed`` is a shape (2,) integer tensor; the same seed gives the same changes (stateless), so nothing is frozen
    when a graph is traced and a run can be repeated. Each step keeps to 0..255 and does nothing when it is off.
    """
    for step, drawn in zip(STEPS, tf.unstack(tf.random.split(seed, len(STEPS))), strict=True):
        pictures = step(pictures, settings, drawn)
    return pictures
