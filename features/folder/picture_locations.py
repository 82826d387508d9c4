"""Find the pictures of a data folder: a folder of picture files or of TFRecord files, or one HDF5 file."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from features.folder.layout import Layout
from features.pictures.hdf5 import SUFFIXES as HDF5_SUFFIXES
from features.pictures.hdf5 import entry_names
from features.pictures.tfrecord import SUFFIX
from runtime.fingerprints import fingerprints
from runtime.provenance import digest

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")
EXTRA, NEW = "extra", "new"  # roles: a folder of external cases, and a folder of cases to predict


@dataclass(frozen=True)
class PictureLocation:
    """A folder with pictures: one file per picture, TFRecord files (``records``), or one HDF5 file."""

    folder: Path
    name: str  # relative to the data folder, for messages
    records: tuple[Path, ...] = ()
    hdf5: Path | None = None

    @cached_property
    def listing(self) -> tuple[Path, ...]:
        """All files in the folder, sorted."""
        return tuple(sorted(self.folder.iterdir()))

    def pictures(self) -> dict[str, Path]:
        """Return image_name -> path of each picture file, or ``<file>.hdf5@<name>`` of each HDF5 entry."""
        if self.hdf5 is not None:
            return {name: Path(f"{self.hdf5}@{name}") for name in entry_names(self.hdf5)}
        return {path.stem: path for path in self.listing if _is_picture(path)}

    def ambiguous_names(self) -> dict[str, list[str]]:
        """Return image_name -> file names, for every name that more than one picture file has."""
        files: dict[str, list[str]] = {}
        if self.hdf5 is not None:
            return files
        for path in self.listing:
            if _is_picture(path):
                files.setdefault(path.stem, []).append(path.name)
        return {name: same_name for name, same_name in files.items() if len(same_name) > 1}

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read, sorted: TFRecord files, one HDF5 file, or the pictures in the folder."""
        if self.hdf5 is not None:
            return (self.hdf5,)
        return self.records or tuple(path for path in self.listing if _is_picture(path))

    def digest(self) -> str:
        """Return a digest of the names of the files that are read, and of their fingerprints."""
        return digest([(path.name, mark) for path, mark in fingerprints(self.files).items()])

    def digest_of_sizes(self) -> str:
        """Return a digest of names and sizes, as earlier versions did: of the containers, or of all files there."""
        is_folder = self.hdf5 is None and not self.records
        files = [path for path in self.listing if path.is_file()] if is_folder else self.files
        return digest([(path.name, path.stat().st_size) for path in files])


def find_location(data: Path, layout: Layout, role: str) -> PictureLocation | None:
    """Return the location of the pictures of ``role`` ('train', 'test', 'extra', 'new') in ``data``; None without any.

    The layout may give the folder or an HDF5 file; ISIC 2024's pictures may also be unpacked next to that file.
    Otherwise the folders jpeg/<role>, dicom/<role>, <role> and tfrecords are searched, and the data folder itself for
    TFRecord files. External pictures may also be directly in jpeg or dicom. New pictures may be in the data folder
    itself, if a folder of test pictures is missing. The names of TFRecord files begin with the role
    (train00-2071.tfrec), except in an external folder, where they are free.
    """
    role_in_path = "test" if role == NEW else role
    locations = (_location_in(data, name, role_in_path) for name in _candidates(layout, role_in_path))
    first = next((location for location in locations if location is not None), None)
    return _location_of_files(data, str(data)) if first is None and role == NEW else first


def source_name(folder: Path) -> str:
    """Return the value of column ``source`` for the cases of an external folder: the folder's name."""
    return folder.resolve().name


def _candidates(layout: Layout, role: str) -> Iterable[str]:
    role_in_path = "train" if role == EXTRA else role
    field = f"{role_in_path}_pictures"
    path = str(getattr(layout, field))
    usual = (f"jpeg/{role_in_path}", f"dicom/{role_in_path}", role_in_path, "tfrecords", ".")
    if role == EXTRA:
        return (*([path] if path else []), "jpeg", "dicom", *usual)
    if path != Layout.model_fields[field].default:
        unpacked_folder = (f"{Path(path).stem}/image",) if _is_hdf5(Path(path)) else ()
        return (path, *unpacked_folder) if path else ()
    return usual


def _location_in(data: Path, name: str, role: str) -> PictureLocation | None:
    folder = data / name
    if _is_hdf5(folder) and folder.is_file():
        return PictureLocation(folder.parent, name, hdf5=folder)
    if not folder.is_dir():
        return None
    # Pictures next to the CSVs are not the data set: they may be contact sheets that were made from it.
    if name != "." and (location := _location_of_files(folder, name)):
        return location
    pattern = f"*{SUFFIX}" if role == EXTRA else f"{role}*{SUFFIX}"
    records = tuple(sorted(folder.glob(pattern)))
    return PictureLocation(folder, f"{folder.name if name == '.' else name}/{pattern}", records) if records else None


def _location_of_files(folder: Path, name: str) -> PictureLocation | None:
    location = PictureLocation(folder, name)
    return location if any(map(_is_picture, location.listing)) else None


def _is_hdf5(path: Path) -> bool:
    return path.suffix.lower() in HDF5_SUFFIXES


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES
