"""What the tables of a run leak: patients and external cases in wrong places, foreign folds, telling features."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from runtime.run_folder import Run
from runtime.tables import read_table

BLOCKING, RESOLVED, NOTE = "blocking", "resolved", "note"
TELLS = 0.999  # AUC of a feature alone from which it is the target under another name
NEARLY = 0.95  # AUC from which a person should look: no known single attribute of a lesion comes near it
RARE = 5  # cases; a text value that is rarer says nothing about its share of malignant ones
RUN_STOPS = "; the run stops"


@dataclass(frozen=True)
class Finding:
    """One kind of leak: ``what`` and how many, the ``names``, its severity (blocking, resolved, note), what is ``done``."""

    what: str
    count: int
    severity: str
    done: str
    names: list[Any] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return the finding as JSON values."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the finding as one line."""
        few = ", ".join(" = ".join(name) if isinstance(name, list) else str(name) for name in self.names[:3])
        return f"{self.severity}: {self.count} {self.what} ({few}{', ...' * (self.count > 3)}): {self.done}"


def case_findings(cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield what is wrong with the case table: shared patients, ids that are nearly the same, validated externals."""
    train, test = (cases[cases["role"] == role] for role in ("train", "test"))
    shared = set(train["patient_id"].dropna()) & set(test["patient_id"].dropna())
    yield from _finding("patients in both train and test", shared, BLOCKING, "correct patient_id, or take them out")
    folds = train.groupby("patient_id")["fold"].nunique()
    yield from _finding("patients in several folds", folds.index[folds > 1], BLOCKING, "freeze the cases anew")
    plain = cases.index.str.lower().str.strip().str.replace(r"\.(jpe?g|png|dcm)$", "", regex=True)
    twins = cases.index[plain.duplicated(keep=False)]
    yield from _finding("ids that differ in case or file ending only", twins, BLOCKING, "name every picture once")
    outside = cases.index[(cases["role"] != "train") & (cases["fold"] >= 0)]
    yield from _finding("external or test cases in a validation fold", outside, BLOCKING, "freeze the cases anew")


def network_findings(run: Run, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield how the folds stored in level-one tables differ from ours; folds of -1 are unknown."""
    train = cases[cases["role"] == "train"]
    differing = {}
    for path in _tables(run.level1.glob("*/predictions.parquet")):
        table = read_table(path)
        name = path.parent.name
        yield from _fold_findings(name, table, cases)
        if "fold" in table:
            stored = table["fold"].reindex(train.index).fillna(-1)
            differing[name] = int(((stored >= 0) & (stored != train["fold"])).sum())
    others = [f"{name} ({rows} rows)" for name, rows in differing.items() if rows]
    yield from _finding(
        "networks with other folds than ours", others, NOTE, "their patients are apart in their own folds; rows of one "
        "of our folds come from several models, so level two sees a little of its validation through them"
    )  # fmt: skip


def _fold_findings(name: str, table: pd.DataFrame, cases: pd.DataFrame) -> Iterator[Finding]:
    if "fold" not in table:
        return
    stored = table.loc[table["fold"] >= 0, "fold"]
    roles = cases["role"].reindex(stored.index)
    outside = roles.index[roles.isin(["test", "extra"])]
    yield from _finding(f"external or test cases validated by {name}", outside, BLOCKING, "take the network out")
    folds = stored.groupby(cases["patient_id"].reindex(stored.index)).nunique()
    split = folds.index[folds > 1]
    yield from _finding(f"patients in several folds of {name}", split, BLOCKING, "take the network out")


def feature_findings(run: Run, cases: pd.DataFrame) -> Iterator[Finding]:
    """Yield the feature columns that equal or nearly determine the target of the training cases."""
    target = cases.loc[cases["role"] == "train", "target"]
    areas = {
        f"{path.stem}.{name}": telling(column, target)
        for path in _tables(run.blocks.glob("*.parquet"))
        for name, column in read_table(path).reindex(target.index).items()
    }
    for what, low, high, severity, done in (
        (f"features that tell the target (AUC alone from {TELLS})", TELLS, 2.0, BLOCKING, "take them out of the block"),
        (f"features that nearly tell the target (AUC alone from {NEARLY})", NEARLY, TELLS, NOTE, "look at them"),
    ):
        found = [f"{name} (AUC {area:.4f})" for name, area in areas.items() if low <= area < high]
        yield from _finding(what, found, severity, done)


def telling(column: pd.Series, target: pd.Series) -> float:
    """Return the AUC of ``column`` alone for ``target`` (0/1), the better of both directions, 0.5 to 1.

    Text counts by its share of malignant cases, values rarer than RARE as all others; missing values are one more
    value: the area is the larger of that of the known values and that of being missing.
    """
    text = not pd.api.types.is_numeric_dtype(column)
    # Arrays: to look rows up by their names took most of the time of 401,059 cases.
    score = (_shares(column, target) if text else column).to_numpy(dtype=np.float64)
    malignant, known = target.to_numpy() == 1, ~np.isnan(score)
    return max(_area(score[known], malignant[known]), _area_of_known(known, malignant))


def _shares(column: pd.Series, target: pd.Series) -> pd.Series:
    counts = column.map(column.value_counts())
    return target.groupby(column.where(counts >= RARE, "rare values")).transform("mean").where(column.notna())


def _area(score: NDArray[np.float64], malignant: NDArray[np.bool_]) -> float:
    """Return the exact AUC from ranks (Mann and Whitney 1947), 0.5 or more; 0.5 where a class has under RARE cases."""
    positives = int(malignant.sum())
    negatives = len(malignant) - positives
    if min(positives, negatives) < RARE:
        return 0.5
    ranks = float(pd.Series(score).rank().to_numpy()[malignant].sum())
    area = (ranks - positives * (positives + 1) / 2) / (positives * negatives)
    return float(np.maximum(area, 1 - area))


def _area_of_known(known: NDArray[np.bool_], malignant: NDArray[np.bool_]) -> float:
    """Return the AUC, 0.5 or more, of whether a value is known: a curve of one point."""
    if min(int(malignant.sum()), int((~malignant).sum())) < RARE:
        return 0.5
    return float(0.5 + abs(known[malignant].mean() - known[~malignant].mean()) / 2)


def _tables(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths)


def _finding(what: str, names: Iterable[object], severity: str, done: str) -> Iterator[Finding]:
    listed = sorted(map(str, names))
    if listed:
        yield Finding(what, len(listed), severity, done + RUN_STOPS * (severity == BLOCKING), listed)
