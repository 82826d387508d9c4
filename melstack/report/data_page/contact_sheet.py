"""A contact sheet of a data folder: its training pictures with their labels on one PNG, for the eye to judge."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from features.cases.csv_rows import read_targets
from features.folder.data_folder import DataFolder
from features.pictures.read import read_picture
from runtime.errors import Faults, InputFault, list_names
from runtime.files import replacing

TILE = (160, 120)  # pixels, width and height
LABEL_HEIGHT, FRAME = 14, 3
RED, GREY, WHITE = (220, 30, 30), (60, 60, 60), (255, 255, 255)


def contact_sheet(data: DataFolder, out: Path, *, columns: int = 10, rows: int = 6) -> Path:
    """Compose train pictures of ``data`` into one PNG at ``out`` and return its path.

    Half of the ``columns`` x ``rows`` places go to malignant pictures, as far as there are, framed red; the same
    folder always shows the same pictures. InputFault: a training table without its columns, targets that are none, or
    pictures that are missing.
    """
    cases, place = _chosen(_labels(data), columns * rows), data.place("train")
    pictures = {} if place is None else place.pictures()
    if missing := [f"{name}.jpg" for name in cases["image_name"] if name not in pictures]:
        where = data.path / (data.layout.train_pictures if place is None else place.name)
        raise InputFault(f"{where}: missing pictures {list_names(missing)}")
    paths = [pictures[str(name)] for name in cases["image_name"]]
    tiles = [_tile(path, bool(target)) for path, target in zip(paths, cases["target"], strict=True)]
    with replacing(out) as temporary:
        _composed(tiles, columns).save(temporary, format="PNG")
    return out


def _labels(data: DataFolder) -> pd.DataFrame:
    layout, path, faults = data.layout, data.path / data.layout.train, Faults()
    if not data.has(layout.train):
        raise InputFault(f"{path}: not found; a data folder in the contest's layout has it")
    cases = data.cases("train")
    if absent := {layout.columns.image_name, layout.columns.target} - set(cases.columns):
        raise InputFault(f"{path}: missing columns {list_names(sorted(absent))}; found {list_names(cases.columns)}")
    targets = read_targets(cases, layout, layout.train, faults, data.notes)
    faults.raise_if_any(f"{data.path}: the input cannot be used")
    return pd.DataFrame({"image_name": cases[layout.columns.image_name], "target": targets})


def _chosen(cases: pd.DataFrame, places: int) -> pd.DataFrame:
    benign, malignant = (cases[cases["target"] == target] for target in (0, 1))
    red = min(len(malignant), max(places // 2, places - len(benign)))
    return pd.concat([_evenly(benign, places - red), _evenly(malignant, red)])


def _evenly(cases: pd.DataFrame, most: int) -> pd.DataFrame:
    places = np.linspace(0, len(cases) - 1, min(most, len(cases))).round().astype(int)
    return cases.sort_values("image_name").iloc[places]


def _tile(path: Path, malignant: bool) -> Image.Image:
    picture = ImageOps.fit(Image.fromarray(read_picture(path)), TILE)
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
