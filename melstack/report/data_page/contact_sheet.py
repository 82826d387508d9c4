"""A contact sheet of a data folder: its training pictures with their labels on one PNG, for the eye to judge."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from features.folder.csv_file import read_csv
from runtime.errors import InputFault, named
from runtime.files import replacing

TILE = (160, 120)  # pixels, width and height
LABEL_HEIGHT, FRAME = 14, 3
RED, GREY, WHITE = (220, 30, 30), (60, 60, 60), (255, 255, 255)


def contact_sheet(folder: Path, out: Path, *, columns: int = 10, rows: int = 6) -> Path:
    """Compose train pictures of ``folder`` (the contest's layout) into one PNG at ``out`` and return its path.

    Half of the ``columns`` x ``rows`` places go to malignant pictures, as far as there are, framed red; the same
    folder always shows the same pictures. InputFault: train.csv without its columns, or pictures that are missing.
    """
    cases = _chosen(_labels(folder / "train.csv"), columns * rows)
    paths = [folder / "jpeg" / "train" / f"{name}.jpg" for name in cases["image_name"]]
    if missing := [path.name for path in paths if not path.exists()]:
        raise InputFault(f"{folder / 'jpeg' / 'train'}: missing pictures {named(missing)}")
    tiles = [_tile(path, bool(target)) for path, target in zip(paths, cases["target"], strict=True)]
    with replacing(out) as temporary:
        _composed(tiles, columns).save(temporary, format="PNG")
    return out


def _labels(path: Path) -> pd.DataFrame:
    if not path.exists():
        raise InputFault(f"{path}: not found; a data folder in the contest's layout has it")
    cases = read_csv(path, "image_name", known=("target",))
    if absent := {"image_name", "target"} - set(cases.columns):
        raise InputFault(f"{path}: missing columns {named(sorted(absent))}; found {named(cases.columns)}")
    return cases


def _chosen(cases: pd.DataFrame, places: int) -> pd.DataFrame:
    benign, malignant = (cases[cases["target"] == target] for target in (0, 1))
    red = min(len(malignant), max(places // 2, places - len(benign)))
    return pd.concat([_evenly(benign, places - red), _evenly(malignant, red)])


def _evenly(cases: pd.DataFrame, most: int) -> pd.DataFrame:
    places = np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int)
    return cases.sort_values("image_name").iloc[places]


def _tile(path: Path, malignant: bool) -> Image.Image:
    with Image.open(path) as source:
        picture = ImageOps.fit(source.convert("RGB"), TILE)
    tile = Image.new("RGB", (TILE[0], TILE[1] + LABEL_HEIGHT), WHITE)
    tile.paste(picture)
    pen = ImageDraw.Draw(tile)
    pen.text((3, TILE[1] + 1), path.stem, fill=RED if malignant else GREY)
    if malignant:
        pen.rectangle((0, 0, TILE[0] - 1, TILE[1] - 1), outline=RED, width=FRAME)
    return tile


def _composed(tiles: list[Image.Image], columns: int) -> Image.Image:
    width, height = TILE[0] + 4, TILE[1] + LABEL_HEIGHT + 4
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, max(rows, 1) * height), WHITE)
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * width + 2, place // columns * height + 2))
    return sheet
