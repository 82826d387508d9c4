"""The tables of a finished stack that the end of a command reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from melstack.report.column_words import ColumnWords, read_words, with_raw_name
from runtime.files import read_json
from runtime.run_folder import Run


@dataclass(frozen=True)
class FinishedStack:
    """The tables of the finished stack of ``recipe``, as its folder has them."""

    run: Run
    recipe: str

    @property
    def folder(self) -> Path:
        """The folder of the stack."""
        return self.run.level2 / self.recipe

    @cached_property
    def board(self) -> pd.DataFrame:
        """The leaderboard, best first."""
        return pd.read_csv(self.folder / "leaderboard.csv", index_col="name")

    @cached_property
    def decisions(self) -> Mapping[str, Any]:
        """The content of decisions.json."""
        content: Mapping[str, Any] = read_json(self.folder / "decisions.json")
        return content

    @cached_property
    def cases(self) -> pd.DataFrame:
        """The training and test cases."""
        cases = self.run.read_cases()
        return cases[cases["role"].isin(["train", "test"])]

    @cached_property
    def words(self) -> ColumnWords:
        """The words for the run's networks and columns."""
        return read_words(self.run)

    @property
    def networks(self) -> list[str]:
        """The networks of the stack, best first."""
        return [str(name) for name in self.board.index[self.board["kind"] == "network"]]

    def in_words(self, network: str) -> str:
        """Return a network in words, with its name."""
        return with_raw_name(self.words.network(network), network)

    def table(self, name: str) -> pd.DataFrame:
        """Return one of the stack's CSV tables; an empty one if the recipe does not make it."""
        path = self.folder / f"{name}.csv"
        return pd.read_csv(path, index_col=0) if path.is_file() else pd.DataFrame()
