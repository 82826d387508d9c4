"""Write the galleries of a run: the hardest false negatives and positives with heat maps, and patient boards."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from features.pictures.read import read_picture, resize_square
from level1_cnn.data.metadata import encode_metadata
from level1_cnn.inspect.gradcam import HeatMaps
from melstack.report.column_words import HARDEST_BENIGN, HARDEST_MALIGNANT
from melstack.report.galleries.patient_boards import check_patients, choose_patients, make_boards
from melstack.report.galleries.tiles import (
    INDEX,
    NO_NETWORK,
    CaseResults,
    Item,
    blank_reason,
    overlay,
    tile_name,
    write_index,
    write_tile,
)
from runtime.errors import InputFault
from runtime.progress import say, track
from runtime.run_folder import Run

# Name -> (target of its cases, whether low risks come first, title).
HARDEST = {
    "false_negatives": (1, True, HARDEST_MALIGNANT),
    "false_positives": (0, False, HARDEST_BENIGN),
}


def make_galleries(run: Run, recipe: str, *, max_cases: int = 12, patients: Sequence[str] | None = None) -> None:
    """Write the run's galleries folder: tiles as JPEG, and index.json, from the stack of ``recipe``.

    It holds the hardest ``max_cases`` false negatives and false positives out of fold, and the boards of ``patients``
    (default: `choose_patients`). Without explanations of the stack the items have no contributions. An item whose heat
    map has nothing to show, or whose networks are all foreign, has the reason as ``no_heat`` instead of an overlay.
    Raises InputFault for ``patients`` who are not in the run.
    """
    results, folder = CaseResults(run, recipe), run.folder / "galleries"
    names = choose_patients(results.cases, results.risk) if patients is None else list(patients)
    check_patients(results.cases, names)
    (folder / INDEX).unlink(missing_ok=True)  # it may list tiles that are overwritten with those of this stack
    boards = make_boards(results, folder, names)
    cases_of = {name: hardest_cases(results.cases, results.risk, name, max_cases) for name in HARDEST}
    heat_maps = network_heat_maps(results, [case for cases in cases_of.values() for case in cases])
    galleries = [
        {"name": name, "kind": "cases", "title": HARDEST[name][2], "items": _items(results, name, cases, heat_maps)}
        for name, cases in cases_of.items()
    ]
    write_index(folder, results.stack, [*galleries, *boards])
    say(f"galleries: {folder / INDEX}")


def hardest_cases(cases: pd.DataFrame, risk: pd.Series, gallery: str, max_cases: int) -> list[str]:
    """Return the train cases of ``gallery`` (a key of ``HARDEST``) with the largest errors of ``risk``, worst first."""
    target, low_first, _ = HARDEST[gallery]
    own = cases.index[(cases["role"] == "train") & (cases["target"] == target)]
    return [str(name) for name in risk[own].sort_values(ascending=low_first, kind="stable").index[:max_cases]]


def network_heat_maps(results: CaseResults, names: Sequence[str]) -> dict[str, list[np.ndarray]]:
    """Return for each train case one heat map per network of the stack, from the fold model not trained on the case.

    A map is (rows, columns). Negative heat is set to 0 and the maximum of each map is 1; a map without positive heat is
    all 0.
    """
    models = [model for name in results.networks if (model := _heat_maps(results.run, name)) is not None]
    heat_maps: dict[str, list[np.ndarray]] = {name: [] for name in names}
    cases = results.cases.loc[list(names)]
    pairs = list(product(models, cases.groupby("fold", sort=False)))
    for model, (_, rows) in track(pairs, "galleries: heat maps", len(pairs), unit="fold"):
        maps = _heat(results, model, int(rows["fold"].iloc[0]), rows)
        if maps.shape[1] == 1:  # one cell: a network whose output is not a map
            continue
        for name, heat in zip(rows.index, maps, strict=True):
            heat_maps[str(name)].append(heat)
    return heat_maps


def positive_heat(heat: np.ndarray) -> np.ndarray:
    """Return maps (n, rows, columns) with negative values set to 0 and each scaled to a maximum of 1 (or all 0)."""
    positive = np.maximum(heat, 0.0)
    return np.asarray(positive / np.maximum(positive.max(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny))


def _heat_maps(run: Run, model: str) -> HeatMaps | None:
    try:
        return HeatMaps(run, model)
    except InputFault:  # a foreign network: the run has its scores but not its weights
        return None


def _heat(results: CaseResults, model: HeatMaps, fold: int, rows: pd.DataFrame) -> np.ndarray:
    # The pictures have the size that the shards have, without their JPEG compression.
    squares = [resize_square(read_picture(results.path(name), shortest=model.side), model.side) for name in rows.index]
    metadata = encode_metadata(rows) if model.takes_metadata else None
    return positive_heat(model.of_fold(fold, np.stack(squares).astype(np.float32), metadata))


def _items(
    results: CaseResults, gallery: str, names: Sequence[str], heat_maps: dict[str, list[np.ndarray]]
) -> list[Item]:
    return [_item(results, gallery, rank, name, heat_maps[name]) for rank, name in enumerate(names, start=1)]


def _item(results: CaseResults, gallery: str, rank: int, name: str, heat_maps: list[np.ndarray]) -> dict[str, Any]:
    folder, picture = results.run.folder / "galleries", results.tile(name)
    tile = tile_name(gallery, rank, name)
    write_tile(folder / tile, picture)
    item = results.item(name, tile)
    heat = _mean_heat(heat_maps) if heat_maps else None
    item["no_heat"] = NO_NETWORK if heat is None else blank_reason(heat)
    if heat is not None and not item["no_heat"]:
        item["overlay"] = tile_name(gallery, rank, name, "_heat")
        write_tile(folder / item["overlay"], overlay(picture, heat))
    return item


def _mean_heat(heat_maps: list[np.ndarray]) -> np.ndarray:
    """Return the mean of ``heat_maps``, resized to the largest of their sizes."""
    from PIL import Image

    rows, columns = np.max([heat.shape for heat in heat_maps], axis=0).tolist()
    resized_maps = [
        np.asarray(Image.fromarray(heat.astype(np.float32)).resize((columns, rows), Image.Resampling.BILINEAR))
        for heat in heat_maps
    ]
    return np.asarray(np.mean(resized_maps, axis=0))
