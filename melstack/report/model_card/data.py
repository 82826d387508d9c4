"""The data section of a model card: counts and shares of the frozen case table, and its missing values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.cases.fold_design.record import FoldRecord
from level2_stack.evaluation.known_truth import TRUTH
from level2_stack.evaluation.subgroups import COLUMNS
from melstack.report.data_page.tables import BOOKKEEPING

ROLES = {"train": "training", "test": "test"}
SKIN_TONE = ("fitzpatrick", "skin_tone", "skin_type", "skin_colour", "skin_color", "phototype", "monk")
MAX_DIAGNOSES = 12


def data_facts(cases: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts on the ``cases`` of a run for the card's template; ``facts`` is the run's cases.json."""
    train, record = cases[cases["role"] == "train"], FoldRecord.of(facts)
    return {
        "folder": Path(facts["data"]).name,
        "pictures": facts.get("pictures", 0),
        "folds": len(record.names) or facts["made_from"]["folds"],
        "fold_words": record.words,
        "fold_meaning": record.meaning if record.column else "",
        "official": facts["made_from"]["official"],
        "positive": facts["made_from"].get("layout", {}).get("positive", []),
        "is_simulated": _has_true_risk(Path(facts["data"])),
        "groups": [_group(part, name) for name, part in _parts(cases)],
        "prevalence": float(train["target"].mean()),
        "malignant_patients": int(train.loc[train["target"] == 1, "patient_id"].nunique()),
        "make_up": {kind: _shares(train[column]) for kind, column in COLUMNS.items() if _has_texts(train, column)},
        "diagnoses": _diagnoses(train),
        "missing": _missing(cases),
        "columns": [str(name) for name in cases.columns],
        "skin_tone": {name: _shares(train[name]) for name in skin_tone_columns(cases)},
    }


def skin_tone_columns(cases: pd.DataFrame) -> list[str]:
    """Return the columns of ``cases`` whose names suggest a skin tone."""
    return [str(name) for name in cases.columns if any(word in str(name).lower() for word in SKIN_TONE)]


def _parts(cases: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    parts = [(name, cases[cases["role"] == role]) for role, name in ROLES.items()]
    extra = cases[cases["role"] == "extra"]
    if len(extra):
        parts += [(f"external, {source} (for training only)", part) for source, part in extra.groupby("source")]
    return [(name, part) for name, part in parts if len(part)]


def _group(part: pd.DataFrame, name: str) -> dict[str, Any]:
    has_target = part["target"].notna().any()
    age = part["age_approx"].dropna() if "age_approx" in part else pd.Series(dtype="float64")
    return {
        "name": name,
        "cases": len(part),
        "patients": int(part["patient_id"].nunique()),
        "malignant": int(part["target"].sum()) if has_target else None,
        "prevalence": float(part["target"].mean()) if has_target else None,
        "age": f"{age.median():.0f} ({age.min():.0f}-{age.max():.0f})" if len(age) else "unknown",
    }


def _has_texts(train: pd.DataFrame, column: str) -> bool:
    return column in train and not pd.api.types.is_numeric_dtype(train[column])


def _shares(values: pd.Series) -> dict[str, float]:
    counts = values.astype("object").where(values.notna(), "missing").value_counts(normalize=True)
    return {str(name): float(share) for name, share in counts.items()}


def _diagnoses(train: pd.DataFrame) -> dict[str, int]:
    if "diagnosis" not in train:
        return {}
    counts = train["diagnosis"].fillna("missing").value_counts()
    return {str(name): int(count) for name, count in counts.head(MAX_DIAGNOSES).items()}


def _missing(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the number of missing values by role, for every column with some missing and some known values."""
    own = cases[cases["role"].isin(list(ROLES))]
    columns = [name for name in own if name not in BOOKKEEPING and 0 < own[name].isna().sum() < len(own)]
    parts = _parts(own)
    return [
        {"column": column, "counts": {name: int(part[column].isna().sum()) for name, part in parts}}
        for column in columns
    ]


def _has_true_risk(data: Path) -> bool:
    """Return whether the data are simulated: only simulated data come with the true risk of every case."""
    truth = data / TRUTH
    return truth.is_file() and "risk" in pd.read_csv(truth, nrows=0).columns
