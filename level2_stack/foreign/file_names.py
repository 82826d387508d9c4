"""Read the names of files in a folder of predictions: the role of each table, and the name of its network."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import list_names

ROLES = {"train": "oof", "test": "test"}  # role -> how its file is named, without the ending
FORMATS = (".csv", ".csv.gz", ".tsv", ".tab", ".parquet", ".feather", ".xlsx", ".npy", ".npz")
PICKLES = (".pkl", ".pickle", ".joblib")
WORDS = {
    "train": {"oof", "oofs", "train", "trn", "valid", "val", "validation"},
    "test": {"test", "tst", "sub", "subm", "subs", "submission", "submissions", "submit"},
}
NEUTRAL_WORDS = {"pred", "preds", "prediction", "predictions", "prob", "probs", "proba", "probabilities", "result"}
WORD_AND_NUMBER = re.compile(r"([a-z]+)(\d*)")
FOLD = re.compile(r"(?:^|(?<=[^a-z]))fold[^a-z0-9]*(\d+)(?=\D|$)", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
PREFIX = "net_"  # of a made name that would begin with a digit


@dataclass(frozen=True)
class TableFile:
    """A table, and what its name says: its role, the rest of its name, and its fold."""

    path: Path
    role: str | None = None
    key: str = ""
    fold: str | None = None
    fits_exactly: bool = False


def make_name(text: str) -> str:
    """Return the name of a network for that of its folder: only A-Z, a-z, 0-9 and _, beginning with a character."""
    if NAME.fullmatch(text):
        return text
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", plain).strip("_")
    return name if not name or name[0].isalpha() else PREFIX + name


def is_hidden(path: Path) -> bool:
    """Return whether ``path`` is hidden, or a folder that a program made for itself (__MACOSX)."""
    return path.name.startswith((".", "__"))


def ending_of(path: Path) -> str:
    """Return the format of ``path``, "" if tables are not read from such files."""
    return next((ending for ending in sorted(FORMATS, key=len, reverse=True) if path.name.lower().endswith(ending)), "")


def tables_in(folder: Path) -> list[TableFile]:
    """Return the tables directly in ``folder`` that are not hidden."""
    return [table_file(path) for path in visible_files(folder) if ending_of(path)]


def visible_files(folder: Path) -> list[Path]:
    """Return the files directly in ``folder`` that are not hidden."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not is_hidden(path)]


def table_file(path: Path) -> TableFile:
    """Return the role that the name of ``path`` says, and what remains of the name without the words of roles."""
    stem = path.name[: -len(ending_of(path))]
    fold = FOLD.search(stem)
    roles, rest = Counter[str](), list[str]()
    for word in re.split(r"[^A-Za-z0-9]+", FOLD.sub("", stem)):
        match = WORD_AND_NUMBER.fullmatch(word.lower())
        role = next((role for role, words in WORDS.items() if match and match[1] in words), None)
        is_neutral = match is not None and match[1] in NEUTRAL_WORDS
        roles[role or ("neutral" if is_neutral else "")] += 1
        rest.append(match[2] if match and (role or is_neutral) else word)
    key = "_".join(part for part in rest if part)
    names = [role for role in ROLES if roles[role]] or (["test"] if roles["neutral"] else [])
    role = names[0] if len(names) == 1 and "sample" not in stem.lower() else None
    return TableFile(path, role, key, fold[1] if fold else None, stem.lower() == ROLES.get(role or ""))


def only_candidate(tables: list[TableFile]) -> tuple[Path, ...]:
    """Return the paths of ``tables`` if they can be one table only: a single file, or a file per fold."""
    folds = [table.fold for table in tables]
    is_split = len({table.key for table in tables}) == 1 and None not in folds and len(set(folds)) == len(folds)
    return tuple(table.path for table in tables) if len(tables) == 1 or is_split else ()


def unread_in_words(paths: list[Path]) -> str:
    """Return the names of files that are not read, and why pickles are not."""
    text = list_names([path.name for path in paths])
    if not any(path.suffix.lower() in PICKLES for path in paths):
        return text
    return f"{text} (a pickle is never read, since it runs code when it is opened: save it as CSV, Parquet or .npy)"
