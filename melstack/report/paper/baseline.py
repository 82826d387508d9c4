"""Table 1 of a paper: the characteristics of the training, test and external cases, counted in the case table."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from melstack.report.column_words import bare_words
from melstack.report.data_page.tables import AGE, BOOKKEEPING
from melstack.report.formats import DASH
from melstack.report.paper.text_tables import INDENT, PaperTable, count_and_share, figures, interval

PICTURE_COLUMNS = {"width", "height", "file_bytes"}  # of the file, not of the patient
MAX_LEVELS = 12  # of one column; rarer values are one row
MISSING, OTHER = "missing", "other values"
NOTE = (
    "Numbers of pictures with their share of the column, if nothing else is written; a patient may have several "
    "pictures. SD: standard deviation, IQR: interquartile range. Standardised difference: of training and test cases, "
    "in standard deviations (Austin 2009; for several categories Yang and Dalton 2012), missing values left out."
)


@dataclass(frozen=True)
class _Row:
    """A row of Table 1: a text per group of cases, and the numbers behind each text."""

    name: str
    texts: Mapping[str, str]
    values: Sequence[Mapping[str, object]] = field(default_factory=tuple)
    difference: float = float("nan")


def baseline_table(cases: pd.DataFrame) -> PaperTable:
    """Return Table 1 of the case table: a column per group of cases, and the difference of training and test cases."""
    groups = case_groups(cases)
    rows = list(_rows(groups))
    has_test = "Test" in groups
    texts = [
        [row.name, *(row.texts.get(group, "") for group in groups), *([_difference_text(row)] if has_test else [])]
        for row in rows
    ]
    values = pd.DataFrame(
        [{**value, "standardised_difference": row.difference} for row in rows for value in row.values]
    )
    head = ["", *groups, *(["Standardised difference"] if has_test else [])]
    return PaperTable("table1", "Table 1. Baseline characteristics of the cases.", head, texts, values, NOTE)


def case_groups(cases: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the groups of Table 1: training cases, all, benign, malignant, test cases, external cases by source."""
    train = cases[cases["role"] == "train"]
    groups = {
        "Training": train,
        "Training, benign": train[train["target"] == 0],
        "Training, malignant": train[train["target"] == 1],
        "Test": cases[cases["role"] == "test"],
    }
    extra = cases[cases["role"] == "extra"]
    groups |= {f"External, {source}": part for source, part in extra.groupby("source")} if len(extra) else {}
    return {name: part for name, part in groups.items() if len(part)}


def standardised_difference(a: pd.Series, b: pd.Series) -> float:
    """Return the difference of two columns in standard deviations; missing values are left out.

    Numbers: (mean of a - mean of b) divided by the root of the mean variance (Austin 2009); it has a sign. Texts: the
    Mahalanobis distance of the shares of all values but one (Yang and Dalton 2012). NaN where it is not defined.
    """
    a, b = a.dropna(), b.dropna()
    if not len(a) or not len(b):
        return float("nan")
    if pd.api.types.is_numeric_dtype(a) and pd.api.types.is_numeric_dtype(b):
        spread = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
        return float((a.mean() - b.mean()) / spread) if spread > 0 else float("nan")
    levels = sorted(set(a.astype(str)) | set(b.astype(str)))[1:]
    return _distance(_shares(a, levels), _shares(b, levels))


def _shares(column: pd.Series, levels: list[str]) -> NDArray[np.float64]:
    shares = column.astype(str).value_counts(normalize=True).reindex(levels, fill_value=0.0)
    return np.asarray(shares, dtype=np.float64)


def _distance(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    covariance = sum((np.diag(share) - np.outer(share, share)) / 2 for share in (p, q))
    return float(np.sqrt((p - q) @ np.linalg.pinv(covariance) @ (p - q)))


def _rows(groups: Mapping[str, pd.DataFrame]) -> Iterator[_Row]:
    yield _count_row("Patients", {name: part["patient_id"].nunique() for name, part in groups.items()})
    yield _count_row("Pictures", {name: len(part) for name, part in groups.items()})
    sizes = {name: part.groupby("patient_id").size() for name, part in groups.items()}
    yield _spread_row("Pictures per patient, median (IQR)", sizes, is_median=True)
    yield from _outcome_rows(groups)
    for column in _characteristics(groups["Training"]):
        parts = {name: part[column] for name, part in groups.items() if column in part}
        if pd.api.types.is_numeric_dtype(groups["Training"][column]):
            unit = ", years" if column == AGE else ""
            yield _spread_row(f"{bare_words(column).capitalize()}{unit}, mean (SD)", parts)
            yield from _missing_rows(column, parts)
        else:
            yield from _category_rows(column, parts)


def _characteristics(train: pd.DataFrame) -> list[str]:
    """Return the columns of Table 1 that have a value in the training cases: metadata, then the diagnosis."""
    columns = [str(name) for name in train if name not in BOOKKEEPING | PICTURE_COLUMNS and train[name].notna().any()]
    return columns + ["diagnosis"] * ("diagnosis" in train and bool(train["diagnosis"].notna().any()))


def _outcome_rows(groups: Mapping[str, pd.DataFrame]) -> Iterator[_Row]:
    with_target = {name: part for name, part in groups.items() if part["target"].notna().any()}
    malignant = {name: part[part["target"] == 1] for name, part in with_target.items()}
    pictures = {name: (len(malignant[name]), len(part)) for name, part in with_target.items()}
    patients = {
        name: (malignant[name]["patient_id"].nunique(), part["patient_id"].nunique())
        for name, part in with_target.items()
    }
    unknown = dict.fromkeys(groups, "not known")
    for title, counts in (("Malignant pictures", pictures), ("Patients with a malignant picture", patients)):
        row = _share_row(title, title, "", counts)
        yield _Row(title, unknown | dict(row.texts), row.values)


def _count_row(title: str, counts: Mapping[str, int]) -> _Row:
    values = [{"characteristic": title, "group": name, "count": count} for name, count in counts.items()]
    return _Row(title, {name: f"{count:,}" for name, count in counts.items()}, values)


def _share_row(
    title: str, characteristic: str, level: str, counts: Mapping[str, tuple[int, int]], difference: float = float("nan")
) -> _Row:
    """Return a row of counts with their share; ``counts`` has (count, whole) per group."""
    texts = {name: count_and_share(count, whole) for name, (count, whole) in counts.items()}
    values = [
        {"characteristic": characteristic, "level": level, "group": name, "count": count, "share": count / whole}
        for name, (count, whole) in counts.items()
    ]
    return _Row(title, texts, values, difference)


def _spread_row(title: str, parts: Mapping[str, pd.Series], *, is_median: bool = False) -> _Row:
    texts, values = {}, []
    for name, column in parts.items():
        numbers = column.dropna().to_numpy(dtype=np.float64)
        spread = _spread(numbers)
        values.append({"characteristic": title, "group": name, "count": len(numbers), **spread})
        middle = interval(spread["median"], spread["lower_quartile"], spread["upper_quartile"], 0)
        texts[name] = middle if is_median else f"{figures(spread['mean'], 1)} ({figures(spread['sd'], 1)})"
    return _Row(
        title,
        {name: text if len(parts[name].dropna()) else DASH for name, text in texts.items()},
        values,
        _train_test(parts),
    )


def _spread(numbers: NDArray[np.float64]) -> dict[str, float]:
    if not len(numbers):
        return dict.fromkeys(("mean", "sd", "median", "lower_quartile", "upper_quartile"), float("nan"))
    low, middle, high = (float(value) for value in np.quantile(numbers, [0.25, 0.5, 0.75]))
    sd = float(numbers.std(ddof=1)) if len(numbers) > 1 else float("nan")
    return {"mean": float(numbers.mean()), "sd": sd, "median": middle, "lower_quartile": low, "upper_quartile": high}


def _missing_rows(column: str, parts: Mapping[str, pd.Series]) -> Iterator[_Row]:
    counts = {name: (int(part.isna().sum()), len(part)) for name, part in parts.items()}
    if any(count for count, _ in counts.values()):
        yield _share_row(f"{INDENT}{MISSING}", bare_words(column), MISSING, counts)


def _category_rows(column: str, parts: Mapping[str, pd.Series]) -> Iterator[_Row]:
    """Yield the title of a column of texts, and rows for frequent values, the others, and missing values."""
    values_of = {name: part.dropna().astype(str) for name, part in parts.items() if part.notna().any()}
    title, whole = bare_words(column).capitalize(), {name: len(parts[name]) for name in values_of}
    yield _Row(f"{title}", {}, difference=_train_test({name: parts[name] for name in values_of}))
    frequent = pd.concat(list(values_of.values())).value_counts().index
    largest = list(frequent[:MAX_LEVELS]) if len(frequent) > MAX_LEVELS + 1 else list(frequent)
    for level in largest:
        counts = {name: (int((values == level).sum()), whole[name]) for name, values in values_of.items()}
        yield _share_row(f"{INDENT}{level}", bare_words(column), level, counts)
    if len(largest) < len(frequent):
        counts = {name: (int((~values.isin(largest)).sum()), whole[name]) for name, values in values_of.items()}
        yield _share_row(f"{INDENT}{OTHER}", bare_words(column), OTHER, counts)
    yield from _missing_rows(column, {name: parts[name] for name in values_of})


def _train_test(parts: Mapping[str, pd.Series]) -> float:
    return (
        standardised_difference(parts["Training"], parts["Test"])
        if {"Training", "Test"} <= parts.keys()
        else float("nan")
    )


def _difference_text(row: _Row) -> str:
    return figures(row.difference, 3) if row.difference == row.difference else ""
