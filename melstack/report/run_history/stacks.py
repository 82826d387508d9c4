"""The history of experiments: every finished stack of some runs, read from the tables it left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from melstack.report.run_history.settings import Settings, settings_of
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json
from runtime.provenance import digest
from runtime.run_folder import Run
from runtime.tables import read_table

NEEDED = ("leaderboard.csv", "calibration.csv", "decisions.json", "learners.parquet")


@dataclass(frozen=True)
class Experiment:
    """One finished stack: its headline's out-of-fold scores, what was measured of them, and what it was made with.

    ``cases`` are the training rows (columns patient_id, target); ``score`` has the headline's probability of each.
    """

    name: str
    folder: Path
    cases: pd.DataFrame
    score: pd.Series
    measured: Mapping[str, Any]
    settings: Settings

    @cached_property
    def cases_key(self) -> str:
        """Return what two experiments share when their training cases have the same names and targets."""
        targets = self.cases["target"].sort_index()
        return digest([list(targets.index), targets.astype(int).tolist()])


def finished_stacks(run: Path) -> list[Path]:
    """Return the folders level2/<recipe> of a run folder whose completion mark is there, sorted."""
    return sorted(mark.parent for mark in Run(run).level2.glob("*/run.json"))


def run_folders(asked: Sequence[Path], root: Path) -> list[Path]:
    """Return ``asked``, or without any every folder in ``root`` that has a finished level two.

    Raises InputFault that names all the asked folders without one, or says that there is none at all.
    """
    if not asked:
        found = sorted(folder for folder in root.glob("*") if finished_stacks(folder))
        if not found:
            raise InputFault(f"{root}: no run in it has a finished level two; `make stack` makes one")
        return found
    faults = Faults()
    for folder in asked:
        if not finished_stacks(folder):
            faults.add(f"{folder}: no finished level two (level2/<recipe>/run.json); `make stack` makes one")
    faults.raise_if_any("runs to compare")
    return list(dict.fromkeys(asked))


def read_history(folders: Sequence[Path]) -> list[Experiment]:
    """Return every finished stack of the run ``folders``; raise InputFault that names all that cannot be read.

    An experiment is called <run>/<recipe>, by the run's whole path where two runs have one name.
    """
    names = [folder.resolve().name for folder in folders]
    called = [str(folder) if names.count(name) > 1 else name for folder, name in zip(folders, names, strict=True)]
    pairs = zip(folders, called, strict=True)
    faults, found = Faults(), []
    for run, name, stack in [(Run(folder), name, stack) for folder, name in pairs for stack in finished_stacks(folder)]:
        try:
            found.append(_experiment(run, stack, f"{name}/{stack.name}"))
        except InputFault as fault:
            faults.add(f"{stack}: {fault}")
    faults.raise_if_any("finished stacks that cannot be read")
    return found


def _experiment(run: Run, folder: Path, name: str) -> Experiment:
    lacking = [file for file in NEEDED if not (folder / file).is_file()]
    if lacking:
        raise InputFault(f"without {list_names(lacking)}; `make stack` makes them again")
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    decided = read_json(folder / "decisions.json")
    cases = run.read_cases()
    train = cases.loc[cases["role"] == "train", ["patient_id", "target"]]
    score = read_table(folder / "learners.parquet", [decided["headline"]])[decided["headline"]].reindex(train.index)
    networks = sorted(board.index[board["kind"] == "network"])
    measured = _measured(folder, board, decided) | _counted(cases, train, networks)
    return Experiment(name, folder, train, score, measured, settings_of(run, folder, networks))


def _measured(folder: Path, board: pd.DataFrame, decided: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the stack's tables say of its headline, and of what it should beat."""
    row = board.loc[decided["headline"]]
    calibration = pd.read_csv(folder / "calibration.csv", index_col="model").loc[decided["headline"]]
    others = board["auc"].reindex(["rank_mean"])
    networks = board.loc[board["kind"] == "network", "auc"]
    finished = datetime.fromtimestamp((folder / "run.json").stat().st_mtime, UTC)
    return {
        "headline": decided["headline"],
        "submitted": decided["submitted"],
        "auc": float(row["auc"]),
        "low": float(row["low"]),
        "high": float(row["high"]),
        "auc_fold_mean": float(row["auc_fold_mean"]),
        "log_loss": float(calibration["log_loss"]),
        "brier": float(calibration["brier"]),
        "ece": float(calibration["ece"]),
        "auc_rank_mean": float(others.iloc[0]),
        "auc_best_network": float(networks.max()) if len(networks) else float("nan"),
        "prevalence": decided["recipe"].get("calibration", {}).get("prevalence"),
        "finished": finished.isoformat(timespec="seconds"),
    }


def _counted(cases: pd.DataFrame, train: pd.DataFrame, networks: Sequence[str]) -> dict[str, int]:
    roles = cases["role"].value_counts()
    return {
        "cases": len(train),
        "malignant": int(train["target"].sum()),
        "patients": int(train["patient_id"].nunique()),
        "test": int(roles.get("test", 0)),
        "external": int(roles.get("extra", 0)),
        "networks": len(networks),
    }
