"""Find the pictures of a role in a data folder: where the mapping says, in usual folders, or where only they can be."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from features.folder.layout import MAPPING, Columns, Layout
from features.folder.picture_locations import EXTRA, NEW, PictureLocation
from features.folder.picture_search.elsewhere import location_elsewhere, only_deeper, pictures_there, words_of_role
from features.pictures.hdf5 import SUFFIXES as HDF5_SUFFIXES
from features.pictures.tfrecord import SUFFIXES as RECORD_SUFFIXES


def find_location(data: Path, layout: Layout, role: str, *, is_named: bool = False) -> PictureLocation | None:
    """Return the location of the pictures of ``role`` ('train', 'test', 'extra', 'new') in ``data``; None without any.

    ``is_named``: the user's mapping names the folders or the HDF5 file; what is wrong with them is the location's
    ``fault``. Otherwise the folders jpeg/<role>, dicom/<role>, <role> and tfrecords are searched, and the data folder
    itself for TFRecord files; ISIC 2024's pictures may be in its HDF5 file, or unpacked next to it. External pictures
    may also be directly in jpeg or dicom; new ones, and those of tables in another form than the contest's, in the data
    folder itself. The names of TFRecord files begin with
    the role (train00-2071.tfrec) or hold it as a word, except in an external folder, where they are free. If no usual
    folder has pictures, the only other folder that can hold them is used, with a note.
    """
    side = "train" if role in ("train", EXTRA) else "test"
    names = layout.pictures_of(side)
    # The names of a public data set are those of folders that are there, or else the default.
    if is_named or (names != Layout().pictures_of(side) and any((data / name).is_dir() for name in names)):
        place = _named_location(data, names, layout, role)
        return place if is_named else replace(place, only_deeper="")
    candidates = tuple(_candidates(names, role, side))
    locations = (_location_in(data, name, role, layout) for name in candidates)
    location = next((location for location in locations if location is not None), None)
    if location is None and (role == NEW or layout.columns.image_name != Columns().image_name):
        location = _location_of_files(data, str(data) if role == NEW else ".", layout)
    if location is not None or not names or not getattr(layout, side):
        return location
    return location_elsewhere(data, side, usual_places(layout, role))


def usual_places(layout: Layout, role: str) -> str:
    """Return in words where the pictures of ``role`` are searched if no mapping names their folders."""
    side = "train" if role in ("train", EXTRA) else "test"
    names = dict.fromkeys(_candidates(layout.pictures_of(side), role, side))
    return ", ".join(name for name in names if name != ".")


def _candidates(names: tuple[str, ...], role: str, side: str) -> Iterable[str]:
    usual = (f"jpeg/{side}", f"dicom/{side}", side, "tfrecords", ".")
    inner = (f"{Path(name).stem}/image" for name in names if _is_hdf5(Path(name)))
    if role == EXTRA:
        return (*names, *inner, "jpeg", "dicom", *usual)
    return usual if names == Layout().pictures_of(side) else (*names, *inner)


def _location_in(data: Path, name: str, role: str, layout: Layout) -> PictureLocation | None:
    folder = data / name
    if _is_hdf5(folder) and folder.is_file():
        return PictureLocation(folder.parent, name, hdf5=folder)
    if not folder.is_dir():
        return None
    # Pictures next to the tables are not the data set: they may be contact sheets that were made from it.
    if name != "." and (location := _location_of_files(folder, name, layout)):
        return location
    return _location_of_records(folder, name, role)


def _location_of_files(folder: Path, name: str, layout: Layout) -> PictureLocation | None:
    location = PictureLocation(folder, name, subfolders=layout.subfolders or layout.has_class_folders)
    return location if location.files else None


def _location_of_records(folder: Path, name: str, role: str) -> PictureLocation | None:
    side = "test" if role == NEW else role
    files = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in RECORD_SUFFIXES]
    records, start = [path for path in files if role == EXTRA or path.name.startswith(side)], side
    if not records:
        records, start = [path for path in files if side in words_of_role(path.stem)], f"*{side}"
    if not records:
        return None
    pattern = f"{'' if role == EXTRA else start}*{records[0].suffix}"
    return PictureLocation(folder, f"{folder.name if name == '.' else name}/{pattern}", tuple(records))


def _named_location(data: Path, names: tuple[str, ...], layout: Layout, role: str) -> PictureLocation:
    """Return the location that the mapping names; its fault names the missing folders and those with pictures."""
    places = [_named_place(data, name, layout, role) for name in names]
    if len(places) == 1:
        return places[0]
    containers = [place.name for place in places if place.records or place.hdf5 is not None]
    faults = [place.fault for place in places if place.fault]
    faults += [f"{name}: of several names, each must be a folder of picture files" for name in containers]
    return PictureLocation(
        data,
        ", ".join(names),
        parts=tuple(place.folder for place in places if place.name not in containers),
        subfolders=any(place.subfolders for place in places),
        fault="; ".join(faults),
        only_deeper="; ".join(place.only_deeper for place in places if place.only_deeper),
    )


def _named_place(data: Path, name: str, layout: Layout, role: str) -> PictureLocation:
    """Return the location of one name in the mapping; at every depth if only sub-folders have pictures."""
    folder, key = data / name, "test_pictures" if role in ("test", NEW) else "train_pictures"
    location = _unpacked_hdf5(folder, name) if _is_hdf5(folder) else None
    if location is not None:
        return location
    if not folder.is_dir():
        kind = "file" if _is_hdf5(folder) else "folder"
        fault = f"{name}: no such {kind}, which {key} in {MAPPING} names; {pictures_there(data, name)}"
        return PictureLocation(folder, name, fault=fault)
    location = _location_of_files(folder, name, layout) or _location_of_records(folder, name, role)
    if location is not None:
        return location
    location = PictureLocation(folder, name, subfolders=True)
    if not location.files:
        fault = f"{name} holds no pictures, and {key} in {MAPPING} names it; {pictures_there(data, name)}"
        return replace(location, fault=fault)
    return replace(location, only_deeper=only_deeper(location, key))


def _unpacked_hdf5(file: Path, name: str) -> PictureLocation | None:
    """Return the location of an HDF5 file, or of the folder into which it was unpacked; None if neither is there."""
    if file.is_file():
        return PictureLocation(file.parent, name, hdf5=file)
    inner = f"{Path(name).stem}/image"
    location = PictureLocation(file.parent / inner, inner)
    return location if location.files else None


def _is_hdf5(path: Path) -> bool:
    return path.suffix.lower() in HDF5_SUFFIXES
