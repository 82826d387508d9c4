"""Where the pictures of a data folder lie: a folder of picture files or of TFRecord files, or one HDF5 file."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from features.folder.layout import Layout
from features.pictures.hdf5 import SUFFIXES as HDF5_SUFFIXES
from features.pictures.hdf5 import entry_names
from features.pictures.tfrecord import SUFFIX
from runtime.provenance import digest, digest_of_listing

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".dcm")
EXTRA, NEW = "extra", "new"  # roles of a folder of external cases, and of one of cases to be predicted


@dataclass(frozen=True)
class PictureLocation:
    """A folder that holds pictures: as files of their own, in ``records``, TFRecord files, or in one HDF5 file."""

    folder: Path
    name: str  # as a fault names it, relative to the data folder
    records: tuple[Path, ...] = ()
    hdf5: Path | None = None

    @cached_property
    def listing(self) -> tuple[Path, ...]:
        """Everything that lies in the folder, sorted."""
        return tuple(sorted(self.folder.iterdir()))

    def pictures(self) -> dict[str, Path]:
        """Return image_name -> path of every JPEG, PNG and DICOM file in the folder, or place of every HDF5 entry."""
        if self.hdf5 is not None:
            return {name: Path(f"{self.hdf5}@{name}") for name in entry_names(self.hdf5)}
        return {path.stem: path for path in self.listing if _is_picture(path)}

    def twins(self) -> dict[str, list[str]]:
        """Return image_name -> file names, of every name under which more than one picture lies."""
        files: dict[str, list[str]] = {}
        if self.hdf5 is not None:
            return files
        for path in self.listing:
            if _is_picture(path):
                files.setdefault(path.stem, []).append(path.name)
        return {name: found for name, found in files.items() if len(found) > 1}

    def digest(self) -> str:
        """Return a digest of the names and sizes of what is read here."""
        files = self.records if self.hdf5 is None else (self.hdf5,)
        if not files:
            return digest_of_listing(self.listing)
        return digest([(path.name, path.stat().st_size) for path in files])


def find_location(data: Path, layout: Layout, role: str) -> PictureLocation | None:
    """Return where the pictures of ``role`` ('train', 'test', 'extra', 'new') lie in ``data``; None if there are none.

    A mapping may name the folder, or an HDF5 file, beside which ISIC 2024 has its pictures unpacked; else they are
    looked for in jpeg/<role>, dicom/<role>, <role>, tfrecords and, as TFRecord files alone, in the data folder itself.
    External pictures may lie right in jpeg or dicom as well, and new ones, where there are no test pictures, in the
    data folder itself. The files of a role begin with its name (train00-2071.tfrec); those of an external folder may
    have any.
    """
    sought = "test" if role == NEW else role
    places = (_location_in(data, name, sought) for name in _candidates(layout, sought))
    found = next((place for place in places if place is not None), None)
    return _location_of_files(data, str(data)) if found is None and role == NEW else found


def source_name(folder: Path) -> str:
    """Return the name under which the cases of an external folder are known: the folder's."""
    return folder.resolve().name


def _candidates(layout: Layout, role: str) -> Iterable[str]:
    role_in_path = "train" if role == EXTRA else role
    field = f"{role_in_path}_pictures"
    named = str(getattr(layout, field))
    usual = (f"jpeg/{role_in_path}", f"dicom/{role_in_path}", role_in_path, "tfrecords", ".")
    if role == EXTRA:
        return (*([named] if named else []), "jpeg", "dicom", *usual)
    if named != Layout.model_fields[field].default:
        unpacked = (f"{Path(named).stem}/image",) if _is_hdf5(Path(named)) else ()
        return (named, *unpacked) if named else ()
    return usual


def _location_in(data: Path, name: str, role: str) -> PictureLocation | None:
    folder = data / name
    if _is_hdf5(folder) and folder.is_file():
        return PictureLocation(folder.parent, name, hdf5=folder)
    if not folder.is_dir():
        return None
    # Pictures that lie loose beside the CSVs are no data set; a sheet made of the data may be among them.
    if name != "." and (place := _location_of_files(folder, name)):
        return place
    pattern = f"*{SUFFIX}" if role == EXTRA else f"{role}*{SUFFIX}"
    records = tuple(sorted(folder.glob(pattern)))
    return PictureLocation(folder, f"{folder.name if name == '.' else name}/{pattern}", records) if records else None


def _location_of_files(folder: Path, name: str) -> PictureLocation | None:
    place = PictureLocation(folder, name)
    return place if any(map(_is_picture, place.listing)) else None


def _is_hdf5(path: Path) -> bool:
    return path.suffix.lower() in HDF5_SUFFIXES


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES
