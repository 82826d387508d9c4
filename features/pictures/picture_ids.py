"""Which picture an id means: ids of tables may have a folder and a file ending besides the name of the picture."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from features.pictures.suffixes import ENDING
from runtime.errors import Faults, list_names

# In ids that are joined by line ends: a separator of folders, or an ending of a picture file.
UNUSUAL = re.compile(rf"[/\\]|{ENDING.pattern[:-1]}$", re.IGNORECASE | re.MULTILINE)
MOST_SHOWN = 2


def read_ids(
    ids: pd.Series, pictures_of: Callable[[], Mapping[str, Path]], where: str, faults: Faults, notes: list[str]
) -> pd.Series:
    """Return the ``ids`` of a table as names of pictures: without folders and file endings, with a note.

    ``pictures_of`` returns name -> path of the pictures that can be meant; {} if their names are not known.
    An id that is the name of a picture stays as it is. Otherwise the picture with this file name is used, and of
    several the one whose folders end as those of the id; ``faults`` collects ids that leave several. Absolute paths to
    no picture, and paths with ``..``, stay as they are.
    """
    if not UNUSUAL.search("\n".join(map(str, ids.array))):
        return ids
    texts = [text for text in pd.unique(ids.dropna()) if isinstance(text, str)]
    pictures = pictures_of()  # slow for a large file, and most tables have plain names
    unusual = [text for text in texts if UNUSUAL.search(text) and text not in pictures]
    names = _names_of(unusual, pictures, set(texts), where, faults)
    if not names:
        return ids
    first = ", ".join(f"{old!r} as {new!r}" for old, new in list(names.items())[:MOST_SHOWN])
    count = int(ids.isin(list(names)).sum())
    notes.append(
        f"{where}: {ids.name}: ids with a folder or a file ending, read as names of pictures: {count}; {first}"
    )
    return ids.map(lambda text: names.get(text, text), na_action="ignore").astype(object)


def names_folders(ids: pd.Series) -> bool:
    """Return whether most of the ``ids`` are paths with a folder."""
    return bool(len(ids)) and bool(ids.map(lambda text: len(_parts(str(text))) > 1).mean() > 0.5)


def match_ids(ids: pd.Index, names: pd.Index) -> pd.Index:
    """Return ``ids`` as the image names in ``names`` that they can only mean; others stay as they are.

    An id may have folders, a file ending or blanks besides, and another case, if no other name is like it.
    """
    texts = [text for text in ids[~ids.isin(names)].unique() if isinstance(text, str)]
    if not texts:
        return ids
    by_lower_case = _by_lower_case(names)
    readings = {text: _name_in(text, by_lower_case) for text in texts}
    return ids.map(lambda text: readings.get(text) or text).rename(ids.name)


def find_in_other_case(missing: Iterable[str], pictures: Iterable[str]) -> dict[str, str]:
    """Return the names in ``missing`` that are the name of exactly one of ``pictures`` in another case or form."""
    by_lower_case = _by_lower_case(pictures)
    matches = {name: by_lower_case.get(_plain(name), ()) for name in missing}
    counts = Counter(files[0] for files in matches.values() if len(files) == 1)
    return {name: files[0] for name, files in matches.items() if len(files) == 1 and counts[files[0]] == 1}


def _plain(name: str) -> str:
    """Return a name in lower case and one Unicode form: macOS stores an accent as a character of its own."""
    return unicodedata.normalize("NFC", name).casefold()


def _by_lower_case(names: Iterable[str]) -> dict[str, list[str]]:
    result = defaultdict[str, list[str]](list)
    for name in names:
        result[_plain(str(name))].append(str(name))
    return result


def _name_in(text: str, by_lower_case: Mapping[str, Sequence[str]]) -> str | None:
    parts = _parts(text)
    files = dict.fromkeys((parts[-1], ENDING.sub("", parts[-1])))
    # A name that several folders have is completed by them: p1_001.
    readings = ("_".join((*parts[start:-1], file)) for start in range(len(parts)) for file in files)
    matches = (by_lower_case.get(_plain(reading), ()) for reading in readings)
    return next((names[0] for names in matches if len(names) == 1), None)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.strip().replace("\\", "/").split("/") if part not in ("", "."))


def _names_of(
    unusual: Sequence[str], files: Mapping[str, Path], others: set[str], where: str, faults: Faults
) -> dict[str, str]:
    by_file = defaultdict[str, list[str]](list)
    for name, path in files.items():
        by_file[ENDING.sub("", path.name.rpartition("@")[2]).casefold()].append(name)
    folders = {path.parent.name.casefold() for path in files.values()}
    readable = {text: parts for text in unusual if ".." not in (parts := _parts(text)) and parts}
    matches = {text: _best(parts, by_file, files, folders) for text, parts in readable.items()}
    unclear = {text: names for text, names in matches.items() if len(names) > 1}
    if unclear:
        examples = [f"{text} ({' and '.join(names[:MOST_SHOWN])})" for text, names in unclear.items()]
        faults.add(f"{where}: ids that several pictures can be meant by: {list_names(examples)}; write the folders too")
    result = {
        text: names[0] if len(names) == 1 else "_".join(readable[text]) for text, names in matches.items() if names
    }
    plain = {text: parts for text, parts in readable.items() if text not in result and not _is_absolute(text)}
    return result | _names_without_files(plain, others | set(files))


def _names_without_files(ids: Mapping[str, tuple[str, ...]], others: set[str]) -> dict[str, str]:
    """Return id -> its last part without the ending; with the folders if this is the name of several ids."""
    names = {text: ENDING.sub("", parts[-1]) or parts[-1] for text, parts in ids.items()}
    counts = Counter(names.values())
    is_unique = {text: counts[name] == 1 and (name == text or name not in others) for text, name in names.items()}
    return {
        text: name if is_unique[text] else "_".join((*ids[text][:-1], name))
        for text, name in names.items()
        if text != name
    }


def _best(
    parts: tuple[str, ...], by_file: Mapping[str, Sequence[str]], pictures: Mapping[str, Path], folders: set[str]
) -> list[str]:
    """Return the names of the pictures that an id with these parts can mean: those that share most of its end.

    If the id's folder is one of the ``folders`` of pictures, the picture must be in it.
    """
    names = by_file.get(ENDING.sub("", parts[-1]).casefold(), ())
    folder = parts[-2].casefold() if len(parts) > 1 else ""
    if folder in folders:
        names = [name for name in names if pictures[name].parent.name.casefold() == folder]
    if len(names) < 2:
        return list(names)
    likeness = {name: _likeness(parts, pictures[name]) for name in names}
    return [name for name in names if likeness[name] == max(likeness.values())]


def _likeness(parts: tuple[str, ...], path: Path) -> tuple[int, bool, bool]:
    """Return how many folders before the file name are equal, and whether the file name is, exactly or without case."""
    ours, theirs = parts[-2::-1], PurePosixPath(path).parts[-2::-1]
    same = 0
    for one, other in zip(ours, theirs, strict=False):
        if one.casefold() != other.casefold():
            break
        same += 1
    return same, parts[-1].casefold() == path.name.casefold(), parts[-1] == path.name


def _is_absolute(text: str) -> bool:
    return text.startswith(("/", "\\")) or text[1:2] == ":"
