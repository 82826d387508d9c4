"""Pictures outside the folders where they are searched: where they lie, and the setting that names their folders."""

import os
import re
from collections import Counter
from collections.abc import Collection, Mapping
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath

from features.folder.layout import MAPPING
from features.folder.picture_locations import PictureLocation
from features.pictures.folder_files import MASK_FOLDER, is_entered, is_picture
from features.pictures.suffixes import KIND_OF_SUFFIX, name_of_file
from runtime.errors import list_names
from runtime.plural import number_of

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
ROLES = {"train": "train", "training": "train", "trn": "train", "test": "test", "testing": "test", "tst": "test"}
RUN_FILES = frozenset(("run.toml", "cases.parquet"))
MOST_FOLDERS = 4  # that a message lists
OTHER_FORMATS = (".tif", ".tiff", ".webp", ".gif", ".heic", ".heif", ".avif", ".jp2")
ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".7z", ".rar")

Counts = Mapping[str, int]  # folder, relative to the data folder -> pictures directly in it


def words_of_role(path: str) -> set[str]:
    """Return the roles (train, test) that a path names in one of its words."""
    return {ROLES[word.lower()] for word in WORD.findall(path) if word.lower() in ROLES}


def location_elsewhere(data: Path, side: str, places: str) -> PictureLocation | None:
    """Return the only folder of ``data`` that can hold the pictures of ``side``, with a note; None without pictures.

    Such a folder has the word train or test in its path, or no such word. If there are several, the location has a
    fault. Pictures in the data folder itself and in folders of masks do not count. ``places``: where was searched.
    """
    counts = {folder: count for folder, count in count_pictures(data).items() if folder != "."}
    own = {folder: count for folder, count in counts.items() if words_of_role(folder) == {side}}
    own = own or {folder: count for folder, count in counts.items() if not words_of_role(folder)}
    if not own:
        return None
    folder, key = _common_folder(own), f"{side}_pictures"
    search = f"pictures of {side}: looked in {places}; found none"
    if len(own) == 1:
        note = f"{search}; read {number_of(own[folder], 'picture')} in {folder} instead"
        return PictureLocation(data / folder, folder, note=note)
    setting = f"write in {MAPPING}: {_setting(own, key)}"
    if _have_same_names(data, own):
        one = f'{key} = "{next(iter(own))}"'
        setting = f"they have the same names: if they are copies, write one of them in {MAPPING}: {one}; else all: "
        setting += _setting(own, key)
    fault = f'{search}; {_list_folders(own)}; {setting}; or {key} = "" to use none'
    return PictureLocation(data / folder, folder, subfolders=True, fault=fault)


def _have_same_names(data: Path, folders: Collection[str]) -> bool:
    """Return whether two of ``folders`` have a picture of the same name, such as the same pictures in two sizes."""
    names = [{name_of_file(path) for path in (data / folder).iterdir()} for folder in folders]
    return sum(map(len, names)) > len(set().union(*names))


def count_pictures(data: Path, names: Collection[str] = ()) -> dict[str, int]:
    """Return folder -> number of pictures directly in it, for all folders of ``data`` that have any, sorted.

    Files without a suffix are opened for their first bytes; folders of masks and of runs are not counted. With
    ``names``, only pictures of these names count.
    """
    counts = Counter[str]()
    for place, folders, files in os.walk(data):
        if not RUN_FILES.isdisjoint(files):  # a run keeps pictures that it has made
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if is_entered(name) and not MASK_FOLDER.fullmatch(name))
        paths = [Path(place, name) for name in files if not name.startswith(".")]
        likely = [path for path in paths if not path.suffix or path.suffix.lower() in KIND_OF_SUFFIX]
        pictures = sum(is_picture(path) for path in likely if not names or name_of_file(path) in names)
        if pictures:
            counts[Path(place).relative_to(data).as_posix()] = pictures
    return dict(sorted(counts.items()))


def unreadable_pictures(data: Path, names: Collection[str]) -> str:
    """Return in words which files of ``data`` have ``names`` of cases and a format that is not read; '' if none."""
    paths = [path for path in data.rglob("*") if path.suffix.lower() in OTHER_FORMATS and name_of_file(path) in names]
    if not paths:
        return ""
    example = paths[0].relative_to(data).as_posix()
    return f"{number_of(len(paths), 'file')} of these cases cannot be read ({example}, ...): convert them to PNG"


def archives_in(data: Path) -> str:
    """Return a hint at the archives in ``data``, which may hold its pictures; '' without any."""
    names = sorted(path.name for path in data.iterdir() if path.suffix.lower() in ARCHIVES)
    return f"; archives are not read: {list_names(names)}; unpack those with pictures" if names else ""


def pictures_there(data: Path, name: str) -> str:
    """Return in words where pictures are in ``data``, the folder with the name nearest to ``name`` first."""
    counts = count_pictures(data)
    if not counts:
        return f"no pictures are in {data}"
    nearness = {folder: SequenceMatcher(None, folder.casefold(), name.casefold()).ratio() for folder in counts}
    return _list_folders({folder: counts[folder] for folder in sorted(counts, key=lambda each: -nearness[each])})


def only_deeper(location: PictureLocation, key: str) -> str:
    """Return a sentence on a folder with pictures in sub-folders only, and the setting that names them."""
    counts = Counter(path.parent.relative_to(location.folder).as_posix() for path in location.files)
    texts = [f"{folder}/ ({count})" for folder, count in list(counts.items())[:MOST_FOLDERS]]
    more = f" and {len(counts) - MOST_FOLDERS} more folders" if len(counts) > MOST_FOLDERS else ""
    start = f"{location.name} holds pictures only in {', '.join(texts)}{more}"
    names = [str(PurePosixPath(location.name) / folder) for folder in counts]
    if len(names) == 1:
        return f'{start}: set {key} = "{names[0]}" in {MAPPING}'
    folders = f": {key} = {in_toml(names)}" if len(names) <= MOST_FOLDERS else ""
    return f"{start}: set subfolders = true in {MAPPING}, or name the folders{folders}"


def in_toml(names: list[str]) -> str:
    """Return names as a value in TOML: one as a text, several in brackets."""
    texts = [f'"{name}"' for name in names]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"


def _list_folders(counts: Counts) -> str:
    texts = [f"{'the data folder itself' if name == '.' else name} ({count})" for name, count in counts.items()]
    rest = len(texts) - MOST_FOLDERS
    more = f" and {number_of(rest, 'more folder')}" if rest > 0 else ""
    return f"pictures are in {', '.join(texts[:MOST_FOLDERS])}{more}"


def _setting(counts: Counts, key: str) -> str:
    if len(counts) <= MOST_FOLDERS:
        return f"{key} = {in_toml(list(counts))}"
    return f'{key} = "{_common_folder(counts)}" and subfolders = true'


def _common_folder(counts: Counts) -> str:
    paths = [PurePosixPath(folder) for folder in counts]
    return next(
        (str(parent) for parent in (paths[0], *paths[0].parents) if all(path.is_relative_to(parent) for path in paths)),
        ".",
    )
