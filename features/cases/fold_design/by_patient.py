"""Assign every patient to one fold: stratified by target and pictures per patient, or by an official grouping."""

import numpy as np
import pandas as pd

from runtime.errors import InputFault, list_names

LARGEST_SHARE = 0.5  # of the pictures, from which a patient is named as the reason for too few patients


def assign_folds(patients: pd.Series, target: pd.Series, *, count: int, seed: int) -> pd.Series:
    """Return the fold (int8, 0..count-1) of every case, so that no patient spans two folds.

    ``patients`` and ``target`` (0/1) share an index of n cases. Patients are assigned greedily, those with most
    malignant and then most pictures first. Each goes to the fold that is furthest below its equal share of malignant
    pictures, pictures, patients, and patients with about as many pictures; ``seed`` breaks ties.
    Raises InputFault if fewer than ``count`` patients have a malignant (or a benign) picture.
    """
    check_patient_counts(patients, target, count)
    return assign_groups(patients, target, count=count, seed=seed)


def assign_groups(groups: pd.Series, target: pd.Series, *, count: int, seed: int) -> pd.Series:
    """Return the fold of every case as ``assign_folds`` does, for any groups; a fold may lack a class."""
    table = _patient_table(groups, target)
    shares = _shares(table)
    order = _assignment_order(table, seed)
    fold_of = pd.Series(_assign_greedily(shares[order], count), index=table.index[order])
    return groups.map(fold_of).astype("int8").rename("fold")


def official_folds(groups: pd.Series, patients: pd.Series, target: pd.Series, *, count: int, seed: int) -> pd.Series:
    """Return the fold of every case: its official group modulo ``count`` (SIIM-ISIC has 15 groups of patients).

    ``groups`` holds non-negative integers. A picture with a negative or missing group (a dropped duplicate) gets the
    fold of its patient's other pictures; patients without any group are assigned in turn, in an order drawn with
    ``seed``. Raises InputFault if a patient spans two groups or a fold lacks a class.
    """
    has_group = groups.notna() & (groups >= 0)
    per_patient = groups[has_group].groupby(patients[has_group]).agg(["min", "max"])
    split_patients = per_patient.index[per_patient["min"] != per_patient["max"]]
    if len(split_patients):
        raise InputFault(f"official folds: every patient must be in one group; in two are {list_names(split_patients)}")
    fold = patients.map(per_patient["min"] % count)
    rest = fold.isna()
    if rest.any():
        fold[rest] = _assign_in_turn(patients[rest], seed, count)
    _check_classes(fold, target, count)
    return fold.astype("int8").rename("fold")


def _assign_in_turn(patients: pd.Series, seed: int, count: int) -> pd.Series:
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    return patients.map(pd.Series(np.arange(len(names)) % count, index=names))


def _check_classes(fold: pd.Series, target: pd.Series, count: int) -> None:
    classes = target.groupby(fold).nunique().reindex(range(count), fill_value=0)
    if (classes < 2).any():
        incomplete = classes.index[classes < 2]
        raise InputFault(
            f"official folds: every fold needs both classes; {list_names(incomplete)} lack one; use fewer folds"
        )


def _patient_table(patients: pd.Series, target: pd.Series) -> pd.DataFrame:
    targets = target.groupby(patients, sort=True)
    return pd.DataFrame({"malignant": targets.sum(), "pictures": targets.size()})


def check_patient_counts(patients: pd.Series, target: pd.Series, count: int, reason: str = "") -> None:
    """Raise InputFault if fewer than ``count`` of the ``patients`` have a malignant (or a benign) picture.

    ``reason`` says, after the number, why patients are counted as one.
    """
    table = _patient_table(patients, target)
    for word, is_class in (
        ("malignant", table["malignant"] > 0),
        ("benign", table["pictures"] > table["malignant"]),
    ):
        if is_class.sum() < count:
            rule = f"{count} folds need {count} patients with a {word} picture"
            raise InputFault(f"{rule}; found {is_class.sum()}{reason}; {_remedy(table, int(is_class.sum()), reason)}")


def _remedy(table: pd.DataFrame, count: int, reason: str) -> str:
    """Return what to do where only ``count`` patients have a class; ``table`` is that of ``_patient_table``."""
    if count == 0:
        return "check what counts as malignant"
    largest, share = table["pictures"].idxmax(), table["pictures"].max() / table["pictures"].sum()
    if reason or share < LARGEST_SHARE:
        return "use fewer folds"
    remedy = "if it is not a person, correct patient_id; else use fewer folds"
    return f"{str(largest)!r} holds {share:.0%} of the pictures: {remedy}"


def _shares(table: pd.DataFrame) -> np.ndarray:
    """Return each patient's share of the totals: columns malignant, pictures, patients, then one per size class."""
    # Size classes (1, 2-3, 4-7, 8-15, ...) spread patients with many pictures evenly over the folds.
    size_class = np.log2(table["pictures"].to_numpy()).astype(int)
    classes = (size_class[:, None] == np.unique(size_class)).astype(float)
    columns = np.column_stack([table["malignant"], table["pictures"], np.ones(len(table)), classes]).astype(float)
    return np.asarray(columns / np.maximum(columns.sum(axis=0), 1.0))


def _assignment_order(table: pd.DataFrame, seed: int) -> np.ndarray:
    lottery = np.random.default_rng(seed).random(len(table))
    return np.lexsort((lottery, -table["pictures"], -table["malignant"]))


def _assign_greedily(shares: np.ndarray, count: int) -> np.ndarray:
    totals = np.zeros((count, shares.shape[1]))
    folds = np.empty(len(shares), dtype=np.int8)
    for row, share in enumerate(shares):
        # The sum of squares of the totals grows least in the fold that lacks most of what the patient adds.
        folds[row] = np.argmin((2 * totals * share).sum(axis=1))
        totals[folds[row]] += share
    return folds
