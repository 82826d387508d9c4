"""Who the rows of a stored table are: ids, patients, folds and targets, read without any feature, and their faults."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.faults import named

KEYS = ("image_name", "patient_id", "fold", "target")
IDS, NUMBERS = KEYS[:2], KEYS[2:]
FEWEST_FOLDS = 3
MOST_FOLDS = 127  # a case table's folds are int8
TYPES = {pa.string(): pd.StringDtype("pyarrow")}  # a third of the memory of Python's strings


def read_labels(path: Path) -> pd.DataFrame:
    """Return image_name, patient_id (text), fold and target (float64, NaN where missing) of the rows of a file.

    Raises pyarrow.ArrowException where a fold or target is no number.
    """
    table = pq.read_table(path, columns=list(KEYS)).replace_schema_metadata(None)
    columns = {name: table[name].cast(pa.string()) for name in IDS}
    columns |= {name: table[name].cast(pa.float64()) for name in NUMBERS}
    frame: pd.DataFrame = pa.table(columns).to_pandas(types_mapper=TYPES.get)
    return frame


def label_faults(labels: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps rows (``read_labels`` of all files) from being cross-validated with patients kept together."""
    for key in IDS:
        nameless = int(labels[key].isna().sum())
        if nameless:
            yield f"{key}: missing in {nameless} row(s)"
    names = labels["image_name"].dropna()
    twice = names[names.duplicated()]
    if len(twice):
        yield f"image_name: given more than once: {named(twice.unique())}"
    train = labels[labels["target"].notna()]
    if train.empty:
        yield "target: no row has one; train rows have 0 or 1, test rows nothing"
        return
    yield from _faults_of_values(train)
    yield from _faults_of_folds(train.dropna(subset="fold"))


def _faults_of_values(train: pd.DataFrame) -> Iterator[str]:
    other = ~train["target"].isin([0, 1])
    if other.any():
        yield f"target: neither 0 nor 1: {named(train.loc[other, 'image_name'])}"
    fold = train["fold"]
    wrong = ~fold.between(0, MOST_FOLDS) | (fold % 1 != 0)
    if wrong.any():
        yield f"fold: missing of a train row, or no whole number from 0 to {MOST_FOLDS}: " + named(
            train.loc[wrong, "image_name"]
        )


def _faults_of_folds(train: pd.DataFrame) -> Iterator[str]:
    folds = train.groupby("patient_id")["fold"].nunique()
    torn = folds.index[folds > 1]
    if len(torn):
        yield f"patient_id: in several folds: {named(torn)}; a patient's rows belong in one"
    classes = train[train["target"].isin([0, 1])].groupby("fold")["target"].nunique()
    if len(classes) < FEWEST_FOLDS:
        yield f"fold: {len(classes)} fold(s); at least {FEWEST_FOLDS} are needed"
    one = classes.index[classes < 2]
    if len(one):
        yield f"fold: without a row of each class: {named(f'{fold:g}' for fold in one)}"
