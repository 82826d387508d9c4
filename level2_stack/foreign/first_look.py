"""Look at a folder of foreign predictions before the cases are known: what no case table could repair is refused."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from level2_stack.foreign import checks
from level2_stack.foreign.columns import IDS, read_columns, score_column
from level2_stack.foreign.read import network_folders, refuse_if_none_is_valid
from level2_stack.foreign.row_order import Candidate

NO_CASES = pd.DataFrame({"role": pd.Series(dtype=str), "target": pd.Series(dtype=float)})


def check_folder(folder: Path, trust: Collection[str] = ()) -> None:
    """Raise InputFault if every network in ``folder`` has faults that are faults for all cases.

    Checked are the names, the columns, the scores and repeated ids of oof.csv, and of test.csv where it exists: a
    folder may lack it if no case is a test case. ``import_predictions`` then checks everything against the cases.
    Raises InputFault also for an unknown name in ``trust``.
    """
    candidates = [_look_at_network(path) for path in network_folders(folder, trust)]
    refuse_if_none_is_valid(candidates, folder)


def _look_at_network(folder: Path) -> Candidate:
    network = Candidate(folder.name)
    checks.check_name(folder.name, network.findings)
    _look_at_file(folder / "oof.csv", "train", network.findings)
    if (folder / "test.csv").is_file():
        _look_at_file(folder / "test.csv", "test", network.findings)
    return network


def _look_at_file(path: Path, role: str, findings: checks.Findings) -> None:
    """Add the faults that the file has for any cases to ``findings``."""
    frame, where = read_columns(path, findings), path.name
    if frame is None:
        return
    ids = [name for name in IDS if name in frame]
    if not ids:
        findings.faults.append(f"{where}: no column of ids; expected one of {', '.join(IDS)}")
    score = score_column(frame.drop(columns=ids), role, NO_CASES, where, findings)
    if score is None or not ids:
        return
    # Which of several columns has the ids, only the cases can tell.
    rows = frame.set_index(frame[ids[0]].rename("image_name"))[[score]]
    rows = rows[rows.index.notna()]
    if len(ids) == 1:
        rows = checks.one_row_per_case(rows, where, findings)
    scores = checks.within_rounding(checks.finite_numbers(rows[score], where, findings), where, findings)
    outside = checks.out_of_range(scores) if role == "train" else ""
    if outside:
        findings.faults.append(f"{where}: {outside}; expected probabilities")
