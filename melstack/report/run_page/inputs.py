"""Read the files of a finished stack for the report, once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.calibration.reliability import class_weights
from level2_stack.finished import stack_digest
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
from level2_stack.thresholds.operating_point import OperatingPoint, read_operating_points
from melstack.report.column_words import ColumnWords, read_words
from runtime.errors import Faults
from runtime.files import read_json
from runtime.invocation import command
from runtime.provenance import digest_of_file
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]
TABLES = ("leaderboard", "metrics", "subgroups", "calibration", "reliability", "shift")
OPTIONAL_TABLES = ("ablation", "risk_coverage", "conformal", "repeats")
FILES = ("learners.parquet", "predictions.parquet", "decisions.json", "run.json", *(f"{name}.csv" for name in TABLES))


@dataclass(frozen=True)
class StackResults:
    """A run and one of its stacks: the case table, the probabilities of every model, the tables and the decisions."""

    run: Run
    recipe: str
    cases: pd.DataFrame
    learners: pd.DataFrame
    networks: pd.DataFrame
    decisions: Mapping[str, Any]
    tables: Mapping[str, pd.DataFrame]
    operating_points: tuple[OperatingPoint, ...]  # none for a stack of an older version

    @property
    def folder(self) -> Path:
        """Return the folder of the stack."""
        return self.run.level2 / self.recipe

    @cached_property
    def digest(self) -> str:
        """Return the digest of the stack, which every section of the page carries."""
        return stack_digest(self.folder)

    @cached_property
    def words(self) -> ColumnWords:
        """Return the words for the networks and columns of the run."""
        return read_words(self.run)

    @property
    def board(self) -> pd.DataFrame:
        """Return the leaderboard, best first, indexed by the name of the model."""
        return self.tables["leaderboard"].set_index("name")

    @property
    def headline(self) -> str:
        """Return the name of the leaderboard row whose AUC is the one to quote."""
        return str(self.decisions["headline"])

    @property
    def smaller(self) -> Mapping[str, Any] | None:
        """Return the figures of the stack without the networks that shift (``SmallerStack``); None if none shifts."""
        values: Mapping[str, Any] | None = self.decisions.get("without_shift")
        return None if values is None or values["auc"] is None else values

    @property
    def submission(self) -> str:
        """Return the name of the model whose test probabilities are submitted."""
        return str(self.decisions["submitted"])

    @property
    def best_network(self) -> str:
        """Return the network with the highest out-of-fold AUC."""
        return str(self.board.index[self.board["kind"] == "network"][0])

    @cached_property
    def train(self) -> pd.DataFrame:
        """Return the training cases, in the order of the stack's tables."""
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
    def deployment_prevalence(self) -> float | None:
        """Return the prevalence that the recipe sets for the probabilities; None means that of the training rows."""
        prevalence = self.decisions["recipe"].get("calibration", {}).get("prevalence")
        return None if prevalence is None else float(prevalence)

    @property
    def prevalence(self) -> float:
        """Return the prevalence for which the page states precision and net benefit."""
        return float(self.y.mean()) if self.deployment_prevalence is None else self.deployment_prevalence

    @property
    def weights(self) -> Floats:
        """Return row weights (n,) of mean 1 that give the training rows the prevalence ``self.prevalence``."""
        prevalence = self.deployment_prevalence
        return np.ones(len(self.y)) if prevalence is None else class_weights(self.y, prevalence)

    def score(self, name: str) -> Floats:
        """Return the out-of-fold probabilities of a learner or network, (n,); NaN where a network lacks the row."""
        table = self.learners if name in self.learners else self.networks
        return table[name].reindex(self.train.index).to_numpy(dtype=np.float64)


def read_stack(run: Run, recipe: str, further: Sequence[str] = ()) -> StackResults:
    """Return the results of stack ``recipe`` of ``run``; ``further`` are tables that must be there beside `TABLES`.

    Raises InputFault that lists all missing files, or the tables that changed since the stack was made: cases and
    networks are read again for the page, and it would mix two stacks.
    """
    cases, folder = run.read_cases(), run.level2 / recipe
    files = [*FILES, *(f"{name}.csv" for name in further)]
    _refuse_missing([folder / name for name in files], f"{command('stack')} writes it")
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in (*TABLES, *further)}
    tables |= {name: pd.read_csv(path) for name in OPTIONAL_TABLES if (path := folder / f"{name}.csv").is_file()}
    board = tables["leaderboard"]
    networks = [str(name) for name in board.loc[board["kind"] == "network", "name"]]
    paths = {name: run.level1 / name / "predictions.parquet" for name in networks}
    remedy = f"the stack uses this network; {command('stack')} makes the stack again without it"
    _refuse_missing(list(paths.values()), remedy)
    _refuse_other_tables(run, folder, networks)
    probabilities = {name: read_table(path, ["probability"])["probability"] for name, path in paths.items()}
    learners = read_table(folder / "learners.parquet")
    decisions = read_json(folder / "decisions.json")
    points = read_operating_points(folder / THRESHOLDS)
    return StackResults(run, recipe, cases, learners, pd.DataFrame(probabilities), decisions, tables, points)


def _refuse_missing(paths: list[Path], remedy: str) -> None:
    faults = Faults()
    for path in paths:
        if not path.is_file():
            faults.add(f"{path}: file not found; {remedy}")
    faults.raise_if_any("report")


def _refuse_other_tables(run: Run, folder: Path, networks: list[str]) -> None:
    made_from = read_json(folder / "run.json")["made_from"]
    then = {"cases.parquet": made_from.get("cases")} | made_from.get("tables", {})
    names = ["cases.parquet", *(f"level1/{name}/predictions.parquet" for name in networks)]
    faults = Faults()
    for name in names:
        if then.get(name) not in (None, digest_of_file(run.folder / name)):
            faults.add(
                f"{run.folder / name}: changed since the stack was made; {command('stack')} makes the stack again"
            )
    faults.raise_if_any("report")
