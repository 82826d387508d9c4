"""Draw pictures of skin that are not similar to each other."""

import numpy as np
from PIL import Image


def skin(seed: int, height: int = 192, width: int = 256) -> np.ndarray:
    """Return a picture without symmetry, uint8 (height, width, 3): clouds of several sizes and a dark spot."""
    rng = np.random.default_rng(seed)
    cloud = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((6, 30), (24, 25), (48, 15)):
        grain = rng.normal(0, strength, (cells, cells, 3)).clip(-127, 127) + 128
        small = Image.fromarray(grain.astype(np.uint8))
        cloud += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128
    return (150 + cloud).clip(60, 255).astype(np.uint8)
