"""Patient boards: all lesions of one patient side by side, ordered by risk, the ugly ducklings among them marked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from features.ugly_ducklings import duckling_distance, ugly_ducklings, ugly_limit
from melstack.report.galleries.tiles import Item, Said, tile_name, write_tile
from runtime.errors import InputFault, list_names
from runtime.tables import read_table

LEAST_PICTURES = 4  # of a patient whose board is chosen: fewer hardly are a comparison
MOST_PICTURES = 40  # on one board; the highest risks of a patient with more


def choose_patients(cases: pd.DataFrame, risk: pd.Series, train: int = 4, test: int = 2) -> list[str]:
    """Return patients worth a board: train patients with a melanoma, then test patients, by their highest risk.

    Only patients with ``LEAST_PICTURES`` or more; ``risk`` holds the stack's probability per case.
    """
    known = cases.assign(risk=risk).groupby("patient_id", observed=True)
    patients = known.agg(role=("role", "first"), count=("risk", "size"), most=("risk", "max"), ill=("target", "max"))
    enough = patients[patients["count"] >= LEAST_PICTURES].sort_values("most", ascending=False, kind="stable")
    ill = enough.index[(enough["role"] == "train") & (enough["ill"] == 1)][:train]
    new = enough.index[enough["role"] == "test"][:test]
    return [str(patient) for patient in [*ill, *new]]


def make_boards(said: Said, folder: Path, patients: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Write the tiles of the boards of ``patients`` (or of chosen ones) into ``folder``, and return the galleries.

    An item has beside the usual its ``role``, ``malignant`` (None where nobody knows), ``ugly`` and ``distance`` (None
    without an ugly-duckling block). Raises InputFault for a patient whom the run does not know.
    """
    chosen = choose_patients(said.cases, said.risk) if patients is None else list(patients)
    known = sorted(set(said.cases["patient_id"].astype(str)))
    unknown = [patient for patient in chosen if patient not in known]
    if unknown:
        raise InputFault(f"patients who are not in the run: {list_names(unknown)}; it has {list_names(known)}")
    block, patients_of = said.run.blocks / "ugly_duckling.parquet", said.cases["patient_id"]
    distance = duckling_distance(read_table(block)) if block.is_file() else None
    ugly = None if distance is None else ugly_ducklings(distance, patients_of, ugly_limit(distance, patients_of))
    return [_board(said, folder, number, patient, distance, ugly) for number, patient in enumerate(chosen, start=1)]


def _board(
    said: Said, folder: Path, number: int, patient: str, distance: pd.Series | None, ugly: pd.Series | None
) -> dict[str, Any]:
    rows = said.cases.index[said.cases["patient_id"].astype(str) == patient]
    ordered = said.risk[rows].sort_values(ascending=False, kind="stable").index[:MOST_PICTURES]
    gallery, items = f"patient_{number}", list[Item]()
    for place, name in enumerate(ordered, start=1):
        tile = tile_name(gallery, place, name)
        write_tile(folder / tile, said.tile(name))
        case = said.cases.loc[name]
        items.append(
            said.item(name, tile)
            | {
                "role": str(case["role"]),
                "malignant": None if pd.isna(case["target"]) else bool(case["target"] == 1),
                "ugly": None if ugly is None else bool(ugly[name]),
                "distance": None if distance is None else float(distance[name]),
            }
        )
    left_out = f", the {MOST_PICTURES} highest" if len(rows) > MOST_PICTURES else ""
    title = f"Patient {patient}: {len(rows)} lesions by risk{left_out}"
    return {"name": gallery, "kind": "board", "title": title, "items": items}
