"""Write a contact sheet of a case table: some training pictures with their names and labels on one PNG."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from features.pictures.read import read_picture
from runtime.errors import InputFault
from runtime.files import replacing

TILE = (160, 120)  # pixels, width and height
LABEL_HEIGHT, FRAME = 14, 3
RED, GREY, WHITE = (220, 30, 30), (60, 60, 60), (255, 255, 255)


def contact_sheet(cases: pd.DataFrame, data: Path, out: Path, *, columns: int = 10, rows: int = 6) -> Path:
    """Write training pictures of the case table ``cases`` into one PNG at ``out`` and return its path.

    The paths of pictures are relative to ``data``. Half of the ``columns`` x ``rows`` tiles are malignant pictures,
    framed red, if there are enough; the same cases always give the same pictures. Raises InputFault without pictures,
    and for one that cannot be read.
    """
    train = cases[cases["role"] == "train"]
    if "picture" not in train or train["picture"].isna().all():
        raise InputFault(f"{data}: the training cases have no pictures")
    train = _choose_cases(train[train["picture"].notna()], columns * rows)
    tiles = [_tile(str(name), data / str(case["picture"]), bool(case["target"])) for name, case in train.iterrows()]
    with replacing(out) as temporary:
        _compose(tiles, columns).save(temporary, format="PNG")
    return out


def _choose_cases(cases: pd.DataFrame, count: int) -> pd.DataFrame:
    benign, malignant = (cases[cases["target"] == target] for target in (0, 1))
    malignant_count = min(len(malignant), max(count // 2, count - len(benign)))
    return pd.concat([_spread(benign, count - malignant_count), _spread(malignant, malignant_count)])


def _spread(cases: pd.DataFrame, max_count: int) -> pd.DataFrame:
    """Return at most ``max_count`` cases, spread evenly over the sorted names."""
    rows = np.linspace(0, len(cases) - 1, min(max_count, len(cases))).round().astype(int)
    return cases.sort_index().iloc[rows]


def _tile(name: str, path: Path, malignant: bool) -> Image.Image:
    picture = ImageOps.fit(Image.fromarray(read_picture(path)), TILE)
    tile = Image.new("RGB", (TILE[0], TILE[1] + LABEL_HEIGHT), WHITE)
    tile.paste(picture)
    pen = ImageDraw.Draw(tile)
    pen.text((3, TILE[1] + 1), name, fill=RED if malignant else GREY)
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
