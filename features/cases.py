"""The user's CSVs and pictures -> one checked case table, in which the folds are frozen."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from features.faults import Faults, InputFault, named
from features.folds import assign_folds, official_folds
from features.layout import MAPPING, Layout, Request, list_pictures, read_csv, read_layout
from features.pictures import Header, read_header
from features.tables import INDEX

LABEL_COLUMNS = ("diagnosis", "benign_malignant")  # known only after the biopsy: kept, never shown to a block
GROUP_SEPARATOR = ":"
HINT = f"a {MAPPING} in the data folder, or MAPPING=file.toml, says which column is what"


def read_cases(request: Request) -> pd.DataFrame:
    """Return the checked case table of a data folder, folds assigned.

    Index image_name; columns role (train, test, extra), fold (int8; -1 outside train), patient_id, target (NaN for
    test), width, height, file_bytes (NaN if unknown), picture (path in the data folder), the metadata and labels.


    Raises InputFault that lists every fault of the input together.
    """
    layout = read_layout(request.data, request.mapping)
    faults = Faults()
    parts = {role: _read_role(request.data, layout, role, faults) for role in ("train", "test")}
    if request.extra is not None:
        parts["extra"] = _read_extra(request.extra, faults)
    _check_across(parts, faults)
    _check_sample(request.data, layout, parts["test"], faults)
    faults.raise_if_any(f"{request.data}: the input cannot be used")
    cases = pd.concat([_typed(part, role) for role, part in parts.items()])
    return _with_folds(cases, parts["train"], request)


def _with_folds(cases: pd.DataFrame, train: pd.DataFrame, request: Request) -> pd.DataFrame:
    rows = cases[cases["role"] == "train"]
    if request.official:
        if "fold_group" not in train:
            raise InputFault(f"{request.data}: official folds were asked for, but no column gives the grouping")
        groups = train["fold_group"]
        folds = official_folds(groups, rows["patient_id"], rows["target"], count=request.folds, seed=request.seed)
    else:
        folds = assign_folds(rows["patient_id"], rows["target"], count=request.folds, seed=request.seed)
    return cases.assign(fold=folds.reindex(cases.index, fill_value=-1).astype("int8"))


def _read_role(data: Path, layout: Layout, role: str, faults: Faults) -> pd.DataFrame:
    """Return the rows of one role, with canonical column names; what is wrong goes to ``faults``."""
    name = str(getattr(layout, role))
    if role == "test" and not name:
        return _no_rows()
    try:
        raw = read_csv(data / name, layout.columns.image_name)
    except InputFault as fault:
        hint = f'; without test cases, say test = "" in {MAPPING}' if role == "test" else ""
        faults.add(f"{fault}{hint}")
        return _no_rows()
    part = _canonical(raw, layout, role, name, faults)
    part = _join_sizes(part, data / str(getattr(layout, f"{role}_sizes")), layout)
    pictures = str(getattr(layout, f"{role}_pictures"))
    return _attach_pictures(part, data, pictures, faults) if pictures else part


def _no_rows() -> pd.DataFrame:
    columns = {name: pd.Series(dtype=object) for name in ("patient_id", "target", "picture")}
    return pd.DataFrame(columns, index=pd.Index([], name=INDEX, dtype=object))


def _canonical(raw: pd.DataFrame, layout: Layout, role: str, where: str, faults: Faults) -> pd.DataFrame:
    columns = layout.columns
    wanted = [columns.image_name, columns.patient_id, *columns.metadata, *([columns.target] if role == "train" else [])]
    missing = [name for name in wanted if name not in raw]
    if missing:
        faults.add(f"{where}: missing column(s) {named(missing)}; it has {', '.join(map(str, raw.columns))}; {HINT}")
    if columns.image_name in missing:
        return _no_rows()
    part = pd.DataFrame(index=pd.Index(raw[columns.image_name].astype(str), name=INDEX))
    patients = raw.get(columns.patient_id, pd.Series(np.nan, index=raw.index)).to_numpy(dtype=object)
    # A case without a patient is a patient of its own; otherwise all such cases would be tied into one group.
    part["patient_id"] = np.where(pd.isna(patients), part.index, patients.astype(str))
    if role == "train":
        part["target"] = _target(raw, layout, where, faults)
        part = part.assign(**{name: raw[name].to_numpy() for name in LABEL_COLUMNS if name in raw})
    if role == "train" and columns.fold_group in raw:
        part["fold_group"] = raw[columns.fold_group].to_numpy()
    part = part.assign(**{name: raw[name].to_numpy() for name in columns.metadata if name in raw})
    return _without_duplicates(part, where, faults)


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


def _without_duplicates(part: pd.DataFrame, where: str, faults: Faults) -> pd.DataFrame:
    twice = part.index.duplicated()
    if twice.any():
        faults.add(f"{where}: image_name given more than once: {named(part.index[twice].unique())}")
    nameless = part.index.isin(["nan", ""])
    if nameless.any():
        faults.add(f"{where}: {int(nameless.sum())} row(s) without an image_name")
    return part[~twice & ~nameless]


def _join_sizes(part: pd.DataFrame, path: Path, layout: Layout) -> pd.DataFrame:
    """Add width, height and the official fold group from a table of sizes, where the folder has one."""
    if not path.is_file():
        return part.assign(width=np.nan, height=np.nan)
    sizes = read_csv(path, layout.columns.image_name).drop_duplicates(layout.columns.image_name)
    sizes = sizes.set_index(layout.columns.image_name).rename(columns={layout.columns.fold_group: "fold_group"})
    return part.join(sizes[[name for name in ("width", "height", "fold_group") if name in sizes]])


def _attach_pictures(part: pd.DataFrame, data: Path, folder: str, faults: Faults) -> pd.DataFrame:
    """Add picture, width, height and file_bytes of every case; a folder that does not exist means: no pictures."""
    found = list_pictures(data / folder)
    if not found:
        return part
    missing = part.index[~part.index.isin(found.keys())]
    if len(missing):
        faults.add(f"{folder}: no picture for {named(missing)}")
    headers = _read_headers({name: found[name] for name in part.index if name in found}, folder, faults)
    columns = {
        "picture": {name: str(found[name].relative_to(data)) for name in headers},
        "width": {name: header.width for name, header in headers.items()},
        "height": {name: header.height for name, header in headers.items()},
        "file_bytes": {name: header.file_bytes for name, header in headers.items()},
    }
    return part.assign(
        **{name: pd.Series(values, dtype=object).reindex(part.index) for name, values in columns.items()}
    )


def _read_headers(paths: Mapping[str, Path], where: str, faults: Faults) -> dict[str, Header]:
    # Threads: opening files waits for the disk, not for Python.
    answers = Parallel(n_jobs=8, prefer="threads")(delayed(_header_or_fault)(path) for path in paths.values())
    read = dict(zip(paths, answers, strict=True))
    bad = {name: answer for name, answer in read.items() if isinstance(answer, str)}
    if bad:
        faults.add(f"{where}: unreadable pictures: {named(bad)}; the first: {next(iter(bad.values()))}")
    return {name: answer for name, answer in read.items() if isinstance(answer, Header)}


def _header_or_fault(path: Path) -> Header | str:
    try:
        return read_header(path)
    except InputFault as fault:
        return str(fault)


def _read_extra(folder: Path, faults: Faults) -> pd.DataFrame:
    """Return external training rows; they are never validated, so a patient is not asked of them."""
    layout = read_layout(folder)
    raw = read_csv(folder / layout.train, layout.columns.image_name)
    if layout.columns.patient_id not in raw:
        lesion = raw.get("lesion_id", raw.get(layout.columns.image_name))
        raw = raw.assign(**{layout.columns.patient_id: lesion})
    part = _canonical(raw, layout, "train", f"{folder.name}/{layout.train}", faults)
    pictures = layout.train_pictures if (folder / layout.train_pictures).is_dir() else "jpeg"
    part = _attach_pictures(part.assign(width=np.nan, height=np.nan), folder, pictures, faults)
    if "picture" not in part:
        faults.add(f"{folder}: external cases need pictures; there is no folder {pictures}")
        return part
    absolute = part["picture"].map(lambda name: str((folder / name).resolve()), na_action="ignore")
    return part.assign(picture=absolute, patient_id="extra" + GROUP_SEPARATOR + part["patient_id"])


def _check_across(parts: Mapping[str, pd.DataFrame], faults: Faults) -> None:
    train, test = parts["train"], parts["test"]
    shared = set(train["patient_id"]) & set(test["patient_id"])
    if shared:
        faults.add(f"patients in both train and test: {named(sorted(shared))}")
    seen = train.index.intersection(test.index)
    if len(seen):
        faults.add(f"image_name in both train and test: {named(seen)}")
    if "extra" in parts:
        known = parts["extra"].index.intersection(train.index.union(test.index))
        _add_if_any(faults, "external cases under the name of a train or test case", known)
    if train.empty:
        faults.add("there are no training cases")


def _add_if_any(faults: Faults, text: str, names: pd.Index) -> None:
    if len(names):
        faults.add(f"{text}: {named(names)}")


def _check_sample(data: Path, layout: Layout, test: pd.DataFrame, faults: Faults) -> None:
    path = data / layout.sample
    if not layout.sample or not path.is_file():
        return
    sample = read_csv(path, "image_name")
    if "image_name" not in sample:
        faults.add(f"{layout.sample}: no column image_name; it has {', '.join(map(str, sample.columns))}")
        return
    _add_if_any(
        faults, f"{layout.sample}: rows without a test case", pd.Index(sample["image_name"]).difference(test.index)
    )


def _typed(part: pd.DataFrame, role: str) -> pd.DataFrame:
    """Return the part with the case table's columns in their types."""
    blank = pd.Series(np.nan, index=part.index)
    numbers = {name: part.get(name, blank).astype(float) for name in ("target", "width", "height", "file_bytes")}
    texts = [name for name in ("picture", *LABEL_COLUMNS) if name in part]
    typed = part.drop(columns="fold_group", errors="ignore").assign(role=role, **numbers)
    strings = typed.select_dtypes(include=["object", "string"]).columns.union(texts)
    return typed.assign(**{name: _strings(typed[name]) for name in strings})


def _strings(values: pd.Series) -> pd.Series:
    """Return text with what is missing as None, so that every writer agrees on it."""
    return pd.Series([None if pd.isna(value) else str(value) for value in values], index=values.index, dtype=object)
