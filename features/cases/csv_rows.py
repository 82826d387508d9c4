"""Rows of a user's CSV with the column names of the case table; faults are collected, not raised."""

from difflib import get_close_matches

import numpy as np
import pandas as pd

from features.cases.metadata_columns import choose_metadata
from features.cases.metadata_values import repair_values
from features.cases.names import check_names
from features.folder.data_folder import DataFolder
from features.folder.layout import EVERY, LABEL_COLUMNS, MAPPING, Layout
from features.folder.picture_locations import NEW
from runtime.errors import Faults, InputFault, did_you_mean, list_names
from runtime.invocation import option
from runtime.plural import number_of
from runtime.tables import INDEX

MOST_COLUMNS = 12  # columns that a message lists; some tables have hundreds
WORDS = {"true": 1.0, "false": 0.0, "malignant": 1.0, "benign": 0.0}  # target says whether a lesion is malignant
MOST_SHOWN = 5


def no_rows() -> pd.DataFrame:
    """Return an empty table of cases."""
    columns = {name: pd.Series(dtype=object) for name in ("patient_id", "target", "picture")}
    return pd.DataFrame(columns, index=pd.Index([], name=INDEX, dtype=object))


def canonical_rows(
    raw: pd.DataFrame, layout: Layout, role: str, where: str, faults: Faults, notes: list[str]
) -> pd.DataFrame:
    """Return the rows of a CSV: patient_id and the metadata; for train also target, labels and fold_group (if present).

    ``faults`` collects missing columns, invalid targets, implausible values, and names that are missing, invalid or
    repeated; ``notes`` collects repairs. For new cases only the name is required.
    """
    columns = layout.columns
    raw = _add_missing_columns(raw, layout, where, notes) if role == NEW else raw
    metadata = choose_metadata(raw, columns)
    required_columns = [
        columns.image_name,
        columns.patient_id,
        *metadata,
        *([columns.target] if role == "train" else []),
    ]
    missing = [name for name in required_columns if name not in raw]
    if missing:
        faults.add(f"{where}: missing column(s) {list_names(missing)}; {_columns_hint(missing, raw)}")
    if columns.image_name in missing:
        return no_rows()
    names = check_names(raw[columns.image_name], columns.image_name, where, faults, notes)
    part = pd.DataFrame(index=pd.Index(names.astype(str), name=INDEX))
    raw_patients = raw.get(columns.patient_id, pd.Series(np.nan, index=raw.index))
    patients = check_names(raw_patients, columns.patient_id, where, faults, notes, paths=True).to_numpy(dtype=object)
    # A case without a patient id gets its own patient; otherwise all these cases would form one group.
    part["patient_id"] = np.where(pd.isna(patients), part.index, patients.astype(str))
    if role == "train":
        part["target"] = read_targets(raw, layout, where, faults, notes)
        labels = [name for name in LABEL_COLUMNS if name in raw]
        part = part.assign(**_metadata_values(raw, labels, part.index, where, faults, notes))
    if role == "train" and columns.fold_group in raw:
        part["fold_group"] = raw[columns.fold_group].to_numpy()
    metadata_values = _metadata_values(
        raw, [name for name in metadata if name in raw], part.index, where, faults, notes
    )
    part = part.assign(**{metadata[name]: values for name, values in metadata_values.items()})
    return without_duplicates(part, where, faults, notes)


def _add_missing_columns(raw: pd.DataFrame, layout: Layout, where: str, notes: list[str]) -> pd.DataFrame:
    """Return ``raw`` with an empty column for the patient and each metadata column that it lacks."""
    patient = layout.columns.patient_id
    missing = [name for name in (patient, *layout.columns.metadata) if name not in raw and name != EVERY]
    consequences = {patient: "every case is a patient of its own"}
    notes += [
        f"{where}: column {name} is missing; {consequences.get(name, 'its values are treated as missing')}"
        for name in missing
    ]
    return raw.assign(**dict.fromkeys(missing, np.nan))


def _columns_hint(missing: list[str], raw: pd.DataFrame) -> str:
    present = [str(name) for name in raw.columns]
    near = {name: matches[0] for name in missing if (matches := get_close_matches(name, present, n=1, cutoff=0.6))}
    hints = "".join(f"; {match!r} may be {name!r}" for name, match in near.items())
    columns = f"{', '.join(present[:MOST_COLUMNS])}{', ...' if len(present) > MOST_COLUMNS else ''}"
    remedy = f"name your columns in a {MAPPING} in the data folder, or in the file of {option('mapping', 'file.toml')}"
    return f"the columns are {columns}{hints}; {remedy}"


def _metadata_values(
    raw: pd.DataFrame, names: list[str], cases: pd.Index, where: str, faults: Faults, notes: list[str]
) -> dict[str, np.ndarray]:
    columns = {name: repair_values(raw[name].set_axis(cases), name, where, faults, notes) for name in names}
    return {name: values.to_numpy() for name, values in columns.items()}


def without_duplicates(part: pd.DataFrame, where: str, faults: Faults, notes: list[str]) -> pd.DataFrame:
    """Return the first row of every name; ``notes`` collects repeated rows that are identical.

    ``faults`` collects rows without a name and repeated names whose rows differ.
    """
    nameless = part.index.isin(["nan", ""])
    if nameless.any():
        faults.add(f"{where}: {number_of(int(nameless.sum()), 'row')} without an image_name")
    part = part[~nameless]
    if part.index.is_unique:
        return part
    equal = part.reset_index().duplicated().to_numpy()
    if equal.any():
        notes.append(f"{where}: identical rows, of which one is kept: {list_names(part.index[equal].unique())}")
    part = part[~equal]
    twice = part.index.duplicated()
    if twice.any():
        faults.add(
            f"{where}: the same image_name in rows that differ: {list_names(part.index[twice].unique())}; keep one row"
        )
    return part[~twice]


def join_sizes(part: pd.DataFrame, data: DataFolder, role: str) -> pd.DataFrame:
    """Add width, height and the official fold group from the table of sizes of ``role``, if the folder has one.

    Sizes that are not numbers are set to missing, with a note. Raises InputFault if the table has no column of names.
    """
    sizes = data.sizes(role)
    if sizes is None:
        return part.assign(width=np.nan, height=np.nan)
    columns, path = data.layout.columns, data.path / str(getattr(data.layout, f"{role}_sizes"))
    if columns.image_name not in sizes:
        raise InputFault(
            f"{path}: column {columns.image_name} is missing; the columns are {', '.join(map(str, sizes.columns))}"
        )
    sizes = sizes.drop_duplicates(columns.image_name)
    sizes = sizes.set_index(columns.image_name).rename(columns={columns.fold_group: "fold_group"})
    sizes = sizes[[name for name in ("width", "height", "fold_group") if name in sizes]]
    for name in [name for name in sizes if not pd.api.types.is_numeric_dtype(sizes[name])]:
        numbers = pd.to_numeric(sizes[name], errors="coerce")
        bad = sizes.index[numbers.isna() & sizes[name].notna()]
        if len(bad):
            data.notes.append(
                f"{path.name}: {name} must be a number; it is not in {list_names(bad)}; treated as missing"
            )
        sizes[name] = numbers
    return part.join(sizes)


def read_targets(raw: pd.DataFrame, layout: Layout, where: str, faults: Faults, notes: list[str]) -> np.ndarray:
    """Return the targets of the rows of a training CSV, float64, NaN where the column or value is missing.

    With ``positive`` in the layout, its values are 1 and all others 0. Without it a target is 0 or 1, or a word that
    means 0 or 1, which is noted. ``faults`` collects missing and invalid targets.
    """
    name = layout.columns.target
    if name not in raw:
        return np.full(len(raw), np.nan)
    values, cases = raw[name], raw[layout.columns.image_name]
    if layout.positive:
        return _targets_from_words(values, cases, layout.positive, where, faults, notes)
    number = _numbers(values, where, name, notes)
    bad = ~np.isin(number, (0.0, 1.0))
    if bad.any():
        examples = ", ".join(sorted({repr(value) for value in values[bad]})[:MOST_SHOWN])
        faults.add(
            f"{where}: {name} must be 0 or 1; found {examples} in {list_names(cases[bad])}; name the "
            f'values for malignant in {MAPPING}: positive = ["..."]'
        )
    return number


def _targets_from_words(
    values: pd.Series, cases: pd.Series, positive: tuple[str, ...], where: str, faults: Faults, notes: list[str]
) -> np.ndarray:
    texts = values.map(lambda value: None if pd.isna(value) else str(value).strip())
    missing = texts.isna()
    if missing.any():
        faults.add(f"{where}: {values.name} is missing in {list_names(cases[missing])}")
    present = sorted(set(texts.dropna()))
    absent = [word for word in positive if word not in present]
    if len(absent) == len(positive):
        hint = did_you_mean(absent[0], present)
        faults.add(f"{where}: {values.name} has none of the values in positive: {list_names(absent)}; {hint}")
    elif absent:
        notes.append(f"{where}: {values.name} never is {', '.join(map(repr, absent))}, which is in positive")
    return np.where(missing, np.nan, texts.isin(positive)).astype(float)


def _numbers(values: pd.Series, where: str, name: str, notes: list[str]) -> np.ndarray:
    if values.dtype == bool:
        notes.append(f"{where}: {name}: read True as 1, False as 0")
    if values.dtype != object:
        return pd.to_numeric(values, errors="coerce").to_numpy(dtype=float)
    words = [str(value).strip().casefold() for value in values]
    matches = sorted(set(words) & WORDS.keys())
    if matches:
        pairs = ", ".join(f"{word!r} as {WORDS[word]:g}" for word in matches)
        notes.append(f"{where}: {name}: read {pairs} in {number_of(sum(word in WORDS for word in words), 'row')}")
    plain = pd.Series([word.replace(",", ".") for word in words])
    return pd.to_numeric(plain.map(WORDS).fillna(pd.to_numeric(plain, errors="coerce"))).to_numpy(dtype=float)
