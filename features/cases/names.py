"""Check the names of cases and patients in a table: blanks around them are removed, invalid file names refused."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from runtime.errors import Faults, list_names

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # nearly all names; only the others need checks
PLAIN_LINES = re.compile(rf"(?:{PLAIN.pattern}\n)*+")
LONGEST = 200  # characters; file systems allow 255 bytes, suffix included
FORMULAS = ("=", "+", "-", "@")  # a spreadsheet computes such texts as formulas, and all our tables hold names
SUFFIX = re.compile(r"\.(jpe?g|png|dcm|tiff?|bmp|webp|heic|gif)$", re.IGNORECASE)
FLOAT = re.compile(r"(\d+)\.0+")
MOST_SHOWN = 3


def check_names(
    values: pd.Series, column: str, where: str, faults: Faults, notes: list[str], *, paths: bool = False
) -> pd.Series:
    """Return the names in ``values`` without blanks around them, with a note; missing values stay missing.

    ``faults`` collects, by reason, names that are a path (allowed with ``paths``, since a patient's name is not a
    file name), too long, with unprintable characters, or like a spreadsheet's formula.
    """
    texts = values.to_numpy(dtype=object)
    if PLAIN_LINES.fullmatch("".join([f"{text}\n" for text in texts])):  # by far faster than a name at a time
        return values
    unusual = {row: text for row, text in enumerate(texts) if isinstance(text, str) and not PLAIN.fullmatch(text)}
    if not unusual:
        return values
    without_blanks = {row: text.strip() for row, text in unusual.items()}
    blanks = [text for row, text in without_blanks.items() if text != unusual[row]]
    if blanks:
        notes.append(f"{where}: blanks around {column} removed: {list_names(dict.fromkeys(blanks))}")
    wrong = defaultdict(list)
    for text in without_blanks.values():
        if fault := name_fault(text, paths=paths):
            wrong[fault].append(text)
    for fault, names in wrong.items():
        faults.add(f"{where}: {column} {fault}; found {list_names(dict.fromkeys(names))}")
    texts = texts.copy()
    texts[list(without_blanks)] = [text or np.nan for text in without_blanks.values()]
    return pd.Series(texts, index=values.index, name=values.name)


def name_fault(text: str, *, paths: bool) -> str | None:
    """Return why ``text`` cannot be the name of a case (or, with ``paths``, of a patient); None if it can."""
    if not paths and (re.search(r"[/\\]", text) or text in (".", "..")):
        return "must not contain a path"
    if not text.isprintable():
        return "must hold printable characters only"
    if len(text) > LONGEST:
        return f"must have at most {LONGEST} characters"
    return f"must not begin with {', '.join(FORMULAS)} (spreadsheets compute it)" if is_formula(text) else None


def is_formula(text: str) -> bool:
    """Return whether a spreadsheet that opens a CSV would compute ``text`` as a formula."""
    return text.startswith(FORMULAS) and len(text) > 1


def likely_names(missing: Iterable[str], files: Iterable[str]) -> str:
    """Return a hint about names in ``files`` that are similar to ``missing`` names; empty if no name is similar.

    Similar names differ in suffix, case, leading zeros, a number's ``.0``, or how accents are stored.
    """
    similar = {_comparable_name(name): name for name in files}
    pairs = {name: similar[_comparable_name(name)] for name in missing if _comparable_name(name) in similar}
    return f"; {_hints(pairs)}; an image_name must equal the file's name without its suffix" if pairs else ""


def _hints(pairs: Mapping[str, str]) -> str:
    hints = [f"{name!r} may be {file!r}" for name, file in list(pairs.items())[:MOST_SHOWN]]
    more = f" (and {len(pairs) - MOST_SHOWN} more)" if len(pairs) > MOST_SHOWN else ""
    return ", ".join(hints) + more


def _comparable_name(name: str) -> str:
    plain = SUFFIX.sub("", unicodedata.normalize("NFC", name).casefold().strip())
    number = FLOAT.fullmatch(plain)
    return (number[1] if number else plain).lstrip("0")
