"""The performance of a score in subgroups: AUC, one working point and calibration by sex, age and site."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cases.fold_design.record import FoldRecord
from level2_stack.evaluation.auc import Draws, Floats, Interval, PatientROC, percentile_interval, ratio, replicate
from runtime.errors import Faults, did_you_mean, list_names
from runtime.plural import number_of

AGE = "age"  # the kind whose column holds years, which are divided into bands
COLUMNS = {"sex": "sex", AGE: "age_approx", "site": "anatom_site_general_challenge"}  # kind -> case column
FOLD_KIND = "fold by "  # start of the kind, and of its column, whose subgroups are folds that a case column makes
AGE_LIMITS = (30, 40, 50, 60, 70)  # a band includes its lower limit: 30-39, and 70 is "70 and over"
MISSING = "missing"
MAX_VALUES = 50  # of one column; a column with more is a measurement, not subgroups
# Patients of a class; with fewer, all replicates have the same few patients and the limits are too narrow.
MIN_PATIENTS = 10
MIN_CLASS_ROWS = 10  # malignant and benign pictures that an AUC needs; with fewer it is chance
SENSITIVITY = 90  # percent, of the common threshold
MEASURES = ("auc", "sensitivity", "specificity", "excess")


class Group(NamedTuple):
    """The rows of one subgroup: ``members`` (n,), and its ``value`` of one ``kind`` ("sex")."""

    kind: str
    value: str
    members: NDArray[np.bool_]


def subgroup_table(
    y: Floats,
    score: Floats,
    groups: NDArray[np.object_],
    cases: pd.DataFrame,
    *,
    threshold: float | None = None,
    is_malignant: NDArray[np.bool_] | None = None,
    weights: Floats | None = None,
    columns: Mapping[str, str] | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per subgroup, all rows first: AUC, sensitivity, specificity and calibration of the probabilities.

    ``y`` (n,) is 0/1, ``score`` (n,) probabilities, ``groups`` (n,) the patients, ``cases`` n rows in the same order.
    ``columns`` maps a kind of subgroups to its case column, {"sex": "gender", "skin": "fitzpatrick"}; by default the
    kinds of `COLUMNS` whose column ``cases`` has, and the folds with names (``with_fold_names``). The column of the
    kind "age" must hold years, which are divided into bands by `AGE_LIMITS`; each value of another column is a
    subgroup, at most `MAX_VALUES`. Cases without a value are the subgroup "missing". Rows whose score is NaN are
    ignored.

    ``threshold`` is the same for all subgroups, and a row is predicted malignant if its score is at or above it, or as
    ``is_malignant`` (n,) says, where a threshold was chosen without the row's fold. Without a threshold it is the
    highest at which at least 90 % of all positives are predicted malignant. ``weights`` (n,), one value per class, give
    the rows the prevalence for which the probabilities hold.

    Columns of the table: ``kind, value, rows, positives, patients``; ``auc``; ``threshold``; ``sensitivity`` and
    ``specificity``; ``mean_predicted`` and ``prevalence``, both weighted, and ``excess``, the first minus the second.
    `auc`, `sensitivity`, `specificity` and `excess` have ``_low`` and ``_high``: 95 % percentile limits,
    with the patients of the whole table resampled and the threshold fixed. ``note`` gives the reason if a number is
    NaN: no row of a class, for the AUC fewer than `MIN_CLASS_ROWS` rows of a class, for the limits fewer than
    `MIN_PATIENTS` patients with a positive, or with a negative.
    No subgroup is dropped.

    Raises InputFault for a missing column, a column of the kind "age" without years, a column with too many values,
    scores outside 0 to 1, and scores that are all NaN.
    """
    groups_of_rows = list_groups(score, cases, columns)
    has_score = ~np.isnan(score)
    if threshold is None:
        threshold = common_threshold(y[has_score], score[has_score])
    is_malignant = score >= threshold if is_malignant is None else is_malignant
    weights = np.ones_like(y) if weights is None else weights
    draws = Draws(groups[has_score], replicates=replicates, seed=seed)
    values = pd.DataFrame({"y": y, "score": score, "is_malignant": is_malignant, "weights": weights})[has_score]
    parts = [(part, part.members[has_score]) for part in groups_of_rows if part.members[has_score].any()]
    subgroups = {index: _Subgroup(values, draws, members) for index, (_, members) in enumerate(parts)}
    measures = replicate(subgroups, draws, cells=2 * int(values["y"].sum()) + 1)
    table_rows = [
        {"kind": part.kind, "value": part.value, "threshold": threshold, **subgroups[index].row(measures[index])}
        for index, (part, _) in enumerate(parts)
    ]
    return pd.DataFrame(table_rows)[_columns()]


def with_fold_names(cases: pd.DataFrame, facts: Mapping[str, Any]) -> pd.DataFrame:
    """Return ``cases`` with a column of the name of each case's fold, if a case column makes the folds of the run.

    ``facts`` is the run's cases.json. The folds are then subgroups: hospitals that were left out, or blocks of time.
    """
    record = FoldRecord.of(facts)
    if not 0 < len(record.names) <= MAX_VALUES:
        return cases
    names = pd.Categorical.from_codes(cases["fold"].tolist(), categories=pd.Index(record.names))
    return cases.assign(**{f"{FOLD_KIND}{record.words}": names})


def too_few_for_auc(positives: int, rows: int) -> str:
    """Return the words for ``rows`` pictures with too few of a class for an AUC, with their counts; "" if they do."""
    if min(positives, rows - positives) >= MIN_CLASS_ROWS:
        return ""
    return f"too few for an AUC: {positives:,} malignant, {rows - positives:,} benign"


def list_groups(score: Floats, cases: pd.DataFrame, columns: Mapping[str, str] | None = None) -> list[Group]:
    """Return the subgroups of ``cases``, all rows first; all else, and the faults, are as in `subgroup_table`."""
    return list(_groups(_kinds(score, cases, columns), len(cases)))


def common_threshold(y: Floats, score: Floats, sensitivity: int = SENSITIVITY) -> float:
    """Return the highest threshold with at least ``sensitivity`` percent of the positives at or above it, or NaN."""
    positives = np.sort(score[y == 1])[::-1]
    count = -(-sensitivity * len(positives) // 100)  # rounded up, in whole numbers
    return float(positives[count - 1]) if len(positives) else float("nan")


def age_band(years: pd.Series) -> pd.Series:
    """Return the band of each age in ``years``: "under 30", "30-39", ... "70 and over"; missing stays missing."""
    inner = [f"{low}-{high - 1}" for low, high in pairwise(AGE_LIMITS)]
    labels = [f"under {AGE_LIMITS[0]}", *inner, f"{AGE_LIMITS[-1]} and over"]
    return pd.cut(years.astype(np.float64), [-np.inf, *AGE_LIMITS, np.inf], right=False, labels=labels)


def _kinds(score: Floats, cases: pd.DataFrame, columns: Mapping[str, str] | None) -> dict[str, pd.Series]:
    """Return the subgroup of each case, a categorical per kind; raise all faults together."""
    present = {kind: name for kind, name in COLUMNS.items() if name in cases}
    present |= {str(name): str(name) for name in cases if str(name).startswith(FOLD_KIND)}
    requested_columns = present if columns is None else columns
    faults = Faults()
    if np.isnan(score).all():
        faults.add("score: every row is NaN; at least one case must have a probability")
    if ((score < 0) | (score > 1)).any():
        limits = f"{np.nanmin(score):.4g} to {np.nanmax(score):.4g}"
        faults.add(f"score: found {limits}; subgroups need probabilities, which are between 0 and 1")
    names = [str(name) for name in cases.columns]
    for name in sorted(set(requested_columns.values()) - set(names)):
        faults.add(f"the cases have no column {name!r}; {did_you_mean(name, names)}")
    kinds = {kind: _values(kind, cases[name], faults) for kind, name in requested_columns.items() if name in cases}
    faults.raise_if_any("subgroups")
    return kinds


def _values(kind: str, column: pd.Series, faults: Faults) -> pd.Series:
    if kind == AGE:
        return age_band(_years(column, faults))
    values = column.astype("category")
    if len(values.cat.categories) > MAX_VALUES:
        count = len(values.cat.categories)
        faults.add(f"column {column.name!r} has {count} values; a column of subgroups must have at most {MAX_VALUES}")
    return values.cat.remove_unused_categories()


def _years(column: pd.Series, faults: Faults) -> pd.Series:
    years = pd.to_numeric(column, errors="coerce")
    invalid = column[years.isna() & column.notna()].unique()
    if len(invalid):
        faults.add(f"column {column.name!r} must hold ages in years; found {list_names(invalid)}")
    return years


def _groups(kinds: Mapping[str, pd.Series], count: int) -> Iterator[Group]:
    yield Group("all", "all", np.ones(count, dtype=np.bool_))
    for kind, values in kinds.items():
        yield from _groups_of_kind(kind, values)


def _groups_of_kind(kind: str, values: pd.Series) -> Iterator[Group]:
    codes = values.cat.codes.to_numpy()
    names = dict(enumerate(map(str, values.cat.categories))) | {-1: MISSING}
    for code, name in names.items():
        if (codes == code).any():
            yield Group(kind, name, codes == code)


class _Subgroup:
    """The rows of one subgroup, and their measures for any draw of patients."""

    def __init__(self, values: pd.DataFrame, draws: Draws, members: NDArray[np.bool_]) -> None:
        self._patient_of, self._patients = draws.patient_of[members], draws.patients
        y, score, is_malignant, weights = values[members].to_numpy(dtype=np.float64).T
        self._roc = PatientROC(y, score, self._patient_of, draws.patients)
        self._positives, self._negatives = self._sum_by_patient(y), self._sum_by_patient(1 - y)
        self._true_positives = self._sum_by_patient(y * is_malignant)
        self._true_negatives = self._sum_by_patient((1 - y) * (1 - is_malignant))
        self._weights, self._weighted_scores = self._sum_by_patient(weights), self._sum_by_patient(weights * score)
        self._weighted_positives = self._sum_by_patient(weights * y)

    def _sum_by_patient(self, values: Floats) -> Floats:
        return np.bincount(self._patient_of, weights=values, minlength=self._patients).astype(np.float64)

    def __call__(self, counts: Floats) -> Floats:
        positives, negatives = self._positives @ counts, self._negatives @ counts
        sensitivity = ratio(self._true_positives @ counts, positives)
        specificity = ratio(self._true_negatives @ counts, negatives)
        excess = ratio((self._weighted_scores - self._weighted_positives) @ counts, self._weights @ counts)
        return np.stack([self._roc(counts).area(), sensitivity, specificity, excess])

    def row(self, values: Floats) -> dict[str, object]:
        """Return this subgroup's table row from ``values`` (measures, 1 + replicates), the sample in column 0."""
        rows, positives = len(self._patient_of), round(self._positives.sum())
        row: dict[str, object] = {"rows": rows, "positives": positives}
        row |= {"patients": len(np.unique(self._patient_of)), "note": self._note()}
        weight = self._weights.sum()
        row |= {
            "mean_predicted": self._weighted_scores.sum() / weight,
            "prevalence": self._weighted_positives.sum() / weight,
        }
        for measure, replicates in zip(MEASURES, values, strict=True):
            interval = percentile_interval(replicates)
            if self._too_few_patients():
                interval = Interval(interval.value, float("nan"), float("nan"))
            if measure == "auc" and too_few_for_auc(positives, rows):
                interval = Interval(*[float("nan")] * 3)
            row |= {measure: interval.value, f"{measure}_low": interval.low, f"{measure}_high": interval.high}
        return row

    def _too_few_patients(self) -> dict[str, int]:
        with_positive = int((self._positives > 0).sum())
        with_negative = int((self._negatives > 0).sum())
        counts = {"with a positive": with_positive, "with a negative": with_negative}
        return {name: count for name, count in counts.items() if count < MIN_PATIENTS}

    def _note(self) -> str:
        classes = {"positive": self._positives, "negative": self._negatives}
        notes = [f"no {name}" for name, counts in classes.items() if not counts.any()]
        if few := too_few_for_auc(round(self._positives.sum()), len(self._patient_of)):
            notes.append(few)
        too_few = self._too_few_patients()
        notes += [
            f"{number_of(count, 'patient')} {name}, limits need {MIN_PATIENTS}" for name, count in too_few.items()
        ]
        return "; ".join(notes)


def _columns() -> list[str]:
    limits = {name: [name, f"{name}_low", f"{name}_high"] for name in MEASURES}
    first = ["kind", "value", "rows", "positives", "patients", *limits["auc"], "threshold"]
    rates = [*limits["sensitivity"], *limits["specificity"]]
    return [*first, *rates, "mean_predicted", "prevalence", *limits["excess"], "note"]
