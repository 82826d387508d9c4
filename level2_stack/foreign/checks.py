"""Checks of a foreign network's prediction files: faults refuse the network, what can be repaired becomes a note."""

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from features.cases.names import likely_names
from features.leaks.cells import STANDARD_ERRORS
from level2_stack.foreign.messages import WARNING
from runtime.errors import list_names

MAY_MISS = 0.10  # share of the train cases: authors often drop duplicates; a missing fold (20 %) is a fault
ROUNDING = 1e-6  # float32 and printing with six digits can put a probability this far outside [0, 1]
MOST_FOLDS = 127  # int8
LEAK_AUC = 0.999  # no network diagnoses melanoma this well; a column computed from the target does
MEAN_TOLERANCE, MEAN_SHARE = 1e-3, 0.01  # largest difference, and the share of rows that may exceed it
LEAST_CLASS = 10  # cases of each class from which an AUC can be called no better than chance


@dataclass
class Findings:
    """The results of checking one network's files: ``notes`` for the user, and ``faults``, which refuse the network.

    ``readings`` are the notes on what was guessed, which are printed, while the others are details.
    """

    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    readings: list[str] = field(default_factory=list)

    def add_reading(self, sentence: str) -> None:
        """Add a note on what was guessed."""
        self.notes.append(sentence)
        self.readings.append(sentence)


def numbered_columns(frame: pd.DataFrame, prefix: str) -> list[str]:
    """Return the columns of ``frame`` that are named ``prefix`` and a number: tta0, tta1, ... or tta_0, tta_1, ..."""
    return [name for name in frame.columns if re.fullmatch(rf"{prefix}_?\d+", name)]


def one_row_per_case(frame: pd.DataFrame, where: str, findings: Findings) -> pd.DataFrame:
    """Return ``frame`` (index image_name) with each id once; repeats are a note, or a fault if values differ."""
    repeats = frame.index[frame.index.duplicated()].unique()
    if repeats.empty:
        return frame
    distinct = frame.reset_index().drop_duplicates().set_index("image_name")
    conflicting = distinct.index[distinct.index.duplicated()].unique()
    equal = repeats.difference(conflicting, sort=False)
    if len(conflicting):
        findings.faults.append(f"{where}: repeated ids with different values: {list_names(conflicting)}")
    if len(equal):
        findings.notes.append(f"{where}: repeated ids with equal values; one row each is used: {list_names(equal)}")
    return distinct[~distinct.index.duplicated()]


def rows_of_role(frame: pd.DataFrame, role: str, cases: pd.DataFrame, where: str, findings: Findings) -> pd.DataFrame:
    """Return the rows of ``frame`` whose case has ``role``, in the order of the case table ``cases``.

    Ids with role extra are left out with a note; ids of the other role and
    unknown ids are faults. A case without a row gets a row of NaN.
    """
    roles = cases["role"]
    file_roles = roles.reindex(frame.index)
    other = "test" if role == "train" else "train"
    of_other = frame.index[file_roles == other]
    if len(of_other):
        findings.faults.append(f"{where}: ids of {other} cases, expected only {role} cases: {list_names(of_other)}")
    names = roles.index[roles == role]
    missing = names.difference(frame.index, sort=False)
    _check_unknown(frame.index[file_roles.isna()], missing, where, findings)
    extra = frame.index[file_roles == "extra"]
    if len(extra):
        findings.notes.append(f"{where}: rows of external cases (role extra), left out: {list_names(extra)}")
    _check_coverage(missing, cases.loc[names], role, where, findings)
    return frame.reindex(names)


def _check_unknown(unknown: pd.Index, missing: pd.Index, where: str, findings: Findings) -> None:
    """Leave out ids that are not in the case table, with a note, unless they may be those of ``missing`` cases."""
    if unknown.empty:
        return
    hint = likely_names(missing, unknown)
    if hint or len(missing) >= len(unknown):
        findings.faults.append(f"{where}: ids that are not in the case table: {list_names(unknown)}{hint}")
        return
    findings.add_reading(
        f"{where}: rows that belong to no case of this run, such as external cases, left out: {list_names(unknown)}"
    )


def _check_coverage(missing: pd.Index, cases: pd.DataFrame, role: str, where: str, findings: Findings) -> None:
    if missing.empty:
        return
    text = f"{where}: {role} cases without a row: {list_names(missing)} of {len(cases)}"
    if role == "train" and len(missing) <= MAY_MISS * len(cases):
        findings.notes.append(f"{text}; their probability stays missing (NaN)")
        return
    rule = f"at most {MAY_MISS:.0%} may be missing" if role == "train" else "every test case must have one"
    findings.faults.append(f"{text}; {rule}{_folds_in_words(missing, cases) if role == 'train' else ''}")


def _folds_in_words(missing: pd.Index, cases: pd.DataFrame) -> str:
    """Return which folds of the run consist of ``missing`` train cases only; "" without one."""
    has_row = ~cases.index.isin(missing)
    folds = sorted(set(cases["fold"]) - set(cases.loc[has_row, "fold"]))
    return f"; it has no row of fold {' and '.join(map(str, folds))} of this run" if folds else ""


def finite_numbers(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``column`` as float64; text, empty cells and infinite values are faults that list their ids."""
    numbers, empty = pd.to_numeric(column, errors="coerce").astype(np.float64), column.isna()
    infinite = numbers.isin([np.inf, -np.inf])
    wrong = {"not a number": numbers.isna() & ~empty, "empty or NaN": empty, "infinite": infinite}
    for problem, rows in wrong.items():
        if rows.any():
            findings.faults.append(f"{where}: {column.name!r} is {problem} in rows: {list_names(column.index[rows])}")
    return numbers


def within_rounding(scores: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``scores`` clipped to [0, 1], with a note, if all are within 1e-6 of this range; else unchanged."""
    outside = (scores < 0) | (scores > 1)
    in_range = scores.clip(0, 1)
    if not outside.any() or (scores - in_range).abs().max() > ROUNDING:
        return scores
    findings.notes.append(
        f"{where}: {list_names(scores.index[outside])} outside [0, 1] by rounding only, set to the bound"
    )
    return in_range


def out_of_range(scores: pd.Series) -> str:
    """Return a phrase on the values of ``scores`` outside [0, 1] (how many, how far); empty if all are inside."""
    outside = scores[(scores < 0) | (scores > 1)]
    if outside.empty:
        return ""
    return f"values outside [0, 1]: {list_names(outside.index)}, from {scores.min():.4g} to {scores.max():.4g}"


def note_mean(scores: pd.Series, parts: pd.DataFrame, where: str, findings: Findings) -> None:
    """Add a note if ``scores`` differ from the mean of ``parts`` (views or fold models) by > 1e-3 in > 1 % of rows."""
    off = (parts.mean(axis=1) - scores).abs() > MEAN_TOLERANCE
    if off.mean() > MEAN_SHARE:
        columns = f"{parts.columns[0]}..{parts.columns[-1]}"
        findings.notes.append(
            f"{where}: the score is not the mean of {columns} in {off.sum()} of {len(off)} rows; the score is used"
        )


def check_folds(folds: pd.Series, cases: pd.DataFrame, where: str, findings: Findings) -> None:
    """Check the column fold of an out-of-fold table, a number per case: a patient in two folds is a fault.

    A note compares the folds with those of the run.
    """
    wrong = folds.index[~folds.isin(range(MOST_FOLDS + 1))]
    if len(wrong):
        findings.faults.append(
            f"{where}: column fold must hold whole numbers from 0 to {MOST_FOLDS}, not so in rows: {list_names(wrong)}"
        )
        return
    patients = cases["patient_id"].reindex(folds.index)
    folds_per_patient = folds.groupby(patients).nunique()
    split = folds_per_patient.index[folds_per_patient > 1]
    if len(split):
        findings.faults.append(f"{where}: patients with pictures in several folds (a leak): {list_names(split)}")
        return
    findings.notes.append(f"{where}: {_fold_sentence(folds, cases['fold'].reindex(folds.index))}")


def _fold_sentence(folds: pd.Series, run_folds: pd.Series) -> str:
    pairs = pd.DataFrame({"file": folds, "run": run_folds}).drop_duplicates()
    count = f"{folds.nunique()} folds, no patient in two of them"
    if pairs["file"].is_unique and pairs["run"].is_unique:
        return f"{count}; they are this run's folds"
    return (
        f"{count}; they differ from this run's folds: every row is still out of fold, but the network was trained on "
        "patients of this run's other folds, so the level-two folds are not nested in its own"
    )


def check_target_leak(scores: pd.Series, target: pd.Series, where: str, findings: Findings) -> None:
    """Add a fault for out-of-fold ``scores`` with an AUC above 0.999.

    The AUC is added as a note; one that is not above chance is a warning.
    """
    area = area_under_curve(scores, target)
    findings.notes.append(f"{where}: out-of-fold AUC {area:.4f} over {scores.notna().sum()} cases")
    if area > LEAK_AUC:
        findings.faults.append(
            f"{where}: the score reveals the target (AUC {area:.4f}); out-of-fold predictions are expected"
        )
    else:
        _check_chance(area, target[scores.notna()], where, findings)


def area_under_curve(values: pd.Series, target: pd.Series) -> float:
    """Return the AUC over the rows that have both, NaN if these are of one class."""
    rows = np.isfinite(values) & target.notna()
    both_classes = target[rows].nunique() == 2
    return float(roc_auc_score(target[rows], values[rows])) if both_classes else float("nan")


def _check_chance(area: float, target: pd.Series, where: str, findings: Findings) -> None:
    """Add a fault for an AUC below 0.5 beyond chance, and a warning for one that is not above 0.5 beyond chance.

    The standard error is that of Hanley & McNeil 1982 at an AUC of 0.5; with few cases of a class nothing is said.
    """
    positive, negative = int((target == 1).sum()), int((target == 0).sum())
    if min(positive, negative) < LEAST_CLASS:
        return
    error = np.sqrt((positive + negative + 1) / (12 * positive * negative))
    if area < 0.5 - STANDARD_ERRORS * error:
        findings.faults.append(
            f"{where}: high scores for benign cases (AUC {area:.2f}), as of the class benign; write the probability of "
            "melanoma, 1 - score"
        )
    elif area < 0.5 + STANDARD_ERRORS * error:
        cause = "its rows are in another order, or the network has learned nothing"
        findings.notes.append(f"{WARNING}{where}: AUC {area:.2f}, not better than chance: {cause}")
