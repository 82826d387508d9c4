"""The parts of a picture store, each a set of pictures decoded together, and the choice of parts for a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from features.pictures.contents import source_file
from runtime.fingerprints import fingerprints
from runtime.provenance import digest
from runtime.tables import INDEX

VERSION = 3  # increase it when the bytes of a shard, a statistic or the tables of a part change


@dataclass(frozen=True)
class Part:
    """The pictures of one role that were decoded together into one file per size."""

    name: str  # train00, train01, ..., test00
    index: pd.DataFrame  # image_name -> picture (path in the source folder), fingerprint of its file

    @property
    def made_from(self) -> dict[str, object]:
        """The inputs of the part as its marks record them: a digest of its pictures, and the version of the format."""
        columns = [self.index.index.tolist(), *(self.index[name].tolist() for name in self.index)]
        return {"pictures": digest(columns), "version": VERSION}

    def is_usable(self, pictures: pd.Series, names: pd.Index) -> bool:
        """Return whether the part has some of ``pictures`` (name -> path) and no other picture with one of ``names``.

        Then a run finds each of its names once, even if other runs store pictures with the same names.
        """
        same = self.index["picture"] == pictures.reindex(self.index.index)
        return bool(same.any() and not (self.index.index.isin(names) & ~same).any())

    def refresh(self, now: pd.DataFrame) -> "Part":
        """Return this part if its files did not change; else a part with the same name and its rows of ``now``."""
        current = now.loc[self.index.index.intersection(now.index)]
        if set(current) != set(self.index):  # of an earlier version
            return Part(self.name, current)
        return self if current.equals(self.index.loc[current.index]) else Part(self.name, current)


def choose_parts(parts: Sequence[Part], rows: pd.DataFrame, names: pd.Index) -> list[Part]:
    """Return the ``parts`` from which a run takes the pictures of ``rows`` (cases of one store and role), each once.

    ``names`` are all image names of the run. Pictures that are in no returned part must be decoded into new parts.
    """
    pictures, choice = rows["stored_picture"], []
    for part in parts:
        if part.is_usable(pictures, names):
            choice.append(part)
            # Without these pictures, a later part that holds one of them again is not usable.
            pictures = pictures.drop(part.index.index, errors="ignore")
    return choice


def new_parts(index: pd.DataFrame, role: str, parts: Sequence[Part], at_most: int) -> list[Part]:
    """Split ``index`` into new parts of ``at_most`` pictures, numbered after the existing ``parts``."""
    first = 1 + max((int(part.name.removeprefix(role)) for part in parts), default=-1)
    starts = range(0, len(index), at_most)
    return [Part(f"{role}{first + i:02d}", index[start : start + at_most]) for i, start in enumerate(starts)]


def current_index(source: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Return image_name -> picture, fingerprint of its file as it is now; a missing file has a fingerprint of its own.

    The decoder reports the fault of a missing file.
    """
    files = [source_file(source / picture) for picture in rows["stored_picture"]]
    prints = fingerprints(files)
    columns = {"picture": rows["stored_picture"].to_list(), "fingerprint": [prints[file] for file in files]}
    return pd.DataFrame(columns, index=pd.Index(rows.index, name=INDEX))
