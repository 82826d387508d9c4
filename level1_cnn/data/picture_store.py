"""The store of decoded pictures of one source folder, shared by all runs beside each other: its parts, what they hold.

<runs>/pictures/<source folder>-<8 hex of its path>/
    parts/train00/{index,statistics}.parquet   what a part holds; run.json is its mark, written last
    parts/train00/512.json                            the mark of its pictures at 512 px
    512/train00-2000.tfrec                            those pictures
    codes.json                                        what the integer codes in the records mean
"""

import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.pictures.hdf5 import entry_place
from features.pictures.tfrecord import record_place
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.folder_lock import holding
from runtime.progress import say
from runtime.provenance import damages, digest, finish, is_fresh, read_mark
from runtime.run_folder import Run
from runtime.tables import INDEX, read_table, write_table

VERSION = 2  # raise it when the bytes of a shard or a statistic change, or the tables of a part
CODED = ("patient_id", "sex", "anatom_site_general_challenge", "diagnosis")


@dataclass(frozen=True)
class Part:
    """Some pictures of one role that were decoded together."""

    name: str  # train00, train01, ..., test00
    index: pd.DataFrame  # image_name -> picture (path in the source folder), file_bytes, mtime (ns)

    @property
    def made_from(self) -> dict[str, object]:
        """What its shards were made from."""
        columns = [self.index.index.tolist(), *(self.index[name].tolist() for name in self.index)]
        return {"pictures": digest(columns), "version": VERSION}

    def serves(self, wanted: pd.Series, names: pd.Index) -> bool:
        """Tell whether it holds some of the ``wanted`` pictures (by name) and no other picture under any of ``names``.

        So a run meets each of its names once, whatever other runs put beside them.
        """
        same = self.index["picture"] == wanted.reindex(self.index.index)
        return bool(same.any() and not (self.index.index.isin(names) & ~same).any())


@dataclass(frozen=True)
class Store:
    """The decoded pictures of one ``source`` folder."""

    folder: Path
    source: Path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the store for writing: another run waits, and then finds the work done. A killed process lets go."""
        with holding(self.folder, wait=True):
            yield

    def parts(self, role: str) -> list[Part]:
        """Return the finished parts of ``role`` ('train' or 'test') in the order of their numbers."""
        marks = (self.folder / "parts").glob(f"{role}*/run.json")
        folders = sorted((mark.parent for mark in marks), key=lambda folder: (len(folder.name), folder.name))
        return [Part(folder.name, read_table(folder / "index.parquet")) for folder in folders]

    def is_measured(self, part: Part) -> bool:
        """Tell whether the statistics of ``part`` are there and made from its pictures as they are."""
        return is_fresh(self.mark(part), part.made_from)

    def has_size(self, part: Part, size: int) -> bool:
        """Tell whether the shard of ``part`` at ``size`` px is there and made from its pictures as they are."""
        # By digest whatever its size: it is about to be read by a training, which takes far longer.
        return is_fresh(self.mark(part, size), part.made_from, [self.shard(part, size)], whole=True)

    def shard(self, part: Part, size: int) -> Path:
        """Return the TFRecord file of ``part`` at ``size`` px; the count is in its name, as in Kaggle's sets."""
        return self.folder / str(size) / f"{part.name}-{len(part.index)}.tfrec"

    def table(self, part: Part, name: str) -> Path:
        """Return the path of a table of ``part``: index or statistics."""
        return self.folder / "parts" / part.name / f"{name}.parquet"

    def finish(self, part: Part, tables: dict[str, pd.DataFrame], sizes: Sequence[int]) -> None:
        """Write the ``tables`` of a part whose shards are in place, and the marks, last."""
        for name, table in tables.items():
            write_table(self.table(part, name), table)
        if tables:
            write_table(self.table(part, "index"), part.index)
            finish(self.mark(part), part.made_from, [self.table(part, name) for name in (*tables, "index")])
        for size in sizes:
            finish(self.mark(part, size), part.made_from, [self.shard(part, size)])

    def drop_unreadable(self) -> None:
        """Remove the parts of which it is not known any more what they hold; what is damaged is said."""
        for mark in sorted((self.folder / "parts").glob("*/run.json")):
            index = mark.with_name("index.parquet")
            if read_mark(mark) is None or any(str(index) in sentence for sentence in damages(mark)):
                say(f"{mark.parent}: what it holds cannot be told any more; its pictures are decoded again")
                self.drop(mark.parent.name)

    def drop(self, name: str) -> None:
        """Remove all of a part, its marks first."""
        for mark in (self.folder / "parts" / name).glob("*.json"):
            mark.unlink()
        for shard in self.folder.glob(f"*/{name}-*.tfrec"):
            shard.unlink()
        shutil.rmtree(self.folder / "parts" / name, ignore_errors=True)

    def codes(self, cases: pd.DataFrame) -> dict[str, dict[str, int]]:
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
        try:
            texts = dict(read_json(path))
        except InputFault as fault:
            raise InputFault(f"{fault}; {self._lost}") from fault
        told = texts.pop("digest", None)  # absent in what an earlier version wrote
        if told is not None and told != digest(texts):
            raise InputFault(f"{path}: damaged, digest {digest(texts)} where {told} was written; {self._lost}")
        return texts

    @property
    def _lost(self) -> str:
        return f"what the decoded pictures' codes mean is lost: delete {self.folder}, and they are decoded again"

    def mark(self, part: Part, size: int | None = None) -> Path:
        """Return the mark of a part, or of its pictures at ``size`` px."""
        return self.folder / "parts" / part.name / ("run.json" if size is None else f"{size}.json")


def stores_of(run: Run, cases: pd.DataFrame) -> list[tuple[Store, pd.DataFrame]]:
    """Return the stores that hold the pictures of ``cases``, and of each its cases with two more columns.

    ``stored_role`` is 'train' or 'test' (an external folder is a store of its own, and its cases are 'train' there);
    ``stored_picture`` is the picture's path in the source folder.
    """
    data = Path(run.facts()["data"]).resolve()
    pictures = cases[cases["picture"].notna()]
    folders = np.array([str(_source(data, case)) for case in pictures.to_dict("records")], dtype=object)
    found = []
    for folder in map(Path, sorted(set(folders))):
        rows = pictures[folders == str(folder)]
        inside = [str((data / picture).relative_to(folder)) for picture in rows["picture"]]
        rows = rows.assign(stored_role=rows["role"].replace("extra", "train"), stored_picture=inside)
        name = f"{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
        found.append((Store(run.folder.resolve().parent / "pictures" / name, folder), rows))
    return found


def chosen_parts(parts: Sequence[Part], rows: pd.DataFrame, names: pd.Index) -> list[Part]:
    """Return those of ``parts`` that together hold pictures of ``rows`` (cases of one store and role), each once.

    ``names`` are all names of the run. What they do not hold is to be decoded into new parts.
    """
    wanted, chosen = rows["stored_picture"], []
    for part in parts:
        if part.serves(wanted, names):
            chosen.append(part)
            # A later part that repeats one of these now holds a name that is no longer wanted: it does not serve.
            wanted = wanted.drop(part.index.index, errors="ignore")
    return chosen


def current_index(store: Store, rows: pd.DataFrame) -> pd.DataFrame:
    """Return image_name -> picture, file_bytes, mtime (ns) as the files are now; -1 for a file that is not there."""
    facts = {}
    for picture in rows["stored_picture"]:
        place = record_place(Path(picture)) or entry_place(Path(picture))
        file = str(store.source / (place[0] if place else picture))
        if file not in facts:
            facts[file] = _file_facts(Path(file))
        facts[picture] = facts[file]
    sizes, times = zip(*(facts[picture] for picture in rows["stored_picture"]), strict=True)
    columns = {"picture": rows["stored_picture"].to_list(), "file_bytes": sizes, "mtime": times}
    return pd.DataFrame(columns, index=pd.Index(rows.index, name=INDEX))


def _file_facts(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return -1, -1  # decoding says what is wrong with it
    return status.st_size, status.st_mtime_ns


def _source(data: Path, case: Mapping[Any, Any]) -> Path:
    """Return the source folder of a case: the data folder, or the external folder that its source names."""
    if case["role"] != "extra":
        return data
    parents = Path(str(case["picture"])).parents
    return next((folder for folder in parents if folder.name == case.get("source")), parents[0])
