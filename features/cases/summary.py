"""Describe a case table in a few sentences."""

import pandas as pd

from features.pictures.read import picture_kind
from runtime.plural import number_of


def describe_cases(cases: pd.DataFrame) -> list[str]:
    """Return sentences about a case table: counts per role, external source and fold, pictures, missing metadata."""
    lines = [_role_line(part, str(role)) for role, part in cases[cases["role"] != "extra"].groupby("role", sort=False)]
    extra = cases[cases["role"] == "extra"]
    if len(extra):
        lines += [_role_line(part, f"extra {source}") for source, part in extra.groupby("source", sort=False)]
    return [*lines, _fold_line(cases)]


def _role_line(part: pd.DataFrame, role: str) -> str:
    malignant = f", {int(part['target'].sum())} malignant" if part["target"].notna().any() else ""
    return (
        f"{role}: {number_of(len(part), 'case')}{malignant}, {number_of(part['patient_id'].nunique(), 'patient')}, "
        f"{_pictures(part)}{_missing(part)}"
    )


def _pictures(part: pd.DataFrame) -> str:
    pictures = part["picture"].dropna() if "picture" in part else pd.Series(dtype=object)
    kinds = pictures.map(picture_kind).value_counts()
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds.index))
    return f"{len(pictures)} with a picture{f' ({counts})' if counts else ''}"


def _missing(part: pd.DataFrame) -> str:
    other_columns = {"target", "picture", "width", "height", "file_bytes", "diagnosis", "benign_malignant", "source"}
    counts = part.drop(columns=other_columns, errors="ignore").isna().sum()
    missing = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"; missing values: {missing}" if missing else ""


def _fold_line(cases: pd.DataFrame) -> str:
    train = cases[cases["role"] == "train"]
    sizes, malignant = train.groupby("fold").size(), train.groupby("fold")["target"].sum().astype(int)
    counts = ", ".join(f"{fold}: {sizes[fold]}/{malignant[fold]}" for fold in sizes.index)
    return f"folds (cases/malignant): {counts}"
