"""The labelled cases of a validation, predicted by the bundle; cases that it was trained on are left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.cases.attach_pictures import picture_paths
from features.cases.labelled_cases import LabelledCases, read_labelled_cases
from features.folder.data_folder import DataFolder
from features.folder.notes import warning
from level2_stack.foreign.read import read_foreign_predictions
from melstack.bundle.loading import Bundle
from melstack.bundle.predictions import Predictions
from melstack.bundle.reference import is_training_name, is_training_patient
from runtime.errors import InputFault, list_names
from runtime.plural import number_of

Floats = NDArray[np.float64]
FLOW_COLUMNS = ["step", "cases", "malignant", "patients"]
# A training picture, also compressed again, lies this much nearer to the training pictures than they to each other.
SAME_PICTURE = 0.1  # of the median distance of a training picture to the nearest one of another patient
ANOTHER_PICTURE = 0.5  # of the training pictures have a nearer neighbour: a picture with the same name is another one


@dataclass(frozen=True)
class ValidationCases:
    """The m cases that are validated, and the steps by which they were chosen.

    ``table`` has target, patient_id, metadata and picture; ``predictions`` are those of the bundle for the same rows,
    ``flow`` has the columns `FLOW_COLUMNS`.
    """

    table: pd.DataFrame
    predictions: Predictions
    flow: pd.DataFrame
    notes: list[str]
    has_patients: bool
    tone_columns: tuple[str, ...] = ()  # of the table, with the skin tone

    @property
    def y(self) -> Floats:
        """Return the target, (m,) in 0/1."""
        return self.table["target"].to_numpy(np.float64)

    @property
    def groups(self) -> NDArray[np.object_]:
        """Return the patients, (m,)."""
        return self.table["patient_id"].to_numpy(dtype=object)

    @property
    def probability(self) -> Floats:
        """Return the bundle's probabilities, (m,)."""
        return self.predictions.table["probability"].to_numpy(np.float64)


def predict_labelled_cases(bundle: Bundle, data: DataFolder, foreign: Path | None) -> ValidationCases:
    """Return the labelled cases of ``data`` with their predictions, without the training cases of ``bundle``.

    ``foreign`` holds <network>/test.csv of the networks that the bundle lacks. Raises InputFault as
    `read_labelled_cases`, `read_foreign_predictions` and `Bundle.predict` do, and if no case or only one class is left.
    """
    source = read_labelled_cases(data, list(bundle.manifest.metadata))
    _note_missing_columns(source.table, bundle, data)
    cases = source.table.drop(columns="target")
    pictures = picture_paths(cases, data.path)
    foreign_tables: Mapping[str, pd.DataFrame] = {}
    if foreign is not None:
        foreign_tables = read_foreign_predictions(foreign, bundle.foreign_networks, cases, data.notes)
    predictions = bundle.predict_valid_cases(cases, pictures, foreign_tables)
    is_training = _is_training_case(bundle, predictions, source.table.index)
    table = source.table[~is_training]
    _check_classes(table, data, int(is_training.sum()))
    _note_training_patients(table, bundle, data.notes, has_patients=source.has_patients)
    flow = _flow(source, is_training)
    selection = predictions.of_rows(~is_training)
    return ValidationCases(table, selection, flow, data.notes, source.has_patients, source.tones)


def _note_missing_columns(table: pd.DataFrame, bundle: Bundle, data: DataFolder) -> None:
    missing = [name for name in bundle.manifest.metadata if name not in table or table[name].isna().all()]
    if missing:
        text = f"{data.path}: no values of {list_names(missing)}, which the bundle uses: they are missing in every case"
        data.notes.append(warning(text))


def _is_training_case(bundle: Bundle, predictions: Predictions, names: pd.Index) -> NDArray[np.bool_]:
    """Return which cases are training cases of ``bundle``: the same picture, or the same name and no other picture."""
    nearest, unusual = predictions.nearest.to_numpy(), predictions.table["unusual"].to_numpy()
    same_picture = nearest < SAME_PICTURE * bundle.typical_distance
    return np.asarray(same_picture | (is_training_name(bundle.folder, names) & ~(unusual > ANOTHER_PICTURE)))


def _check_classes(table: pd.DataFrame, data: DataFolder, training: int) -> None:
    left_out = f"; {number_of(training, 'training case')} of the bundle left out" if training else ""
    if table.empty:
        raise InputFault(f"{data.path}: every case is a training case of the bundle; validate it on other cases")
    if table["target"].nunique() < 2:
        only_class = "malignant" if table["target"].iloc[0] == 1 else "benign"
        raise InputFault(f"{data.path}: all {len(table):,} cases are {only_class}{left_out}; both classes are needed")


def _note_training_patients(table: pd.DataFrame, bundle: Bundle, notes: list[str], *, has_patients: bool) -> None:
    if not has_patients:
        notes.append(
            warning("no patients: every case counts as a patient of its own, so intervals are too narrow if it is not")
        )
        return
    patients = table["patient_id"].drop_duplicates()
    same = patients[is_training_patient(bundle.folder, pd.Index(patients))]
    if len(same):
        notes.append(
            warning(
                f"patients with the id of a training patient: {list_names(same)}; if they are the same people, these "
                "cases are not independent of the training"
            )
        )


def _flow(source: LabelledCases, is_training: NDArray[np.bool_]) -> pd.DataFrame:
    table = source.table
    steps: list[tuple[str, int, int | None, int | None]] = [("rows of the table", source.rows, None, None)]
    if len(table) < source.rows:
        steps.append(("left out: no target, or a value that the mapping drops", source.rows - len(table), None, None))
    steps.append(("labelled cases", *_counts(table)))
    if is_training.any():
        steps.append(("left out: training cases of the bundle", *_counts(table[is_training])))
    steps.append(("validated cases", *_counts(table[~is_training])))
    return pd.DataFrame(steps, columns=FLOW_COLUMNS).astype({"malignant": "Int64", "patients": "Int64"})


def _counts(table: pd.DataFrame) -> tuple[int, int, int]:
    return len(table), int(table["target"].sum()), int(table["patient_id"].nunique())
