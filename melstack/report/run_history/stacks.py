"""Read the finished stacks of several runs from their tables: the experiments of the run history."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from melstack.history import FOLDER, history_of
from melstack.report.run_history.settings import Settings, settings_of
from runtime.errors import Faults, InputFault, list_names
from runtime.files import read_json
from runtime.invocation import command
from runtime.provenance import digest
from runtime.run_folder import Run
from runtime.tables import read_table

REQUIRED_FILES = ("leaderboard.csv", "calibration.csv", "decisions.json", "learners.parquet")


@dataclass(frozen=True)
class Experiment:
    """One finished stack: its out-of-fold scores, its results, and its settings.

    ``cases`` are the training rows (columns patient_id, target); ``score`` is the headline's probability of each row.
    ``results`` are the columns of leaderboard.csv that do not depend on other experiments.
    """

    name: str
    folder: Path
    cases: pd.DataFrame
    score: pd.Series
    results: Mapping[str, Any]
    settings: Settings

    @cached_property
    def cases_key(self) -> str:
        """Return a digest that is equal for two experiments with the same names and targets of the training cases."""
        targets = self.cases["target"].sort_index()
        return digest([list(targets.index), targets.astype(int).tolist()])


def finished_stacks(run: Path) -> list[Path]:
    """Return the folders level2/<recipe> of a run folder that have a run.json, sorted, then those of its history."""
    return [*sorted(mark.parent for mark in Run(run).level2.glob("*/run.json")), *history_of(Run(run))]


def is_replaced(stack: Path) -> bool:
    """Return whether the stack in the folder ``stack`` is in the history of its run."""
    return stack.parents[2].name == FOLDER


def run_folders(names: Sequence[Path], root: Path) -> list[Path]:
    """Return the run folders ``names``; if there are none, all folders in ``root`` that have a finished stack.

    Raises InputFault that lists the folders in ``names`` without a finished stack, or says that ``root`` has none.
    """
    if not names:
        folders = sorted(folder for folder in root.glob("*") if finished_stacks(folder))
        if not folders:
            raise InputFault(f"{root}: no run in this folder has a finished stack; {command('stack')} makes one")
        return folders
    faults = Faults()
    for folder in names:
        if not finished_stacks(folder):
            faults.add(f"{folder}: no finished stack (level2/<recipe>/run.json); {command('stack')} makes one")
    faults.raise_if_any("runs to compare")
    return list(dict.fromkeys(names))


def named_stacks(folders: Sequence[Path]) -> dict[str, Path]:
    """Return name -> folder of every finished stack of the run ``folders``.

    The name is <run>/<recipe>, with the whole path of the run if two runs have the same name, and with
    @<time>-<digest> if another stack has replaced it.
    """
    names = [folder.resolve().name for folder in folders]
    labels = [str(folder) if names.count(name) > 1 else name for folder, name in zip(folders, names, strict=True)]
    return {
        f"{label}/{stack.name}{f'@{stack.parents[1].name}' if is_replaced(stack) else ''}": stack
        for folder, label in zip(folders, labels, strict=True)
        for stack in finished_stacks(folder)
    }


def read_history(folders: Sequence[Path]) -> list[Experiment]:
    """Return every finished stack of the run ``folders``; raise InputFault that lists all unreadable stacks."""
    faults, experiments = Faults(), []
    for name, stack in named_stacks(folders).items():
        try:
            experiments.append(_experiment(_run_of(stack), stack, name))
        except InputFault as fault:
            faults.add(f"{stack}: {fault}")
    faults.raise_if_any("finished stacks that cannot be read")
    return experiments


def _run_of(stack: Path) -> Run:
    """Return the run of a stack in level2/<recipe>, or in history/<time>-<digest>/<folder>/<recipe>."""
    return Run(stack.parents[3 if is_replaced(stack) else 1])


def _experiment(run: Run, folder: Path, name: str) -> Experiment:
    missing = [file for file in REQUIRED_FILES if not (folder / file).is_file()]
    if missing:
        raise InputFault(f"missing files {list_names(missing)}; {command('stack')} writes them again")
    board = pd.read_csv(folder / "leaderboard.csv", index_col="name")
    decisions = read_json(folder / "decisions.json")
    cases = run.read_cases()
    train = cases.loc[cases["role"] == "train", ["patient_id", "target"]]
    score = read_table(folder / "learners.parquet", [decisions["headline"]])[decisions["headline"]].reindex(train.index)
    networks = sorted(board.index[board["kind"] == "network"])
    results = _results(folder, board, decisions) | _counts(cases, train, networks)
    return Experiment(name, folder, train, score, results, settings_of(run, folder, networks))


def _results(folder: Path, board: pd.DataFrame, decisions: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of the headline from the stack's tables, and the AUCs of its baselines."""
    row = board.loc[decisions["headline"]]
    calibration = pd.read_csv(folder / "calibration.csv", index_col="model").loc[decisions["headline"]]
    baselines = board["auc"].reindex(["rank_mean"])
    networks = board.loc[board["kind"] == "network", "auc"]
    finish_time = datetime.fromtimestamp((folder / "run.json").stat().st_mtime, UTC)
    return {
        "headline": decisions["headline"],
        "submitted": decisions["submitted"],
        "auc": float(row["auc"]),
        "low": float(row["low"]),
        "high": float(row["high"]),
        "auc_fold_mean": float(row["auc_fold_mean"]),
        "log_loss": float(calibration["log_loss"]),
        "brier": float(calibration["brier"]),
        "ece": float(calibration["ece"]),
        "auc_rank_mean": float(baselines.iloc[0]),
        "auc_best_network": float(networks.max()) if len(networks) else float("nan"),
        "prevalence": decisions["recipe"].get("calibration", {}).get("prevalence"),
        "finished": finish_time.isoformat(timespec="seconds"),
    }


def _counts(cases: pd.DataFrame, train: pd.DataFrame, networks: Sequence[str]) -> dict[str, int]:
    roles = cases["role"].value_counts()
    return {
        "cases": len(train),
        "malignant": int(train["target"].sum()),
        "patients": int(train["patient_id"].nunique()),
        "test": int(roles.get("test", 0)),
        "external": int(roles.get("extra", 0)),
        "networks": len(networks),
    }
