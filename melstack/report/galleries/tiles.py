"""Galleries of a run: small pictures of chosen cases with what is known and said of each, for a page to embed."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from features.pictures.jpeg_png import Picture
from features.pictures.read import encode_jpeg, read_picture, shrink
from runtime.errors import InputFault
from runtime.files import replacing, write_json
from runtime.run_folder import Run
from runtime.tables import read_table

TILE = 192  # pixels of the longer side
QUALITY = 82
MOST_CONTRIBUTIONS = 6
STACK = "stack"  # its name among the networks' scores
HIDDEN = ("picture", "role", "fold", "file_bytes", "tfrecord", "stored_role")  # say nothing to a reader
# Colours of little and of much heat: neither skin nor lesions have them.
LITTLE, MUCH = np.array([0.0, 215.0, 255.0]), np.array([95.0, 0.0, 255.0])
OPACITY = 0.65

Item = dict[str, Any]  # image_name, picture, overlay, scores, contributions, metadata; ready for JSON


class Said:
    """What a finished run says of its train and test cases, by image_name."""

    def __init__(self, run: Run, recipe: str) -> None:
        """Raise InputFault when level two of ``recipe`` is not finished, or the cases have no pictures."""
        self.run, self._data = run, Path(run.facts()["data"])
        cases = run.read_cases()
        self.cases = cases[cases["role"].isin(["train", "test"])]
        if "picture" not in cases or self.cases["picture"].isna().all():
            raise InputFault(f"{run.folder}: the cases have no pictures, so there is nothing to show")
        folder = run.level2 / recipe
        self.risk = read_table(folder / "predictions.parquet")["probability"].loc[self.cases.index]
        self._networks = {
            name: read_table(run.level1 / name / "predictions.parquet")["probability"] for name in run.networks()
        }
        explanations = folder / "explanations.parquet"
        self._parts = read_table(explanations).drop(columns="base") if explanations.is_file() else None

    def item(self, name: str, picture: str) -> Item:
        """Return the item of a case, without an overlay; ``picture`` is where its tile lies."""
        return {
            "image_name": name,
            "picture": picture,
            "overlay": None,
            "scores": self._scores(name),
            "contributions": self._contributions(name),
            "metadata": metadata(pd.Series(self.cases.loc[name])),
        }

    def path(self, name: str) -> Path:
        """Return where the picture of a case lies."""
        return self._data / str(self.cases.loc[name, "picture"])

    def tile(self, name: str) -> Picture:
        """Return the picture of a case, its longer side ``TILE`` px."""
        return shrink(read_picture(self.path(name), shortest=TILE), TILE)

    def _scores(self, name: str) -> dict[str, float]:
        said = {STACK: self.risk[name]} | {network: table.get(name) for network, table in self._networks.items()}
        return {key: float(value) for key, value in said.items() if value is not None and not np.isnan(value)}

    def _contributions(self, name: str) -> list[dict[str, object]]:
        """Return the columns that add most to the stack's log odds, or take most from them; none if not explained."""
        if self._parts is None:
            return []
        parts = pd.Series(self._parts.loc[name])
        largest = parts.abs().sort_values(ascending=False, kind="stable").index[:MOST_CONTRIBUTIONS]
        return [{"column": str(column), "value": float(parts[column])} for column in largest if parts[column] != 0]


def metadata(case: pd.Series) -> dict[str, str | float]:
    """Return what the case table knows of a case and a reader can use, ready for JSON; the missing is left out."""
    known = case.drop(labels=list(HIDDEN), errors="ignore").dropna()
    return {str(key): value if isinstance(value, str) else float(value) for key, value in known.items()}


def overlay(picture: Picture, heat: NDArray[np.floating]) -> Picture:
    """Return ``picture`` (height, width, 3) under ``heat`` (rows, columns), 0 (nothing) to 1 (the most)."""
    height, width = picture.shape[:2]
    sheet = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(sheet), 0.0, 1.0)[..., np.newaxis]
    colour = LITTLE + (MUCH - LITTLE) * strength
    opacity = OPACITY * strength  # what has no heat stays as it is
    return np.asarray(np.rint(picture * (1 - opacity) + colour * opacity), dtype=np.uint8)


def tile_name(gallery: str, place: int, name: str, kind: str = "") -> str:
    """Return a tile's path within the galleries' folder; ``kind`` tells tiles of one case apart."""
    return f"{gallery}/{place:02d}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}{kind}.jpg"


def write_tile(path: Path, picture: Picture) -> None:
    """Write ``picture`` as JPEG, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(encode_jpeg(picture, QUALITY))


def write_index(folder: Path, galleries: Sequence[dict[str, Any]]) -> None:
    """Write index.json, last of all, and remove tiles of an earlier time that no gallery shows any more."""
    write_json(folder / "index.json", {"galleries": list(galleries)})
    shown = {folder / tile for gallery in galleries for tile in _tiles(gallery["items"])}
    for path in folder.glob("*/*.jpg"):
        if path not in shown:
            path.unlink()


def _tiles(items: Iterable[Item]) -> Iterable[str]:
    return (item[key] for item in items for key in ("picture", "overlay") if item[key])
