"""Patient boards: all lesions of a patient side by side, sorted by risk, with the ugly ducklings marked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from features.ugly_ducklings import duckling_distance, ugly_ducklings, ugly_limit
from melstack.report.galleries.tiles import CaseResults, Item, tile_name, write_tile
from runtime.errors import InputFault, list_names
from runtime.plural import number_of
from runtime.tables import read_table

MIN_PICTURES = 4  # of a patient with a board by default: fewer cannot be compared well
MAX_PICTURES = 40  # on one board: those with the highest risks


def choose_patients(cases: pd.DataFrame, risk: pd.Series, train: int = 4, test: int = 2) -> list[str]:
    """Return the patients to show by default: ``train`` patients with a melanoma, then ``test`` test patients.

    Those with the highest ``risk`` (the probability of the stack per case) come first; only patients with
    ``MIN_PICTURES`` or more pictures are chosen.
    """
    groups = cases.assign(risk=risk).groupby("patient_id", observed=True)
    patients = groups.agg(
        role=("role", "first"), count=("risk", "size"), highest=("risk", "max"), malignant=("target", "max")
    )
    patients = patients[patients["count"] >= MIN_PICTURES].sort_values("highest", ascending=False, kind="stable")
    with_melanoma = patients.index[(patients["role"] == "train") & (patients["malignant"] == 1)][:train]
    in_test = patients.index[patients["role"] == "test"][:test]
    return [str(patient) for patient in [*with_melanoma, *in_test]]


def check_patients(cases: pd.DataFrame, names: Sequence[str]) -> None:
    """Raise InputFault for patients who are not among the run's ``cases``."""
    all_patients = sorted(set(cases["patient_id"].astype(str)))
    unknown = [patient for patient in names if patient not in all_patients]
    if unknown:
        raise InputFault(
            f"patients who are not in the run: {list_names(unknown)}; its patients are {list_names(all_patients)}"
        )


def make_boards(results: CaseResults, folder: Path, patients: Sequence[str]) -> list[dict[str, Any]]:
    """Write the tiles of the boards of ``patients`` into ``folder``; return the galleries.

    An item also has its ``role``, ``malignant`` (None if the target is unknown), ``ugly`` and ``distance`` (None
    without an ugly-duckling block).
    """
    block, patients_of = results.run.blocks / "ugly_duckling.parquet", results.cases["patient_id"]
    distance = duckling_distance(read_table(block)) if block.is_file() else None
    ugly = None if distance is None else ugly_ducklings(distance, patients_of, ugly_limit(distance, patients_of))
    return [
        _board(results, folder, number, patient, distance, ugly) for number, patient in enumerate(patients, start=1)
    ]


def _board(
    results: CaseResults, folder: Path, number: int, patient: str, distance: pd.Series | None, ugly: pd.Series | None
) -> dict[str, Any]:
    rows = results.cases.index[results.cases["patient_id"].astype(str) == patient]
    by_risk = results.risk[rows].sort_values(ascending=False, kind="stable").index[:MAX_PICTURES]
    gallery, items = f"patient_{number}", list[Item]()
    for rank, name in enumerate(by_risk, start=1):
        tile = tile_name(gallery, rank, name)
        write_tile(folder / tile, results.tile(name))
        case = results.cases.loc[name]
        items.append(
            results.item(name, tile)
            | {
                "role": str(case["role"]),
                "malignant": None if pd.isna(case["target"]) else bool(case["target"] == 1),
                "ugly": None if ugly is None else bool(ugly[name]),
                "distance": None if distance is None else float(distance[name]),
            }
        )
    limit = f" (the {MAX_PICTURES} highest)" if len(rows) > MAX_PICTURES else ""
    title = f"Patient {patient}: {number_of(len(rows), 'lesion')}, sorted by risk{limit}"
    return {"name": gallery, "kind": "board", "title": title, "items": items}
