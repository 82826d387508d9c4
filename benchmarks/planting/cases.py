"""Leaks through the division of the cases: a test patient in training, ids that betray the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd

from benchmarks.planting.source import Source

LeakyTables = tuple[Source, tuple[str, ...]]  # the tables with the leak, and the words that an alarm about it must have
SHARES = (0.02, 0.1, 0.5)  # by strength: of the patients or rows that are affected


def patients_in_train_and_test(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
    """Give some test patients the ids of training patients."""
    patients = source.test["patient_id"].unique()
    count = max(1, round(SHARES[strength] * len(patients)))
    names = dict(
        zip(
            random.choice(patients, count, replace=False),
            random.choice(source.train["patient_id"].unique(), count, replace=False),
            strict=True,
        )
    )
    return replace(source, test=source.test.assign(patient_id=source.test["patient_id"].replace(names))), (
        "train and test",
    )


def rows_repeated_under_other_names(source: Source, strength: int, random: np.random.Generator) -> LeakyTables:
    """Repeat some malignant training rows under new names, as oversampling does, each as a patient of its own."""
    malignant = source.train[source.train["target"] == 1]
    count = max(2, round(SHARES[strength] * len(malignant)))
    rows = malignant.sample(count, random_state=int(random.integers(2**31)))
    copies = rows.set_axis([f"{name}_copy" for name in rows.index])
    copies = copies.assign(patient_id=[f"{patient}_copy" for patient in copies["patient_id"]])
    networks = {
        name: replace(tables, oof=pd.concat([tables.oof, _rows_of(tables.oof, rows.index)]))
        for name, tables in source.networks.items()
    }
    return replace(source, train=pd.concat([source.train, copies]), networks=networks), ("_copy",)


def _rows_of(oof: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Return the rows ``names`` of ``oof`` under the names of their copies, as far as there are such rows."""
    rows = oof.loc[names[names.isin(oof.index)]]
    return rows.set_axis([f"{name}_copy" for name in rows.index])


KINDS: dict[str, Callable[[Source, int, np.random.Generator], LeakyTables]] = {
    "patients in train and test": patients_in_train_and_test,
    "rows repeated under other names": rows_repeated_under_other_names,
}
