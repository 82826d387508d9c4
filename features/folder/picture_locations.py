"""The location of a role's pictures: folders of picture files or of TFRecord files, or one HDF5 file."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from features.pictures.folder_files import FolderFiles, list_files, sort_files
from features.pictures.hdf5 import entry_names
from features.pictures.suffixes import name_of_file
from runtime.fingerprints import fingerprints
from runtime.provenance import digest

FIRST_SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")  # those that the first versions read
EXTRA, NEW = "extra", "new"  # roles: a folder of external cases, and a folder of cases to predict


@dataclass(frozen=True)
class PictureLocation:
    """Folders with pictures: one file per picture, TFRecord files (``records``), or one HDF5 file.

    ``note`` says how the location was chosen, if it is not a usual one; ``fault`` why its pictures must not be used;
    ``only_deeper`` why they must not be used unless the ids of the cases name the sub-folders.
    """

    folder: Path  # names of pictures in several folders are relative to it
    name: str  # relative to the data folder, for messages
    records: tuple[Path, ...] = ()
    hdf5: Path | None = None
    parts: tuple[Path, ...] = ()  # the folders that are listed; by default ``folder`` itself
    subfolders: bool = False  # files at every depth are listed
    note: str = ""
    fault: str = ""
    only_deeper: str = ""

    @cached_property
    def listing(self) -> tuple[Path, ...]:
        """All files in the folders, sorted."""
        folders = self.parts or (self.folder,)
        files = (path for folder in folders for path in list_files(folder, subfolders=self.subfolders))
        return tuple(dict.fromkeys(files))  # a folder may be inside another one

    @cached_property
    def sorted_files(self) -> FolderFiles:
        """The files by what they are."""
        return sort_files(self.listing)

    @cached_property
    def _stems(self) -> dict[str, list[Path]]:
        """Name of the file without its suffix -> the files, in all folders."""
        stems = defaultdict[str, list[Path]](list)
        for path in self.sorted_files.pictures:
            stems[name_of_file(path)].append(path)
        return stems

    @cached_property
    def _names(self) -> dict[str, list[Path]]:
        """Name -> files. A name that files in several folders have is completed by the folders: ``p1_001``."""
        names = defaultdict[str, list[Path]](list)
        for stem, paths in self._stems.items():
            is_one_place = len(paths) == 1 or len({path.parent for path in paths}) == 1
            for path in paths:
                names[stem if is_one_place else self._long_name(path)].append(path)
        return names

    def _long_name(self, path: Path) -> str:
        return "_".join((*path.relative_to(self.folder).parts[:-1], name_of_file(path)))

    def relative(self, path: Path) -> str:
        """Return the name of a file of the location for messages: relative to its folder."""
        return path.relative_to(self.folder).as_posix()

    def pictures(self) -> dict[str, Path]:
        """Return image_name -> path of each picture file, or ``<file>.hdf5@<name>`` of each HDF5 entry."""
        if self.hdf5 is not None:
            return {name: Path(f"{self.hdf5}@{name}") for name in entry_names(self.hdf5)}
        return {name: paths[-1] for name, paths in self._names.items()}

    def masks(self) -> dict[str, Path]:
        """Return name -> path of the files that are taken for masks of pictures."""
        return {} if self.hdf5 is not None else {name_of_file(path): path for path in self.sorted_files.masks}

    def ambiguous_names(self) -> dict[str, list[str]]:
        """Return name -> files, for every name that more than one picture file has, also in different folders."""
        if self.hdf5 is not None:
            return {}
        return {name: [*map(self.relative, paths)] for name, paths in self._stems.items() if len(paths) > 1}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, sorted: TFRecord files, one HDF5 file, or the pictures in the folders."""
        if self.hdf5 is not None:
            return (self.hdf5,)
        return self.records or self.sorted_files.pictures

    def left_out(self) -> list[str]:
        """Return sentences on files in the folders that are left out."""
        is_folder = self.hdf5 is None and not self.records
        return [f"{self.name}: left out: {text}" for text in self.sorted_files.left_out()] if is_folder else []

    def digest(self) -> str:
        """Return a digest of the names of the files that are read, and of their fingerprints.

        Files with the suffix of a picture that are left out count too, as they did in earlier versions.
        """
        if self.hdf5 is not None or self.records:
            return digest([(path.name, mark) for path, mark in fingerprints(self.files).items()])
        pictures = set(self.sorted_files.pictures)
        files = [path for path in self.listing if path.suffix.lower() in FIRST_SUFFIXES or path in pictures]
        return digest([(self.relative(path), mark) for path, mark in fingerprints(files).items()])

    def digest_of_sizes(self) -> str:
        """Return a digest of names and sizes, as earlier versions did: of the containers, or of all files there."""
        is_folder = self.hdf5 is None and not self.records
        files = [path for path in self.listing if path.is_file()] if is_folder else self.files
        return digest([(path.name, path.stat().st_size) for path in files])


def source_name(folder: Path) -> str:
    """Return the value of column ``source`` for the cases of an external folder: the folder's name."""
    return folder.resolve().name
