"""Look at a folder of foreign predictions before the cases are known: what no case table could repair is refused."""

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from level2_stack.foreign import checks
from level2_stack.foreign.arrays import read_array
from level2_stack.foreign.cells import plain_numbers
from level2_stack.foreign.columns import IDS, SCORES, score_column
from level2_stack.foreign.network_files import NetworkFiles, find_networks
from level2_stack.foreign.read import refuse_if_none_is_valid
from level2_stack.foreign.scale import add_range_fault, may_have_scale
from level2_stack.foreign.tables import is_array, read_columns
from level2_stack.foreign.witnesses.candidate import Candidate

NO_CASES = pd.DataFrame({"role": pd.Series(dtype=str), "target": pd.Series(dtype=float)})


def check_folder(folder: Path, trust: Collection[str] = ()) -> None:
    """Raise InputFault if every network in ``folder`` has faults that are faults for all cases.

    Checked are the names, the columns, the scores and repeated ids of oof.csv, and of test.csv where it exists: a
    folder may lack it if no case is a test case. ``import_predictions`` then checks everything against the cases.
    Raises InputFault also for an unknown name in ``trust``.
    """
    candidates = [_look_at_network(files) for files in find_networks(folder, trust).networks]
    refuse_if_none_is_valid(candidates, folder)


def _look_at_network(files: NetworkFiles) -> Candidate:
    network = Candidate(files.name)
    network.findings.faults += files.faults
    if "train" in files.absent:
        network.findings.faults.append(files.absent["train"])
    for role, paths in files.files.items():
        for path in paths:
            _look_at_file(path, role, network.findings)
    return network


def _look_at_file(path: Path, role: str, findings: checks.Findings) -> None:
    """Add the faults that the file has for any cases to ``findings``."""
    if is_array(path):
        read_array(path, role, None, findings)
        return
    frame, where = read_columns(path, IDS, SCORES, findings), path.name
    if frame is None:
        return
    ids = [name for name in IDS if name in frame]
    # Which column has the ids, if it has no usual name or if several have one, only the cases can tell.
    candidates = ids or [str(name) for name in frame if not pd.api.types.is_float_dtype(frame[name])]
    if not candidates:
        findings.faults.append(f"{where}: no column of ids; expected one of {', '.join(IDS)}")
    score = score_column(frame.drop(columns=ids), role, NO_CASES, where, findings)
    if score is None or not candidates or score not in frame:
        return
    rows = frame.set_index(frame[candidates[0]].rename("image_name"))[[score]]
    rows = rows[rows.index.notna()]
    if len(ids) == 1:
        rows = checks.one_row_per_case(rows, where, findings)
    numbers = checks.finite_numbers(plain_numbers(rows[score], where, findings), where, findings)
    scores = checks.within_rounding(numbers, where, findings)
    outside = checks.out_of_range(scores) if role == "train" and not may_have_scale(scores) else ""
    if outside:
        add_range_fault(scores, outside, where, findings)
