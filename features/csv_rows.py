"""Rows of a user's CSV under the names of the case table; what is wrong with them is collected, not raised."""

from pathlib import Path

import numpy as np
import pandas as pd

from features.faults import Faults, named
from features.layout import MAPPING, Layout, read_csv
from features.metadata_columns import chosen_metadata
from features.tables import INDEX

LABEL_COLUMNS = ("diagnosis", "benign_malignant")  # known only after the biopsy: kept, never shown to a block
HINT = f"a {MAPPING} in the data folder, or MAPPING=file.toml, says which column is what"


def no_rows() -> pd.DataFrame:
    """Return a table of no cases."""
    columns = {name: pd.Series(dtype=object) for name in ("patient_id", "target", "picture")}
    return pd.DataFrame(columns, index=pd.Index([], name=INDEX, dtype=object))


def canonical_rows(raw: pd.DataFrame, layout: Layout, role: str, where: str, faults: Faults) -> pd.DataFrame:
    """Return the rows of a CSV: patient_id, target and labels (not of test), fold_group if given, the metadata.

    Missing columns, labels that are none, and names that are missing or given twice go to ``faults``.
    """
    columns = layout.columns
    metadata = chosen_metadata(raw, columns)
    wanted = [columns.image_name, columns.patient_id, *metadata, *([columns.target] if role == "train" else [])]
    missing = [name for name in wanted if name not in raw]
    if missing:
        faults.add(f"{where}: missing column(s) {named(missing)}; it has {', '.join(map(str, raw.columns))}; {HINT}")
    if columns.image_name in missing:
        return no_rows()
    part = pd.DataFrame(index=pd.Index(raw[columns.image_name].astype(str), name=INDEX))
    patients = raw.get(columns.patient_id, pd.Series(np.nan, index=raw.index)).to_numpy(dtype=object)
    # A case without a patient is a patient of its own; otherwise all such cases would be tied into one group.
    part["patient_id"] = np.where(pd.isna(patients), part.index, patients.astype(str))
    if role == "train":
        part["target"] = _target(raw, layout, where, faults)
        part = part.assign(**{name: raw[name].to_numpy() for name in LABEL_COLUMNS if name in raw})
    if role == "train" and columns.fold_group in raw:
        part["fold_group"] = raw[columns.fold_group].to_numpy()
    part = part.assign(**{called: raw[name].to_numpy() for name, called in metadata.items() if name in raw})
    return without_duplicates(part, where, faults)


def without_duplicates(part: pd.DataFrame, where: str, faults: Faults) -> pd.DataFrame:
    """Return the first row of every name; names given twice and rows without one go to ``faults``."""
    twice = part.index.duplicated()
    if twice.any():
        faults.add(f"{where}: image_name given more than once: {named(part.index[twice].unique())}")
    nameless = part.index.isin(["nan", ""])
    if nameless.any():
        faults.add(f"{where}: {int(nameless.sum())} row(s) without an image_name")
    return part[~twice & ~nameless]


def join_sizes(part: pd.DataFrame, path: Path, layout: Layout) -> pd.DataFrame:
    """Add width, height and the official fold group from a table of sizes, where the folder has one."""
    if not path.is_file():
        return part.assign(width=np.nan, height=np.nan)
    sizes = read_csv(path, layout.columns.image_name).drop_duplicates(layout.columns.image_name)
    sizes = sizes.set_index(layout.columns.image_name).rename(columns={layout.columns.fold_group: "fold_group"})
    return part.join(sizes[[name for name in ("width", "height", "fold_group") if name in sizes]])


def _target(raw: pd.DataFrame, layout: Layout, where: str, faults: Faults) -> np.ndarray:
    given = raw.get(layout.columns.target, pd.Series(np.nan, index=raw.index))
    if layout.positive:
        return np.where(given.isna(), np.nan, given.astype(str).isin(layout.positive)).astype(float)
    number = pd.to_numeric(given, errors="coerce").to_numpy(dtype=float)
    bad = ~np.isin(number, (0.0, 1.0))
    if bad.any() and layout.columns.target in raw:
        names = raw.loc[bad, layout.columns.image_name]
        values = ", ".join(sorted({repr(value) for value in given[bad]})[:5])
        faults.add(f"{where}: target must be 0 or 1; found {values} in {named(names)}")
    return number
