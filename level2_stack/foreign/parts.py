"""Read the file of one role of a network, or its files per fold, as one row per case."""

from pathlib import Path

import pandas as pd

from level2_stack.foreign import checks
from level2_stack.foreign.arrays import read_array
from level2_stack.foreign.cells import fold_numbers, plain_numbers
from level2_stack.foreign.checks import Findings, numbered_columns
from level2_stack.foreign.columns import IDS, SCORES, part_columns, score_column, with_ids
from level2_stack.foreign.file_names import FOLD
from level2_stack.foreign.network_files import NetworkFiles
from level2_stack.foreign.tables import is_array, read_columns
from level2_stack.foreign.witnesses.candidate import Candidate


def read_part(network: Candidate, files: NetworkFiles, role: str, cases: pd.DataFrame) -> None:
    """Read the files of ``role`` into ``network.parts[role]``, one row per case; add faults to the findings.

    Of files per fold, out-of-fold rows are put one below the other, and test scores averaged.
    """
    findings, paths = network.findings, files.files.get(role, ())
    if not paths:
        findings.faults.append(files.absent[role])
        return
    before = len(findings.faults)
    frames = [_read_file(path, role, cases, findings) for path in paths]
    network.files[role] = paths[0].name if len(paths) == 1 else f"{paths[0].name} ... {paths[-1].name}"
    complete = [frame for frame in frames if frame is not None]
    if len(complete) < len(frames):
        return
    where = network.where(role)
    frame = complete[0] if len(paths) == 1 else _join(complete, paths, role)
    if len(findings.faults) == before or len(paths) == 1:
        network.parts[role] = _per_case(frame, role, cases, where, findings)


def _read_file(path: Path, role: str, cases: pd.DataFrame, findings: Findings) -> pd.DataFrame | None:
    """Return the scores, folds and views in ``path``, one row per id; None, with a fault, if it is unusable."""
    where = path.name
    if is_array(path):
        frame = read_array(path, role, cases, findings)
    else:
        frame = read_columns(path, IDS, SCORES, findings)
        frame = None if frame is None else with_ids(frame, cases.index, where, findings)
    if frame is None:
        return None
    score = score_column(frame, role, cases, where, findings)
    if score is None:
        return None
    columns = part_columns(frame.columns, score)
    frame = checks.one_row_per_case(frame[columns], where, findings)
    numbers = plain_numbers(frame[score], where, findings)
    frame[score] = checks.within_rounding(checks.finite_numbers(numbers, where, findings), where, findings)
    if "fold" in columns:
        frame["fold"] = fold_numbers(frame["fold"], where, findings)
    for column in [name for name in columns if name != score]:
        frame[column] = _numbers_or_empty(frame[column], where, findings)
    return frame.rename(columns={score: "score"})


def _join(frames: list[pd.DataFrame], paths: tuple[Path, ...], role: str) -> pd.DataFrame:
    """Return the rows of all files with the fold of each file's name, or for test cases the mean of their scores."""
    if role == "test":
        return pd.concat([frame[["score"]] for frame in frames]).groupby(level=0, sort=False).mean()
    folds = [FOLD.search(path.name) for path in paths]
    with_folds = [
        frame if "fold" in frame or fold is None else frame.assign(fold=float(fold[1]))
        for frame, fold in zip(frames, folds, strict=True)
    ]
    return pd.concat(with_folds)


def _per_case(frame: pd.DataFrame, role: str, cases: pd.DataFrame, where: str, findings: Findings) -> pd.DataFrame:
    frame = checks.one_row_per_case(frame, where, findings)
    frame = checks.rows_of_role(frame, role, cases, where, findings)
    for parts in (numbered_columns(frame, "tta"), numbered_columns(frame, "fold")):
        if parts:
            checks.note_mean(frame["score"], frame[parts], where, findings)
    return frame


def _numbers_or_empty(column: pd.Series, where: str, findings: Findings) -> pd.Series:
    """Return ``column`` as numbers; empty cells are allowed, since folds may have different numbers of views."""
    return checks.finite_numbers(column.dropna(), where, findings).reindex(column.index)
