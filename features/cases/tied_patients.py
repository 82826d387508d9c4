"""Which patients must share a fold because pictures of theirs show the same, and the official list of such pairs."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.folder.csv_file import read_csv
from runtime.errors import InputFault, named

OFFICIAL = "duplicates.csv"
NAMED = (("image_name_1", "image_name_2"), ("ISIC_id", "ISIC_id_paired"))  # ours; the contest's


def tied_patients(patients: pd.Series, pairs: pd.DataFrame) -> pd.Series:
    """Return ``patients`` (index image_name) with one common name for all who are tied; give it to ``assign_folds``.

    Two patients are tied when ``pairs`` (columns first, second: names) lead from a picture of one to a picture of the
    other, be it over pictures that have no patient here, such as test or external ones. The common name is the
    first one's in alphabetical order; who is tied to nobody keeps theirs.
    """
    owner = pd.Series("patient " + patients.astype(str), index=patients.index)
    ends = [pairs[column].map(owner).fillna("picture " + pairs[column].astype(str)) for column in ("first", "second")]
    names = pd.Index(pd.unique(pd.concat([owner, *ends])))
    rows, columns = (names.get_indexer(pd.Index(end)) for end in ends)
    edges = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(names), len(names)))
    _, group = connected_components(edges, directed=False)
    group_of = pd.Series(group, index=names)
    return pd.Series(patients.groupby(owner.map(group_of).to_numpy()).transform("min"), index=patients.index)


def tie_groups(cases: pd.DataFrame, pairs: pd.DataFrame) -> list[list[str]]:
    """Return the groups of training cases, each sorted, whose different patients must share a fold."""
    rows = cases[cases["role"] == "train"]
    common = tied_patients(rows["patient_id"], pairs)
    several = rows["patient_id"].groupby(common).nunique()
    return [sorted(map(str, common.index[common == name])) for name in several.index[several > 1]]


def official_pairs(folder: Path, names: pd.Index) -> pd.DataFrame:
    """Return the pairs (columns first, second) of ``names`` on the list duplicates.csv in ``folder``; empty without it.

    Its columns are image_name_1 and image_name_2, or the contest's ISIC_id and ISIC_id_paired; another list is an
    InputFault. Pairs of which one is not among ``names``, and rows that pair a name with itself, are left out.
    """
    path = folder / OFFICIAL
    if not path.is_file():
        return pd.DataFrame({"first": [], "second": []}, dtype=object)
    table = read_csv(path, *(name for columns in NAMED for name in columns))
    known = next((columns for columns in NAMED if set(columns) <= set(table.columns)), None)
    if known is None:
        raise InputFault(
            f"{path}: columns {named(table.columns)}; a list of pairs has {' or '.join(map(' and '.join, NAMED))}"
        )
    pairs = table[list(known)].astype(str).set_axis(["first", "second"], axis=1)
    ours = pairs["first"].isin(names) & pairs["second"].isin(names) & (pairs["first"] != pairs["second"])
    return pairs[ours].drop_duplicates().reset_index(drop=True)
