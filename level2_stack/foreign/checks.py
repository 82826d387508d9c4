"""Checks of one brought pair of prediction files: a fault is named, a mendable fault is mended and said."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from features.folder.csv_file import ID_COLUMNS, id_column, read_csv
from runtime.errors import InputFault, list_names

SCORES = ("pred", "prediction", "probability")
TEST_SCORES = (*SCORES, "target")  # a submission file calls its score target; in oof.csv that may be the truth
MAY_MISS = 0.10  # share of the training cases: dropped duplicates are common, a lost fold (20 %) is not
ROUNDING = 1e-6  # float32 probabilities and six printed digits stray this far outside [0, 1]
MOST_FOLDS = 127  # int8
LEAK_AUC = 0.999  # no network reads melanoma this well; a column made from the target does
MEAN_TOLERANCE, MEAN_SHARE = 1e-3, 0.01


@dataclass
class Findings:
    """What was found in one network's files: ``notes`` to be said, ``faults`` that refuse it."""

    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_file(path: Path, findings: Findings) -> pd.DataFrame | None:
    """Return a CSV file with lower-case columns, indexed by image_name (str); None, with a fault, if it is unusable."""
    if not path.is_file():
        findings.faults.append(f"{path.name} is missing")
        return None
    try:
        frame = read_csv(path, *ID_COLUMNS, known=TEST_SCORES, notes=findings.notes)
    except InputFault as fault:
        findings.faults.append(str(fault).replace(str(path), path.name))
        return None
    return _with_ids(frame, path.name, findings)


def _with_ids(frame: pd.DataFrame, where: str, findings: Findings) -> pd.DataFrame | None:
    frame.columns = pd.Index([str(name).strip().lower() for name in frame.columns])
    frame = frame.rename(columns={id_column(frame.columns): ID_COLUMNS[0]})
    twice = frame.columns[frame.columns.duplicated()].unique()
    if len(twice) or "image_name" not in frame:
        problem = f"columns given twice: {', '.join(twice)}" if len(twice) else "no column image_name"
        findings.faults.append(f"{where}: {problem}; found {', '.join(frame.columns)}")
        return None
    nameless = frame["image_name"].isna()
    if nameless.any():
        findings.faults.append(f"{where}: rows without image_name: {int(nameless.sum())}")
    return frame[~nameless].astype({"image_name": str}).set_index("image_name")


def score_column(columns: list[str], role: str, where: str, findings: Findings) -> str | None:
    """Return the one column that holds the scores of ``role``; none or several of them are a fault."""
    accepted = SCORES if role == "train" else TEST_SCORES
    found = [name for name in accepted if name in columns]
    if len(found) == 1:
        return found[0]
    problem = f"several score columns ({', '.join(found)})" if found else "no score column"
    if not found and "target" in columns:
        problem += " ('target' may be the truth here: name the score 'pred')"
    findings.faults.append(
        f"{where}: {problem}; expected one of {', '.join(accepted)}; found image_name, {', '.join(columns)}"
    )
    return None


def numbered_columns(frame: pd.DataFrame, prefix: str) -> list[str]:
    """Return the columns of ``frame`` that are ``prefix`` and a number: tta0, tta1, ..."""
    return [name for name in frame.columns if re.fullmatch(rf"{prefix}\d+", name)]


def one_row_per_case(frame: pd.DataFrame, where: str, findings: Findings) -> pd.DataFrame:
    """Return ``frame`` (index image_name) with each id once; conflicting repeats are a fault, equal ones a note."""
    repeated = frame.index[frame.index.duplicated()].unique()
    if repeated.empty:
        return frame
    distinct = frame.reset_index().drop_duplicates().set_index("image_name")
    conflicting = distinct.index[distinct.index.duplicated()].unique()
    equal = repeated.difference(conflicting, sort=False)
    if len(conflicting):
        findings.faults.append(f"{where}: ids given more than once with different values: {list_names(conflicting)}")
    if len(equal):
        findings.notes.append(f"{where}: ids given more than once with equal values, one row kept: {list_names(equal)}")
    return distinct[~distinct.index.duplicated()]


def known_cases(frame: pd.DataFrame, role: str, roles: pd.Series, where: str, findings: Findings) -> pd.DataFrame:
    """Return the rows of ``frame`` whose case has ``role``, in the order of the case table.

    ``roles`` is the case table's role column. Ids of role extra are left out with a note; any other id is a fault.
    A case without a row becomes a row of NaN.
    """
    found = roles.reindex(frame.index)
    other = "test" if role == "train" else "train"
    strays = frame.index[found == other]
    if len(strays):
        findings.faults.append(f"{where}: ids of {other} cases, expected {role} cases only: {list_names(strays)}")
    unknown = frame.index[found.isna()]
    if len(unknown):
        findings.faults.append(f"{where}: ids that are not in the case table: {list_names(unknown)}")
    extra = frame.index[found == "extra"]
    if len(extra):
        findings.notes.append(f"{where}: rows of external cases (role extra) left out: {list_names(extra)}")
    wanted = roles.index[roles == role]
    _check_coverage(wanted.difference(frame.index, sort=False), len(wanted), role, where, findings)
    return frame.reindex(wanted)


def _check_coverage(missing: pd.Index, wanted: int, role: str, where: str, findings: Findings) -> None:
    if missing.empty:
        return
    text = f"{where}: {role} cases without a row: {list_names(missing)} of {wanted}"
    if role == "train" and len(missing) <= MAY_MISS * wanted:
        findings.notes.append(f"{text}; their probability is kept as unknown (NaN)")
        return
    allowed = f"at most {MAY_MISS:.0%} may be missing" if role == "train" else "none may be missing"
    findings.faults.append(f"{text}; {allowed}")


def finite_numbers(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return a brought ``column`` as float64; text, empty cells and infinite values are faults, each with its ids."""
    numbers, empty = pd.to_numeric(column, errors="coerce").astype(np.float64), column.isna()
    infinite = numbers.isin([np.inf, -np.inf])
    wrong = {"not a number": numbers.isna() & ~empty, "empty or NaN": empty, "infinite": infinite}
    for what, rows in wrong.items():
        if rows.any():
            findings.faults.append(f"{where}: {column.name!r} is {what} in rows: {list_names(column.index[rows])}")
    return numbers


def within_rounding(scores: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``scores`` clipped to [0, 1] when none lies further than 1e-6 outside, and note it; else as they are."""
    outside = (scores < 0) | (scores > 1)
    clipped = scores.clip(0, 1)
    if not outside.any() or (scores - clipped).abs().max() > ROUNDING:
        return scores
    findings.notes.append(
        f"{where}: {list_names(scores.index[outside])} outside [0, 1] by rounding only, set to the bound"
    )
    return clipped


def out_of_range(scores: pd.Series) -> str:
    """Return a phrase on the values of ``scores`` outside [0, 1] (how many, how far), empty when there is none."""
    outside = scores[(scores < 0) | (scores > 1)]
    if outside.empty:
        return ""
    return f"values outside [0, 1]: {list_names(outside.index)}, from {scores.min():.4g} to {scores.max():.4g}"


def note_mean(scores: pd.Series, parts: pd.DataFrame, where: str, findings: Findings) -> None:
    """Note when ``scores`` is not the mean of its ``parts`` (views or fold models): off by > 1e-3 in > 1 % of rows."""
    off = (parts.mean(axis=1) - scores).abs() > MEAN_TOLERANCE
    if off.mean() > MEAN_SHARE:
        columns = f"{parts.columns[0]}..{parts.columns[-1]}"
        findings.notes.append(
            f"{where}: the score is not the mean of {columns} in {off.sum()} of {len(off)} rows; used as it is"
        )


def check_stored_folds(stored: pd.Series, cases: pd.DataFrame, findings: Findings) -> None:
    """Refuse ``stored`` folds (one number per covered train case) that split a patient; note how they meet ours."""
    wrong = stored.index[~stored.isin(range(MOST_FOLDS + 1))]
    if len(wrong):
        findings.faults.append(
            f"oof.csv: stored folds must be whole numbers 0 to {MOST_FOLDS}: {list_names(wrong)} are not"
        )
        return
    patients = cases["patient_id"].reindex(stored.index)
    spread = stored.groupby(patients).nunique()
    split = spread.index[spread > 1]
    if len(split):
        findings.faults.append(f"oof.csv: patients with pictures in several stored folds (a leak): {list_names(split)}")
        return
    findings.notes.append(_fold_sentence(stored, cases["fold"].reindex(stored.index)))


def _fold_sentence(stored: pd.Series, ours: pd.Series) -> str:
    meetings = pd.DataFrame({"stored": stored, "ours": ours}).drop_duplicates()
    count = f"oof.csv: {stored.nunique()} stored folds, no patient in two of them"
    if meetings["stored"].is_unique and meetings["ours"].is_unique:
        return f"{count}; they are this run's folds"
    return (
        f"{count}; they differ from this run's folds: every row is out of fold all the same, but the network was "
        "trained on patients of our other folds, so the level-two folds are not nested in its own"
    )


def check_target_leak(scores: pd.Series, views: pd.DataFrame, target: pd.Series, findings: Findings) -> None:
    """Refuse out-of-fold ``scores`` with an AUC above 0.999 and ``views`` that equal the target; note the AUC."""
    area = _area(scores, target)
    findings.notes.append(f"oof.csv: out-of-fold AUC {area:.4f} over {scores.notna().sum()} cases")
    if area > LEAK_AUC:
        findings.faults.append(f"oof.csv: the out-of-fold column determines the target (AUC {area:.4f})")
    equal = views.columns[(views.eq(target, axis=0) | views.isna()).all() & views.notna().any()]
    if len(equal):
        findings.faults.append(f"oof.csv: view columns equal to the target: {list_names(equal)}")


def _area(values: pd.Series, target: pd.Series) -> float:
    known = np.isfinite(values) & target.notna()
    both_classes = target[known].nunique() == 2
    return float(roc_auc_score(target[known], values[known])) if both_classes else float("nan")
