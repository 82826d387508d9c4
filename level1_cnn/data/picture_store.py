"""The store of decoded pictures of one source folder, shared by all runs in the same folder of runs.

<runs>/pictures/<source folder>-<8 hex digits of the SHA-256 of its path>/
    parts/train00/{index,statistics}.parquet   the contents of a part; its mark, run.json, is written last
    parts/train00/512.json                     the mark of its pictures at 512 px
    512/train00-2000.tfrec                     its pictures at 512 px
    codes.json                                 the texts that the integer codes in the records stand for
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from level1_cnn.data.store_parts import Part, choose_parts, current_index, new_parts
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing, write_json
from runtime.folder_lock import lock_folder
from runtime.progress import say
from runtime.provenance import digest, find_damage, is_fresh, read_mark, write_mark
from runtime.tables import read_table, write_table

CASES_PER_FILE = 2000  # as in the contest's sets: enough to stream well, few enough to decode again after a kill
CODE_COLUMNS = ("patient_id", "sex", "anatom_site_general_challenge", "diagnosis")
Codes: TypeAlias = Mapping[str, Mapping[str, int]]  # column -> text -> code
Write: TypeAlias = Callable[[Mapping[int, Path], Codes], pd.DataFrame | None]


@dataclass(frozen=True)
class MissingPictures:
    """The pictures of a part that a store lacks at ``sizes`` px; ``measure``: whether it lacks their statistics too."""

    cases: pd.DataFrame
    paths: dict[str, Path]  # image_name -> the source picture
    sizes: list[int]
    measure: bool
    part: Part  # where the store will keep them


@dataclass(frozen=True)
class Store:
    """The decoded pictures of one ``source`` folder.

    The argument ``rows`` of its methods is a table of cases with the columns that ``run_pictures.find_stores`` adds.
    """

    folder: Path
    source: Path

    @contextmanager
    def lock(self, rows: pd.DataFrame) -> Iterator[None]:
        """Lock the store while missing pictures of ``rows`` are written; another run waits and then finds them done.

        The lock ends with its process, also when that is killed. Raises InputFault when codes.json is damaged.
        """
        with lock_folder(self.folder, wait=True):
            self._drop_unreadable()
            self._codes(rows)
            yield

    def find_missing(
        self, rows: pd.DataFrame, names: pd.Index, sizes: Sequence[int], at_most: int = CASES_PER_FILE
    ) -> list[MissingPictures]:
        """Return the pictures to decode so that the store has all ``rows`` at ``sizes`` px; write nothing.

        ``names`` are all image names of the run; a new part gets ``at_most`` pictures.
        """
        missing = []
        for role, cases in rows.groupby("stored_role", sort=False):
            now, parts = current_index(self.source, cases), self._parts(str(role))
            useful_parts = choose_parts(parts, cases, names)
            stored_names = [name for part in useful_parts for name in part.index.index]
            added_parts = new_parts(now.drop(stored_names, errors="ignore"), str(role), parts, at_most)
            current_parts = [part.refresh(now) for part in useful_parts]
            missing += [self._missing_of(part, cases, sizes) for part in [*current_parts, *added_parts]]
        return [pictures for pictures in missing if pictures.sizes or pictures.measure]

    def add(self, missing: MissingPictures, write: Write) -> None:
        """Store the ``missing`` pictures as ``write`` decodes them, and write the marks last.

        ``write`` gets a dict from size to the file that it fills with one record per picture, and the codes of the
        cases' texts; it returns the statistics if they are missing. When it raises, its files are removed.
        """
        part = missing.part
        if missing.measure:  # files of an earlier part with this name were made from other source files
            self._drop(part.name)
        codes = self._codes(missing.cases)
        with ExitStack() as stack:
            files = {size: stack.enter_context(replacing(self.shard(part, size))) for size in missing.sizes}
            statistics = write(files, codes)
        if statistics is not None:
            tables = {self.statistics(part): statistics, self._folder(part) / "index.parquet": part.index}
            for path, table in tables.items():
                write_table(path, table)
            write_mark(self._mark(part), part.made_from, tables)
        for size in missing.sizes:
            write_mark(self._mark(part, size), part.made_from, [self.shard(part, size)])

    def find_parts(self, rows: pd.DataFrame, names: pd.Index) -> list[tuple[Part, pd.Index]]:
        """Return the parts that hold pictures of ``rows``, each with the names that a run takes from it.

        ``names`` are all image names of the run.
        """
        matches = []
        for role, cases in rows.groupby("stored_role", sort=False):
            parts = choose_parts(self._parts(str(role)), cases, names)
            matches += [(part, part.index.index.intersection(cases.index)) for part in parts]
        return matches

    def shard(self, part: Part, size: int) -> Path:
        """Return the path of a part's TFRecord file at ``size`` px; its name has the count, as on Kaggle."""
        return self.folder / str(size) / f"{part.name}-{len(part.index)}.tfrec"

    def statistics(self, part: Part) -> Path:
        """Return the path of the statistics of a part's pictures."""
        return self._folder(part) / "statistics.parquet"

    def marks(self) -> list[Path]:
        """Return the marks of all parts: one for the contents of each part, and one for each of its sizes."""
        return sorted((self.folder / "parts").glob("*/*.json"))

    def current_inputs(self, mark: Path, rows: pd.DataFrame) -> Mapping[str, Any] | None:
        """Return the current inputs of the part of ``mark``, in the form that the mark records; None without the part.

        If files of ``rows`` changed since, the value of ``pictures`` is a text that names them.
        """
        part = next((part for part in self._parts("") if part.name == mark.parent.name), None)
        if part is None:
            return None
        stored_rows = rows[rows["stored_picture"] == part.index["picture"].reindex(rows.index)]
        now = current_index(self.source, stored_rows) if len(stored_rows) else part.index[:0]
        if set(now) != set(part.index):  # an earlier version compared times
            return {**part.made_from, "pictures": "of an earlier version; they are decoded again"}
        changes = now.index[(now != part.index.loc[now.index]).any(axis=1)]
        if changes.empty:
            return part.made_from
        return {**part.made_from, "pictures": f"changed since: {list_names(changes)}"}

    def _parts(self, role: str) -> list[Part]:
        """Return the finished parts of ``role`` ('train', 'test', or '' for both) in the order of their numbers."""
        marks = (self.folder / "parts").glob(f"{role}*/run.json")
        folders = sorted((mark.parent for mark in marks), key=lambda folder: (len(folder.name), folder.name))
        return [Part(folder.name, read_table(folder / "index.parquet")) for folder in folders]

    def _missing_of(self, part: Part, rows: pd.DataFrame, sizes: Sequence[int]) -> MissingPictures:
        """Return what a part lacks; if its pictures changed since it was written, all sizes and the statistics."""
        measure = not is_fresh(self._mark(part), part.made_from)
        missing_sizes = [size for size in sizes if measure or not self._has_size(part, size)]
        paths = {str(name): self.source / picture for name, picture in part.index["picture"].items()}
        return MissingPictures(rows.reindex(part.index.index), paths, missing_sizes, measure, part)

    def _has_size(self, part: Part, size: int) -> bool:
        # The digest is checked even for large files: a training is about to read them, which takes far longer.
        return is_fresh(self._mark(part, size), part.made_from, [self.shard(part, size)], hash_all=True)

    def _drop_unreadable(self) -> None:
        """Remove the parts whose mark or index is damaged, with a message to the user."""
        for mark in sorted((self.folder / "parts").glob("*/run.json")):
            index = mark.with_name("index.parquet")
            if read_mark(mark) is None or any(str(index) in sentence for sentence in find_damage(mark)):
                say(f"{mark.parent}: the list of its pictures is damaged; they are decoded again")
                self._drop(mark.parent.name)

    def _drop(self, name: str) -> None:
        """Remove all files of a part, its marks first."""
        for mark in (self.folder / "parts" / name).glob("*.json"):
            mark.unlink()
        for shard in self.folder.glob(f"*/{name}-*.tfrec"):
            shard.unlink()
        shutil.rmtree(self.folder / "parts" / name, ignore_errors=True)

    def _codes(self, cases: pd.DataFrame) -> dict[str, dict[str, int]]:
        """Return column -> text -> code; new texts of ``cases`` are appended, so that no code ever changes.

        Raises InputFault when codes.json is damaged, because the codes in the records could get another meaning.
        """
        path = self.folder / "codes.json"
        stored_texts: dict[str, list[str]] = self._read_codes(path) if path.is_file() else {}
        texts = {column: stored_texts.get(column, []) for column in CODE_COLUMNS}
        for column in set(CODE_COLUMNS) & set(cases.columns):
            new = set(cases[column].dropna().astype(str)) - set(texts[column])
            texts[column] = [*texts[column], *sorted(new)]
        if texts != stored_texts:
            write_json(path, texts | {"digest": digest(texts)})
        return {column: {text: code for code, text in enumerate(values)} for column, values in texts.items()}

    def _read_codes(self, path: Path) -> dict[str, list[str]]:
        remedy = f"the codes in the decoded pictures have no meaning without it; delete {self.folder} to decode again"
        try:
            texts = dict(read_json(path))
        except InputFault as fault:
            raise InputFault(f"{fault}; {remedy}") from fault
        expected = texts.pop("digest", None)  # earlier versions wrote no digest
        if expected is not None and expected != digest(texts):
            raise InputFault(f"{path}: damaged, its digest is {digest(texts)} instead of {expected}; {remedy}")
        return texts

    def _folder(self, part: Part) -> Path:
        return self.folder / "parts" / part.name

    def _mark(self, part: Part, size: int | None = None) -> Path:
        """Return the mark of a part, or of its pictures at ``size`` px."""
        return self._folder(part) / ("run.json" if size is None else f"{size}.json")
