"""Read a NumPy file of scores: its rows have no ids, so they are those of the cases in the case table's order."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.lib.npyio import NpzFile

from level2_stack.foreign.checks import Findings
from level2_stack.foreign.messages import WARNING

STEP = "write a CSV with the columns image_name and pred"


def read_array(path: Path, role: str, cases: pd.DataFrame | None, findings: Findings) -> pd.DataFrame | None:
    """Return the scores in ``path`` (.npy, or .npz with one array) as the column pred; None, with a fault, if unusable.

    The index are the ids of the cases of ``role`` in the order of ``cases``; without cases only the shape is checked.
    A warning says that no name confirms the order.
    """
    where = path.name
    try:
        values = _only_array(path)
    except (OSError, ValueError, EOFError) as error:
        findings.faults.append(f"{where}: not a readable array of numbers ({error}); {STEP}")
        return None
    if fault := _shape_fault(values):
        findings.faults.append(f"{where}: {fault}")
        return None
    scores = values.reshape(-1).astype(np.float64)
    if cases is None:
        return pd.DataFrame({"pred": scores}, index=pd.RangeIndex(len(scores)).astype(str).rename("image_name"))
    ids = cases.index[cases["role"] == role]
    if len(ids) != len(scores):
        findings.faults.append(
            f"{where}: {len(scores)} numbers without ids, but there are {len(ids)} {role} cases, and it is not known "
            f"which case each belongs to; {STEP}"
        )
        return None
    findings.notes.append(
        f"{WARNING}{where}: its rows have no ids and are in the order of the {role} cases; check that they are"
    )
    return pd.DataFrame({"pred": scores}, index=ids.astype(str).rename("image_name"))


def _only_array(path: Path) -> np.ndarray:
    """Return the array in ``path``; raise ValueError for several arrays, and for objects, which would run code."""
    content = np.load(path, allow_pickle=False)
    if not isinstance(content, NpzFile):
        return np.asarray(content)
    with content:
        if len(content.files) != 1:
            raise ValueError(f"it has {len(content.files)} arrays: {', '.join(content.files[:5])}; one is expected")
        return np.asarray(content[content.files[0]])


def _shape_fault(values: np.ndarray) -> str:
    """Return why an array cannot have one score per case; empty if it can."""
    if values.dtype.kind not in "fiub":
        return f"an array of type {values.dtype}, but numbers are expected; {STEP}"
    columns = [size for size in values.shape if size != 1]
    if len(columns) <= 1:
        return ""
    column = "1" if columns[-1] == 2 else "k"
    where_k = "" if column == "1" else ", where k is the column of melanoma"
    return (
        f"an array of shape {values.shape}, but one number per case is expected; save the column of melanoma alone: "
        f"np.save(file, values[:, {column}]){where_k}"
    )
