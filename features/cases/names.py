"""Names of cases and patients as a table gives them: blanks around them go, what no file can be called is refused."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from runtime.errors import Faults, list_names

PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")  # nearly all of them; the others are looked at closely
LONGEST = 200  # letters; file systems hold 255 bytes, suffix included
FORMULAS = ("=", "+", "-", "@")  # a spreadsheet computes what begins so, and every table of ours names the case
SUFFIX = re.compile(r"\.(jpe?g|png|dcm|tiff?|bmp|webp|heic|gif)$", re.IGNORECASE)
FLOAT = re.compile(r"(\d+)\.0+")
MOST_SHOWN = 3


def checked_names(
    values: pd.Series, column: str, where: str, faults: Faults, notes: list[str], *, paths: bool = False
) -> pd.Series:
    """Return the names in ``values`` without blanks around them, which ``notes`` is told; what is missing stays so.

    Names that are a path (unless ``paths``: a patient's name is no file's), too long, hold characters that cannot be
    shown, or that a spreadsheet would compute, go to ``faults``, all of a kind together.
    """
    texts = values.to_numpy(dtype=object)
    odd = {place: text for place, text in enumerate(texts) if isinstance(text, str) and not PLAIN.fullmatch(text)}
    if not odd:
        return values
    stripped = {place: text.strip() for place, text in odd.items()}
    blanks = [text for place, text in stripped.items() if text != odd[place]]
    if blanks:
        notes.append(f"{where}: blanks around {column} left out: {list_names(dict.fromkeys(blanks))}")
    wrong = defaultdict(list)
    for text in stripped.values():
        if fault := name_fault(text, paths=paths):
            wrong[fault].append(text)
    for fault, names in wrong.items():
        faults.add(f"{where}: {column} {fault}: {list_names(dict.fromkeys(names))}")
    texts = texts.copy()
    texts[list(stripped)] = [text or np.nan for text in stripped.values()]
    return pd.Series(texts, index=values.index, name=values.name)


def name_fault(text: str, *, paths: bool) -> str | None:
    """Return why ``text`` cannot name a case (or, with ``paths``, a patient); None where it can."""
    if not paths and (re.search(r"[/\\]", text) or text in (".", "..")):
        return "that is a path, not the name of a file alone"
    if not text.isprintable():
        return "with characters that cannot be shown"
    if len(text) > LONGEST:
        return f"of more than {LONGEST} letters"
    return f"that begins with {', '.join(FORMULAS)}: a spreadsheet would compute it" if is_formula(text) else None


def is_formula(text: str) -> bool:
    """Tell whether a spreadsheet that opens a CSV would compute ``text``."""
    return text.startswith(FORMULAS) and len(text) > 1


def likely_names(missing: Iterable[str], found: Iterable[str]) -> str:
    """Return a hint on the names in ``found`` that those ``missing`` may mean; empty where none is alike.

    Alike are names that differ by suffix, case, leading zeros, a number's ``.0``, or how accents are stored.
    """
    known = {_shape(name): name for name in found}
    pairs = {name: known[_shape(name)] for name in missing if _shape(name) in known}
    return f"; {_listed(pairs)}: an image_name is the file's name, without its suffix, to the letter" if pairs else ""


def _listed(pairs: Mapping[str, str]) -> str:
    shown = [f"{name!r} may mean {meant!r}" for name, meant in list(pairs.items())[:MOST_SHOWN]]
    more = f" (and {len(pairs) - MOST_SHOWN} more)" if len(pairs) > MOST_SHOWN else ""
    return ", ".join(shown) + more


def _shape(name: str) -> str:
    plain = SUFFIX.sub("", unicodedata.normalize("NFC", name).casefold().strip())
    number = FLOAT.fullmatch(plain)
    return (number[1] if number else plain).lstrip("0")
