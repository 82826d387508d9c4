"""The chain of augmentations, in the order in which a photograph is made: skin, light, then lens and sensor."""

from collections.abc import Callable

import tensorflow as tf

from level1_cnn.augment.colour import recolour
from level1_cnn.augment.geometry import transform
from level1_cnn.augment.hair import draw_hair
from level1_cnn.augment.mixing import mix
from level1_cnn.augment.occlusion import add_vignette, erase_squares
from level1_cnn.augment.settings import Augmentation
from level1_cnn.augment.texture import add_noise, blur, equalise_contrast

__all__ = ["augment", "mix"]

Step = Callable[[tf.Tensor, Augmentation, tf.Tensor], tf.Tensor]
STEPS: tuple[Step, ...] = (
    transform,
    draw_hair,
    recolour,
    equalise_contrast,
    add_vignette,
    blur,
    add_noise,
    erase_squares,
)


def augment(pictures: tf.Tensor, settings: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    """Return a changed batch of pictures (n, side, side, 3), float32 pixels 0..255 in and out.

    ``seed`` is an integer tensor of shape (2,). The same seed gives the same changes (stateless random numbers), so
    tracing a graph does not fix the amounts, and a run can be repeated. Each step stays within 0..255 and does nothing
    when its settings are 0.
    """
    seeds = tf.unstack(tf.random.split(seed, len(STEPS)))
    for number, step in enumerate(STEPS):
        pictures = step(pictures, settings, seeds[number])
    return pictures
