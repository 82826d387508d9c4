"""The lines that a validation prints: cases, AUC, calibration, decisions, drift and update."""

from collections.abc import Mapping
from typing import Any

from level2_stack.evaluation.subgroups import MIN_PATIENTS
from melstack.validation.drift import unusual_share
from melstack.validation.measures import Validation
from runtime.plural import number_of


def summary(validation: Validation) -> list[str]:
    """Return the lines that the command prints: the cases, the AUC, calibration, decisions, drift and update."""
    cases, rows = validation.cases, validation.measures.set_index("metric")
    patients = number_of(len(set(cases.groups)), "patient")
    lines = [f"validated: {number_of(len(cases.table), 'case')} of {patients}, {int(cases.y.sum()):,} malignant"]
    auc = rows.loc["auc"].to_dict()
    beside = ""
    if auc["run_value"] == auc["run_value"]:
        low, high = auc["difference_low"], auc["difference_high"]
        limits = f" [{low:+.4f}, {high:+.4f}]" if low == low else ""
        beside = f"; out of fold in training {auc['run_value']:.4f}, difference {auc['difference']:+.4f}{limits}"
    lines.append(f"  AUC {_interval(auc, 4)}{beside}")
    calibration = {"slope": "slope", "in_the_large": "intercept at slope 1", "observed_expected": "observed / expected"}
    parts = [f"{words} {_interval(rows.loc[name].to_dict(), 2)}" for name, words in calibration.items()]
    lines.append(f"  calibration: {', '.join(parts)}")
    lines += [
        f"  at {row['name']} (threshold {row['threshold']:.4g}): sensitivity "
        f"{_interval(row, 3, 'sensitivity')}, specificity {_interval(row, 3, 'specificity')}"
        for row in validation.thresholds.to_dict("records")
    ]
    lines += _drift_lines(validation)
    return [*lines, f"  calibration update: {update_sentence(validation)}"]


def update_sentence(validation: Validation) -> str:
    """Return what closed testing says about an update of the calibration."""
    update = validation.update
    if validation.is_below_chance:
        return "none, because the AUC is below chance"
    if update is None:
        return (
            "the cases do not determine one, which takes at least "
            f"{MIN_PATIENTS} patients with a malignant picture and {MIN_PATIENTS} with a benign one"
        )
    tests = f"intercept and slope together p = {update.p_any:.2g}, slope p = {update.p_slope:.2g}"
    if update.kind == "none":
        return f"none is supported by these cases ({tests})"
    return f"{update.kind}: log odds = {update.intercept:+.3f} + {update.slope:.3f} x log odds ({tests})"


def _drift_lines(validation: Validation) -> list[str]:
    drift, share = validation.drift, unusual_share(validation.cases.predictions.table["unusual"])
    parts = []
    if len(drift):
        parts.append(f"{int(drift['drifts'].sum())} of {len(drift)} columns differ from the training cases")
    if share == share:
        parts.append(f"{100 * share:.0f} % of the pictures are farther from the training pictures than 95 % of these")
    return [f"  drift: {'; '.join(parts)}"] if parts else []


def _interval(row: Mapping[Any, Any], digits: int, name: str = "") -> str:
    keys = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    value, low, high = (row[key] for key in keys)
    return f"{value:.{digits}f}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if low == low else "")
