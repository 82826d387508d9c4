"""Validate a bundle on a labelled data folder: predict, measure, write tables and a page, print what matters."""

from dataclasses import dataclass
from pathlib import Path

from features.folder.data_folder import DataFolder
from level2_stack.calibration.local_update import LocalUpdate
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import bundle_digest
from melstack.bundle.predicting import write_predictions
from melstack.bundle.updating import write_updated_bundle
from melstack.report.validation_page.page import write_page
from melstack.validation.cases import ValidationCases, predict_labelled_cases
from melstack.validation.drift import unusual_share
from melstack.validation.measures import Validation, validate_cases
from melstack.validation.skin_tone import estimate_skin_tones
from runtime.errors import InputFault
from runtime.files import check_writable, write_json, write_text
from runtime.plural import number_of
from runtime.progress import say


@dataclass(frozen=True)
class ValidationRequest:
    """What is validated on what: ``updated`` is the folder of a bundle with updated calibration, None: none."""

    bundle: Path
    data: Path
    out: Path
    mapping: Path | None = None
    foreign: Path | None = None
    updated: Path | None = None
    auc_width: float | None = None
    threads: int | None = None


def validate_folder(request: ValidationRequest) -> Validation:
    """Validate the bundle on the labelled cases of the data folder, and return the tables.

    Writes into ``request.out``: the tables as CSV, ``validation.json``, the predictions as `predict` writes them, and
    ``validation.html``. Raises InputFault, before it predicts anything, if a folder cannot be used.
    """
    check_writable(request.out)
    if request.foreign is not None and not request.foreign.is_dir():
        raise InputFault(f"{request.foreign}: no such folder; it holds <network>/test.csv of the other networks")
    data = DataFolder.open(request.data, request.mapping)
    bundle = Bundle.load(request.bundle, threads=request.threads)
    cases = predict_labelled_cases(bundle, data, request.foreign)
    for note in cases.notes:
        say(note)
    pictures = _pictures(cases, request.data)
    tones = None if cases.tone_columns or not pictures else estimate_skin_tones(pictures)
    validation = validate_cases(bundle, cases, tones, request.auc_width)
    _write_tables(validation, request, data)
    page = write_page(validation, bundle, request.data, request.out)
    for line in summary(validation):
        say(line)
    if request.updated is not None:
        _write_update(validation, request)
    say(f"validation: {page}")
    return validation


def _pictures(cases: ValidationCases, data: Path) -> dict[str, Path]:
    if "picture" not in cases.table:
        return {}
    return {str(name): data / str(picture) for name, picture in cases.table["picture"].dropna().items()}


def _write_tables(validation: Validation, request: ValidationRequest, data: DataFolder) -> None:
    for name, table in validation.tables().items():
        write_text(request.out / f"{name}.csv", table.to_csv(index=False))
    write_predictions(validation.cases.predictions, request.out, data.spellings)
    update, curve = validation.update, validation.calibration
    facts = {
        "bundle": bundle_digest(request.bundle),
        "data": request.data.name,
        "cases": len(validation.cases.table),
        "malignant": int(validation.cases.y.sum()),
        "patients": len(set(validation.cases.groups)),
        "unusual_pictures": _or_none(unusual_share(validation.cases.predictions.table["unusual"])),
        "calibration_distance": None if curve is None else curve.mean_distance,
        "update": None if update is None else update._asdict() | {"kind": update.kind},
        "notes": validation.cases.notes,
    }
    write_json(request.out / "validation.json", facts)


def summary(validation: Validation) -> list[str]:
    """Return the lines that the command prints: the cases, the AUC, calibration, decisions, drift and update."""
    cases, rows = validation.cases, validation.measures.set_index("metric")
    patients = number_of(len(set(cases.groups)), "patient")
    lines = [f"validated: {number_of(len(cases.table), 'case')} of {patients}, {int(cases.y.sum()):,} malignant"]
    auc = rows.loc["auc"]
    beside = ""
    if auc["run_value"] == auc["run_value"]:
        limits = f"[{auc['difference_low']:+.4f}, {auc['difference_high']:+.4f}]"
        beside = f"; out of fold in training {auc['run_value']:.4f}, difference {auc['difference']:+.4f} {limits}"
    lines.append(f"  AUC {_interval(auc, 4)}{beside}")
    calibration = {"slope": "slope", "in_the_large": "intercept at slope 1", "observed_expected": "observed / expected"}
    parts = [f"{words} {_interval(rows.loc[name], 2)}" for name, words in calibration.items()]
    lines.append(f"  calibration: {', '.join(parts)}")
    lines += [
        f"  at {row['name']} (threshold {row['threshold']:.4g}): sensitivity "
        f"{_interval(row, 3, 'sensitivity')}, specificity {_interval(row, 3, 'specificity')}"
        for row in validation.thresholds.to_dict("records")
    ]
    lines += _drift_lines(validation)
    return [*lines, f"  calibration update: {update_sentence(validation.update)}"]


def update_sentence(update: LocalUpdate | None) -> str:
    """Return what closed testing says about an update of the calibration."""
    if update is None:
        return "the cases do not determine one"
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


def _write_update(validation: Validation, request: ValidationRequest) -> None:
    update = validation.update
    if update is None or update.kind == "none":
        say(f"  {request.updated}: not written, because no update is supported by these cases")
        return
    if request.updated is not None:
        cases = f"{number_of(len(validation.cases.table), 'case')} of {request.data.resolve().name}"
        write_updated_bundle(request.bundle, update, cases, request.updated)
        say(f"  updated bundle: {request.updated}; validate it on other cases than these")


def _interval(row: object, digits: int, name: str = "") -> str:
    keys = (name, f"{name}_low", f"{name}_high") if name else ("value", "low", "high")
    value, low, high = (row[key] for key in keys)  # type: ignore[index]
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _or_none(value: float) -> float | None:
    return None if value != value else value
