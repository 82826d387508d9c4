"""The user's data folder, opened once: its layout, its tables and the locations of its pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from features.folder.column_names import ID_COLUMNS, requested_columns, use_requested_names
from features.folder.folder_layout import read_layout
from features.folder.joined_tables import join_table
from features.folder.layout import LABEL_COLUMNS, LESION, MAPPING, Layout, Request
from features.folder.notes import warning
from features.folder.picture_locations import EXTRA, PictureLocation
from features.folder.picture_search.location import find_location
from features.folder.table_file import read_user_table
from runtime.errors import InputFault, list_names
from runtime.provenance import digest_of_bytes

if TYPE_CHECKING:
    import pandas as pd

MOST_COLUMNS = 12  # columns that a message lists
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
    label: str = ""  # precedes the names of tables in notes, if there are several folders
    # image_name -> id in the table, where they differ: submission.csv has the ids of the table
    spellings: dict[str, str] = field(default_factory=dict)
    fold_names: list[str] = field(default_factory=list)  # of the folds, if a column makes them
    _contents: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)
    _locations: dict[str, PictureLocation | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def open(
        cls, path: Path, mapping: Path | None = None, notes: list[str] | None = None, label: str = ""
    ) -> DataFolder:
        """Return the folder at ``path`` with its layout, from ``mapping`` if given; raise as ``read_layout`` does."""
        notes, contents = [] if notes is None else notes, dict[str, bytes]()
        first = len(notes)
        folder = cls(path, read_layout(path, mapping, notes, contents), mapping, notes, label)
        where = f"{path.name}: " if label else ""
        notes[first:] = [f"{where}{note}" for note in notes[first:]]
        folder._contents.update(contents)
        return folder

    def has(self, name: str) -> bool:
        """Return whether the folder has a file of this name."""
        return bool(name) and (self.path / name).is_file()

    @property
    def has_mapping(self) -> bool:
        """Whether a mapping names the files and columns: the given one, or the folder's cases.toml."""
        return self.mapping is not None or self.has(MAPPING)

    def with_metadata(self, metadata: Iterable[str]) -> DataFolder:
        """Return the folder with other metadata columns in its layout; tables and notes are shared."""
        return self._with_layout(columns=self.layout.columns.model_copy(update={"metadata": tuple(metadata)}))

    def with_fold_by(self, column: str) -> DataFolder:
        """Return the folder with the column that folds are made by; tables and notes are shared."""
        return self._with_layout(columns=self.layout.columns.with_fold_by(column)) if column else self

    def with_train_as_test(self) -> DataFolder:
        """Return the folder with its table and pictures of training cases as those of test cases."""
        return self._with_side("train", "test")

    def with_test_as_train(self) -> DataFolder:
        """Return the folder with its table and pictures of test cases as those of training cases, which have labels."""
        return self._with_side("test", "train")

    def _with_side(self, side: str, other: str) -> DataFolder:
        ends = ("", "_pictures", "_join", "_header")
        return self._with_layout(**{f"{other}{end}": getattr(self.layout, f"{side}{end}") for end in ends})

    def with_train_table(self, name: str, location: PictureLocation) -> DataFolder:
        """Return the folder with the table ``name`` and the pictures of ``location`` as those of training cases."""
        return self._with_layout(train=name, train_pictures=location.folder.relative_to(self.path).as_posix())

    def with_labels_optional(self) -> DataFolder:
        """Return the folder with a layout that leaves out rows without a target."""
        return self._with_layout(drop_missing_target=True)

    def _with_layout(self, **changes: object) -> DataFolder:
        other = replace(self, layout=self.layout.model_copy(update=changes))
        other._contents.update(self._contents)
        return other

    def sets(self, key: str) -> bool:
        """Return whether a mapping gives ``key`` a value."""
        return self.has_mapping and key in self.layout.model_fields_set and bool(getattr(self.layout, key))

    def picture_location(self, role: str) -> PictureLocation | None:
        """Return the location of the pictures of ``role``, as ``find_location`` does."""
        if role not in self._locations:
            side = "train" if role in ("train", EXTRA) else "test"
            is_named = self.sets(f"{side}_pictures")
            self._locations[role] = find_location(self.path, self.layout, role, is_named=is_named)
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
        """Return the table of the cases of ``role`` (train or test), with ids as text, under the names of the layout.

        Columns of tables that are joined, and columns that have another name in a public data set, are included; the
        columns of the test table have the names of the training table. Raises InputFault as ``read_user_table`` and
        ``join_table`` do.
        """
        name, columns = str(getattr(self.layout, role)), self.layout.columns
        header = self.layout.train_header if role == "train" else self.layout.test_header
        table = self._read_cases(name, header)
        if role == "test":
            table = self._use_train_names(table, name)
        for other in self.layout.train_join if role == "train" else self.layout.test_join:
            names = (f"{self.label}{name}", f"{self.label}{other}")
            table = join_table(table, self._read_cases(other), names, self.notes, image_name=columns.image_name)
        return self._complete(table, role, f"{self.label}{name}")

    def _read_cases(self, name: str, header: Collection[str] = ()) -> pd.DataFrame:
        columns = self.layout.columns
        own_columns = filter(None, (columns.target, columns.fold_group, columns.fold_by))
        optional = (*own_columns, *columns.metadata, *LABEL_COLUMNS)
        own = (columns.patient_id, columns.lesion_id, *self.layout.test_columns.values())
        return self._read(name, columns.image_name, *own, LESION, optional=optional, header=header)

    def _use_train_names(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        """Return the test ``table`` with the names that ``test_columns`` gives; raise InputFault if it lacks one."""
        names = {its: train for train, its in self.layout.test_columns.items()}
        missing = [its for its in names if its not in table]
        if missing:
            raise InputFault(
                f"{name}: [test_columns] names column(s) that are missing: {list_names(missing)}; "
                f"the columns are {list_names(table.columns, MOST_COLUMNS)}"
            )
        return table.drop(columns=[train for train in names.values() if train in table and train not in names]).rename(
            columns=names
        )

    def _complete(self, table: pd.DataFrame, role: str, name: str) -> pd.DataFrame:
        """Return ``table`` with the requested columns that it has under other names; a lesion can be the patient."""
        columns = self.layout.columns
        table = use_requested_names(table, requested_columns(self.layout, role), name, self.notes)
        if columns.patient_id not in table and columns.lesion_id in table:
            self.notes.append(
                f"{name}: no column {columns.patient_id}; the cases of a {columns.lesion_id} are a patient"
            )
            table = table.assign(**{columns.patient_id: table[columns.lesion_id]})
        if columns.patient_id == columns.image_name and role == "train":
            self.notes.append(
                warning(
                    f"{name}: no patients: every picture is a patient of its own; those of one person may be in "
                    "several folds"
                )
            )
        return table

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
        return self._read(self.layout.pairs, *texts) if self.has(self.layout.pairs) else None

    def _content(self, name: str) -> bytes:
        if name not in self._contents:
            self._contents[name] = (self.path / name).read_bytes()
        return self._contents[name]

    def _read(
        self, name: str, id_name: str, *others: str, optional: Iterable[str] = (), header: Collection[str] = ()
    ) -> pd.DataFrame:
        """Return a table with its ids as text, and drop its bytes, since no table is read twice."""
        content, path = self._contents.pop(name, None), self.path / name
        columns = tuple(optional)
        return read_user_table(
            path, id_name, *others, optional=columns, notes=self.notes, content=content, header=header
        )


@dataclass(frozen=True)
class CaseFolders:
    """The folders that a case table is made from: the data folder of a ``request`` and its external folders."""

    request: Request
    data: DataFolder
    extra: tuple[DataFolder, ...]

    @classmethod
    def open(cls, request: Request, notes: list[str] | None = None) -> CaseFolders:
        """Return the folders of ``request``; ``notes`` collects the repairs in all of them."""
        data = DataFolder.open(request.data, request.mapping, notes).with_fold_by(request.fold_column)
        extra = [DataFolder.open(path, notes=data.notes, label=f"{path.name}/") for path in request.extra]
        own = data.layout.columns.metadata
        # The columns of external cases are the training cases', unless a mapping gives others.
        return cls(request, data, tuple(each if each.has_mapping else each.with_metadata(own) for each in extra))
