"""The one door to a user's data: a folder that is opened once, with its layout, its tables and its pictures' places."""

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

PAIRS = "duplicates.csv"  # the official list of pictures that show the same
PAIR_COLUMNS = (("image_name_1", "image_name_2"), ("ISIC_id", "ISIC_id_paired"))  # ours; the contest's


@dataclass(frozen=True)
class DataFolder:
    """A folder that a user brings: ``notes`` is told what is repaired in it.

    Every table is read from the disk once, when its digest or its rows are first asked for, and every place of pictures
    is looked for and listed once.
    """

    path: Path
    layout: Layout
    mapping: Path | None = None  # where the layout was read from, if not from the folder itself
    notes: list[str] = field(default_factory=list)
    _contents: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)
    _locations: dict[str, PictureLocation | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(cls, path: Path, mapping: Path | None = None, notes: list[str] | None = None) -> DataFolder:
        """Return the folder at ``path``, laid out as ``mapping`` or else itself says; raise as ``read_layout``."""
        return cls(path, read_layout(path, mapping), mapping, [] if notes is None else notes)

    def has(self, name: str) -> bool:
        """Tell whether the folder has a file of this name."""
        return bool(name) and (self.path / name).is_file()

    def names_itself(self, key: str) -> bool:
        """Tell whether a mapping (the given one, or the folder's cases.toml) sets ``key`` to something."""
        mapped = self.mapping is not None or self.has(MAPPING)
        return mapped and key in self.layout.model_fields_set and bool(getattr(self.layout, key))

    def picture_location(self, role: str) -> PictureLocation | None:
        """Return where the pictures of ``role`` lie, as ``find_place`` does."""
        if role not in self._locations:
            self._locations[role] = find_location(self.path, self.layout, role)
        return self._locations[role]

    def digests(self, names: Iterable[str]) -> dict[str, str]:
        """Return name -> digest of those of ``names`` that the folder has; their bytes wait to be read as tables."""
        return {name: digest_of_bytes(self._content(name)) for name in names if self.has(name)}

    def picture_digests(self, roles: Iterable[str]) -> dict[str, str]:
        """Return place -> digest of the names and sizes of its files, of the places that there are for ``roles``."""
        places = (self.picture_location(role) for role in roles)
        return {place.name: place.digest() for place in places if place is not None}

    def cases(self, role: str) -> pd.DataFrame:
        """Return the table of cases of ``role`` (train or test), its ids as texts; raise as ``read_csv`` does."""
        columns = self.layout.columns
        known = (columns.target, columns.fold_group, *columns.metadata, *LABEL_COLUMNS)
        return self._read(str(getattr(self.layout, role)), columns.image_name, columns.patient_id, LESION, known=known)

    def sizes(self, role: str) -> pd.DataFrame | None:
        """Return the table of picture sizes of ``role``; None where there is none."""
        name, columns = str(getattr(self.layout, f"{role}_sizes")), self.layout.columns
        known = (columns.fold_group, "width", "height")
        return self._read(name, columns.image_name, known=known) if self.has(name) else None

    def sample(self) -> pd.DataFrame | None:
        """Return the sample submission; None where there is none."""
        return self._read(self.layout.sample, *ID_COLUMNS, known=("target",)) if self.has(self.layout.sample) else None

    def pairs(self) -> pd.DataFrame | None:
        """Return the official list of pictures that show the same; None where there is none."""
        texts = [name for columns in PAIR_COLUMNS for name in columns]
        return self._read(PAIRS, *texts) if self.has(PAIRS) else None

    def _content(self, name: str) -> bytes:
        if name not in self._contents:
            self._contents[name] = (self.path / name).read_bytes()
        return self._contents[name]

    def _read(self, name: str, id_name: str, *others: str, known: Iterable[str] = ()) -> pd.DataFrame:
        """Return a table as text; its bytes are let go, as nobody reads a table twice."""
        content = self._contents.pop(name, None)
        return read_csv(self.path / name, id_name, *others, known=tuple(known), notes=self.notes, content=content)


@dataclass(frozen=True)
class CaseFolders:
    """What a case table is made of, opened: the data folder of a ``request``, and its folders of external cases."""

    request: Request
    data: DataFolder
    extra: tuple[DataFolder, ...]

    @classmethod
    def open(cls, request: Request, notes: list[str] | None = None) -> CaseFolders:
        """Return the folders of ``request``, which tell ``notes`` what is repaired in any of them."""
        data = DataFolder.open(request.data, request.mapping, notes)
        return cls(request, data, tuple(DataFolder.open(folder, notes=data.notes) for folder in request.extra))
