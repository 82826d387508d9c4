"""Find tied patients: those who must share a fold because they have pictures of the same lesion."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from features.folder.data_folder import PAIR_COLUMNS, DataFolder
from features.pictures.picture_ids import match_ids
from runtime.errors import InputFault, list_names


def group_tied_patients(patients: pd.Series, pairs: pd.DataFrame) -> pd.Series:
    """Return ``patients`` (index image_name) with one name per group of tied patients, for ``assign_folds``.

    Two patients are tied if ``pairs`` (columns first, second: names of pictures) connect a picture of one to a picture
    of the other, also through pictures that are not in ``patients``, such as test or external ones. The name of a group
    is its first in alphabetical order; patients who are not tied keep their names.
    """
    owner = pd.Series("patient " + patients.astype(str), index=patients.index)
    ends = [pairs[column].map(owner).fillna("picture " + pairs[column].astype(str)) for column in ("first", "second")]
    group_of = _components(owner, *ends)
    return pd.Series(patients.groupby(owner.map(group_of).to_numpy()).transform("min"), index=patients.index)


def connected_groups(values: pd.Series, patients: pd.Series) -> pd.Series:
    """Return value -> the first value of its group; values are in one group if patients connect them.

    Row for row, ``values`` and ``patients`` are a value and a patient who has it.
    """
    group_of = _components("value " + values.astype(str), "patient " + patients.astype(str))
    own = pd.Series(values.unique())
    groups = ("value " + own.astype(str)).map(group_of)
    return pd.Series(own.groupby(groups).transform("min").to_numpy(), index=pd.Index(own))


def _components(*ends: pd.Series) -> pd.Series:
    """Return name -> number of its connected component; the last two of ``ends`` are the edges, others more names."""
    names = pd.Index(pd.unique(pd.concat(ends)))
    rows, columns = (names.get_indexer(pd.Index(end)) for end in ends[-2:])
    edges = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(names), len(names)))
    _, group = connected_components(edges, directed=False)
    return pd.Series(group, index=names)


def tied_case_groups(cases: pd.DataFrame, pairs: pd.DataFrame) -> list[list[str]]:
    """Return the groups of training cases, each sorted, whose patients differ but must share a fold."""
    rows = cases[cases["role"] == "train"]
    common = group_tied_patients(rows["patient_id"], pairs)
    several = rows["patient_id"].groupby(common).nunique()
    return [sorted(map(str, common.index[common == name])) for name in several.index[several > 1]]


def official_pairs(data: DataFolder, names: pd.Index) -> pd.DataFrame:
    """Return the pairs (columns first, second) in duplicates.csv of ``data`` whose pictures are both in ``names``.

    The file's columns are image_name_1 and image_name_2, or the contest's ISIC_id and ISIC_id_paired; others raise
    InputFault. Rows that pair a name with itself are left out. Without the file the result is empty.
    """
    table = data.pairs()
    if table is None:
        return pd.DataFrame({"first": [], "second": []}, dtype=object)
    pair_columns = next((columns for columns in PAIR_COLUMNS if set(columns) <= set(table.columns)), None)
    if pair_columns is None:
        rule = " or ".join(map(" and ".join, PAIR_COLUMNS))
        where = data.path / data.layout.pairs
        raise InputFault(f"{where}: the columns must be {rule}; found {list_names(table.columns)}")
    pairs = table[list(pair_columns)].astype(str).set_axis(["first", "second"], axis=1)
    pairs = pairs.apply(lambda ids: match_ids(pd.Index(ids), names).to_series(index=ids.index))
    ours = pairs["first"].isin(names) & pairs["second"].isin(names) & (pairs["first"] != pairs["second"])
    return pairs[ours].drop_duplicates().reset_index(drop=True)
