"""The contact sheet of the data page: small JPEGs of training pictures as data URIs."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from runtime.errors import InputFault

TILES = 24  # of each class
SIDE, QUALITY = 128, 72  # px, JPEG quality; about 4 KB each


def contact_tiles(
    cases: pd.DataFrame, data: Path, tiles: int = TILES
) -> tuple[dict[str, list[dict[str, Any]]], list[str]]:
    """Return up to ``tiles`` training pictures of each class (malignant, benign), and the names of unreadable pictures.

    A tile has ``name``, ``about`` (sex, age, site and diagnosis of the case) and ``source``, a data URI with a JPEG of
    the central square of the picture. The pictures are spread evenly over the sorted names, so every run shows the
    same ones. The paths in column ``picture`` of ``cases`` are relative to the folder ``data``.
    """
    tiles_of: dict[str, list[dict[str, Any]]] = {}
    unreadable: list[str] = []
    for name, target in {"malignant": 1, "benign": 0}.items():
        part = cases[(cases["role"] == "train") & (cases["target"] == target) & cases["picture"].notna()].sort_index()
        part = part.iloc[np.linspace(0, len(part) - 1, min(tiles, len(part))).round().astype(int)]
        sources = {str(case): tile_source(data / row["picture"]) for case, row in part.iterrows()}
        unreadable += [case for case, source in sources.items() if source is None]
        about = {str(case): describe_case(row) for case, row in part.iterrows()}
        readable = {case: source for case, source in sources.items() if source is not None}
        tiles_of[name] = [{"name": case, "about": about[case], "source": source} for case, source in readable.items()]
    return {name: part for name, part in tiles_of.items() if part}, unreadable


def tile_source(path: Path) -> str | None:
    """Return a data URI with a JPEG of the central square of the picture at ``path``; None if it is unreadable."""
    from features.pictures.read import encode_jpeg, read_picture, resize_square

    try:
        picture = read_picture(path, shortest=SIDE)
    except InputFault:
        return None
    side = min(picture.shape[:2])
    row, column = ((length - side) // 2 for length in picture.shape[:2])
    square = resize_square(picture[row : row + side, column : column + side], SIDE)
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(square, QUALITY)).decode("ascii")


def describe_case(row: pd.Series) -> str:
    """Return sex, age, site and diagnosis of a case, as far as they are known."""
    columns = ("sex", "age_approx", "anatom_site_general_challenge", "diagnosis")
    values = [row[name] for name in columns if name in row and not pd.isna(row[name])]
    return ", ".join(f"{value:.0f}" if isinstance(value, float) else str(value) for value in values)
