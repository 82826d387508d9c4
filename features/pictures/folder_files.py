"""The files of a picture folder by what they are: pictures, masks of pictures, files of the system, others."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from features.pictures.suffixes import FIRST_BYTES, KIND_OF_SUFFIX, kind_of_bytes, name_of_file
from runtime.errors import list_names
from runtime.plural import number_of

SYSTEM_FILES = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "dicomdir"))
SUPERPIXELS = re.compile(r"super_?pixels?", re.IGNORECASE)
MASK_WORDS = (
    r"(?:super_?pixels?|segmentations?|seg|masks?|lesion|annotations?|attribute_\w+|ground_?truth|gt|contour|roi)"
)
# A part of each word: where none of them occurs, no name needs to be matched.
PARTS_OF_MASK_WORDS = ("pixel", "seg", "mask", "lesion", "annot", "attribute", "truth", "gt", "contour", "roi")
MASK = re.compile(rf"(?P<picture>.+?)[ _-]{MASK_WORDS}", re.IGNORECASE)  # X_superpixels beside X
MASK_FOLDER = re.compile(rf"(?:.*[ _-])?{MASK_WORDS}(?:[ _-].*)?|.*groundtruth", re.IGNORECASE)


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder. ``masks`` show where the lesion of a picture is; the picture itself is there too."""

    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]
    system: tuple[Path, ...]

    def left_out(self) -> list[str]:
        """Return phrases on the files that are left out, with their counts."""
        kinds = Counter("super-pixel mask" if SUPERPIXELS.search(path.name) else "mask" for path in self.masks)
        texts = [f"{number_of(count, kind)} ({_first(self.masks)})" for kind, count in kinds.items()]
        if self.system:
            texts.append(f"{number_of(len(self.system), 'file')} of the operating system ({_first(self.system)})")
        return texts


def list_files(folder: Path, *, subfolders: bool = False) -> tuple[Path, ...]:
    """Return the files and sub-folders in ``folder``, sorted; with ``subfolders``, the files at every depth.

    Sub-folders whose name begins with a dot, or that an archive of macOS adds, are not searched; nor is one
    twice, if a link leads back to it.
    """
    if not folder.is_dir():
        return ()
    return tuple(_files_below(folder)) if subfolders else tuple(sorted(folder.iterdir()))


def _files_below(folder: Path) -> Iterator[Path]:
    places = set[str]()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in places else sorted(name for name in folders if is_entered(name))
        if real not in places:
            yield from (Path(place, name) for name in sorted(names))
        places.add(real)


def is_entered(folder: str) -> bool:
    """Return whether a sub-folder of this name can hold pictures of cases."""
    return not folder.startswith(".") and folder != "__MACOSX"


def sort_files(files: Sequence[Path]) -> FolderFiles:
    """Return ``files`` by what they are; only a file without the suffix of a picture is opened, for its first bytes."""
    system = [path for path in files if _is_system_file(path.name)]
    others = [path for path in files if not _is_system_file(path.name)]
    pictures = [path for path in others if is_picture(path)]
    masks = _masks(others, pictures)
    cases = [path for path in pictures if path not in masks] if masks else pictures
    return FolderFiles(tuple(cases), tuple(sorted(masks)), tuple(system))


def is_picture(path: Path) -> bool:
    """Return whether ``path`` is a picture: by the suffix if it is one of a picture, else by the first bytes."""
    return path.suffix.lower() in KIND_OF_SUFFIX or _kind_by_content(path) is not None


def _kind_by_content(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return kind_of_bytes(file.read(FIRST_BYTES))
    except OSError:  # a folder, or a file that may not be read
        return None


def _is_system_file(name: str) -> bool:
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def _masks(files: Sequence[Path], pictures: Sequence[Path]) -> set[Path]:
    """Return those of ``files`` that have the name of a picture with a word for a mask, or are in a folder of masks."""
    places = {text.rpartition(os.sep)[0].rpartition(os.sep)[2] for text in map(str, files)}
    names = "\n".join((*places, *(path.name for path in files))).lower()
    if not any(part in names for part in PARTS_OF_MASK_WORDS):  # a few searches are faster than one per file
        return set()
    folders = defaultdict[str, set[Path]](set)
    for path in pictures:
        folders[name_of_file(path)].add(path.parent)
    in_folders = {place for place in {path.parent for path in files} if MASK_FOLDER.fullmatch(place.name)}
    candidates = [path for path in files if path.parent in in_folders or MASK.fullmatch(name_of_file(path))]
    return {path for path in candidates if _has_picture(path, folders)}


def _has_picture(mask: Path, folders: dict[str, set[Path]]) -> bool:
    name = name_of_file(mask)
    match = MASK.fullmatch(name)
    if match and match["picture"] in folders:
        return True
    in_mask_folder = MASK_FOLDER.fullmatch(mask.parent.name)
    return bool(in_mask_folder and folders.get(name, set()) - {mask.parent})


def _first(paths: Sequence[Path]) -> str:
    return list_names((path.name for path in paths), 2).partition("(")[2].rstrip(")")
