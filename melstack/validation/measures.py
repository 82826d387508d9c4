"""Everything that a validation measures, as tables: performance, decisions, subgroups, drift, hardest errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from level2_stack.calibration.local_update import LocalUpdate, choose_update
from level2_stack.calibration.reliability import reliability_curve
from level2_stack.evaluation.at_thresholds import decision_measures, measures_at_thresholds
from level2_stack.evaluation.auc import LEVEL, Floats
from level2_stack.evaluation.smooth_calibration import SmoothCalibration, smooth_calibration
from level2_stack.evaluation.subgroups import COLUMNS as SUBGROUPS
from level2_stack.evaluation.subgroups import subgroup_table
from level2_stack.thresholds.operating_point import OperatingPoint, point_of_subgroups
from melstack.bundle.loading import Bundle
from melstack.bundle.reference import Reference, measure_probabilities, read_training_reference
from melstack.validation.cases import ValidationCases
from melstack.validation.cautions import cautions, has_few_patients, is_below_chance, without_limits
from melstack.validation.drift import drift_table
from melstack.validation.precision import precision_table
from melstack.validation.skin_tone import KIND as TONE

WIDTH = 2 * float(norm.ppf((1 + LEVEL) / 2))  # of a normal 95 % interval, in standard errors
DECISION_STEPS = 40
HARDEST = 8  # of each class
COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


@dataclass(frozen=True)
class Validation:
    """The tables of a validation; ``reference`` is what the bundle remembers of its run, None in older bundles."""

    cases: ValidationCases
    reference: Reference | None
    measures: pd.DataFrame
    thresholds: pd.DataFrame
    calibration: SmoothCalibration | None
    reliability: pd.DataFrame
    decision_curve: pd.DataFrame
    subgroups: pd.DataFrame
    drift: pd.DataFrame
    errors: pd.DataFrame
    precision: pd.DataFrame
    update: LocalUpdate | None
    cautions: list[str]

    @property
    def is_below_chance(self) -> bool:
        """Whether the AUC is below chance, so that no update of the calibration makes sense."""
        return is_below_chance(self.measures)

    def tables(self) -> dict[str, pd.DataFrame]:
        """Return name -> table, as they are written as CSV."""
        tables = {
            "flow": self.cases.flow,
            "measures": self.measures,
            "thresholds": self.thresholds,
            "reliability": self.reliability,
            "decision_curve": self.decision_curve,
            "subgroups": self.subgroups,
            "drift": self.drift,
            "errors": self.errors,
            "precision": self.precision,
        }
        return tables | ({} if self.calibration is None else {"calibration_curve": self.calibration.curve})


def validate_cases(
    bundle: Bundle, cases: ValidationCases, tones: pd.Series | None = None, auc_width: float | None = None
) -> Validation:
    """Return the validation of ``bundle`` on ``cases``; every interval is at 95 %, patients resampled.

    ``tones`` are estimates of the skin tone by image_name, which become subgroups. ``auc_width`` is the wished-for
    width of the interval of the AUC. With few patients intervals are left out.
    """
    y, p, groups, reference = cases.y, cases.probability, cases.groups, read_training_reference(bundle.folder)
    limit = without_limits if has_few_patients(cases) else pd.DataFrame.copy
    measures = limit(measure_probabilities(y, pd.Series(p, index=cases.table.index), groups))
    calibration = smooth_calibration(y, p, groups)
    return Validation(
        cases=cases,
        reference=reference,
        measures=beside_reference(measures, reference),
        thresholds=limit(threshold_table(y, p, groups, bundle.operating_points)),
        calibration=None if calibration is None else calibration._replace(curve=limit(calibration.curve)),
        reliability=reliability_curve(y, p),
        decision_curve=limit(decision_curve(y, p, groups)),
        subgroups=subgroups_beside_reference(cases, tones, reference, bundle.operating_points),
        drift=_drift(reference, cases),
        errors=hardest_errors(cases),
        precision=precision_table(measures, len(y), int(y.sum()), auc_width),
        update=None if is_below_chance(measures) else choose_update(y, p, groups),
        cautions=cautions(cases, measures),
    )


def beside_reference(measures: pd.DataFrame, reference: Reference | None) -> pd.DataFrame:
    """Return ``measures`` (metric, value, low, high) with those of the run, and the difference with its limits.

    Added columns: ``run_value, run_low, run_high, difference, difference_low, difference_high``. The cases are
    independent of each other, so the variance of the difference is the sum of both, each from the width of its
    interval.
    """
    estimates = {} if reference is None else reference.measures
    rows = []
    for row in measures.to_dict("records"):
        estimate = estimates.get(row["metric"])
        run = {f"run_{name}": _number(getattr(estimate, name, None)) for name in ("value", "low", "high")}
        rows.append(row | run | _difference(row, run))
    return pd.DataFrame(rows)


def _difference(here: Mapping[Any, Any], run: Mapping[str, float]) -> dict[str, float]:
    difference = here["value"] - run["run_value"]
    errors = ((here["high"] - here["low"]) / WIDTH, (run["run_high"] - run["run_low"]) / WIDTH)
    reach = WIDTH / 2 * float(np.hypot(*errors))
    limits = {"difference_low": difference - reach, "difference_high": difference + reach}
    return {"difference": difference, **limits}


def threshold_table(
    y: Floats, p: Floats, groups: NDArray[np.object_], points: Sequence[OperatingPoint]
) -> pd.DataFrame:
    """Return one row per operating point of the bundle, whose threshold was fixed before these cases were seen.

    Columns: ``name, threshold``, the counts ``true_positives`` and so on, every measure of `decision_measures` with
    ``_low`` and ``_high``, and ``run_sensitivity`` and so on, what the training run measured on its outer folds.
    """
    rows = []
    for point in points:
        is_malignant = point.is_malignant(p)
        counts = [((y == truth) & (is_malignant == decision)).sum() for truth, decision in _OUTCOMES]
        row: dict[str, object] = {"name": point.name, "threshold": point.threshold}
        row |= dict(zip(COUNTS, map(int, counts), strict=True))
        for name, interval in decision_measures(y, is_malignant, groups, point.threshold).items():
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        row |= {
            f"run_{name}": _number(point.measures[name].value) for name in ("sensitivity", "specificity", "ppv", "npv")
        }
        rows.append(row)
    return pd.DataFrame(rows)


_OUTCOMES = ((1, True), (0, True), (0, False), (1, False))  # in the order of COUNTS


def decision_curve(y: Floats, p: Floats, groups: NDArray[np.object_]) -> pd.DataFrame:
    """Return the net benefit per case over thresholds up to four times the share of positives, with 95 % limits.

    Columns: ``threshold``; ``net_benefit`` of the bundle and ``benefit_over_all``, the net benefit minus that of
    predicting every case malignant, each with ``_low, _high``; ``all``, the net benefit of predicting every case
    malignant (Vickers & Elkin 2006). That of predicting none malignant is 0.
    """
    share = float(y.mean())
    thresholds = np.linspace(0, min(0.95, max(4 * share, 0.05)), DECISION_STEPS)
    table = measures_at_thresholds(y, p, groups, thresholds)
    columns = [f"{name}{end}" for name in ("net_benefit", "benefit_over_all") for end in ("", "_low", "_high")]
    return table[["threshold", *columns]].assign(all=share - (1 - share) * thresholds / (1 - thresholds))


def subgroups_beside_reference(
    cases: ValidationCases,
    tones: pd.Series | None,
    reference: Reference | None,
    points: Sequence[OperatingPoint],
) -> pd.DataFrame:
    """Return the table of subgroups, with ``run_auc``, the AUC of the same subgroup in the training run.

    Their sensitivity and specificity are at the one of ``points`` at which the run compares its subgroups.
    """
    table, columns = cases.table, {kind: name for kind, name in SUBGROUPS.items() if name in cases.table}
    columns |= {name: name for name in cases.tone_columns}
    if tones is not None:
        table, columns = table.assign(**{TONE: tones.reindex(table.index)}), columns | {TONE: TONE}
    columns = {kind: name for kind, name in columns.items() if table[name].notna().any()}
    threshold = point_of_subgroups(points).threshold if points else None
    subgroups = subgroup_table(cases.y, cases.probability, cases.groups, table, columns=columns, threshold=threshold)
    of_run = {} if reference is None else {(row["kind"], row["value"]): row["auc"] for row in reference.subgroups}
    auc = [_number(of_run.get((row["kind"], row["value"]))) for row in subgroups.to_dict("records")]
    return subgroups.assign(run_auc=auc)


def _drift(reference: Reference | None, cases: ValidationCases) -> pd.DataFrame:
    columns = {} if reference is None else reference.columns
    return drift_table(columns, 0 if reference is None else reference.rows, cases.predictions.inputs)


def hardest_errors(cases: ValidationCases) -> pd.DataFrame:
    """Return the malignant cases with the lowest and the benign ones with the highest probability, hardest first.

    Columns: ``image_name, target, probability, patient_id``, and ``notices``, how the case differs from the training
    cases.
    """
    table = cases.table[["target", "patient_id"]].assign(probability=cases.probability)
    malignant = table[table["target"] == 1].nsmallest(HARDEST, "probability")
    benign = table[table["target"] == 0].nlargest(HARDEST, "probability")
    errors = pd.concat([malignant, benign])
    notices = ["; ".join(cases.predictions.notices.get(str(name), ())) for name in errors.index]
    return errors.assign(notices=notices).reset_index(names="image_name")


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
