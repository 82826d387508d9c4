"""The list of candidates for another look at their label: reasons in words, neighbours, pictures."""

import re
from pathlib import Path

import numpy as np
import pandas as pd

from features.pictures.read import read_picture, shrink
from level2_stack.calibration.calibrate import shift_prior
from level2_stack.outlook.label_errors import label_candidates, opposed_neighbours
from melstack.report.galleries.tiles import TILE, write_tile
from melstack.report.run_page.inputs import StackResults
from runtime.run_folder import Run
from runtime.tables import read_table

PICTURES = 24  # of the first candidates
MOST_WITH_NEIGHBOURS = 300  # candidates


def label_table(stack: StackResults) -> pd.DataFrame:
    """Return the candidates of a finished stack with their patient, neighbours of the other label, and reasons."""
    y, train = stack.y, stack.train
    probability = stack.score(stack.headline)
    if stack.deployment_prevalence is not None:
        probability = shift_prior(probability, stack.deployment_prevalence, float(y.mean()))
    folds, networks = train["fold"].to_numpy(np.int64), stack.networks.reindex(train.index)
    table = label_candidates(train.index, y, folds, probability, networks)
    names = table["image_name"]
    table.insert(1, "patient_id", train["patient_id"].loc[names].to_numpy())
    table["neighbours_against"] = _neighbours(stack, names)
    table["reasons"] = [_reasons(row) for _, row in table.iterrows()]
    return table


def write_pictures(stack: StackResults, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Write a tile of each of the first candidates into ``folder``; return ``table`` with the names in ``picture``."""
    cases, data = stack.cases, Path(stack.run.facts()["data"])
    files = np.full(len(table), "", dtype=object)
    names = table["image_name"].iloc[:PICTURES] if "picture" in cases else ()
    for place, name in enumerate(names):
        picture = cases.loc[name, "picture"]
        path = data / str(picture)
        if isinstance(picture, str) and path.is_file():
            files[place] = f"pictures/{place + 1:02d}_{re.sub(r'[^A-Za-z0-9._-]', '_', str(name))}.jpg"
            write_tile(folder / str(files[place]), shrink(read_picture(path, shortest=TILE), TILE))
    return table.assign(picture=files)


def _neighbours(stack: StackResults, names: pd.Series) -> np.ndarray:
    """Return the share of each case's neighbours that have the other label; NaN without embeddings, and far down."""
    shares = np.full(len(names), np.nan)
    path = _embeddings(stack.run, stack)
    if path is not None and len(names):
        points = read_table(path).loc[stack.train.index].to_numpy(np.float32)
        rows = stack.train.index.get_indexer(pd.Index(names))[:MOST_WITH_NEIGHBOURS]
        shares[: len(rows)] = opposed_neighbours(points, stack.y, stack.groups, rows)
    return shares


def _embeddings(run: Run, stack: StackResults) -> Path | None:
    """Return the embeddings of the best network that has some."""
    names = [name for name in stack.board.index if name in stack.networks]
    paths = [run.level1 / str(name) / "embeddings.parquet" for name in names]
    return next((path for path in paths if path.is_file()), None)


def _reasons(row: pd.Series) -> str:
    other = "benign" if row["label"] == 1 else "malignant"
    side = "at or below" if row["label"] == 1 else "at or above"
    words = [
        f"probability {row['probability']:.3f} is {side} {row['threshold']:.3f}, the mean of {other} cases",
        f"{row['networks_against']} of {row['networks']} networks agree",
    ]
    if row["neighbours_against"] == row["neighbours_against"]:
        words.append(f"{row['neighbours_against']:.0%} of the nearest cases of other patients are {other}")
    return "; ".join(words)
