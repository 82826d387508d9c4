"""The store of decoded pictures of one source folder, shared by all runs beside each other: what it lacks and takes.

<runs>/pictures/<source folder>-<8 hex of its path>/
    parts/train00/{index,statistics}.parquet   what a part holds; run.json is its mark, written last
    parts/train00/512.json                            the mark of its pictures at 512 px
    512/train00-2000.tfrec                            those pictures
    codes.json                                        what the integer codes in the records mean
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from level1_cnn.data.store_parts import Part, chosen_parts, current_index, new_parts
from runtime.errors import InputFault, list_names
from runtime.files import read_json, replacing, write_json
from runtime.folder_lock import lock_folder
from runtime.progress import say
from runtime.provenance import digest, find_damage, is_fresh, read_mark, write_mark
from runtime.tables import read_table, write_table

CASES_PER_FILE = 2000  # as in the contest's sets: large enough to stream, small enough to lose to a kill
CODED = ("patient_id", "sex", "anatom_site_general_challenge", "diagnosis")
Codes: TypeAlias = Mapping[str, Mapping[str, int]]  # column -> text -> code
Write: TypeAlias = Callable[[Mapping[int, Path], Codes], pd.DataFrame | None]


@dataclass(frozen=True)
class MissingPictures:
    """Pictures that a store lacks at ``sizes`` px, and with ``measure`` their statistics; decoded together."""

    cases: pd.DataFrame
    paths: dict[str, Path]  # image_name -> the source picture
    sizes: list[int]
    measure: bool
    part: Part  # the store's own


@dataclass(frozen=True)
class Store:
    """The decoded pictures of one ``source`` folder. Its rows are those of ``run_pictures.find_stores``."""

    folder: Path
    source: Path

    @contextmanager
    def locked(self, rows: pd.DataFrame) -> Iterator[None]:
        """Hold the store for writing what ``rows`` lack: another run waits, and then finds the work done.

        A killed process lets go. Raises InputFault where what the records' codes mean is damaged.
        """
        with lock_folder(self.folder, wait=True):
            self._drop_unreadable()
            self._codes(rows)
            yield

    def missing(
        self, rows: pd.DataFrame, names: pd.Index, sizes: Sequence[int], at_most: int = CASES_PER_FILE
    ) -> list[MissingPictures]:
        """Return what is to be decoded so that every one of ``rows`` is there at ``sizes`` px; nothing is written.

        ``names`` are all names of the run; new pictures are decoded ``at_most`` at a time.
        """
        found = []
        for role, wanted in rows.groupby("stored_role", sort=False):
            now, parts = current_index(self.source, wanted), self._parts(str(role))
            serving = chosen_parts(parts, wanted, names)
            covered = [name for part in serving for name in part.index.index]
            fresh = new_parts(now.drop(covered, errors="ignore"), str(role), parts, at_most)
            held = [part.renewed(now) for part in serving]
            found += [self._lacking(part, wanted, sizes) for part in [*held, *fresh]]
        return [one for one in found if one.sizes or one.measure]

    def add(self, missing: MissingPictures, write: Write) -> None:
        """Take what ``write`` makes of the ``missing`` pictures, and mark it as finished, last.

        ``write`` is given size -> a file to fill with a record per picture, and the codes of their cases' texts; it
        returns the statistics if they are missing. Where it raises, nothing of it stays.
        """
        part = missing.part
        if missing.measure:  # what is there under its name was made from other files
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

    def held(self, rows: pd.DataFrame, names: pd.Index) -> list[tuple[Part, pd.Index]]:
        """Return the parts that hold pictures of ``rows``, and which of them each gives; ``names`` as in `missing`."""
        found = []
        for role, wanted in rows.groupby("stored_role", sort=False):
            parts = chosen_parts(self._parts(str(role)), wanted, names)
            found += [(part, part.index.index.intersection(wanted.index)) for part in parts]
        return found

    def shard(self, part: Part, size: int) -> Path:
        """Return the TFRecord file of ``part`` at ``size`` px; the count is in its name, as in Kaggle's sets."""
        return self.folder / str(size) / f"{part.name}-{len(part.index)}.tfrec"

    def statistics(self, part: Part) -> Path:
        """Return the path of the statistics of a part's pictures."""
        return self._folder(part) / "statistics.parquet"

    def marks(self) -> list[Path]:
        """Return the marks of all parts: of what each holds, and of every size of it."""
        return sorted((self.folder / "parts").glob("*/*.json"))

    def made_from_now(self, mark: Path, rows: pd.DataFrame) -> Mapping[str, Any] | None:
        """Return what the part of a ``mark`` would be made from, with those of ``rows`` that became other files named.

        None where the part is not there any more.
        """
        part = next((one for one in self._parts("") if one.name == mark.parent.name), None)
        if part is None:
            return None
        held = rows[rows["stored_picture"] == part.index["picture"].reindex(rows.index)]
        now = current_index(self.source, held) if len(held) else part.index[:0]
        changed = now.index[(now != part.index.loc[now.index]).any(axis=1)]
        return (
            {**part.made_from, "pictures": f"changed since: {list_names(changed)}"} if len(changed) else part.made_from
        )

    def _parts(self, role: str) -> list[Part]:
        """Return the finished parts of ``role`` ('train', 'test', or '' for both) in the order of their numbers."""
        marks = (self.folder / "parts").glob(f"{role}*/run.json")
        folders = sorted((mark.parent for mark in marks), key=lambda folder: (len(folder.name), folder.name))
        return [Part(folder.name, read_table(folder / "index.parquet")) for folder in folders]

    def _lacking(self, part: Part, rows: pd.DataFrame, sizes: Sequence[int]) -> MissingPictures:
        """Return what a part lacks; one that must be measured again holds other pictures than its shards."""
        measure = not is_fresh(self._mark(part), part.made_from)
        lacking = [size for size in sizes if measure or not self._has_size(part, size)]
        paths = {str(name): self.source / picture for name, picture in part.index["picture"].items()}
        return MissingPictures(rows.reindex(part.index.index), paths, lacking, measure, part)

    def _has_size(self, part: Part, size: int) -> bool:
        # By digest whatever its size: it is about to be read by a training, which takes far longer.
        return is_fresh(self._mark(part, size), part.made_from, [self.shard(part, size)], hash_all=True)

    def _drop_unreadable(self) -> None:
        """Remove the parts of which it is not known any more what they hold; what is damaged is said."""
        for mark in sorted((self.folder / "parts").glob("*/run.json")):
            index = mark.with_name("index.parquet")
            if read_mark(mark) is None or any(str(index) in sentence for sentence in find_damage(mark)):
                say(f"{mark.parent}: what it holds cannot be told any more; its pictures are decoded again")
                self._drop(mark.parent.name)

    def _drop(self, name: str) -> None:
        """Remove all of a part, its marks first."""
        for mark in (self.folder / "parts" / name).glob("*.json"):
            mark.unlink()
        for shard in self.folder.glob(f"*/{name}-*.tfrec"):
            shard.unlink()
        shutil.rmtree(self.folder / "parts" / name, ignore_errors=True)

    def _codes(self, cases: pd.DataFrame) -> dict[str, dict[str, int]]:
        """Return column -> text -> code; what ``cases`` bring is added at the end, so that no code ever changes.

        Raises InputFault where what was written is damaged: the records' codes would mean something else.
        """
        path = self.folder / "codes.json"
        known: dict[str, list[str]] = self._read_codes(path) if path.is_file() else {}
        texts = {column: known.get(column, []) for column in CODED}
        for column in set(CODED) & set(cases.columns):
            new = set(cases[column].dropna().astype(str)) - set(texts[column])
            texts[column] = [*texts[column], *sorted(new)]
        if texts != known:
            write_json(path, texts | {"digest": digest(texts)})
        return {column: {text: code for code, text in enumerate(listed)} for column, listed in texts.items()}

    def _read_codes(self, path: Path) -> dict[str, list[str]]:
        lost = f"what the decoded pictures' codes mean is lost: delete {self.folder}, and they are decoded again"
        try:
            texts = dict(read_json(path))
        except InputFault as fault:
            raise InputFault(f"{fault}; {lost}") from fault
        told = texts.pop("digest", None)  # absent in what an earlier version wrote
        if told is not None and told != digest(texts):
            raise InputFault(f"{path}: damaged, digest {digest(texts)} where {told} was written; {lost}")
        return texts

    def _folder(self, part: Part) -> Path:
        return self.folder / "parts" / part.name

    def _mark(self, part: Part, size: int | None = None) -> Path:
        """Return the mark of a part, or of its pictures at ``size`` px."""
        return self._folder(part) / ("run.json" if size is None else f"{size}.json")
