"""A sheet of what the augmentations do: a row for each one alone, the last for all together, for the eye to judge."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from level1_cnn.augment.chain import augment, mix
from level1_cnn.augment.settings import AMOUNTS, Augmentation
from level1_cnn.data.feed import picture_batches
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.experiment import Experiment, Finetune
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.run_folder import Run

# What a row shows of a change that the model leaves off: as much as the recipes of the 2020 winners have.
STRONGEST = Augmentation(
    rotation=180.0,
    zoom=0.15,
    shift=0.1,
    shear=5.0,
    brightness=0.2,
    contrast=0.2,
    saturation=0.3,
    hue=6.0,
    blur=0.006,
    noise=0.04,
    colour_noise=0.04,
    local_contrast=3.0,
    dropout=0.375,
    vignette=0.2,
    hair=20,
    mixup=0.4,
    mixup_probability=0.5,
    cutmix=1.0,
    cutmix_probability=0.5,
)
COLUMNS, LARGEST, GAP, LABEL = 9, 192, 4, 150  # of the sheet: pictures, and lengths in pixels
SEED = 20
WHITE, BLACK, GREY = (255, 255, 255), (20, 20, 20), (140, 140, 140)
Row = tuple[str, bool, np.ndarray]
PICTURES = 3


def augmentation_sheet(pictures: Sequence[np.ndarray], settings: Augmentation, out: Path) -> Path:
    """Write one PNG that shows ``settings`` on a few uint8 pictures (side, side, 3), and return its path.

    The first row holds the pictures as they are, repeated over the columns; then each change alone, on every picture,
    as strong as the settings have it (those that are off as strong as the winners had it, and named in grey); in the
    last row all that are on, with their probabilities. Equal pictures and settings give an equal sheet.
    """
    shown = np.stack([pictures[column % len(pictures)] for column in range(COLUMNS)]).astype(np.float32)
    with replacing(out) as temporary:
        _composed(_rows(shown, settings)).save(temporary, format="PNG")
    return out


def _rows(shown: np.ndarray, settings: Augmentation) -> list[Row]:
    changes = [name for name in Augmentation.model_fields if name not in AMOUNTS]
    rows = [_row(shown, name, settings, SEED + number) for number, name in enumerate(changes)]
    return [("as it is", True, shown), *rows, ("all that are on", True, _changed(shown, settings, SEED - 1))]


def _row(shown: np.ndarray, name: str, settings: Augmentation, seed: int) -> Row:
    on = bool(getattr(settings, name))
    amounts = (settings if on else STRONGEST).only(name)
    amount = getattr(amounts, name)
    label = name.replace("_", " ") + ("" if amount is True else f" {amount:g}") + ("" if on else " (off)")
    return label, on, _changed(shown, amounts, seed)


def _changed(shown: np.ndarray, settings: Augmentation, seed: int) -> np.ndarray:
    count = len(shown)
    pictures = augment(tf.constant(shown), settings, tf.constant([seed, 0], tf.int64))
    alike = tf.ones([count, 1]), tf.ones([count])
    return np.asarray(mix(pictures, *alike, settings, tf.constant([seed, 1], tf.int64))[0])


def _composed(rows: list[Row]) -> Image.Image:
    side = min(rows[0][2].shape[1], LARGEST)
    sheet = Image.new("RGB", (LABEL + COLUMNS * (side + GAP), len(rows) * (side + GAP)), WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for down, (label, on, pictures) in enumerate(rows):
        top = down * (side + GAP)
        pen.text((GAP, top + side // 2 - 8), label, fill=BLACK if on else GREY, font=font)
        for across, picture in enumerate(np.rint(pictures).astype(np.uint8)):
            tile = Image.fromarray(picture).resize((side, side))
            sheet.paste(tile, (LABEL + across * (side + GAP), top))
    return sheet


def draw_sheet(run: Run, experiment: Experiment) -> Path:
    """Write augment_sheet.png into the run's folder, of its first training pictures, and return its path.

    Raises InputFault for a frozen network, which is never shown a changed picture.
    """
    if not isinstance(experiment.training, Finetune):
        raise InputFault("a frozen network is shown no changed picture; MODEL must name one that is fine-tuned")
    cases = run.read_cases()
    train = cases[cases["role"] == "train"].sort_values("target", ascending=False, kind="stable")
    names = [*train.index[:2], train.index[-1]][:PICTURES]
    files = shard_files(run, experiment.image_size)
    pictures = [picture for _, batch in picture_batches(files, PICTURES, names) for picture in batch]
    return augmentation_sheet(pictures, experiment.training.augmentation, run.folder / "augment_sheet.png")
