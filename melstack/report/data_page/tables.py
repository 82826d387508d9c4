"""What a case table holds, counted: malignant shares by group, patients, sizes, folds and missing values."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from level2_stack.evaluation.intervals import wilson

MISSING = "missing"
AGE = "age_approx"
GROUPS = {"sex": "Sex", AGE: "Age", "anatom_site_general_challenge": "Site", "diagnosis": "Diagnosis"}
BOOKKEEPING = {
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
MOST_VALUES = 14  # of a column; a longer table is not read
MOST_SIZES = 8
FEWEST = 30  # pictures of a group that has a say in the scale of the rates
PATIENT_EDGES = (1, 2, 4, 8, 16, 32, 64, 128)  # pictures of a patient, doubled from bin to bin

Rows = list[dict[str, Any]]


def group_tables(cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table per metadata column: each value with its share of training and test pictures and malignant rate.

    Age is put into bands of ten years; values beyond the most frequent `MOST_VALUES` are one row "other".
    """
    train, test = (cases[cases["role"] == role] for role in ("train", "test"))
    found = []
    for column, title in GROUPS.items():
        if column in cases and train[column].notna().any():
            known = bool(len(test)) and column != "diagnosis"
            rows = _rates(values_of(train, column), train["target"], values_of(test, column) if known else None)
            found.append({"title": title, "rows": rows, "test": known, "top": scale(rows)})
    return found


def values_of(part: pd.DataFrame, column: str) -> pd.Series:
    """Return a column as texts: age in bands of ten years, other values as they are, what is not known as missing."""
    values = part[column]
    if column == AGE:
        tens = (values.astype("float64") // 10 * 10).astype("Int64")
        values = tens.astype("string") + "-" + (tens + 9).astype("string")
    return values.astype("object").where(values.notna(), MISSING).astype(str)


def _rates(values: pd.Series, target: pd.Series, test: pd.Series | None) -> Rows:
    kept = values.value_counts().index[:MOST_VALUES]
    values = values.where(values.isin(kept), "other")
    tested = None if test is None else test.where(test.isin(kept), "other").value_counts(normalize=True)
    rows = []
    for name, targets in target.groupby(values):
        low, high = map(float, wilson(targets.mean(), len(targets)))
        row = {
            "name": name,
            "count": len(targets),
            "share": len(targets) / len(values),
            "malignant": int(targets.sum()),
        }
        other = None if tested is None else float(tested.get(name, 0.0))
        rows.append({**row, "rate": float(targets.mean()), "low": low, "high": high, "test": other})
    bands = all(str(row["name"]).split("-")[0].isdigit() for row in rows if row["name"] not in (MISSING, "other"))
    return sorted(rows, key=_by_band if bands else _by_count)


def scale(rows: Rows) -> float:
    """Return the rate up to which ``rows`` are drawn: the upper limits of groups that are large enough to have one."""
    large = [row["high"] for row in rows if row["count"] >= FEWEST]
    return float(max(large or [row["high"] for row in rows if row["count"]] or [1.0]))


def _by_band(row: dict[str, Any]) -> tuple[bool, int]:
    known = row["name"] not in (MISSING, "other")
    return not known, int(row["name"].split("-")[0]) if known else 0


def _by_count(row: dict[str, Any]) -> tuple[bool, int]:
    return row["name"] in (MISSING, "other"), -row["count"]


def totals(cases: pd.DataFrame) -> Rows:
    """Return the counts of training, test and each external source's cases."""
    extra = cases[cases["role"] == "extra"]
    parts = [(role, cases[cases["role"] == role]) for role in ("train", "test")]
    parts += [(f"external {source}", part) for source, part in extra.groupby("source")] if len(extra) else []
    return [_total(name, part) for name, part in parts if len(part)]


def _total(name: str, part: pd.DataFrame) -> dict[str, Any]:
    known = part["target"].notna().any()
    return {
        "name": name,
        "cases": len(part),
        "patients": int(part["patient_id"].nunique()),
        "malignant": int(part["target"].sum()) if known else None,
        "rate": float(part["target"].mean()) if known else None,
        "pictures": int(part["picture"].notna().sum()) if "picture" in part else 0,
    }


def patients(cases: pd.DataFrame) -> dict[str, Any]:
    """Return how many pictures patients have, in doubling bins, and how many of the patients have a malignant one."""
    parts = {role: cases[cases["role"] == role] for role in ("train", "test")}
    counted = {role: part.groupby("patient_id").size() for role, part in parts.items() if len(part)}
    hit = parts["train"].groupby("patient_id")["target"].max() == 1
    rows = []
    for low, high in zip(PATIENT_EDGES, (*PATIENT_EDGES[1:], np.inf), strict=True):
        inside = {role: counts.between(low, high, inclusive="left") for role, counts in counted.items()}
        if any(one.any() for one in inside.values()):
            shares = {role: float(one.mean()) for role, one in inside.items()}
            own = hit[inside["train"]]
            limits = wilson(own.mean(), len(own))
            row = {"name": _span(low, high), "count": int(inside["train"].sum()), "malignant": int(own.sum())}
            rate = {"rate": float(own.mean()) if len(own) else 0.0, "low": float(limits[0]), "high": float(limits[1])}
            rows.append({**row, **rate, "share": shares["train"], "test": shares.get("test")})
    told = {role: {"median": float(counts.median()), "most": int(counts.max())} for role, counts in counted.items()}
    return {"rows": rows, "top": scale(rows), "told": told, "with_malignant": int(hit.sum()), "count": len(hit)}


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
    most = (size[train].value_counts(normalize=True), size[test].value_counts(normalize=True))
    shares = pd.concat(most, axis=1, keys=["train", "test"]).fillna(0.0)
    rows = []
    for name, share in shares.sort_values(["train", "test"], ascending=False).pipe(_leading).iterrows():
        targets = own.loc[train & (size == name), "target"]
        low, high = map(float, wilson(targets.mean(), len(targets)))
        row = {"name": name, "count": len(targets), "malignant": int(targets.sum()), "low": low, "high": high}
        rate = float(targets.mean()) if len(targets) else None
        rows.append({**row, "rate": rate, "share": share["train"], "test": share["test"] if test.any() else None})
    return rows


def _leading(shares: pd.DataFrame) -> pd.DataFrame:
    """Return the sizes that are frequent among training or among test pictures."""
    most = shares.max(axis=1).sort_values(ascending=False, kind="stable").index[:MOST_SIZES]
    return shares[shares.index.isin(most)]


def missing(cases: pd.DataFrame) -> dict[str, Any]:
    """Return the share of missing values per column and role, of columns that some case lacks."""
    parts = [(name, part) for name, part in _by_role(cases)]
    columns = [name for name in cases.columns if name not in BOOKKEEPING and cases[name].notna().any()]
    rows = [{"name": name, "shares": [float(part[name].isna().mean()) for _, part in parts]} for name in columns]
    return {"roles": [name for name, _ in parts], "rows": [row for row in rows if any(row["shares"])]}


def _by_role(cases: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    for role, called in {"train": "train", "test": "test", "extra": "external"}.items():
        part = cases[cases["role"] == role]
        if len(part):
            yield called, part


def folds(cases: pd.DataFrame) -> Rows:
    """Return the counts of each fold: cases, patients and malignant pictures."""
    train = cases[cases["role"] == "train"]
    return [{**_total(str(fold), part)} for fold, part in train.groupby("fold")]
