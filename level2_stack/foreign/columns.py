"""Find the ids and the scores in a foreign network's table by the names and values of its columns."""

import re
from collections.abc import Iterable

import numpy as np
import pandas as pd

from features.pictures.picture_ids import match_ids
from level2_stack.foreign.cells import plain_numbers
from level2_stack.foreign.checks import Findings, numbered_columns
from runtime.errors import list_names
from runtime.plural import number_of

IDS = (
    "image_name",
    "image_id",
    "image",
    "isic_id",
    "id",
    "filename",
    "file_name",
    "file",
    "image_path",
    "filepath",
    "path",
    "img_id",
    "img",
    "name",
)
DIAGNOSIS = "target"  # a submission file names its score target; in oof.csv that may be the diagnosis
SCORES = (
    DIAGNOSIS,
    "pred",
    "prediction",
    "predictions",
    "preds",
    "oof",
    "oof_pred",
    "oof_preds",
    "oof_prediction",
    "target_oof",
    "target_pred",
    "pred_target",
    "probability",
    "prob",
    "probs",
    "proba",
    "p",
    "score",
    "y_pred",
    "yhat",
    "logit",
    "logits",
)
MALIGNANT = ("melanoma", "mel", "malignant")  # the column of the positive class among those of several classes
PARTS = ("fold", "pred_fold", "oof_fold", "model", "pred", "tta")  # columns whose mean is the score if nothing else is


def with_ids(frame: pd.DataFrame, case_ids: pd.Index, where: str, findings: Findings) -> pd.DataFrame | None:
    """Return ``frame`` indexed by its ids; None, with a fault, if no column or more than one can hold them.

    ``case_ids`` says which ids exist: an id in the file may have a folder, a file ending, blanks or another case
    besides. A column under any name holds the ids if no usual one does and it has most of them.
    """
    name, ids = _id_column(frame, case_ids, where, findings)
    if ids is None:
        return None
    if ids.isna().any():
        findings.faults.append(f"{where}: rows without image_name: {int(ids.isna().sum())}")
    _note_changes(frame[name], ids, where, findings)
    others = [other for other in IDS if other in frame]
    frame = frame.drop(columns=list({name, *others})).assign(image_name=ids)[ids.notna()]
    return frame.astype({"image_name": str}).set_index("image_name")


def _id_column(frame: pd.DataFrame, case_ids: pd.Index, where: str, findings: Findings) -> tuple[str, pd.Series | None]:
    """Return the name of the column of ids, and the ids as the case table has them; None, with a fault, without."""
    columns = {name: _ids(frame[name], case_ids) for name in IDS if name in frame}
    with_cases = {name: ids for name, ids in columns.items() if ids.isin(case_ids).any()}
    if not with_cases:
        texts = [str(name) for name in frame if name not in columns and not pd.api.types.is_float_dtype(frame[name])]
        readings = {name: _ids(frame[name], case_ids) for name in texts}
        with_cases = {name: ids for name, ids in readings.items() if ids.isin(case_ids).mean() > 1 / 2}
        for name in list(with_cases)[:1]:
            findings.add_reading(f"{where}: column {name!r} holds the ids")
    if not with_cases and (rows := _row_numbers(frame)):
        step = "write each row's image_name into a column image_name"
        findings.faults.append(f"{where}: {rows} holds row numbers, not the ids of cases; {step}")
        return "", None
    columns = with_cases or columns
    if not columns:
        expected = f"expected one of {', '.join(IDS)}; found {', '.join(frame.columns)}"
        findings.faults.append(f"{where}: no column of ids; {expected}")
        return "", None
    name, ids = next(iter(columns.items()))
    others = [other for other, values in columns.items() if not values.equals(ids)]
    if others:
        problem = f"several columns hold ids, and not the same ones ({', '.join([name, *others])})"
        findings.faults.append(f"{where}: {problem}; keep one of them")
        return "", None
    return name, ids


def _row_numbers(frame: pd.DataFrame) -> str:
    """Return the column that has the numbers of the rows, from 0 or 1; "" without."""
    for name in frame:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        start = numbers.min()
        if len(frame) > 1 and start in (0, 1) and np.array_equal(np.sort(numbers), np.arange(len(frame)) + start):
            return "the first column, without a name," if str(name).startswith("unnamed") else f"column {name!r}"
    return ""


def _note_changes(column: pd.Series, ids: pd.Series, where: str, findings: Findings) -> None:
    """Add notes on the ids that are read as those of other spellings."""
    differs = ids.notna() & (ids != column)
    same_text = ids[differs].astype(str).str.casefold() == column[differs].astype(str).str.strip().str.casefold()
    kinds = {
        "a folder or a file ending": same_text.index[~same_text],
        "blanks or another case": same_text.index[same_text],
    }
    for kind, rows in kinds.items():
        if len(rows):
            first = f"{column[rows[0]]!r} is read as {ids[rows[0]]!r}"
            findings.add_reading(f"{where}: ids with {kind}: {len(rows)}; {first}")


def _ids(column: pd.Series, case_ids: pd.Index) -> pd.Series:
    """Return the ids in ``column`` as those of the cases that they can only mean; others stay as they are."""
    texts = column.astype(object)
    if pd.api.types.is_integer_dtype(column):  # of a Parquet table
        texts = texts.astype(str)
    return pd.Series(match_ids(pd.Index(texts), case_ids), index=column.index, dtype=object)


def score_column(frame: pd.DataFrame, role: str, cases: pd.DataFrame, where: str, findings: Findings) -> str | None:
    """Return the column of ``frame`` that holds the scores of ``role``; None, with a fault, if none or several can.

    In oof.csv, ``target`` is the score if it has other values than 0 and 1. If its values are those of the case table
    (column target of ``cases``), it is the diagnosis. Without a usual name it is the only column of probabilities, or,
    added to ``frame``, the mean of the columns of folds or views. What is guessed is said.
    """
    matches, problem = [name for name in SCORES if name in frame], ""
    if role == "train" and DIAGNOSIS in matches and _is_binary(frame[DIAGNOSIS]):
        differing = _differing_targets(frame[DIAGNOSIS], cases)
        if differing.empty or len(matches) == 1:
            matches.remove(DIAGNOSIS)
            problem = f": {DIAGNOSIS!r}, which is 0 or 1, is the diagnosis; name the score column 'pred'"
        else:
            problem = f"; {DIAGNOSIS!r} is 0 or 1, but not the case table's target in rows {list_names(differing)}"
    before = len(findings.faults)
    if not matches:
        matches = _unusual_score(frame, role, cases, where, findings)
    if len(matches) == 1:
        return matches[0]
    if len(findings.faults) > before:
        return None
    several = f"several columns could be the score: {', '.join(matches)}; keep one of them"
    columns = f"expected one of {', '.join(SCORES)}; found image_name, {', '.join(frame.columns)}"
    findings.faults.append(f"{where}: {several if matches else 'no score column'}{problem}; {columns}")
    return None


def _unusual_score(frame: pd.DataFrame, role: str, cases: pd.DataFrame, where: str, findings: Findings) -> list[str]:
    """Return the columns that could be the score although none has a usual name."""
    of_class = [name for name in MALIGNANT if name in frame and not _is_diagnosis(frame[name], role, cases)]
    probabilities = [str(name) for name in frame if _is_probability(frame[name])]
    if len(of_class) == 1:
        others = [name for name in probabilities if name not in of_class and not re.search(r"\d", name)]
        rest = f"; those of other classes are left out: {', '.join(others)}" if others else ""
        findings.add_reading(f"{where}: column {of_class[0]!r} is read as the score{rest}")
        return of_class
    for parts in (numbered_columns(frame, part) for part in PARTS):
        if len(parts) > 1 and not of_class:
            return _mean_of_parts(frame, parts, role, where, findings)
    if len(probabilities) == 1 and not of_class:
        findings.add_reading(
            f"{where}: column {probabilities[0]!r} is read as the score, the only one of probabilities"
        )
    return of_class or probabilities


def _mean_of_parts(frame: pd.DataFrame, parts: list[str], role: str, where: str, findings: Findings) -> list[str]:
    """Add the mean of the columns ``parts`` as pred and return its name; [] for predictions of training cases."""
    numbers = pd.DataFrame({name: plain_numbers(frame[name], where, findings) for name in parts})
    numbers = numbers.apply(pd.to_numeric, errors="coerce")
    words = f"{parts[0]} ... {parts[-1]}"
    is_by_view = parts[0].startswith("tta")
    if role == "train" and not is_by_view and (numbers.notna().sum(axis=1) > 1).any():
        findings.faults.append(
            f"{where}: {words}: several models predict the same training case, so all except one were trained on it; "
            "keep the prediction of the model that was not, as column pred"
        )
        return []
    frame["pred"] = numbers.mean(axis=1)
    what = f"the mean of the {number_of(len(parts), 'column')} {words}"
    findings.add_reading(f"{where}: the score is {what}")
    return ["pred"]


def _is_probability(column: pd.Series) -> bool:
    """Return whether ``column`` has numbers from 0 to 1, and others than these two."""
    numbers = pd.to_numeric(column, errors="coerce")
    return bool(numbers.notna().all() and numbers.between(0, 1).all() and not numbers.isin([0, 1]).all())


def _is_binary(column: pd.Series) -> bool:
    return bool(pd.to_numeric(column.dropna(), errors="coerce").isin([0, 1]).all())


def _is_diagnosis(column: pd.Series, role: str, cases: pd.DataFrame) -> bool:
    """Return whether ``column`` has the targets of the training cases."""
    return role == "train" and _is_binary(column) and _differing_targets(column, cases).empty


def _differing_targets(column: pd.Series, cases: pd.DataFrame) -> pd.Index:
    """Return the ids of train cases whose value in ``column`` is not their target."""
    values = pd.to_numeric(column, errors="coerce")
    targets = cases["target"].where(cases["role"] == "train").reindex(values.index)
    return values.index[targets.notna() & (values != targets)]


def part_columns(columns: Iterable[str], score: str) -> list[str]:
    """Return the columns to keep: the score, the fold, and those of folds and views."""
    return [name for name in columns if name == score or re.fullmatch(r"fold|(fold|tta)_?\d+", name)]
