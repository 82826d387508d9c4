"""Draw the pairs of the leak audit on a contact sheet: both pictures side by side, with names and relation."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image, ImageDraw, ImageOps

from features.pictures.read import read_picture
from runtime.errors import InputFault
from runtime.files import replacing

TILE = 120  # px, width and height of one picture
LABEL, GAP = 28, 8  # px below a pair, and around it
WHITE, DARK, RED = (255, 255, 255), (50, 50, 50), (200, 30, 30)
HARMLESS = ("within train, one fold", "within test", "within external")
LABEL_LENGTH = 40  # characters that fit below a pair


def leak_sheet(pairs: pd.DataFrame, paths: Mapping[str, Path], out: Path, *, columns: int = 4, most: int = 60) -> Path:
    """Compose the first ``most`` of ``pairs`` (first, second, kind, alike, relation) into one PNG at ``out``.

    ``paths`` maps names to picture files; a missing or unreadable picture is a grey tile. Pairs that could leak
    come first, with a red label. Return ``out``.
    """
    order = pairs["relation"].isin(HARMLESS).to_numpy().argsort(kind="stable")
    tiles = [_pair(row, paths) for row in pairs.iloc[order[:most]].to_dict("records")]
    width, height = 2 * TILE + 2 + 2 * GAP, TILE + LABEL + 2 * GAP
    lines = max(1, -(-len(tiles) // columns))
    sheet = Image.new("RGB", (columns * width, lines * height), WHITE)
    for number, tile in enumerate(tiles):
        sheet.paste(tile, (number % columns * width + GAP, number // columns * height + GAP))
    with replacing(out) as temporary:
        sheet.save(temporary, format="PNG")
    return out


def _pair(row: Mapping[Any, Any], paths: Mapping[str, Path]) -> Image.Image:
    tile = Image.new("RGB", (2 * TILE + 2, TILE + LABEL), WHITE)
    pen = ImageDraw.Draw(tile)
    for column, end in enumerate(("first", "second")):
        tile.paste(_picture(paths.get(str(row[end]))), (column * (TILE + 2), 0))
    color = DARK if row["relation"] in HARMLESS else RED
    pen.text((1, TILE + 2), f"{row['first']}  {row['second']}"[:LABEL_LENGTH], fill=DARK)
    alike = "" if pd.isna(row["alike"]) else f" {row['alike']:.2f}"
    pen.text((1, TILE + 14), f"{row['relation']}{alike}"[:LABEL_LENGTH], fill=color)
    return tile


def _picture(path: Path | None) -> Image.Image:
    blank = Image.new("RGB", (TILE, TILE), (200, 200, 200))
    if path is None:
        return blank
    try:
        picture = Image.fromarray(read_picture(path, shortest=TILE))
    except InputFault:
        return blank
    return ImageOps.pad(picture, (TILE, TILE), color=WHITE)
