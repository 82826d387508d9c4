"""For whom a score works: AUC, one working point and calibration by sex, age and site, with intervals."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.evaluation.auc import Draws, Floats, Interval, PatientROC, percentile_interval, ratio, replicate
from runtime.errors import Faults, did_you_mean, list_names

AGE = "age"  # the kind whose column holds years, which are put into bands
COLUMNS = {"sex": "sex", AGE: "age_approx", "site": "anatom_site_general_challenge"}  # kind -> case column
AGE_LIMITS = (30, 40, 50, 60, 70)  # a band holds its lower limit: 30-39, and 70 is "70 and over"
MISSING = "missing"
MOST_VALUES = 50  # of one column: more are a measurement, not subgroups
FEWEST = 10  # patients of a class: with fewer the replicates repeat the same few, and limits look surer than they are
SENSITIVITY = 90  # percent, of the common threshold
MEASURES = ("auc", "sensitivity", "specificity", "excess")


class _Group(NamedTuple):
    kind: str
    value: str
    members: NDArray[np.bool_]


def subgroup_table(
    y: Floats,
    score: Floats,
    groups: NDArray[np.object_],
    cases: pd.DataFrame,
    *,
    columns: Mapping[str, str] | None = None,
    replicates: int = 500,
    seed: int = 0,
) -> pd.DataFrame:
    """Return one row per subgroup, all rows first: how well probabilities rank, decide and are calibrated in it.

    ``y`` (n,) is 0/1, ``score`` (n,) probabilities, ``groups`` (n,) the patients, ``cases`` n rows in the same order.
    ``columns`` maps a kind to the case column it is read from, {"sex": "gender", "skin": "fitzpatrick"}; by default
    those of `COLUMNS` that ``cases`` has. The kind "age" is taken as years and banded by `AGE_LIMITS`; every other
    column is taken as it is, at most `MOST_VALUES` values. Cases without a value are the subgroup "missing". Rows
    whose score is NaN are left out throughout.

    Columns of the table: ``kind, value, rows, positives, patients``; ``auc``; ``threshold``, ONE for all: the highest
    at which at least 90 % of all positives are called (score at or above it); ``sensitivity`` and ``specificity`` at
    it; ``mean_predicted`` and ``prevalence``, and ``excess``, the first minus the second. `auc`, `sensitivity`,
    `specificity` and `excess` have ``_low`` and ``_high``: 95 % percentile limits, the patients of the whole table
    resampled, the threshold held. ``note`` says why a number is NaN: no row of a class, or, for the limits, fewer than
    `FEWEST` patients with a positive, or with a negative; no subgroup is dropped.

    Raises InputFault for a column that is not there, a kind "age" that is not years, a column with too many values,
    scores outside 0 to 1 or all NaN.
    """
    kinds = _kinds(score, cases, columns)
    kept = ~np.isnan(score)
    y, score, groups = y[kept], score[kept], groups[kept]
    draws = Draws(groups, replicates=replicates, seed=seed)
    threshold = common_threshold(y, score)
    parts = list(_groups({kind: values[kept] for kind, values in kinds.items()}, len(y)))
    found = {at: _Subgroup(y, score, score >= threshold, draws, group.members) for at, group in enumerate(parts)}
    drawn = replicate(found, draws, cells=2 * int(y.sum()) + 1)
    rows = [
        {"kind": group.kind, "value": group.value, "threshold": threshold, **found[at].row(drawn[at])}
        for at, group in enumerate(parts)
    ]
    return pd.DataFrame(rows)[_ordered()]


def common_threshold(y: Floats, score: Floats, sensitivity: int = SENSITIVITY) -> float:
    """Return the highest threshold at which ``sensitivity`` percent of the positives score at or above; or NaN."""
    positives = np.sort(score[y == 1])[::-1]
    needed = -(-sensitivity * len(positives) // 100)  # rounded up, in whole numbers
    return float(positives[needed - 1]) if len(positives) else float("nan")


def age_band(years: pd.Series) -> pd.Series:
    """Return the band of each age in ``years``: "under 30", "30-39", ... "70 and over"; missing stays missing."""
    inner = [f"{low}-{high - 1}" for low, high in pairwise(AGE_LIMITS)]
    labels = [f"under {AGE_LIMITS[0]}", *inner, f"{AGE_LIMITS[-1]} and over"]
    return pd.cut(years.astype(np.float64), [-np.inf, *AGE_LIMITS, np.inf], right=False, labels=labels)


def _kinds(score: Floats, cases: pd.DataFrame, columns: Mapping[str, str] | None) -> dict[str, pd.Series]:
    """Return the subgroup of each case, a categorical per kind; raise what is wrong, together."""
    present = {kind: name for kind, name in COLUMNS.items() if name in cases}
    asked = present if columns is None else columns
    faults = Faults()
    if np.isnan(score).all():
        faults.add("score: every row is NaN; at least one case must have a probability")
    if ((score < 0) | (score > 1)).any():
        limits = f"{np.nanmin(score):.4g} to {np.nanmax(score):.4g}"
        faults.add(f"score: found {limits}; subgroups compare probabilities, which lie between 0 and 1")
    known = [str(name) for name in cases.columns]
    for name in sorted(set(asked.values()) - set(known)):
        faults.add(f"the cases have no column {name!r}; {did_you_mean(name, known)}")
    found = {kind: _values(kind, cases[name], faults) for kind, name in asked.items() if name in cases}
    faults.raise_if_any("subgroups")
    return found


def _values(kind: str, given: pd.Series, faults: Faults) -> pd.Series:
    if kind == AGE:
        return age_band(_years(given, faults))
    values = given.astype("category")
    if len(values.cat.categories) > MOST_VALUES:
        count = len(values.cat.categories)
        faults.add(f"column {given.name!r} has {count} values; a column of subgroups has at most {MOST_VALUES}")
    return values.cat.remove_unused_categories()


def _years(given: pd.Series, faults: Faults) -> pd.Series:
    years = pd.to_numeric(given, errors="coerce")
    strange = given[years.isna() & given.notna()].unique()
    if len(strange):
        faults.add(f"column {given.name!r} should hold ages in years; found {list_names(strange)}")
    return years


def _groups(kinds: Mapping[str, pd.Series], count: int) -> Iterator[_Group]:
    yield _Group("all", "all", np.ones(count, dtype=np.bool_))
    for kind, values in kinds.items():
        yield from _of_kind(kind, values)


def _of_kind(kind: str, values: pd.Series) -> Iterator[_Group]:
    codes = values.cat.codes.to_numpy()
    names = dict(enumerate(map(str, values.cat.categories))) | {-1: MISSING}
    for code, name in names.items():
        if (codes == code).any():
            yield _Group(kind, name, codes == code)


class _Subgroup:
    """The rows of one subgroup: its measures for the patients drawn."""

    def __init__(
        self, y: Floats, score: Floats, called: NDArray[np.bool_], draws: Draws, members: NDArray[np.bool_]
    ) -> None:
        self._patient_of, self._patients = draws.patient_of[members], draws.patients
        y, score, called = y[members], score[members], called[members]
        self._roc = PatientROC(y, score, self._patient_of, draws.patients)
        self._positive, self._negative = self._summed(y), self._summed(1 - y)
        self._caught, self._spared = self._summed(y * called), self._summed((1 - y) * ~called)
        self._predicted = self._summed(score)

    def _summed(self, values: Floats) -> Floats:
        return np.bincount(self._patient_of, weights=values, minlength=self._patients).astype(np.float64)

    def __call__(self, counts: Floats) -> Floats:
        positive, negative = self._positive @ counts, self._negative @ counts
        sensitivity = ratio(self._caught @ counts, positive)
        specificity = ratio(self._spared @ counts, negative)
        excess = ratio(self._predicted @ counts - positive, positive + negative)
        return np.stack([self._roc(counts).area(), sensitivity, specificity, excess])

    def row(self, found: Floats) -> dict[str, object]:
        """Return this subgroup's row of the table from its measures, of the sample and of the replicates."""
        rows, positives = len(self._patient_of), round(self._positive.sum())
        row: dict[str, object] = {"rows": rows, "positives": positives}
        row |= {"patients": len(np.unique(self._patient_of)), "note": self._note()}
        row |= {"mean_predicted": self._predicted.sum() / rows, "prevalence": positives / rows}
        for measure, values in zip(MEASURES, found, strict=True):
            limits = percentile_interval(values)
            shown = Interval(limits.value, float("nan"), float("nan")) if self._few() else limits
            row |= {measure: shown.value, f"{measure}_low": shown.low, f"{measure}_high": shown.high}
        return row

    def _few(self) -> dict[str, int]:
        with_positive = int((self._positive > 0).sum())
        with_negative = int((self._negative > 0).sum())
        counts = {"with a positive": with_positive, "with a negative": with_negative}
        return {name: count for name, count in counts.items() if count < FEWEST}

    def _note(self) -> str:
        lacking = {"positive": self._positive, "negative": self._negative}
        said = [f"no {name}" for name, counted in lacking.items() if not counted.any()]
        said += [f"{count} patient(s) {name}, limits need {FEWEST}" for name, count in self._few().items()]
        return "; ".join(said)


def _ordered() -> list[str]:
    measured = {name: [name, f"{name}_low", f"{name}_high"] for name in MEASURES}
    leading = ["kind", "value", "rows", "positives", "patients", *measured["auc"], "threshold"]
    decided = [*measured["sensitivity"], *measured["specificity"]]
    return [*leading, *decided, "mean_predicted", "prevalence", *measured["excess"], "note"]
