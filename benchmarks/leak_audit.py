"""How many planted copies of pictures the leak audit finds, and how many of the pairs it names are none."""

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

KEPT = (0.85, 0.95)  # of each side, by a crop at a random place
GAIN = (0.9, 1.1)  # of the brightness
SCALE = (0.5, 1.25)  # of both sides
QUALITY = (50, 95)  # of the JPEG
SMALLEST = 32  # px


@dataclass(frozen=True)
class Found:
    """What came of planted copies; ``strangers`` are the pairs found that nobody planted."""

    planted: int
    found: int
    strangers: pd.DataFrame

    @property
    def recall(self) -> float:
        """Share of the planted copies whose pair with the original was found."""
        return self.found / self.planted

    @property
    def precision(self) -> float:
        """Share of planted pairs among all that were found."""
        return self.found / max(self.found + len(self.strangers), 1)


def altered(picture: NDArray[np.uint8], rng: Generator) -> NDArray[np.uint8]:
    """Return a copy of ``picture``, uint8 RGB (height, width, 3): cropped, turned, flipped, relit, rescaled and
    compressed anew, each by a random amount within the limits of this module."""
    height, width = (round(side * share) for side, share in zip(picture.shape, rng.uniform(*KEPT, 2), strict=False))
    top, left = rng.integers(0, picture.shape[0] - height + 1), rng.integers(0, picture.shape[1] - width + 1)
    turned = np.rot90(picture[top : top + height, left : left + width], int(rng.integers(4)))
    view = turned[:, ::-1] if rng.random() < 0.5 else turned
    lit = np.rint(view * rng.uniform(*GAIN)).clip(0, 255).astype(np.uint8)
    scale = rng.uniform(*SCALE)
    size = (max(SMALLEST, round(lit.shape[1] * scale)), max(SMALLEST, round(lit.shape[0] * scale)))
    stream = io.BytesIO()
    image = Image.fromarray(lit).resize(size, Image.Resampling.BICUBIC)
    image.save(stream, "JPEG", quality=int(rng.integers(*QUALITY)))
    return np.asarray(Image.open(stream).convert("RGB"))


def plant(pictures: Mapping[str, Path], copies: int, seed: int = 0, jobs: int = -1) -> Found:
    """Plant ``copies`` altered copies among ``pictures`` (image_name -> path) and return what is found of them.

    Pairs among the pictures themselves count as strangers too, though real data may hold true ones.
    """
    rng = np.random.default_rng(seed)
    traces = make_traces(pictures, jobs)
    originals = rng.choice(np.array(list(pictures), dtype=object), copies, replace=False)
    rows = {f"copy of {name}": trace(altered(read_picture(pictures[name]), rng)) for name in originals}
    planted = pd.DataFrame.from_dict(rows, orient="index").rename_axis(INDEX)
    pairs = find_lookalikes(pd.concat([traces, planted]), jobs)
    right = pairs["second"].to_numpy() == ("copy of " + pairs["first"]).to_numpy()
    return Found(copies, int(right.sum()), pairs[~right])
