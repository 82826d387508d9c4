"""Gallery tiles: small pictures of cases with their scores, contributions and metadata, for a page to embed."""

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
from level2_stack.finished import networks_of_stack, stack_digest
from runtime.errors import InputFault
from runtime.files import read_json, replacing, write_json
from runtime.run_folder import Run
from runtime.tables import read_table

INDEX = "index.json"  # of the galleries folder
TILE = 192  # pixels of the longer side
QUALITY = 82
MAX_CONTRIBUTIONS = 6
STACK = "stack"  # its key among the scores
INTERNAL_COLUMNS = ("picture", "role", "fold", "file_bytes", "tfrecord", "stored_role")  # of no use to a reader
# Colours of low and of high heat: neither skin nor lesions have them.
LOW_COLOUR, HIGH_COLOUR = np.array([0.0, 215.0, 255.0]), np.array([95.0, 0.0, 255.0])
OPACITY = 0.65
MIN_CONTRAST = 0.05  # of a heat map, between its lowest and its highest cell; less is an even tint
NO_NETWORK = "No heat map: the predictions come from tables, and no network is here that could look at the picture."
NO_HEAT = "No heat map: no part of the picture raises the probability of melanoma for any network."
EVEN_HEAT = "No heat map: every part of the picture raises the probability of melanoma equally."

Item = dict[str, Any]  # image_name, picture, overlay, scores, contributions, metadata; ready for JSON


class CaseResults:
    """The results of a finished run for its train and test cases, by image_name: scores, contributions, metadata.

    ``stack`` is the digest of the stack, ``networks`` are those that it combines.
    """

    def __init__(self, run: Run, recipe: str) -> None:
        """Raise InputFault if level two of ``recipe`` is not finished or the cases have no pictures."""
        self.run, self._data = run, Path(run.facts()["data"])
        cases = run.read_cases()
        self.cases = cases[cases["role"].isin(["train", "test"])]
        if "picture" not in cases or self.cases["picture"].isna().all():
            raise InputFault(f"{run.folder}: the cases have no pictures, and galleries need pictures")
        folder = run.level2 / recipe
        self.stack, self.networks = stack_digest(folder), networks_of_stack(folder)
        self.risk = read_table(folder / "predictions.parquet")["probability"].loc[self.cases.index]
        self._networks = {
            name: read_table(run.level1 / name / "predictions.parquet")["probability"] for name in self.networks
        }
        self._contribution_table = _contribution_table(folder, self.stack)

    def item(self, name: str, picture: str) -> Item:
        """Return the item of a case, without an overlay; ``picture`` is the path of its tile."""
        return {
            "image_name": name,
            "picture": picture,
            "overlay": None,
            "scores": self._scores(name),
            "contributions": self._contributions(name),
            "metadata": metadata(pd.Series(self.cases.loc[name])),
        }

    def path(self, name: str) -> Path:
        """Return the path of the picture of a case."""
        return self._data / str(self.cases.loc[name, "picture"])

    def tile(self, name: str) -> Picture:
        """Return the picture of a case, uint8 (height, width, 3), reduced to ``TILE`` px on its longer side."""
        return shrink(read_picture(self.path(name), shortest=TILE), TILE)

    def _scores(self, name: str) -> dict[str, float]:
        scores = {STACK: self.risk[name]} | {network: table.get(name) for network, table in self._networks.items()}
        return {key: float(value) for key, value in scores.items() if value is not None and not np.isnan(value)}

    def _contributions(self, name: str) -> list[dict[str, object]]:
        """Return the largest contributions to the log odds of the stack, of either sign; [] without explanations."""
        if self._contribution_table is None:
            return []
        values = pd.Series(self._contribution_table.loc[name])
        largest = values.abs().sort_values(ascending=False, kind="stable").index[:MAX_CONTRIBUTIONS]
        return [{"column": str(column), "value": float(values[column])} for column in largest if values[column] != 0]


def _contribution_table(folder: Path, stack: str) -> pd.DataFrame | None:
    """Return the explanations in ``folder``; None if there are none of the ``stack`` with this digest."""
    summary = folder / "explanations.json"
    if not summary.is_file() or read_json(summary).get("stack") != stack:
        return None
    return read_table(folder / "explanations.parquet").drop(columns="base")


def metadata(case: pd.Series) -> dict[str, str | float]:
    """Return the metadata of a case that help a reader, ready for JSON; missing values are left out."""
    values = case.drop(labels=list(INTERNAL_COLUMNS), errors="ignore").dropna()
    return {str(key): value if isinstance(value, str) else float(value) for key, value in values.items()}


def overlay(picture: Picture, heat: NDArray[np.floating]) -> Picture:
    """Return ``picture`` (height, width, 3) covered by ``heat`` (rows, columns), 0 (none) to 1 (most)."""
    height, width = picture.shape[:2]
    layer = Image.fromarray(heat.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(layer), 0.0, 1.0)[..., np.newaxis]
    colour = LOW_COLOUR + (HIGH_COLOUR - LOW_COLOUR) * strength
    opacity = OPACITY * strength  # pixels without heat stay unchanged
    return np.asarray(np.rint(picture * (1 - opacity) + colour * opacity), dtype=np.uint8)


def blank_reason(heat: NDArray[np.floating]) -> str:
    """Return the sentence why ``heat`` (rows, columns), 0 to 1, has nothing to show; "" if it has."""
    if heat.max() <= 0:
        return NO_HEAT
    return EVEN_HEAT if heat.max() - heat.min() < MIN_CONTRAST * heat.max() else ""


def tile_name(gallery: str, rank: int, name: str, suffix: str = "") -> str:
    """Return the path of a tile within the galleries folder; ``suffix`` distinguishes the tiles of one case."""
    return f"{gallery}/{rank:02d}_{re.sub(r'[^A-Za-z0-9._-]', '_', name)}{suffix}.jpg"


def write_tile(path: Path, picture: Picture) -> None:
    """Write ``picture`` as a JPEG file, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(encode_jpeg(picture, QUALITY))


def write_index(folder: Path, stack: str, galleries: Sequence[dict[str, Any]]) -> None:
    """Write index.json with the digest of the ``stack``, after all tiles; delete tiles that no gallery lists."""
    write_json(folder / INDEX, {"stack": stack, "galleries": list(galleries)})
    current_tiles = {folder / tile for gallery in galleries for tile in _tiles(gallery["items"])}
    for path in folder.glob("*/*.jpg"):
        if path not in current_tiles:
            path.unlink()


def _tiles(items: Iterable[Item]) -> Iterable[str]:
    return (item[key] for item in items for key in ("picture", "overlay") if item[key])
