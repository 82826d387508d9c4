"""Validate a bundle on a labelled data folder: predict, measure, write tables and a page, print what matters."""

from dataclasses import dataclass
from pathlib import Path

from features.cases.attach_pictures import picture_paths
from features.folder.data_folder import DataFolder
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import bundle_digest
from melstack.bundle.predicting import check_foreign_folder, write_predictions
from melstack.bundle.updating import write_updated_bundle
from melstack.report.validation_page.page import write_page
from melstack.validation.cases import predict_labelled_cases
from melstack.validation.drift import unusual_share
from melstack.validation.measures import Validation, validate_cases
from melstack.validation.skin_tone import estimate_skin_tones
from melstack.validation.summary import summary
from runtime.files import check_writable, write_json, write_text
from runtime.plural import number_of
from runtime.progress import say, warn


@dataclass(frozen=True)
class ValidationRequest:
    """What is validated on what: ``update`` is the folder of a bundle with updated calibration, None: none."""

    bundle: Path
    data: Path
    out: Path
    mapping: Path | None = None
    foreign: Path | None = None
    update: Path | None = None
    auc_width: float | None = None
    threads: int | None = None


def validate_folder(request: ValidationRequest) -> Validation:
    """Validate the bundle on the labelled cases of the data folder, and return the tables.

    Writes into ``request.out``: the tables as CSV, ``validation.json``, the predictions as `predict` writes them, and
    ``validation.html``. Raises InputFault, before it predicts anything, if a folder cannot be used.
    """
    check_writable(request.out)
    check_foreign_folder(request.foreign)
    data = DataFolder.open(request.data, request.mapping)
    bundle = Bundle.load(request.bundle, threads=request.threads)
    cases = predict_labelled_cases(bundle, data, request.foreign)
    for note in cases.notes:
        say(note)
    pictures = picture_paths(cases.table, request.data)
    tones = None if cases.tone_columns or not pictures else estimate_skin_tones(pictures)
    validation = validate_cases(bundle, cases, tones, request.auc_width)
    _write_tables(validation, request, data)
    page = write_page(validation, bundle, request.data, request.out)
    for caution in validation.cautions:
        warn(caution)
    for line in summary(validation):
        say(line)
    if request.update is not None:
        _write_update(validation, request)
    say(f"validation: {page}")
    return validation


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
        "cautions": validation.cautions,
    }
    write_json(request.out / "validation.json", facts)


def _write_update(validation: Validation, request: ValidationRequest) -> None:
    update = validation.update
    if update is None or update.kind == "none":
        say(f"  {request.update}: not written, because no update is supported by these cases")
        return
    if request.update is not None:
        cases = f"{number_of(len(validation.cases.table), 'case')} of {request.data.resolve().name}"
        write_updated_bundle(request.bundle, update, cases, request.update)
        say(f"  updated bundle: {request.update}; validate it on other cases than these")


def _or_none(value: float) -> float | None:
    return None if value != value else value
