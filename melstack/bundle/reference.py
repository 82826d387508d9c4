"""What a bundle remembers of its run, to be compared with new labelled cases: measures, column values, cases' names."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from level2_stack.calibration.calibrate import shift_prior
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import Interval
from level2_stack.evaluation.frozen_probabilities import calibration_measures
from level2_stack.evaluation.metrics import CURVE_METRICS, clinical_metrics
from level2_stack.evaluation.subgroups import subgroup_table
from level2_stack.thresholds.operating_point import Measure
from runtime.files import read_arrays, read_json, write_arrays, write_json
from runtime.settings import Settings, check_settings

FILE, NAMES = "training.json", "training_names.npz"
QUANTILES = tuple(np.round(np.linspace(0, 1, 101), 2).tolist())
DISCRIMINATION = ("auc", "auc_delong", *(name for name in CURVE_METRICS if name != "auc"))
SUBGROUP_COLUMNS = ("kind", "value", "rows", "positives", "auc", "auc_low", "auc_high")


class ColumnValues(Settings):
    """The values of a column of level two in the training cases: 101 quantiles of a number, the shares of texts."""

    missing: float
    quantiles: tuple[float, ...] = ()
    shares: Mapping[str, float] = Field(default_factory=dict)


class Reference(Settings):
    """The content of ``training.json``; ``subgroups`` are rows with the keys `SUBGROUP_COLUMNS`."""

    rows: int
    positives: int
    patients: int
    measures: dict[str, Measure]
    subgroups: tuple[dict[str, Any], ...]
    columns: dict[str, ColumnValues]


def measure_probabilities(y: NDArray[np.float64], probability: pd.Series, groups: NDArray[np.object_]) -> pd.DataFrame:
    """Return the measures of frozen probabilities, a row per ``metric`` with ``value, low, high``.

    ``y`` (n,) is 0/1, ``probability`` n rows in the same order, ``groups`` (n,) the patients. The first rows are those
    of `clinical_metrics` that belong to the ROC or precision-recall curve, then come those of `calibration_measures`.
    """
    table = clinical_metrics(y, probability.to_frame("model"), groups)
    columns = ["metric", "value", "low", "high"]
    curves = table.loc[table["metric"].isin(DISCRIMINATION), columns]
    calibration = calibration_measures(y, probability.to_numpy(np.float64), groups)
    return pd.concat([curves, calibration[columns]], ignore_index=True)


def write_training_reference(
    folder: Path, design: Design, probability: pd.Series, prevalence: float | None, cases: pd.DataFrame
) -> None:
    """Write what the out-of-fold rows of ``design`` say into ``folder``, without a row of a single case.

    ``probability`` are the out-of-fold probabilities for the deployment ``prevalence``; their measures are those at the
    prevalence of the rows, to which they are moved back. Of the cases' names only 64-bit digests are written.
    """
    index = design.train.index
    values = probability.loc[index].to_numpy(np.float64)
    if prevalence is not None:
        values = shift_prior(values, prevalence, float(design.y.mean()))
    measures = measure_probabilities(design.y, pd.Series(values, index=index), design.groups)
    subgroups = subgroup_table(design.y, values, design.groups, cases.loc[index])
    rows = [{str(key): _finite(value) for key, value in row.items()} for row in subgroups.to_dict("records")]
    reference = Reference(
        rows=len(index),
        positives=int(design.y.sum()),
        patients=len(set(design.groups)),
        measures={
            str(row["metric"]): Measure.of(Interval(row["value"], row["low"], row["high"]))
            for row in measures.to_dict("records")
        },
        subgroups=tuple({key: row[key] for key in SUBGROUP_COLUMNS} for row in rows),
        columns={str(name): summarise_column(values) for name, values in design.train.items()},
    )
    write_json(folder / FILE, reference.model_dump(mode="json"))
    names = {"names": index, "patients": pd.Index(design.groups).unique()}
    write_arrays(folder / NAMES, {name: digests_of_names(values) for name, values in names.items()})


def read_training_reference(folder: Path) -> Reference | None:
    """Return the reference of the bundle in ``folder``; None if an earlier version wrote the bundle without one."""
    path = folder / FILE
    return check_settings(read_json(path), Reference, str(path)) if path.is_file() else None


def is_training_name(folder: Path, names: pd.Index) -> NDArray[np.bool_]:
    """Return which of ``names`` (n,) are names of training cases of the bundle in ``folder``, (n,)."""
    return _is_in_training(folder, "names", names)


def is_training_patient(folder: Path, patients: pd.Index) -> NDArray[np.bool_]:
    """Return which of ``patients`` (n,) have the id of a training patient of the bundle in ``folder``, (n,)."""
    return _is_in_training(folder, "patients", patients)


def _is_in_training(folder: Path, kind: str, names: pd.Index) -> NDArray[np.bool_]:
    if not (folder / NAMES).is_file():
        return np.zeros(len(names), np.bool_)
    return np.asarray(np.isin(digests_of_names(names), read_arrays(folder / NAMES, kind)[kind]))


def digests_of_names(names: Iterable[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of the SHA-256 of every name, (n,)."""
    digests = (hashlib.sha256(str(name).encode()).digest()[:8] for name in names)
    return np.array([int.from_bytes(digest, "big") for digest in digests], np.uint64)


def summarise_column(values: pd.Series) -> ColumnValues:
    """Return the distribution of ``values`` (n,) without any single value but the extremes."""
    present = values.dropna()
    missing = float(values.isna().mean()) if len(values) else 0.0
    if isinstance(values.dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(values):
        shares = present.astype(str).value_counts(normalize=True)
        return ColumnValues(missing=missing, shares={str(key): float(share) for key, share in shares.items()})
    numbers = present.to_numpy(np.float64)
    quantiles = np.quantile(numbers, QUANTILES) if len(numbers) else np.zeros(0)
    return ColumnValues(missing=missing, quantiles=tuple(map(float, quantiles)))


def _finite(value: Any) -> Any:  # noqa: ANN401  a cell of a table
    """Return ``value``, with None for NaN and a Python number for one of numpy."""
    if isinstance(value, Mapping) or value is None:
        return value
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
