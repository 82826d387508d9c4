"""What a network sees of a picture: a camera, a part, an augmentation, the middle; the features are kept on disk."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from benchmarks.elsewhere.cameras import OWN, central, take
from benchmarks.elsewhere.sets import PictureSet
from features.pictures.read import read_picture, resize_square, shrink
from features.pictures.statistics.lesion import lesion_mask
from level1_cnn.augment.chain import augment
from level1_cnn.augment.settings import Augmentation
from level1_cnn.experiment import Experiment
from level1_cnn.hardware.devices import plan_devices
from level1_cnn.inference.forward import open_backbone
from level1_cnn.inference.view_predictions import Forward
from level1_cnn.networks.field_of_view import GRID, SHARES, lit_share
from level1_cnn.training_settings import Pooling
from runtime.files import replacing
from runtime.progress import progress_bar
from runtime.provenance import digest

Picture = NDArray[np.uint8]
LONGEST = 256  # px; pictures are shrunken to it before a camera takes them
BATCH = 32
WHOLE, LENS, LESION = "whole picture", "field of view", "lesion"
LARGE_CENTRE, SMALL_CENTRE = "central 80 %", "central 65 %"
AROUND, SMALLEST = 1.5, 0.2  # side of a crop in sides of the lesion; at least this share of the short side


def _within_lens(picture: Picture) -> Picture:
    cells = np.asarray(Image.fromarray(picture).resize((GRID, GRID), Image.Resampling.BOX), np.float32)
    return central(picture, SHARES[int(np.argmax(lit_share(cells[np.newaxis])[0]))])


def _around_lesion(picture: Picture) -> Picture:
    mask = lesion_mask(picture)
    if not mask.any():
        return picture
    rows, columns = np.nonzero(mask)
    shortest = min(mask.shape)
    half = int(np.clip(AROUND * (1 + max(np.ptp(rows), np.ptp(columns))), SMALLEST * shortest, shortest) / 2)
    middles = ((line.min() + line.max() + 1) / 2 for line in (rows, columns))
    row, column = (int(np.clip(at, half, side - half)) for at, side in zip(middles, mask.shape, strict=True))
    return picture[row - half : row + half, column - half : column + half]


FRAMINGS: dict[str, Callable[[Picture], Picture]] = {
    WHOLE: lambda picture: picture,
    LENS: _within_lens,
    LARGE_CENTRE: partial(central, share=0.8),
    SMALL_CENTRE: partial(central, share=0.65),
    LESION: _around_lesion,
}
STRONG = Augmentation(vignette=0.5, hair=12, brightness=0.15, contrast=0.25, saturation=0.3, hue=12)
AUGMENTATIONS = {
    "vignette": STRONG.only("vignette"),
    "hair": STRONG.only("hair"),
    "colour": STRONG.only("brightness", "contrast", "saturation", "hue"),
}


class Sight(NamedTuple):
    """What a network sees of every picture; ``augmentation`` is empty or the name of one."""

    framing: str = WHOLE
    camera: str = OWN
    augmentation: str = ""
    pooling: Pooling = "average"


class Embeddings:
    """Features of all layers of EfficientNet-Lite0 at ``side`` px; ``folder`` keeps them for the next call."""

    def __init__(self, folder: Path, side: int) -> None:
        names = {"backbone": "efficientnet_lite", "variant": "lite0", "weights": "imagenet"}
        self._forwards = dict[Pooling, Forward]()
        for pooling in get_args(Pooling):
            training = {"method": "frozen", "layers": "all", "pooling": pooling}
            experiment = Experiment.model_validate({**names, "image_size": side, "training": training})
            own_folder = folder / pooling
            own_folder.mkdir(parents=True, exist_ok=True)
            self._forwards[pooling] = open_backbone(experiment, own_folder, plan_devices("cpu")).forward
        self._folder, self._side = folder, side

    def of(self, pictures: PictureSet, sight: Sight) -> np.ndarray:
        """Return the features (n, d) float32 of all layers for ``pictures``, in their order."""
        path = self._folder / f"{digest([list(pictures.cases['picture']), list(sight), self._side])}.npy"
        if not path.is_file():
            features = np.concatenate(list(self._compute(pictures, sight)))
            with replacing(path) as temporary, temporary.open("wb") as file:
                np.save(file, features.astype(np.float16))
        return np.asarray(np.load(path), np.float32)

    def _compute(self, pictures: PictureSet, sight: Sight) -> Iterator[np.ndarray]:
        paths = pictures.cases["picture"]
        title = f"{pictures.name}, {', '.join(word for word in sight if word)}"
        with progress_bar(title, len(paths)) as advance:
            for start in range(0, len(paths), BATCH):
                batch = paths.iloc[start : start + BATCH]
                yield self._features(batch, sight, start)
                advance(len(batch))

    def _features(self, paths: pd.Series, sight: Sight, seed: int) -> np.ndarray:
        """Return the features (n, d) of the pictures at ``paths``, a path per image_name."""
        squares = [self._square(Path(path), str(name), sight) for name, path in paths.items()]
        pixels = np.stack(squares).astype(np.float32)
        if sight.augmentation:
            changes = AUGMENTATIONS[sight.augmentation]
            pixels = np.asarray(augment(tf.constant(pixels), changes, tf.constant([seed, 0])))
        return self._forwards[sight.pooling](pixels, None)[0]

    def _square(self, path: Path, name: str, sight: Sight) -> Picture:
        picture = shrink(read_picture(path, shortest=LONGEST // 2), LONGEST)
        return resize_square(FRAMINGS[sight.framing](take(picture, sight.camera, name)), self._side)
