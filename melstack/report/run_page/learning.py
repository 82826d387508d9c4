"""Learning curves: loss and validation AUC per epoch, for every fold of every network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from melstack.report.charts import Axis, Chart, Line, scale_over
from runtime.errors import InputFault
from runtime.run_folder import Run

MEASURES = {"loss": "training loss", "validation_auc": "AUC of the validation fold"}
REQUIRED_COLUMNS = ("epoch", "loss")


@dataclass(frozen=True)
class NetworkCurves:
    """The charts of one network, its epochs, and its training time in seconds (None if the histories lack it)."""

    network: str
    charts: list[Chart]
    epochs: int
    seconds: float | None


def learning_section(run: Run, networks: Sequence[str]) -> tuple[list[NetworkCurves], list[str]]:
    """Return the curves of ``networks`` with a history, and the names of the others (frozen or foreign networks)."""
    folds_of = {name: _folds(run.level1 / name) for name in networks}
    folds_of = {name: folds for name, folds in folds_of.items() if folds}
    curves = [_curves(name, folds, _scales(folds_of)) for name, folds in folds_of.items()]
    return curves, sorted(set(networks) - {each.network for each in curves})


def read_history(path: Path) -> pd.DataFrame:
    """Return the history of a fold, a row per epoch; raise InputFault if the file lacks epochs or losses."""
    try:
        table = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputFault(f"{path}: not readable as CSV ({error}); delete the file to leave out its curve") from error
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise InputFault(
            f"{path}: no column {', '.join(missing)}; a history needs the columns {', '.join(REQUIRED_COLUMNS)}"
        )
    return table


def _folds(folder: Path) -> dict[str, pd.DataFrame]:
    """Return the histories of the folds that have epochs."""
    folds = {path.parent.name: read_history(path) for path in sorted(folder.glob("fold_*/history.csv"))}
    return {fold: table for fold, table in folds.items() if len(table)}


def _scales(folds_of: dict[str, dict[str, pd.DataFrame]]) -> dict[str, Axis]:
    """Return the vertical axis of every measure, the same for all networks."""
    tables = [table for folds in folds_of.values() for table in folds.values()]
    axes = {}
    for measure, label in MEASURES.items():
        scale = scale_over(*(table[measure].to_numpy(dtype=np.float64) for table in tables if measure in table))
        axes[measure] = Axis(label, scale.low, scale.high)
    return axes


def _curves(name: str, folds: dict[str, pd.DataFrame], axes: dict[str, Axis]) -> NetworkCurves:
    epochs = max(int(table["epoch"].max()) for table in folds.values())
    charts = [_chart(folds, measure, epochs, axes[measure]) for measure in MEASURES if _has(folds, measure)]
    seconds = [table["seconds"].sum() for table in folds.values() if "seconds" in table]
    return NetworkCurves(name, charts, epochs, float(sum(seconds)) if seconds else None)


def _has(folds: dict[str, pd.DataFrame], measure: str) -> bool:
    return any(measure in table and table[measure].notna().any() for table in folds.values())


def _chart(folds: dict[str, pd.DataFrame], measure: str, epochs: int, y: Axis) -> Chart:
    lines = [
        Line(fold.replace("_", " "), f"fold{int(fold.removeprefix('fold_')) % 5}", _points(table, measure))
        for fold, table in folds.items()
        if measure in table
    ]
    return Chart(MEASURES[measure], Axis("epoch", min(1, epochs - 1), epochs), y, lines)


def _points(table: pd.DataFrame, measure: str) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    return table[["epoch", measure]].to_numpy(dtype=np.float64)
