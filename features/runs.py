"""A run folder: where its artefacts lie, and the case table that is frozen in it once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.faults import InputFault
from features.files import read_json, replacing
from features.layout import MAPPING, Layout, Request, read_layout
from features.places import EXTRA, find_place, source_name
from features.provenance import (
    damages,
    digest_of_file,
    finish,
    is_fresh,
    outputs_of,
    read_mark,
    refuse_if_changed,
    sha256_of,
)

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
        damaged = damages(self.cases_mark)
        if damaged:
            raise InputFault("\n".join([*damaged, "`make cases` makes it again from the same data"]))
        from features.tables import read_table

        return read_table(self.cases)

    def has_statistics(self) -> bool:
        """Tell whether the statistics of the pictures are there as they were written; what is damaged is said."""
        return self.statistics.is_file() and (
            not self.statistics_mark.is_file() or is_fresh(self.statistics_mark, {"cases": self.cases_digest()})
        )

    def write_statistics(self, table: pd.DataFrame) -> None:
        """Write the statistics of the pictures, one row per case, and their mark."""
        from features.tables import write_table

        write_table(self.statistics, table)
        finish(self.statistics_mark, {"cases": self.cases_digest()}, [self.statistics])

    def facts(self) -> dict[str, Any]:
        """Return what the case mark remembers: data folder, sample file, number of pictures, a summary in sentences.

        Raises InputFault when the run has no case table yet.
        """
        if not self.cases_mark.is_file():
            raise InputFault(f"{self.folder}: no case table yet; `make cases` makes it")
        facts: dict[str, Any] = read_json(self.cases_mark)
        return facts

    def refuse_damaged_networks(self) -> None:
        """Raise InputFault that names every table of a finished level-one model that is not as it was written."""
        found = {name: damages(self.level1 / name / "run.json") for name in self.networks()}
        lines = [sentence for sentences in found.values() for sentence in sentences]
        if lines:
            remedy = "`make oof` makes tables of networks trained here again, FOREIGN=folder imports others again"
            raise InputFault("\n".join([*lines, remedy]))

    def cases_digest(self) -> str:
        """Return the digest of the frozen case table's bytes."""
        return digest_of_file(self.cases)


def freeze_cases(run: Run, request: Request) -> bool:
    """Make the run's case table once; return False when it was there already, made from the same things.

    Raises InputFault when it was made from other data or folds: everything below rests on it.
    """
    made_from = case_ingredients(request)
    remedy = f"take another run name (RUN=...), or delete {run.folder} to begin anew"
    refuse_if_changed(run.cases_mark, made_from, remedy)
    if is_fresh(run.cases_mark, made_from, [run.cases, run.pairs]):
        return False
    # Slow to import, and not needed to see that a run is fresh.
    from features.cases import read_cases
    from features.leaks.pairs import find_pairs, write_pairs
    from features.summary import describe_cases
    from features.tables import write_table

    notes: list[str] = []
    expected = _expected(run)

    def pairs_of(cases: pd.DataFrame) -> pd.DataFrame:
        pairs = find_pairs(cases, request.data, run.pairs.parent)
        write_pairs(run.pairs, pairs)
        return pairs

    cases = read_cases(request, notes, pairs_of)
    with replacing(run.cases) as temporary:
        write_table(temporary, cases)
        _refuse_other_cases(run, expected, sha256_of(temporary))
    pictures = int(cases["picture"].notna().sum()) if "picture" in cases else 0
    facts = {"data": str(request.data), "sample": _sample(request), "cases": len(cases), "pictures": pictures}
    summary, outputs = describe_cases(cases) + notes, [run.cases, run.pairs]
    finish(run.cases_mark, made_from, outputs, **facts, request=request.as_json(), summary=summary)
    return True


def _expected(run: Run) -> str | None:
    """Return the digest of the case table as it once was; None where nobody knows, or it was never finished."""
    content = read_mark(run.cases_mark)
    if content is not None:
        recorded = outputs_of(run.cases_mark, content).get(run.cases)
        return None if recorded is None else str(recorded["sha256"])
    # Of a damaged mark the table may be whole; folds that were frozen must not change unseen.
    return sha256_of(run.cases) if run.cases_mark.is_file() and run.cases.is_file() else None


def _refuse_other_cases(run: Run, expected: str | None, found: str) -> None:
    if expected is not None and expected != found:
        raise InputFault(
            f"{run.cases}: damaged, and the same data do not give the same table any more (SHA-256 {found[:16]}... "
            f"instead of {expected[:16]}...): the program or its packages are others than when it was frozen. Put the "
            f"table back from a copy, or delete {run.folder} to begin anew"
        )


def _sample(request: Request) -> str | None:
    name = read_layout(request.data, request.mapping).sample
    return name if name and (request.data / name).is_file() else None


def case_ingredients(request: Request) -> dict[str, Any]:
    """Return the digests of everything the case table is made of."""
    layout = read_layout(request.data, request.mapping)
    tables = (layout.train, layout.test, layout.sample, layout.train_sizes, layout.test_sizes, "duplicates.csv")
    chosen: dict[str, Any] = {"folds": request.folds, "official": request.official, "seed": request.seed}
    chosen["ties"] = not request.official  # patients whose pictures show the same share a fold
    chosen["layout"] = layout.model_dump(mode="json")
    chosen["files"] = {name: digest_of_file(request.data / name) for name in tables if (request.data / name).is_file()}
    chosen["pictures"] = _place_digests(request.data, layout, ("train", "test"))
    if request.extra:
        chosen["extra"] = {source_name(folder): _extra_ingredients(folder) for folder in request.extra}
        chosen["extra_order"] = [source_name(folder) for folder in request.extra]  # of two same names, the first counts
    return chosen


def _extra_ingredients(folder: Path) -> dict[str, Any]:
    layout = read_layout(folder)
    return {
        "files": {name: digest_of_file(folder / name) for name in (layout.train, MAPPING) if (folder / name).is_file()},
        "pictures": _place_digests(folder, layout, (EXTRA,)),
    }


def _place_digests(data: Path, layout: Layout, roles: tuple[str, ...]) -> dict[str, str]:
    places = (find_place(data, layout, role) for role in roles)
    return {place.name: place.digest() for place in places if place is not None}
