"""Rows of a user's CSV under the names of the case table; what is wrong with them is collected, not raised."""

from difflib import get_close_matches

import numpy as np
import pandas as pd

from features.cases.metadata_columns import chosen_metadata
from features.cases.metadata_values import repaired
from features.cases.names import checked_names
from features.folder.data_folder import DataFolder
from features.folder.layout import EVERY, LABEL_COLUMNS, MAPPING, Layout
from features.folder.picture_locations import NEW
from runtime.errors import Faults, InputFault, did_you_mean, list_names
from runtime.tables import INDEX

MOST_COLUMNS = 12  # of a table that are named; some have hundreds
HINT = f"a {MAPPING} in the data folder, or MAPPING=file.toml, says which column is what"
WORDS = {"true": 1.0, "false": 0.0, "malignant": 1.0, "benign": 0.0}  # a target says whether a lesion is malignant
MOST_SHOWN = 5


def no_rows() -> pd.DataFrame:
    """Return a table of no cases."""
    columns = {name: pd.Series(dtype=object) for name in ("patient_id", "target", "picture")}
    return pd.DataFrame(columns, index=pd.Index([], name=INDEX, dtype=object))


def canonical_rows(
    raw: pd.DataFrame, layout: Layout, role: str, where: str, faults: Faults, notes: list[str]
) -> pd.DataFrame:
    """Return the rows of a CSV: patient_id, target, labels and fold_group (if given) of train, the metadata.

    Missing columns, labels that are none, values that cannot be meant, and names that are missing, no names, or given
    twice go to ``faults``; what was repaired is told in ``notes``. Of new cases nothing but the name is asked.
    """
    columns = layout.columns
    raw = _with_unknown(raw, layout, where, notes) if role == NEW else raw
    metadata = chosen_metadata(raw, columns)
    wanted = [columns.image_name, columns.patient_id, *metadata, *([columns.target] if role == "train" else [])]
    missing = [name for name in wanted if name not in raw]
    if missing:
        faults.add(f"{where}: missing column(s) {list_names(missing)}; {_columns_hint(missing, raw)}; {HINT}")
    if columns.image_name in missing:
        return no_rows()
    names = checked_names(raw[columns.image_name], columns.image_name, where, faults, notes)
    part = pd.DataFrame(index=pd.Index(names.astype(str), name=INDEX))
    given = raw.get(columns.patient_id, pd.Series(np.nan, index=raw.index))
    patients = checked_names(given, columns.patient_id, where, faults, notes, paths=True).to_numpy(dtype=object)
    # A case without a patient is a patient of its own; otherwise all such cases would be tied into one group.
    part["patient_id"] = np.where(pd.isna(patients), part.index, patients.astype(str))
    if role == "train":
        part["target"] = read_targets(raw, layout, where, faults, notes)
        labels = [name for name in LABEL_COLUMNS if name in raw]
        part = part.assign(**_metadata(raw, labels, part.index, where, faults, notes))
    if role == "train" and columns.fold_group in raw:
        part["fold_group"] = raw[columns.fold_group].to_numpy()
    read = _metadata(raw, [name for name in metadata if name in raw], part.index, where, faults, notes)
    part = part.assign(**{metadata[name]: values for name, values in read.items()})
    return without_duplicates(part, where, faults, notes)


def _with_unknown(raw: pd.DataFrame, layout: Layout, where: str, notes: list[str]) -> pd.DataFrame:
    """Return ``raw`` with an empty column for the patient and for the metadata, where it has none."""
    patient = layout.columns.patient_id
    lacking = [name for name in (patient, *layout.columns.metadata) if name not in raw and name != EVERY]
    alone = {patient: ", so every case is a patient of its own"}
    notes += [f"{where}: no column {name}: taken as not known{alone.get(name, '')}" for name in lacking]
    return raw.assign(**dict.fromkeys(lacking, np.nan))


def _columns_hint(missing: list[str], raw: pd.DataFrame) -> str:
    present = [str(name) for name in raw.columns]
    near = {name: found[0] for name in missing if (found := get_close_matches(name, present, n=1, cutoff=0.6))}
    alike = "".join(f"; {found!r} may mean {name!r}" for name, found in near.items())
    return f"it has {', '.join(present[:MOST_COLUMNS])}{', ...' if len(present) > MOST_COLUMNS else ''}{alike}"


def _metadata(
    raw: pd.DataFrame, names: list[str], cases: pd.Index, where: str, faults: Faults, notes: list[str]
) -> dict[str, np.ndarray]:
    read = {name: repaired(raw[name].set_axis(cases), name, where, faults, notes) for name in names}
    return {name: values.to_numpy() for name, values in read.items()}


def without_duplicates(part: pd.DataFrame, where: str, faults: Faults, notes: list[str]) -> pd.DataFrame:
    """Return the first row of every name: equal repeats are told in ``notes``; names given twice with different
    values, and rows without a name, go to ``faults``.
    """
    nameless = part.index.isin(["nan", ""])
    if nameless.any():
        faults.add(f"{where}: {int(nameless.sum())} row(s) without an image_name")
    part = part[~nameless]
    if part.index.is_unique:
        return part
    equal = part.reset_index().duplicated().to_numpy()
    if equal.any():
        notes.append(f"{where}: rows given more than once, one of each kept: {list_names(part.index[equal].unique())}")
    part = part[~equal]
    twice = part.index.duplicated()
    if twice.any():
        faults.add(
            f"{where}: image_name given more than once: {list_names(part.index[twice].unique())}; their rows differ"
        )
    return part[~twice]


def join_sizes(part: pd.DataFrame, data: DataFolder, role: str) -> pd.DataFrame:
    """Add width, height and the official fold group from the table of sizes of ``role``, where the folder has one.

    Sizes that are no numbers are missing, which the notes of ``data`` tell.
    """
    sizes = data.sizes(role)
    if sizes is None:
        return part.assign(width=np.nan, height=np.nan)
    columns, path = data.layout.columns, data.path / str(getattr(data.layout, f"{role}_sizes"))
    if columns.image_name not in sizes:
        raise InputFault(f"{path}: no column {columns.image_name}; it has {', '.join(map(str, sizes.columns))}")
    sizes = sizes.drop_duplicates(columns.image_name)
    sizes = sizes.set_index(columns.image_name).rename(columns={columns.fold_group: "fold_group"})
    sizes = sizes[[name for name in ("width", "height", "fold_group") if name in sizes]]
    for name in [name for name in sizes if not pd.api.types.is_numeric_dtype(sizes[name])]:
        numbers = pd.to_numeric(sizes[name], errors="coerce")
        bad = sizes.index[numbers.isna() & sizes[name].notna()]
        if len(bad):
            data.notes.append(
                f"{path.name}: {name} must be a number; it is not in {list_names(bad)}; taken as not known"
            )
        sizes[name] = numbers
    return part.join(sizes)


def read_targets(raw: pd.DataFrame, layout: Layout, where: str, faults: Faults, notes: list[str]) -> np.ndarray:
    """Return the targets of the rows of a training CSV, float64, NaN where there is none.

    With ``positive`` in the layout, 1 is what it names and 0 all else; without it a target is 0 or 1, or a word for it,
    which ``notes`` is told. Targets that are missing or something else go to ``faults``.
    """
    name = layout.columns.target
    if name not in raw:
        return np.full(len(raw), np.nan)
    given, cases = raw[name], raw[layout.columns.image_name]
    if layout.positive:
        return _named_positive(given, cases, layout.positive, where, faults, notes)
    number = _numbers(given, where, name, notes)
    bad = ~np.isin(number, (0.0, 1.0))
    if bad.any():
        values = ", ".join(sorted({repr(value) for value in given[bad]})[:MOST_SHOWN])
        faults.add(
            f"{where}: {name} must be 0 or 1; found {values} in {list_names(cases[bad])}; for other words, "
            f'positive = ["..."] in {MAPPING} names those that mean malignant'
        )
    return number


def _named_positive(
    given: pd.Series, cases: pd.Series, positive: tuple[str, ...], where: str, faults: Faults, notes: list[str]
) -> np.ndarray:
    texts = given.map(lambda value: None if pd.isna(value) else str(value).strip())
    missing = texts.isna()
    if missing.any():
        faults.add(f"{where}: {given.name} is missing in {list_names(cases[missing])}")
    present = sorted(set(texts.dropna()))
    absent = [word for word in positive if word not in present]
    if len(absent) == len(positive):
        hint = did_you_mean(absent[0], present)
        faults.add(f"{where}: no {given.name} is one of those that positive names: {list_names(absent)}; {hint}")
    elif absent:
        notes.append(f"{where}: no {given.name} is {', '.join(map(repr, absent))}, which positive names")
    return np.where(missing, np.nan, texts.isin(positive)).astype(float)


def _numbers(given: pd.Series, where: str, name: str, notes: list[str]) -> np.ndarray:
    if given.dtype == bool:
        notes.append(f"{where}: {name}: read True as 1, False as 0")
    if given.dtype != object:
        return pd.to_numeric(given, errors="coerce").to_numpy(dtype=float)
    words = [str(value).strip().casefold() for value in given]
    used = sorted(set(words) & WORDS.keys())
    if used:
        pairs = ", ".join(f"{word!r} as {WORDS[word]:g}" for word in used)
        notes.append(f"{where}: {name}: read {pairs} in {sum(word in WORDS for word in words)} row(s)")
    plain = pd.Series([word.replace(",", ".") for word in words])
    return pd.to_numeric(plain.map(WORDS).fillna(pd.to_numeric(plain, errors="coerce"))).to_numpy(dtype=float)
