"""A run folder: where its artefacts lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import InputFault
from runtime.files import read_json
from runtime.provenance import digest_of_file, find_damage, is_fresh, write_mark

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """The places of one run. Every artefact is a table or a folder with a mark (run.json) written last."""

    folder: Path

    @property
    def cases(self) -> Path:
        """The frozen case table."""
        return self.folder / "cases.parquet"

    @property
    def cases_mark(self) -> Path:
        """What the case table was made from."""
        return self.folder / "cases.json"

    @property
    def pairs(self) -> Path:
        """The pairs of pictures that show the same, found when the cases were frozen."""
        return self.folder / "leaks" / "pairs.json"

    @property
    def shards(self) -> Path:
        """One folder of TFRecord files per resolution."""
        return self.folder / "shards"

    @property
    def statistics(self) -> Path:
        """The statistics of every picture, measured in the pass that decodes it."""
        return self.shards / "statistics.parquet"

    @property
    def statistics_mark(self) -> Path:
        """Tells that the statistics are as they were written."""
        return self.shards / "statistics.json"

    @property
    def blocks(self) -> Path:
        """One feature table per block."""
        return self.folder / "features"

    @property
    def level1(self) -> Path:
        """One folder per network."""
        return self.folder / "level1"

    @property
    def level2(self) -> Path:
        """One folder per recipe."""
        return self.folder / "level2"

    @property
    def submission(self) -> Path:
        """The probabilities, in the order of the sample."""
        return self.folder / "submission.csv"

    def networks(self) -> list[str]:
        """Return the names of the finished level-one models (own and foreign), sorted."""
        return sorted(mark.parent.name for mark in self.level1.glob("*/run.json"))

    def embeddings(self) -> dict[str, Path]:
        """Return model -> embeddings table, of every finished model that has one."""
        tables = {name: self.level1 / name / "embeddings.parquet" for name in self.networks()}
        return {name: path for name, path in tables.items() if path.is_file()}

    def read_cases(self) -> pd.DataFrame:
        """Return the frozen case table; raise InputFault when the run has none yet, or it is damaged."""
        self.facts()
        damaged = find_damage(self.cases_mark)
        if damaged:
            raise InputFault("\n".join([*damaged, "`make cases` makes it again from the same data"]))
        from runtime.tables import read_table

        return read_table(self.cases)

    def has_statistics(self) -> bool:
        """Tell whether the statistics of the pictures are there as they were written; what is damaged is said."""
        return self.statistics.is_file() and (
            not self.statistics_mark.is_file() or is_fresh(self.statistics_mark, {"cases": self.cases_digest()})
        )

    def write_statistics(self, table: pd.DataFrame) -> None:
        """Write the statistics of the pictures, one row per case, and their mark."""
        from runtime.tables import write_table

        write_table(self.statistics, table)
        write_mark(self.statistics_mark, {"cases": self.cases_digest()}, [self.statistics])

    def facts(self) -> dict[str, Any]:
        """Return what the case mark remembers: data folder, sample file, number of pictures, a summary in sentences.

        Raises InputFault when the run has no case table yet.
        """
        if not self.cases_mark.is_file():
            raise InputFault(f"{self.folder}: no case table yet; `make cases` makes it")
        facts: dict[str, Any] = read_json(self.cases_mark)
        return facts

    def check_networks(self) -> None:
        """Raise InputFault that names every table of a finished level-one model that is not as it was written."""
        found = {name: find_damage(self.level1 / name / "run.json") for name in self.networks()}
        lines = [sentence for sentences in found.values() for sentence in sentences]
        if lines:
            remedy = "`make oof` makes tables of networks trained here again, FOREIGN=folder imports others again"
            raise InputFault("\n".join([*lines, remedy]))

    def cases_digest(self) -> str:
        """Return the digest of the frozen case table's bytes."""
        return digest_of_file(self.cases)
