"""Write a contact sheet of a data folder: some training pictures with their names and labels on one PNG."""

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
    """Write training pictures of ``data`` into one PNG at ``out`` and return its path.

    Half of the ``columns`` x ``rows`` tiles are malignant pictures, framed red, if there are enough; the same folder
    always shows the same pictures. Raises InputFault for a training table without its columns, for invalid targets and
    for missing pictures.
    """
    cases, folder = _choose_cases(_labels(data), columns * rows), data.picture_location("train")
    pictures = {} if folder is None else folder.pictures()
    if missing := [f"{name}.jpg" for name in cases["image_name"] if name not in pictures]:
        where = data.path / (data.layout.train_pictures if folder is None else folder.name)
        raise InputFault(f"{where}: missing pictures {list_names(missing)}; the training table names them")
    paths = [pictures[str(name)] for name in cases["image_name"]]
    tiles = [_tile(path, bool(target)) for path, target in zip(paths, cases["target"], strict=True)]
    with replacing(out) as temporary:
        _compose(tiles, columns).save(temporary, format="PNG")
    return out


def _labels(data: DataFolder) -> pd.DataFrame:
    layout, path, faults = data.layout, data.path / data.layout.train, Faults()
    if not data.has(layout.train):
        raise InputFault(f"{path}: file not found; a data folder in the layout of the contest has this training table")
    cases = data.cases("train")
    if missing := {layout.columns.image_name, layout.columns.target} - set(cases.columns):
        raise InputFault(f"{path}: missing columns {list_names(sorted(missing))}; it has {list_names(cases.columns)}")
    targets = read_targets(cases, layout, layout.train, faults, data.notes)
    faults.raise_if_any(f"{data.path}: the input cannot be used")
    return pd.DataFrame({"image_name": cases[layout.columns.image_name], "target": targets})


def _choose_cases(cases: pd.DataFrame, count: int) -> pd.DataFrame:
    benign, malignant = (cases[cases["target"] == target] for target in (0, 1))
    malignant_count = min(len(malignant), max(count // 2, count - len(benign)))
    return pd.concat([_spread(benign, count - malignant_count), _spread(malignant, malignant_count)])


def _spread(cases: pd.DataFrame, max_count: int) -> pd.DataFrame:
    """Return at most ``max_count`` cases, spread evenly over the sorted names."""
    rows = np.linspace(0, len(cases) - 1, min(max_count, len(cases))).round().astype(int)
    return cases.sort_values("image_name").iloc[rows]


def _tile(path: Path, malignant: bool) -> Image.Image:
    picture = ImageOps.fit(Image.fromarray(read_picture(path)), TILE)
    tile = Image.new("RGB", (TILE[0], TILE[1] + LABEL_HEIGHT), WHITE)
    tile.paste(picture)
    pen = ImageDraw.Draw(tile)
    pen.text((3, TILE[1] + 1), path.stem, fill=RED if malignant else GREY)
    if malignant:
        pen.rectangle((0, 0, TILE[0] - 1, TILE[1] - 1), outline=RED, width=FRAME)
    return tile


def _compose(tiles: list[Image.Image], columns: int) -> Image.Image:
    width, height = TILE[0] + 4, TILE[1] + LABEL_HEIGHT + 4
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * width, max(rows, 1) * height), WHITE)
    for index, tile in enumerate(tiles):
        sheet.paste(tile, (index % columns * width + 2, index // columns * height + 2))
    return sheet
