"""Every patient to one fold: stratified on target, balanced on pictures per patient, or by an official grouping."""

import numpy as np
import pandas as pd

from runtime.errors import InputFault, list_names


def assign_folds(patients: pd.Series, target: pd.Series, *, count: int, seed: int) -> pd.Series:
    """Return the fold (int8, 0..count-1) of every case so that no patient spans two folds.

    ``patients`` and ``target`` (0/1) share an index of n cases. Patients are dealt greedily, those with most
    malignant and then most pictures first, each to the fold that is furthest behind its equal share of malignant
    pictures, pictures, patients, and patients of the same picture count; ties are broken by ``seed``.
    Raises InputFault when fewer than ``count`` patients have a malignant (or a benign) picture.
    """
    table = _patient_table(patients, target)
    _check_enough(table, count)
    shares = _shares(table)
    order = _dealing_order(table, seed)
    fold_of = pd.Series(_deal(shares[order], count), index=table.index[order])
    return patients.map(fold_of).astype("int8").rename("fold")


def official_folds(groups: pd.Series, patients: pd.Series, target: pd.Series, *, count: int, seed: int) -> pd.Series:
    """Return the fold of every case as official group modulo ``count`` (SIIM-ISIC: 15 patient-isolated groups).

    ``groups`` holds non-negative integers; a negative or missing one (a dropped duplicate) takes the fold of its
    patient's other pictures, and a patient without any group is dealt as in assign_folds. Raises InputFault when a
    patient spans two groups.
    """
    known = groups.notna() & (groups >= 0)
    per_patient = groups[known].groupby(patients[known]).agg(["min", "max"])
    torn = per_patient.index[per_patient["min"] != per_patient["max"]]
    if len(torn):
        raise InputFault(f"official grouping: patients in two groups: {list_names(torn)}")
    fold = patients.map(per_patient["min"] % count)
    rest = fold.isna()
    if rest.any():
        fold[rest] = _deal_rest(patients[rest], seed, count)
    _check_classes(fold, target, count)
    return fold.astype("int8").rename("fold")


def _deal_rest(patients: pd.Series, seed: int, count: int) -> pd.Series:
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    return patients.map(pd.Series(np.arange(len(names)) % count, index=names))


def _check_classes(fold: pd.Series, target: pd.Series, count: int) -> None:
    classes = target.groupby(fold).nunique().reindex(range(count), fill_value=0)
    if (classes < 2).any():
        poor = classes.index[classes < 2]
        raise InputFault(f"official grouping: folds without both classes: {list_names(poor)}; ask for fewer folds")


def _patient_table(patients: pd.Series, target: pd.Series) -> pd.DataFrame:
    grouped = target.groupby(patients, sort=True)
    return pd.DataFrame({"malignant": grouped.sum(), "pictures": grouped.size()})


def _check_enough(table: pd.DataFrame, count: int) -> None:
    for word, has in (
        ("malignant", table["malignant"] > 0),
        ("benign", table["pictures"] > table["malignant"]),
    ):
        if has.sum() < count:
            raise InputFault(f"{count} folds need {count} patients with a {word} picture; there are {has.sum()}")


def _shares(table: pd.DataFrame) -> np.ndarray:
    """Return what share of each total every patient is: (patients, malignant + pictures + patients + size classes)."""
    # Size classes (1, 2-3, 4-7, 8-15, ...) spread patients with many pictures evenly over the folds.
    size_class = np.log2(table["pictures"].to_numpy()).astype(int)
    classes = (size_class[:, None] == np.unique(size_class)).astype(float)
    columns = np.column_stack([table["malignant"], table["pictures"], np.ones(len(table)), classes]).astype(float)
    return np.asarray(columns / np.maximum(columns.sum(axis=0), 1.0))


def _dealing_order(table: pd.DataFrame, seed: int) -> np.ndarray:
    lottery = np.random.default_rng(seed).random(len(table))
    return np.lexsort((lottery, -table["pictures"], -table["malignant"]))


def _deal(shares: np.ndarray, count: int) -> np.ndarray:
    filled = np.zeros((count, shares.shape[1]))
    folds = np.empty(len(shares), dtype=np.int8)
    for row, share in enumerate(shares):
        # Growth of the sum of squares when the patient joins each fold: least where what it brings is most lacking.
        folds[row] = np.argmin((2 * filled * share).sum(axis=1))
        filled[folds[row]] += share
    return folds
