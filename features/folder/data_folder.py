"""The user's data folder, opened once: its layout, its tables and the locations of its pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from features.folder.csv_file import ID_COLUMNS, read_csv
from features.folder.layout import LABEL_COLUMNS, LESION, MAPPING, Layout, Request, read_layout
from features.folder.picture_locations import PictureLocation, find_location
from runtime.provenance import digest_of_bytes

if TYPE_CHECKING:
    import pandas as pd

PAIRS = "duplicates.csv"  # the official list of pictures of the same lesion
PAIR_COLUMNS = (("image_name_1", "image_name_2"), ("ISIC_id", "ISIC_id_paired"))  # ours; the contest's


@dataclass(frozen=True)
class DataFolder:
    """A user's data folder; ``notes`` collects a sentence for every repair of its tables.

    Every table is read from the disk once, when its digest or its rows are first requested. Every picture location is
    searched and listed once.
    """

    path: Path
    layout: Layout
    mapping: Path | None = None  # the file that the layout was read from, if it is not in the folder
    notes: list[str] = field(default_factory=list)
    _contents: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)
    _locations: dict[str, PictureLocation | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, path: Path, mapping: Path | None = None, notes: list[str] | None = None) -> DataFolder:
        """Return the folder at ``path`` with its layout, from ``mapping`` if given; raise as ``read_layout`` does."""
        return cls(path, read_layout(path, mapping), mapping, [] if notes is None else notes)

    def has(self, name: str) -> bool:
        """Return whether the folder has a file of this name."""
        return bool(name) and (self.path / name).is_file()

    def sets(self, key: str) -> bool:
        """Return whether a mapping (the given one, or the folder's cases.toml) gives ``key`` a value."""
        has_mapping = self.mapping is not None or self.has(MAPPING)
        return has_mapping and key in self.layout.model_fields_set and bool(getattr(self.layout, key))

    def picture_location(self, role: str) -> PictureLocation | None:
        """Return the location of the pictures of ``role``, as ``find_location`` does."""
        if role not in self._locations:
            self._locations[role] = find_location(self.path, self.layout, role)
        return self._locations[role]

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return name -> digest of the files in ``names`` that exist; the bytes are kept, to read each file once."""
        return {name: digest_of_bytes(self._content(name)) for name in names if self.has(name)}

    def picture_digests(self, roles: Iterable[str], *, by_size: bool = False) -> dict[str, str]:
        """Return location -> digest of the names and fingerprints of its files, for the pictures of ``roles``.

        ``by_size``: of names and sizes, as earlier versions did.
        """
        places = [place for role in roles if (place := self.picture_location(role)) is not None]
        return {place.name: place.digest_of_sizes() if by_size else place.digest() for place in places}

    def cases(self, role: str) -> pd.DataFrame:
        """Return the case table of ``role`` (train or test), with ids as text; raise as ``read_csv`` does."""
        columns = self.layout.columns
        optional = (columns.target, columns.fold_group, *columns.metadata, *LABEL_COLUMNS)
        return self._read(
            str(getattr(self.layout, role)), columns.image_name, columns.patient_id, LESION, optional=optional
        )

    def sizes(self, role: str) -> pd.DataFrame | None:
        """Return the table of picture sizes of ``role``; None if it does not exist."""
        name, columns = str(getattr(self.layout, f"{role}_sizes")), self.layout.columns
        optional = (columns.fold_group, "width", "height")
        return self._read(name, columns.image_name, optional=optional) if self.has(name) else None

    def sample(self) -> pd.DataFrame | None:
        """Return the sample submission; None if it does not exist."""
        return (
            self._read(self.layout.sample, *ID_COLUMNS, optional=("target",)) if self.has(self.layout.sample) else None
        )

    def pairs(self) -> pd.DataFrame | None:
        """Return the official list of pictures of the same lesion; None if it does not exist."""
        texts = [name for columns in PAIR_COLUMNS for name in columns]
        return self._read(PAIRS, *texts) if self.has(PAIRS) else None

    def _content(self, name: str) -> bytes:
        if name not in self._contents:
            self._contents[name] = (self.path / name).read_bytes()
        return self._contents[name]

    def _read(self, name: str, id_name: str, *others: str, optional: Iterable[str] = ()) -> pd.DataFrame:
        """Return a table with its ids as text, and drop its bytes, since no table is read twice."""
        content = self._contents.pop(name, None)
        return read_csv(self.path / name, id_name, *others, optional=tuple(optional), notes=self.notes, content=content)


@dataclass(frozen=True)
class CaseFolders:
    """The folders that a case table is made from: the data folder of a ``request`` and its external folders."""

    request: Request
    data: DataFolder
    extra: tuple[DataFolder, ...]

    @classmethod
    def open(cls, request: Request, notes: list[str] | None = None) -> CaseFolders:
        """Return the folders of ``request``; ``notes`` collects the repairs in all of them."""
        data = DataFolder.open(request.data, request.mapping, notes)
        return cls(request, data, tuple(DataFolder.open(folder, notes=data.notes) for folder in request.extra))
