"""The run folder: the paths of its artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.errors import InputFault
from runtime.files import read_json
from runtime.invocation import command
from runtime.provenance import digest_of_file, find_damage, is_fresh, write_mark

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Run:
    """The paths of one run. Every artefact is a table or a folder with a mark (run.json) that is written last."""

    folder: Path

    @property
    def cases(self) -> Path:
        """The frozen case table."""
        return self.folder / "cases.parquet"

    @property
    def cases_mark(self) -> Path:
        """The mark of the case table."""
        return self.folder / "cases.json"

    @property
    def pairs(self) -> Path:
        """The JSON file of the pairs of pictures that show the same lesion, found when the cases were frozen."""
        return self.folder / "leaks" / "pairs.json"

    @property
    def shards(self) -> Path:
        """The folder with a folder of TFRecord files per resolution."""
        return self.folder / "shards"

    @property
    def statistics(self) -> Path:
        """The statistics of every picture, measured when it is decoded."""
        return self.shards / "statistics.parquet"

    @property
    def statistics_mark(self) -> Path:
        """The mark of the statistics."""
        return self.shards / "statistics.json"

    @property
    def blocks(self) -> Path:
        """The folder of the feature tables, one per block."""
        return self.folder / "features"

    @property
    def level1(self) -> Path:
        """The folder of level one, with a folder per network."""
        return self.folder / "level1"

    @property
    def level2(self) -> Path:
        """The folder of level two, with a folder per recipe."""
        return self.folder / "level2"

    @property
    def submission(self) -> Path:
        """The CSV of the submitted probabilities, in the order of the sample submission."""
        return self.folder / "submission.csv"

    def networks(self) -> list[str]:
        """Return the sorted names of the finished level-one models, trained here or imported."""
        return sorted(mark.parent.name for mark in self.level1.glob("*/run.json"))

    def embeddings(self) -> dict[str, Path]:
        """Return model -> embeddings table for every finished model that has one."""
        tables = {name: self.level1 / name / "embeddings.parquet" for name in self.networks()}
        return {name: path for name, path in tables.items() if path.is_file()}

    def read_cases(self) -> pd.DataFrame:
        """Return the frozen case table; raise InputFault when it is missing or damaged."""
        self.facts()
        messages = find_damage(self.cases_mark)
        if messages:
            raise InputFault("\n".join([*messages, f"{command('cases')} makes it again from the same data"]))
        from runtime.tables import read_table

        return read_table(self.cases)

    def has_statistics(self) -> bool:
        """Return whether the statistics of the pictures exist and are undamaged; print a message for damage."""
        return self.statistics.is_file() and (
            not self.statistics_mark.is_file() or is_fresh(self.statistics_mark, {"cases": self.cases_digest()})
        )

    def write_statistics(self, table: pd.DataFrame) -> None:
        """Write the statistics of the pictures, one row per case, and their mark."""
        from runtime.tables import write_table

        write_table(self.statistics, table)
        write_mark(self.statistics_mark, {"cases": self.cases_digest()}, [self.statistics])

    def facts(self) -> dict[str, Any]:
        """Return the content of the case mark: data folder, sample file, number of pictures, a summary in sentences.

        Raises InputFault when the run has no case table yet.
        """
        if not self.cases_mark.is_file():
            raise InputFault(f"{self.folder}: no case table yet; {command('cases')} makes it")
        facts: dict[str, Any] = read_json(self.cases_mark)
        return facts

    def check_networks(self) -> None:
        """Raise InputFault that names every damaged table of a finished level-one model."""
        messages = [message for name in self.networks() for message in find_damage(self.level1 / name / "run.json")]
        if messages:
            foreign = command("stack", foreign="folder")
            remedy = f"{command('oof')} makes the tables of networks trained here again; {foreign} imports others again"
            raise InputFault("\n".join([*messages, remedy]))

    def cases_digest(self) -> str:
        """Return the digest of the frozen case table's bytes."""
        return digest_of_file(self.cases)
