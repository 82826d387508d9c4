"""A part of the picture store: some pictures of one role that were decoded together, and which parts serve a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.pictures.hdf5 import parse_entry_path
from features.pictures.tfrecord import parse_record_path
from runtime.provenance import digest
from runtime.tables import INDEX

VERSION = 2  # raise it when the bytes of a shard or a statistic change, or the tables of a part


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

    def renewed(self, now: pd.DataFrame) -> "Part":
        """Return this part unless a file of it changed; then what the run needs of it, as the files are ``now``."""
        current = now.loc[self.index.index.intersection(now.index)]
        return self if current.equals(self.index.loc[current.index]) else Part(self.name, current)


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


def new_parts(index: pd.DataFrame, role: str, parts: Sequence[Part], at_most: int) -> list[Part]:
    """Return parts of ``at_most`` pictures of ``index`` each, numbered after the ``parts`` that are there."""
    first = 1 + max((int(part.name.removeprefix(role)) for part in parts), default=-1)
    starts = range(0, len(index), at_most)
    return [Part(f"{role}{first + i:02d}", index[start : start + at_most]) for i, start in enumerate(starts)]


def current_index(source: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Return image_name -> picture, file_bytes, mtime (ns) as the files are now; -1 for a file that is not there."""
    facts = {}
    for picture in rows["stored_picture"]:
        place = parse_record_path(Path(picture)) or parse_entry_path(Path(picture))
        file = str(source / (place[0] if place else picture))
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
