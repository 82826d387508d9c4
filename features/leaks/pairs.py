"""Find the pairs of a run's pictures that show the same lesion: how each was found, and what it would leak."""

from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.tied_patients import official_pairs
from features.folder.data_folder import DataFolder
from features.leaks.lookalikes import find_lookalikes
from features.leaks.traces import read_or_make_traces
from features.pictures.contents import content_digest
from runtime.files import read_json, write_json
from runtime.run_folder import Run

COLUMNS = ["first", "second", "kind", "alike"]
IDENTICAL, NEAR, OFFICIAL = "byte-identical", "near-duplicate", "listed"


def find_pairs(cases: pd.DataFrame, data: DataFolder, cache: Path, jobs: int | None = None) -> pd.DataFrame:
    """Return the pairs of ``cases`` with the same lesion: first, second (names), kind, alike (1: the same pixels).

    The paths in the column picture of ``cases`` are relative to ``data``, which may also hold an official list of
    pairs; without that column no pictures are compared. The folder ``cache`` stores the pictures' traces. The kind of
    a pair is byte-identical, near-duplicate, or listed: only on the official list (alike NaN). Raises InputFault if a
    picture cannot be read.
    """
    pictures = cases["picture"].dropna() if "picture" in cases else pd.Series(dtype=object)
    paths = {str(name): data.path / str(picture) for name, picture in pictures.items()}
    lookalikes = (
        find_lookalikes(read_or_make_traces(cache, paths, jobs), jobs)
        if paths
        else pd.DataFrame(columns=["first", "second"])
    )
    lookalikes = lookalikes.assign(kind=[_kind(paths, *row) for row in lookalikes.itertuples(index=False)])
    official = official_pairs(data, cases.index).assign(kind=OFFICIAL, alike=np.nan)
    parts = [part for part in (lookalikes, official) if len(part)]
    both = pd.concat(parts, ignore_index=True) if parts else official
    name_sets = [frozenset(pair) for pair in zip(both["first"], both["second"], strict=True)]
    return both.loc[~pd.Series(name_sets, index=both.index).duplicated(), COLUMNS]


def write_pairs(path: Path, pairs: pd.DataFrame) -> None:
    """Write the pairs that ``find_pairs`` returned as JSON, atomically."""
    rows = pairs.to_dict("records")
    write_json(path, [{str(key): None if pd.isna(value) else value for key, value in row.items()} for row in rows])


def read_pairs(run: Run) -> pd.DataFrame:
    """Return the pairs that were stored when the cases of ``run`` were frozen: first, second, kind, alike."""
    pairs = pd.DataFrame(read_json(run.pairs), columns=COLUMNS)
    return pairs.astype({"first": object, "second": object, "kind": object, "alike": float})


def add_relations(pairs: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """Return ``pairs`` with columns relation and same_patient.

    Relations: "within train, one fold"; "across folds"; "train and test"; "external and validation" (a training case
    that is validated in its fold); "external and test"; "within test"; "within external".
    """
    sides = [cases.loc[pairs[column], ["role", "fold", "patient_id"]].reset_index(drop=True) for column in _ENDS]
    roles = [tuple(sorted(pair)) for pair in zip(sides[0]["role"], sides[1]["role"], strict=True)]
    one_fold = sides[0]["fold"].to_numpy() == sides[1]["fold"].to_numpy()
    relation = [_RELATIONS[pair][int(is_one_fold)] for pair, is_one_fold in zip(roles, one_fold, strict=True)]
    same_patient = sides[0]["patient_id"].to_numpy() == sides[1]["patient_id"].to_numpy()
    return pairs.assign(relation=relation, same_patient=same_patient)


_ENDS = ("first", "second")
_RELATIONS = {  # roles, sorted -> relation in different folds, in one fold
    ("train", "train"): ("across folds", "within train, one fold"),
    ("test", "train"): ("train and test", "train and test"),
    ("extra", "train"): ("external and validation", "external and validation"),
    ("extra", "test"): ("external and test", "external and test"),
    ("test", "test"): ("within test", "within test"),
    ("extra", "extra"): ("within external", "within external"),
}


def _kind(paths: dict[str, Path], first: str, second: str, alike: float) -> str:
    same = alike == 1.0 and content_digest(paths[first]) == content_digest(paths[second])
    return IDENTICAL if same else NEAR
