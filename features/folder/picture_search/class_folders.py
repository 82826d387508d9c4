"""Pictures without a table: the name of a picture's folder is its class (train/benign, train/malignant)."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pandas as pd

from features.folder.layout import MAPPING, Layout
from features.folder.picture_locations import PictureLocation
from features.folder.picture_search.elsewhere import count_pictures, in_toml, words_of_role
from features.pictures.suffixes import name_of_file

MOST_CLASSES = 30  # with more, the folders are patients or lesions
MOST_SHOWN = 8


def rows_of_folders(location: PictureLocation, files: dict[str, Path], layout: Layout, role: str) -> pd.DataFrame:
    """Return a table of the pictures in ``files`` (image_name -> path): for train, the target is the class.

    The class is the lowest folder of the picture below ``location`` that the layout names in positive, negative or
    drop; without such a folder, the folder that the picture is in.
    """
    columns = layout.columns
    table = pd.DataFrame({columns.image_name: pd.Series(list(files), dtype=object)})
    if role == "test":
        return table
    words = {word.strip().casefold() for word in (*layout.positive, *layout.negative, *layout.drop)}
    folders = {path: _class(path.relative_to(location.folder).parts[:-1], words) for path in files.values()}
    return table.assign(**{columns.target: [folders[path] for path in files.values()]})


def distinct_names(location: PictureLocation, other: PictureLocation | None, data: Path) -> dict[str, Path]:
    """Return image_name -> path of the pictures; a name that pictures of the ``other`` role have gets all folders."""
    others = set() if other is None else set(other.pictures())
    return {
        "_".join((*path.relative_to(data).parts[:-1], name_of_file(path))) if name in others else name: path
        for name, path in location.pictures().items()
    }


def offer_of_classes(data: Path, is_malignant: Callable[[str], bool]) -> str:
    """Return a hint that lists the folders of pictures and offers the mapping for classes; '' if they are none.

    ``is_malignant`` says what the name of a folder means.
    """
    counts = {folder: count for folder, count in count_pictures(data).items() if folder != "."}
    roles = defaultdict[str, list[PurePosixPath]](list)
    for folder in map(PurePosixPath, counts):
        roles[next(iter(words_of_role(str(folder))), "train")].append(folder)
    classes = list(dict.fromkeys(folder.name for folder in roles["train"]))
    if not 1 < len(classes) <= MOST_CLASSES:
        return ""
    positive = [name for name in classes if is_malignant(name)]
    negative = [name for name in classes if name not in positive]
    lines = ['train = ""', 'test = ""', f"train_pictures = {in_toml(_places(roles['train'], roles['test']))}"]
    lines += [f"test_pictures = {in_toml(_places(roles['test'], roles['train']))}"] if roles["test"] else []
    lines += [f"positive = {_list(positive)}", f"negative = {_list(negative)}"]
    texts = [f"{folder} ({count})" for folder, count in counts.items()]
    first = ", ".join(texts[:MOST_SHOWN]) + (", ..." if len(texts) > MOST_SHOWN else "")
    start = f"pictures are in {first}; if the name of a folder is the class of its pictures, write in a {MAPPING}"
    return "".join([f"{start}:", *(f"\n      {line}" for line in lines)])


def _class(folders: tuple[str, ...], words: set[str]) -> str:
    classes = [folder for folder in folders if folder.strip().casefold() in words]
    return (classes or list(folders) or [""])[-1]


def _places(folders: list[PurePosixPath], others: list[PurePosixPath]) -> list[str]:
    """Return the folder that holds all of ``folders`` and none of the ``others``, else the parent of each."""
    common = next(place for place in folders[0].parents if all(folder.is_relative_to(place) for folder in folders))
    if not any(folder.is_relative_to(common) for folder in others):
        return [str(common)]
    return list(dict.fromkeys(str(folder.parent) for folder in folders))


def _list(names: list[str]) -> str:
    return in_toml(names) if len(names) != 1 else f"[{in_toml(names)}]"
