"""Which patients must share a fold because pictures of theirs show the same, and the official list of such pairs."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.folder.data_folder import PAIR_COLUMNS, PAIRS, DataFolder
from runtime.errors import InputFault, list_names


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


def official_pairs(data: DataFolder, names: pd.Index) -> pd.DataFrame:
    """Return the pairs (columns first, second) of ``names`` on the list duplicates.csv in ``data``; empty without it.

    Its columns are image_name_1 and image_name_2, or the contest's ISIC_id and ISIC_id_paired; another list is an
    InputFault. Pairs of which one is not among ``names``, and rows that pair a name with itself, are left out.
    """
    table = data.pairs()
    if table is None:
        return pd.DataFrame({"first": [], "second": []}, dtype=object)
    known = next((columns for columns in PAIR_COLUMNS if set(columns) <= set(table.columns)), None)
    if known is None:
        wanted = " or ".join(map(" and ".join, PAIR_COLUMNS))
        raise InputFault(f"{data.path / PAIRS}: columns {list_names(table.columns)}; a list of pairs has {wanted}")
    pairs = table[list(known)].astype(str).set_axis(["first", "second"], axis=1)
    ours = pairs["first"].isin(names) & pairs["second"].isin(names) & (pairs["first"] != pairs["second"])
    return pairs[ours].drop_duplicates().reset_index(drop=True)
