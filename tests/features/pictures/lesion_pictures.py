"""Draw a lesion on skin, and save pictures to files."""

from pathlib import Path

import numpy as np
from PIL import Image


def lesion(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Return skin with noise and a dark disc in the middle, uint8 (height, width, 3)."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    picture = np.full((height, width, 3), (210, 160, 140), dtype=float)
    picture[np.hypot(x, y) < 0.5] = (110, 70, 60)
    noise = np.random.default_rng(seed).normal(0, 6, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def save_picture(path: Path, picture: np.ndarray, mode: str = "RGB", **options: object) -> Path:
    Image.fromarray(picture).convert(mode).save(path, **options)
    return path
