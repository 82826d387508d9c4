"""Learning curves: what every fold of every network wrote down, epoch by epoch."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melstack.report.charts import Axis, Chart, Line, scale_over
from runtime.errors import InputFault
from runtime.run_folder import Run

MEASURES = {"loss": "training loss", "validation_auc": "AUC of the fold left out"}
NEEDED = ("epoch", "loss")


@dataclass(frozen=True)
class Learnt:
    """The curves of one network: its charts, the epochs and the seconds that training took; None where not kept."""

    network: str
    charts: list[Chart]
    epochs: int
    seconds: float | None


def learning_section(run: Run) -> tuple[list[Learnt], list[str]]:
    """Return the curves of every network that has some, and the names of those without: frozen or foreign ones."""
    drawn = [learnt for name in run.networks() for learnt in _learnt(run.level1 / name)]
    return drawn, sorted(set(run.networks()) - {learnt.network for learnt in drawn})


def read_history(path: Path) -> pd.DataFrame:
    """Return a fold's history, a row per epoch; raise InputFault for a file without epochs and losses."""
    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputFault(f"{path}: not a readable history ({error})") from error
    missing = [name for name in NEEDED if name not in table]
    if missing:
        raise InputFault(f"{path}: no column {', '.join(missing)}; a history has an epoch and its loss in each row")
    return table


def _learnt(folder: Path) -> Iterator[Learnt]:
    folds = {path.parent.name: read_history(path) for path in sorted(folder.glob("fold_*/history.csv"))}
    folds = {fold: table for fold, table in folds.items() if len(table)}
    if not folds:
        return
    epochs = max(int(table["epoch"].max()) for table in folds.values())
    charts = [_chart(folds, measure, epochs) for measure in MEASURES if _has(folds, measure)]
    timed = [table["seconds"].sum() for table in folds.values() if "seconds" in table]
    yield Learnt(folder.name, charts, epochs, float(sum(timed)) if timed else None)


def _has(folds: dict[str, pd.DataFrame], measure: str) -> bool:
    return any(measure in table and table[measure].notna().any() for table in folds.values())


def _chart(folds: dict[str, pd.DataFrame], measure: str, epochs: int) -> Chart:
    lines = [
        Line(fold.replace("_", " "), f"fold{int(fold.removeprefix('fold_')) % 5}", _points(table, measure))
        for fold, table in folds.items()
        if measure in table
    ]
    scale = scale_over(*(line.points[:, 1] for line in lines))
    return Chart(MEASURES[measure], Axis("epoch", min(1, epochs - 1), epochs), Axis("", scale.low, scale.high), lines)


def _points(table: pd.DataFrame, measure: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return table[["epoch", measure]].to_numpy(dtype=np.float64)
