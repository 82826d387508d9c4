"""Who the rows of a stored table are: ids, patients, folds and targets, read without any feature, and their faults.

Ids and patients are kept as hashes, 8 bytes each, and are read again where their names are needed: as Python's strings
they would take more memory than some tables do.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from runtime.errors import named

KEYS = ("image_name", "patient_id", "fold", "target")
IDS, NUMBERS = KEYS[:2], KEYS[2:]
FEWEST_FOLDS = 3
MOST_FOLDS = 127  # a case table's folds are int8
MISSING = 0  # in place of a hash
SHOWN = 5  # names in a sentence


def read_labels(path: Path) -> pd.DataFrame:
    """Return image_name, patient_id (uint64 hashes), fold and target (float32, NaN where missing) of a file's rows.

    Raises pyarrow.ArrowException where a fold or target is no number.
    """
    return pd.DataFrame({name: _hashes(_texts(path, name)) for name in IDS} | {n: _numbers(path, n) for n in NUMBERS})


def read_names(path: Path, key: str = IDS[0]) -> np.ndarray:
    """Return the ids (or patients) of a file's rows, as Python's strings."""
    return np.asarray(_texts(path, key).to_numpy(), dtype=object)


def label_faults(labels: pd.DataFrame, files: Sequence[Path]) -> Iterator[str]:
    """Yield what keeps rows (``read_labels`` of all ``files``, with the place of each's file as ``file``) from being
    cross-validated with patients kept together.
    """
    for key in IDS:
        nameless = int((labels[key] == MISSING).sum())
        if nameless:
            yield f"{key}: missing in {nameless} row(s)"
    ids = labels.loc[labels["image_name"] != MISSING, "image_name"]
    if not ids.is_unique:
        yield f"image_name: given more than once: {_named(ids[ids.duplicated()].drop_duplicates(), labels, files)}"
    train = labels[labels["target"].notna()]
    if train.empty:
        yield "target: no row has one; train rows have 0 or 1, test rows nothing"
        return
    for sentence, rows in _faults_of_values(train):
        yield f"{sentence}: {_named(rows['image_name'], labels, files)}"
    with_fold = train.dropna(subset="fold")
    torn = _torn(with_fold)
    if len(torn):
        yield f"patient_id: in several folds: {_named(torn, labels, files)}; a patient's rows belong in one"
    shared = _on_both_sides(labels)
    if len(shared):
        yield f"patient_id: in train and in test rows: {_named(shared, labels, files)}"
    yield from _faults_of_folds(with_fold)


def _texts(path: Path, key: str) -> pa.ChunkedArray:
    return pq.read_table(path, columns=[key])[key].cast(pa.string())


def _numbers(path: Path, key: str) -> np.ndarray:
    return np.asarray(pq.read_table(path, columns=[key])[key].cast(pa.float64()).to_numpy(), np.float32)


def _hashes(texts: pa.ChunkedArray) -> np.ndarray:
    """Return the hash of each text, a chunk at a time; no two of 10^8 are alike but by a chance of 1 in 4,000."""
    chunks = [_hashes_of(chunk) for chunk in texts.chunks]
    return np.concatenate(chunks) if chunks else np.zeros(0, np.uint64)


def _hashes_of(chunk: pa.StringArray) -> np.ndarray:
    hashed: np.ndarray = pd.util.hash_array(chunk.to_numpy(zero_copy_only=False), categorize=False)
    hashed[hashed == MISSING] = 1
    hashed[chunk.is_null().to_numpy(zero_copy_only=False)] = MISSING
    return hashed


def _named(hashes: pd.Series, labels: pd.DataFrame, files: Sequence[Path]) -> str:
    """Return how many ``hashes`` there are and the first names behind them; its name is that of their column."""
    key = str(hashes.name)
    rows = labels[labels[key].isin(hashes.iloc[:SHOWN])].drop_duplicates(key)
    starts = np.searchsorted(labels["file"].to_numpy(), np.arange(len(files)))
    names = [
        read_names(files[file], key)[row - starts[file]] for row, file in zip(rows.index, rows["file"], strict=True)
    ]
    return named([*names, *hashes.iloc[len(names) :]])


def _faults_of_values(train: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    other = train[~train["target"].isin([0, 1])]
    if len(other):
        yield "target: neither 0 nor 1", other
    fold = train["fold"]
    wrong = train[~fold.between(0, MOST_FOLDS) | (fold % 1 != 0)]
    if len(wrong):
        yield f"fold: missing of a train row, or no whole number from 0 to {MOST_FOLDS}", wrong


def _torn(train: pd.DataFrame) -> pd.Series:
    """Return the patients that are in several folds."""
    pairs = train.loc[train["patient_id"] != MISSING, ["patient_id", "fold"]].drop_duplicates()
    return pairs.loc[pairs["patient_id"].duplicated(), "patient_id"].drop_duplicates()


def _on_both_sides(labels: pd.DataFrame) -> pd.Series:
    """Return the patients that have train rows and test rows."""
    known = labels.loc[labels["patient_id"] != MISSING, "patient_id"].drop_duplicates()
    has_target = labels["target"].notna()
    return known[known.isin(labels.loc[has_target, "patient_id"]) & known.isin(labels.loc[~has_target, "patient_id"])]


def _faults_of_folds(train: pd.DataFrame) -> Iterator[str]:
    classes = train[train["target"].isin([0, 1])].groupby("fold")["target"].nunique()
    if len(classes) < FEWEST_FOLDS:
        yield f"fold: {len(classes)} fold(s); at least {FEWEST_FOLDS} are needed"
    one = classes.index[classes < 2]
    if len(one):
        yield f"fold: without a row of each class: {named(f'{fold:g}' for fold in one)}"
