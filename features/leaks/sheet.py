"""A contact sheet of the pairs that the leak audit found: side by side, with names, and what each of them leaks."""

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
LETTERS = 40  # that fit below a pair


def leak_sheet(pairs: pd.DataFrame, paths: Mapping[str, Path], out: Path, *, columns: int = 4, most: int = 60) -> Path:
    """Compose the first ``most`` of ``pairs`` (first, second, kind, alike, relation) into one PNG at ``out``.

    ``paths`` tells where the pictures lie; a picture that is not there or cannot be read is a grey tile. Pairs that
    could leak come first and are labelled red. Return ``out``.
    """
    order = pairs["relation"].isin(HARMLESS).to_numpy().argsort(kind="stable")
    tiles = [_pair(row, paths) for row in pairs.iloc[order[:most]].to_dict("records")]
    width, height = 2 * TILE + 2 + 2 * GAP, TILE + LABEL + 2 * GAP
    lines = max(1, -(-len(tiles) // columns))
    sheet = Image.new("RGB", (columns * width, lines * height), WHITE)
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (place % columns * width + GAP, place // columns * height + GAP))
    with replacing(out) as temporary:
        sheet.save(temporary, format="PNG")
    return out


def _pair(row: Mapping[Any, Any], paths: Mapping[str, Path]) -> Image.Image:
    tile = Image.new("RGB", (2 * TILE + 2, TILE + LABEL), WHITE)
    pen = ImageDraw.Draw(tile)
    for place, end in enumerate(("first", "second")):
        tile.paste(_picture(paths.get(str(row[end]))), (place * (TILE + 2), 0))
    color = DARK if row["relation"] in HARMLESS else RED
    pen.text((1, TILE + 2), f"{row['first']}  {row['second']}"[:LETTERS], fill=DARK)
    alike = "" if pd.isna(row["alike"]) else f" {row['alike']:.2f}"
    pen.text((1, TILE + 14), f"{row['relation']}{alike}"[:LETTERS], fill=color)
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
