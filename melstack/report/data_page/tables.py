"""Counts of a case table: malignant rates by group, pictures per patient, sizes, folds and missing values."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.intervals import wilson

MISSING = "missing"
AGE = "age_approx"
GROUPS = {"sex": "Sex", AGE: "Age", "anatom_site_general_challenge": "Site", "diagnosis": "Diagnosis"}
BOOKKEEPING = {  # columns that are not metadata of a case, or that contain the target
    "target",
    "role",
    "fold",
    "picture",
    "source",
    "patient_id",
    "fold_group",
    "benign_malignant",
    "diagnosis",
}
MAX_VALUES = 14  # rows of a table; a longer one is too long to read
MAX_SIZES = 8
MIN_PICTURES = 30  # smaller groups do not set the scale of the rates
PATIENT_EDGES = (1, 2, 4, 8, 16, 32, 64, 128)  # pictures per patient: the lower ends of the bins

Rows = list[dict[str, Any]]


def group_tables(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table per metadata column: each value, its share of training and test pictures, and its malignant rate.

    Age is in bands of ten years; all values except the `MAX_VALUES` most frequent are one row "other".
    """
    train, test = (cases[cases["role"] == role] for role in ("train", "test"))
    groups = []
    for column, title in GROUPS.items():
        if column in cases and train[column].notna().any():
            has_test = bool(len(test)) and column != "diagnosis"
            rows = _rates(values_of(train, column), train["target"], values_of(test, column) if has_test else None)
            groups.append({"title": title, "rows": rows, "test": has_test})
    return groups


def values_of(part: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as texts: age in bands of ten years, other values unchanged, empty cells as "missing"."""
    values = part[column]
    if column == AGE:
        tens = (values.astype("float64") // 10 * 10).astype("Int64")
        values = tens.astype("string") + "-" + (tens + 9).astype("string")
    return values.astype("object").where(values.notna(), MISSING).astype(str)


def _rates(values: pd.Series, target: pd.Series, test: pd.Series | None) -> Rows:
    frequent = values.value_counts().index[:MAX_VALUES]
    values = values.where(values.isin(frequent), "other")
    test_shares = None if test is None else test.where(test.isin(frequent), "other").value_counts(normalize=True)
    rows = []
    for name, targets in target.groupby(values):
        low, high = map(float, wilson(targets.mean(), len(targets)))
        row = {
            "name": name,
            "count": len(targets),
            "share": len(targets) / len(values),
            "malignant": int(targets.sum()),
        }
        test_share = None if test_shares is None else float(test_shares.get(name, 0.0))
        rows.append({**row, "rate": float(targets.mean()), "low": low, "high": high, "test": test_share})
    bands = all(str(row["name"]).split("-")[0].isdigit() for row in rows if row["name"] not in (MISSING, "other"))
    return sorted(rows, key=_by_band if bands else _by_count)


def scale(rows: Rows) -> float:
    """Return the upper end of the scale for the rates of ``rows``: the highest upper limit of a large group."""
    large = [row["high"] for row in rows if row["count"] >= MIN_PICTURES]
    return float(max(large or [row["high"] for row in rows if row["count"]] or [1.0]))


def _by_band(row: dict[str, Any]) -> tuple[bool, int]:
    is_band = row["name"] not in (MISSING, "other")
    return not is_band, int(row["name"].split("-")[0]) if is_band else 0


def _by_count(row: dict[str, Any]) -> tuple[bool, int]:
    return row["name"] in (MISSING, "other"), -row["count"]


def totals(cases: pd.DataFrame) -> Rows:
    """Return the counts of the training cases, the test cases and the cases of each external source."""
    extra = cases[cases["role"] == "extra"]
    parts = [(role, cases[cases["role"] == role]) for role in ("train", "test")]
    parts += [(f"external {source}", part) for source, part in extra.groupby("source")] if len(extra) else []
    return [_total(name, part) for name, part in parts if len(part)]


def _total(name: str, part: pd.DataFrame) -> dict[str, Any]:
    has_target = part["target"].notna().any()
    return {
        "name": name,
        "cases": len(part),
        "patients": int(part["patient_id"].nunique()),
        "malignant": int(part["target"].sum()) if has_target else None,
        "rate": float(part["target"].mean()) if has_target else None,
        "pictures": int(part["picture"].notna().sum()) if "picture" in part else 0,
    }


def patients(cases: pd.DataFrame) -> dict[str, Any]:
    """Return patients by their number of pictures, in bins that double, with the share that has a malignant picture."""
    parts = {role: cases[cases["role"] == role] for role in ("train", "test")}
    counts_of = {role: part.groupby("patient_id").size() for role, part in parts.items() if len(part)}
    has_malignant = parts["train"].groupby("patient_id")["target"].max() == 1
    rows = []
    for low, high in zip(PATIENT_EDGES, (*PATIENT_EDGES[1:], np.inf), strict=True):
        inside = {role: counts.between(low, high, inclusive="left") for role, counts in counts_of.items()}
        if any(mask.any() for mask in inside.values()):
            shares = {role: float(mask.mean()) for role, mask in inside.items()}
            own = has_malignant[inside["train"]]
            limits = wilson(own.mean(), len(own))
            row = {"name": _span(low, high), "count": int(inside["train"].sum()), "malignant": int(own.sum())}
            rate = {"rate": float(own.mean()) if len(own) else 0.0, "low": float(limits[0]), "high": float(limits[1])}
            rows.append({**row, **rate, "share": shares["train"], "test": shares.get("test")})
    per_patient = {
        role: {"median": float(counts.median()), "maximum": int(counts.max())} for role, counts in counts_of.items()
    }
    return {
        "rows": rows,
        "per_patient": per_patient,
        "with_malignant": int(has_malignant.sum()),
        "count": len(has_malignant),
    }


def _span(low: int, high: float) -> str:
    if np.isinf(high):
        return f"{low} and more"
    return str(low) if high - low == 1 else f"{low}-{int(high) - 1}"


def sizes(cases: pd.DataFrame) -> Rows:
    """Return the most frequent picture sizes (px) with their share of training and test and their malignant rate."""
    if not {"width", "height"} <= set(cases.columns) or not cases["width"].notna().any():
        return []
    own = cases[cases["role"].isin(["train", "test"]) & cases["width"].notna() & cases["height"].notna()]
    size = own["width"].astype(int).astype(str) + " × " + own["height"].astype(int).astype(str)
    train, test = (own["role"] == role for role in ("train", "test"))
    parts = (size[train].value_counts(normalize=True), size[test].value_counts(normalize=True))
    shares = pd.concat(parts, axis=1, keys=["train", "test"]).fillna(0.0)
    rows = []
    for name, share in shares.sort_values(["train", "test"], ascending=False).pipe(_frequent_sizes).iterrows():
        targets = own.loc[train & (size == name), "target"]
        low, high = map(float, wilson(targets.mean(), len(targets)))
        row = {"name": name, "count": len(targets), "malignant": int(targets.sum()), "low": low, "high": high}
        rate = float(targets.mean()) if len(targets) else None
        rows.append({**row, "rate": rate, "share": share["train"], "test": share["test"] if test.any() else None})
    return rows


def _frequent_sizes(shares: pd.DataFrame) -> pd.DataFrame:
    """Return the sizes with the largest share of the training or of the test pictures."""
    frequent = shares.max(axis=1).sort_values(ascending=False, kind="stable").index[:MAX_SIZES]
    return shares[shares.index.isin(frequent)]


def missing(cases: pd.DataFrame) -> dict[str, Any]:
    """Return the share of missing values per column and role, for the columns in which some case has none."""
    parts = [(name, part) for name, part in _by_role(cases)]
    columns = [name for name in cases.columns if name not in BOOKKEEPING and cases[name].notna().any()]
    rows = [{"name": name, "shares": [float(part[name].isna().mean()) for _, part in parts]} for name in columns]
    return {"roles": [name for name, _ in parts], "rows": [row for row in rows if any(row["shares"])]}


def _by_role(cases: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    for role, name in {"train": "train", "test": "test", "extra": "external"}.items():
        part = cases[cases["role"] == role]
        if len(part):
            yield name, part


def folds(cases: pd.DataFrame) -> Rows:
    """Return the counts of each fold: cases, patients and malignant pictures."""
    train = cases[cases["role"] == "train"]
    return [{**_total(str(fold), part)} for fold, part in train.groupby("fold")]
