"""Recall and precision of the leak audit on altered copies that are planted among pictures."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from features.leaks.lookalikes import find_lookalikes
from features.leaks.traces import make_traces, trace
from features.pictures.read import read_picture
from runtime.tables import INDEX

CROP = (0.85, 0.95)  # share of each side, at a random position
GAIN = (0.9, 1.1)  # factor of the brightness
SCALE = (0.5, 1.25)  # factor of both sides
QUALITY = (50, 95)  # of the JPEG
SMALLEST = 32  # px


@dataclass(frozen=True)
class AuditResult:
    """The result for planted copies: ``hits`` of ``copies`` were found; ``other_pairs`` were found but not planted."""

    copies: int
    hits: int
    other_pairs: pd.DataFrame

    @property
    def recall(self) -> float:
        """Share of the planted copies whose pair with the original was found."""
        return self.hits / self.copies

    @property
    def precision(self) -> float:
        """Share of planted pairs among all pairs that were found."""
        return self.hits / max(self.hits + len(self.other_pairs), 1)


def alter(picture: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Return an altered copy of ``picture``, uint8 RGB (height, width, 3).

    The copy is cropped, rotated, flipped, made brighter or darker, rescaled and compressed as JPEG again, each by a
    random amount within the limits of this module.
    """
    height, width = (round(side * share) for side, share in zip(picture.shape, rng.uniform(*CROP, 2), strict=False))
    y, x = rng.integers(0, picture.shape[0] - height + 1), rng.integers(0, picture.shape[1] - width + 1)
    rotation = np.rot90(picture[y : y + height, x : x + width], int(rng.integers(4)))
    view = rotation[:, ::-1] if rng.random() < 0.5 else rotation
    pixels = np.rint(view * rng.uniform(*GAIN)).clip(0, 255).astype(np.uint8)
    scale = rng.uniform(*SCALE)
    size = (max(SMALLEST, round(pixels.shape[1] * scale)), max(SMALLEST, round(pixels.shape[0] * scale)))
    stream = io.BytesIO()
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    image.save(stream, "JPEG", quality=int(rng.integers(*QUALITY)))
    return np.asarray(Image.open(stream).convert("RGB"))


def plant(pictures: Mapping[str, Path], copies: int, seed: int = 0, jobs: int = -1) -> AuditResult:
    """Plant ``copies`` altered copies among ``pictures`` (image_name -> path) and return how many the audit finds.

    Pairs among the pictures themselves count as other pairs, although real data may contain true ones.
    """
    rng = np.random.default_rng(seed)
    traces = make_traces(pictures, jobs)
    originals = rng.choice(np.array(list(pictures), dtype=object), copies, replace=False)
    rows = {f"copy of {name}": trace(alter(read_picture(pictures[name]), rng)) for name in originals}
    copy_traces = pd.DataFrame.from_dict(rows, orient="index").rename_axis(INDEX)
    pairs = find_lookalikes(pd.concat([traces, copy_traces]), jobs)
    is_hit = pairs["second"].to_numpy() == ("copy of " + pairs["first"]).to_numpy()
    return AuditResult(copies, int(is_hit.sum()), pairs[~is_hit])
