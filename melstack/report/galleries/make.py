"""The galleries of a run: hardest false negatives and positives with heat maps, and patient boards."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from features.pictures.read import read_picture, resize_square
from level1_cnn.data.metadata import encode_metadata
from level1_cnn.inspect.gradcam import HeatMaps
from melstack.report.galleries.patient_boards import make_boards
from melstack.report.galleries.tiles import Item, Said, overlay, tile_name, write_index, write_tile
from runtime.errors import InputFault
from runtime.progress import say, track
from runtime.run_folder import Run

# Name -> (the target of its cases, whether low risks come first, its title).
HARDEST = {
    "false_negatives": (1, True, "Melanomas that the stack takes for harmless"),
    "false_positives": (0, False, "Benign lesions that the stack takes for melanomas"),
}


def make_galleries(run: Run, recipe: str, *, most: int = 12, patients: Sequence[str] | None = None) -> None:
    """Write the run's galleries folder: tiles as JPEG and index.json, by the stack of ``recipe``.

    The hardest ``most`` cases of either kind, out of fold; boards of ``patients``, or of chosen ones. Without
    explanations of the stack the items have no contributions, and without networks of this run no overlays.
    """
    said, folder = Said(run, recipe), run.folder / "galleries"
    boards = make_boards(said, folder, patients)
    chosen = {name: hardest(said.cases, said.risk, name, most) for name in HARDEST}
    heat = mean_heat(said, [case for cases in chosen.values() for case in cases])
    galleries = [
        {"name": name, "kind": "cases", "title": HARDEST[name][2], "items": _items(said, name, cases, heat)}
        for name, cases in chosen.items()
    ]
    write_index(folder, [*galleries, *boards])
    say(f"galleries: {folder / 'index.json'}")


def hardest(cases: pd.DataFrame, risk: pd.Series, gallery: str, most: int) -> list[str]:
    """Return the train cases of ``gallery``, a key of ``HARDEST``, whose out-of-fold ``risk`` is most wrong, first."""
    target, low_first, _ = HARDEST[gallery]
    own = cases.index[(cases["role"] == "train") & (cases["target"] == target)]
    return [str(name) for name in risk[own].sort_values(ascending=low_first, kind="stable").index[:most]]


def mean_heat(said: Said, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Return per train case the heat of every network of this run, each by the fold that never saw the case.

    Heat is rectified, and 1 where a network's map is hottest; a network that finds nothing for melanoma is all 0.
    """
    maps = [one for name in said.run.networks() if (one := _heat_maps(said.run, name)) is not None]
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    cases = said.cases.loc[list(names)]
    shown = list(product(maps, cases.groupby("fold", sort=False)))
    for model, (_, rows) in track(shown, "galleries: heat maps", len(shown), unit="folds"):
        for name, heat in zip(rows.index, _heat(said, model, int(rows["fold"].iloc[0]), rows), strict=True):
            found[str(name)].append(heat)
    return found


def rectified(heat: np.ndarray) -> np.ndarray:
    """Return maps (n, rows, columns) without what speaks against melanoma, each with its maximum at 1, or all 0."""
    positive = np.maximum(heat, 0.0)
    return np.asarray(positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny))


def _heat_maps(run: Run, model: str) -> HeatMaps | None:
    try:
        return HeatMaps(run, model)
    except InputFault:  # a foreign network: its scores are shown, its weights are elsewhere
        return None


def _heat(said: Said, model: HeatMaps, fold: int, rows: pd.DataFrame) -> np.ndarray:
    # As the shards hold it, but for their JPEG compression.
    squares = [resize_square(read_picture(said.path(name), shortest=model.side), model.side) for name in rows.index]
    metadata = encode_metadata(rows) if model.takes_metadata else None
    return rectified(model.of_fold(fold, np.stack(squares).astype(np.float32), metadata))


def _items(said: Said, gallery: str, names: Sequence[str], heat: dict[str, list[np.ndarray]]) -> list[Item]:
    return [_item(said, gallery, place, name, heat[name]) for place, name in enumerate(names, start=1)]


def _item(said: Said, gallery: str, place: int, name: str, heat: list[np.ndarray]) -> dict[str, Any]:
    folder, picture = said.run.folder / "galleries", said.tile(name)
    tile = tile_name(gallery, place, name)
    write_tile(folder / tile, picture)
    item = said.item(name, tile)
    if heat:
        item["overlay"] = tile_name(gallery, place, name, "_heat")
        write_tile(folder / item["overlay"], _covered(picture, heat))
    return item


def _covered(picture: np.ndarray, heat: list[np.ndarray]) -> np.ndarray:
    """Return ``picture`` under the mean of the networks' maps, which are of different sizes."""
    from PIL import Image

    rows, columns = np.max([one.shape for one in heat], axis=0).tolist()
    same = [
        np.asarray(Image.fromarray(one.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR))
        for one in heat
    ]
    return overlay(picture, np.mean(same, axis=0))
