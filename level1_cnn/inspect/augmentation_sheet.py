"""A sheet of example pictures for the augmentations of a model: one row for each alone, the last for all together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from level1_cnn.augment.chain import augment, mix
from level1_cnn.augment.settings import AMOUNTS, Augmentation
from level1_cnn.data.feed import picture_batches
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.experiment import Experiment
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.invocation import option
from runtime.run_folder import Run

# Strength of the augmentations that a model does not use: as strong as in the solutions of the 2020 winners.
EXAMPLES = Augmentation(
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
COLUMNS, LARGEST, GAP, LABEL = 9, 192, 4, 150  # pictures in a row; largest side, gap and label width in pixels
SEED = 20
WHITE, BLACK, GREY = (255, 255, 255), (20, 20, 20), (140, 140, 140)
Row = tuple[str, bool, np.ndarray]  # label, whether the model uses the augmentation, pictures
PICTURES = 3


def augmentation_sheet(pictures: Sequence[np.ndarray], settings: Augmentation, out: Path) -> Path:
    """Write one PNG that shows ``settings`` on a few uint8 pictures (side, side, 3), and return its path.

    The first row shows the unchanged pictures, repeated over the columns. Each further row shows one augmentation, as
    strong as in the settings; those that are off are as strong as in the winners' solutions, with a grey label. The
    last row shows all augmentations that are on, with their probabilities. The same pictures and settings give the same
    sheet.
    """
    originals = np.stack([pictures[column % len(pictures)] for column in range(COLUMNS)]).astype(np.float32)
    with replacing(out) as temporary:
        _draw_rows(_rows(originals, settings)).save(temporary, format="PNG")
    return out


def _rows(originals: np.ndarray, settings: Augmentation) -> list[Row]:
    names = [name for name in Augmentation.model_fields if name not in AMOUNTS]
    rows = [_row(originals, name, settings, SEED + number) for number, name in enumerate(names)]
    return [("unchanged", True, originals), *rows, ("all that are on", True, _augment(originals, settings, SEED - 1))]


def _row(originals: np.ndarray, name: str, settings: Augmentation, seed: int) -> Row:
    is_on = bool(getattr(settings, name))
    amounts = (settings if is_on else EXAMPLES).only(name)
    amount = getattr(amounts, name)
    label = name.replace("_", " ") + ("" if amount is True else f" {amount:g}") + ("" if is_on else " (off)")
    return label, is_on, _augment(originals, amounts, seed)


def _augment(originals: np.ndarray, settings: Augmentation, seed: int) -> np.ndarray:
    count = len(originals)
    pictures = augment(tf.constant(originals), settings, tf.constant([seed, 0], tf.int64))
    targets, weights = tf.ones([count, 1]), tf.ones([count])
    return np.asarray(mix(pictures, targets, weights, settings, tf.constant([seed, 1], tf.int64))[0])


def _draw_rows(rows: list[Row]) -> Image.Image:
    side = min(rows[0][2].shape[1], LARGEST)
    sheet = Image.new("RGB", (LABEL + COLUMNS * (side + GAP), len(rows) * (side + GAP)), WHITE)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=14)
    for number, (label, is_on, pictures) in enumerate(rows):
        top = number * (side + GAP)
        pen.text((GAP, top + side // 2 - 8), label, fill=BLACK if is_on else GREY, font=font)
        for column, picture in enumerate(np.rint(pictures).astype(np.uint8)):
            tile = Image.fromarray(picture).resize((side, side))
            sheet.paste(tile, (LABEL + column * (side + GAP), top))
    return sheet


def draw_sheet(run: Run, experiment: Experiment) -> Path:
    """Write augment_sheet.png with some training pictures to the run's folder, and return its path.

    Raises InputFault for a frozen network, which is trained without augmentation.
    """
    if not isinstance(experiment.training, Finetune):
        remedy = f"{option('model', 'name')} must name a model with method = 'finetune'"
        raise InputFault(f"the model has method = 'frozen', which uses no augmentation; {remedy}")
    cases = run.read_cases()
    train = cases[cases["role"] == "train"].sort_values("target", ascending=False, kind="stable")
    names = [*train.index[:2], train.index[-1]][:PICTURES]
    files = shard_files(run, experiment.image_size)
    pictures = [picture for _, batch in picture_batches(files, PICTURES, names) for picture in batch]
    return augmentation_sheet(pictures, experiment.training.augmentation, run.folder / "augment_sheet.png")
