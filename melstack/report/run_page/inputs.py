"""What a finished stack left on disk, read once for the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.calibration.reliability import class_weights
from runtime.errors import Faults
from runtime.files import read_json
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]
TABLES = ("leaderboard", "metrics", "subgroups", "calibration", "reliability", "shift")
FILES = ("learners.parquet", "decisions.json", "run.json", *(f"{name}.csv" for name in TABLES))


@dataclass(frozen=True)
class Artefacts:
    """A run and one of its stacks: the case table, every model's probabilities, the tables and the decisions."""

    run: Run
    recipe: str
    cases: pd.DataFrame
    learners: pd.DataFrame
    networks: pd.DataFrame
    decisions: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]

    @property
    def folder(self) -> Path:
        """Return where the stack lies."""
        return self.run.level2 / self.recipe

    @property
    def board(self) -> pd.DataFrame:
        """Return the leaderboard, best first; the index is the model's name."""
        return self.tables["leaderboard"].set_index("name")

    @property
    def headline(self) -> str:
        """Return the row of the leaderboard that is the number to quote."""
        return str(self.decisions["headline"])

    @property
    def submitted(self) -> str:
        """Return the model whose test probabilities are handed in."""
        return str(self.decisions["submitted"])

    @property
    def best_network(self) -> str:
        """Return the network with the highest out-of-fold AUC."""
        return str(self.board.index[self.board["kind"] == "network"][0])

    @cached_property
    def train(self) -> pd.DataFrame:
        """Return the cases that were predicted out of fold, in the order of the stack's tables."""
        rows = self.cases.loc[self.learners.index]
        return rows[rows["role"] == "train"]

    @property
    def y(self) -> Floats:
        """Return the target of the training rows, (n,) in 0/1."""
        return self.train["target"].to_numpy(dtype=np.float64)

    @property
    def groups(self) -> NDArray[np.object_]:
        """Return the patients of the training rows, (n,)."""
        return self.train["patient_id"].to_numpy(dtype=object)

    @property
    def deployed(self) -> float | None:
        """Return the prevalence that the probabilities are meant for; None where it is that of the training rows."""
        prevalence = self.decisions["recipe"].get("calibration", {}).get("prevalence")
        return None if prevalence is None else float(prevalence)

    @property
    def prevalence(self) -> float:
        """Return the prevalence at which the page's precision and net benefit hold."""
        return float(self.y.mean()) if self.deployed is None else self.deployed

    @property
    def weights(self) -> Floats:
        """Return row weights (n,), of mean 1, that give the training rows that prevalence."""
        return np.ones(len(self.y)) if self.deployed is None else class_weights(self.y, self.deployed)

    def score(self, name: str) -> Floats:
        """Return the out-of-fold probability of a model or network, (n,); NaN where a network lacks the row."""
        table = self.learners if name in self.learners else self.networks
        return table[name].reindex(self.train.index).to_numpy(dtype=np.float64)


def read_artefacts(run: Run, recipe: str) -> Artefacts:
    """Return what stack ``recipe`` of ``run`` left; raise InputFault that names everything that is not there."""
    cases, folder = run.read_cases(), run.level2 / recipe
    _refuse_missing([folder / name for name in FILES], "`make stack` makes it")
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    if (folder / "ablation.csv").is_file():
        tables["ablation"] = pd.read_csv(folder / "ablation.csv")
    board = tables["leaderboard"]
    networks = [str(name) for name in board.loc[board["kind"] == "network", "name"]]
    paths = {name: run.level1 / name / "predictions.parquet" for name in networks}
    _refuse_missing(list(paths.values()), "the stack was made with it; `make stack` stacks what is there now")
    probabilities = {name: read_table(path, ["probability"])["probability"] for name, path in paths.items()}
    learners = read_table(folder / "learners.parquet")
    decisions = read_json(folder / "decisions.json")
    return Artefacts(run, recipe, cases, learners, pd.DataFrame(probabilities), decisions, tables)


def _refuse_missing(paths: list[Path], remedy: str) -> None:
    faults = Faults()
    for path in paths:
        if not path.is_file():
            faults.add(f"{path}: not there; {remedy}")
    faults.raise_if_any("report")
