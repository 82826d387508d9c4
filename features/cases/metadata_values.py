"""Values of metadata as people write them: what is unambiguous is repaired and said, the rest refused.

Every value is judged by itself, so that the same text means the same in training, test and new cases.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import pandas as pd

from features.cases.names import LONGEST, is_formula
from runtime.errors import MAX_NAME_LENGTH, Faults, list_names

Value = str | float | None
Rule = Callable[[str], Value]

OLDEST = 130.0  # years
UNKNOWN = ("unknown", "unk", "not known", "n.a.", "?", "-", "--", ".", "missing")
SEXES = {"m": "male", "male": "male", "man": "male", "f": "female", "female": "female", "woman": "female"}
NUMBER = r"(\d+(?:[.,]\d+)?)"
YEARS = re.compile(rf"{NUMBER}\s*(?:y|yr|yrs|years?(?: old)?|y\.o\.)?", re.IGNORECASE)
MONTHS = re.compile(rf"{NUMBER}\s*(?:mo|months?)", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
AGE = f"a number of years from 0 to {OLDEST:g}; of a range write the middle"
SEX = "female or male, not a code whose meaning is not told"
NUMBERS_AT_LEAST = 0.9  # of the texts of a column: then the others are slips, and the column no text
MOST_SHOWN = 3


def repaired(values: pd.Series, column: str, where: str, faults: Faults, notes: list[str]) -> pd.Series:
    """Return the ``values`` (index image_name) of a metadata column as they are meant.

    Age is years, sex female or male (or another word), a site lower case; other columns are numbers or texts. What
    was read as something else is told in ``notes``; values that cannot be meant go to ``faults``, with their cases.
    """
    if pd.api.types.is_numeric_dtype(values):
        return _checked_numbers(values, column, where, faults)
    texts = values.map(lambda value: value if isinstance(value, str) else None)
    counts = texts.value_counts()
    rule = _rule(column, [str(text) for text in counts.index], counts.to_numpy())
    meant, wrong = _through(rule, [str(text) for text in counts.index])
    for reason, found in wrong.items():
        cases = values.index[texts.isin(found)]
        faults.add(
            f"{where}: {column} must be {reason}; found {_listed([_quoted(text) for text in found])} "
            f"in {list_names(cases)}"
        )
    _say(meant, texts, column, where, notes)
    if wrong or not _is_changed(meant):
        return values
    known = {text: np.nan if value is None else value for text, value in meant.items()}
    changed = [known[value] if isinstance(value, str) else value for value in values]
    numeric = all(value is None or isinstance(value, float) for value in meant.values())
    return pd.Series(changed, index=values.index, dtype=float if numeric else object)


def check_kinds(parts: Mapping[str, pd.DataFrame], columns: Sequence[str], faults: Faults) -> None:
    """Add to ``faults`` the metadata ``columns`` that hold numbers in one of ``parts`` (role -> cases), texts in
    another.
    """
    for column in columns:
        known = {role: part[column] for role, part in parts.items() if column in part and part[column].notna().any()}
        numeric = {role: pd.api.types.is_numeric_dtype(values) for role, values in known.items()}
        if len(set(numeric.values())) > 1 and not faults:  # a value that is refused leaves its column a text
            kinds = ", ".join(f"{'numbers' if is_number else 'texts'} in {role}" for role, is_number in numeric.items())
            faults.add(f"{column}: {kinds}; it must be one of both everywhere")


def _rule(column: str, texts: list[str], counts: np.ndarray) -> Rule:
    name = column.casefold()
    if name in ("age", "age_approx"):
        return _age
    if name in ("sex", "gender"):
        return _sex
    if name == "site" or name.startswith("anatom_site"):
        return _site
    numeric = np.array([_is_number(text) or _is_unknown(text) for text in texts], bool)
    is_number = any(map(_is_number, texts)) and counts[numeric].sum() >= NUMBERS_AT_LEAST * counts.sum()
    return _number if is_number else _text


def _through(rule: Rule, texts: list[str]) -> tuple[dict[str, Value], dict[str, list[str]]]:
    """Return what every text means, and per reason the texts that mean nothing."""
    meant: dict[str, Value] = {}
    wrong: dict[str, list[str]] = {}
    for text in texts:
        try:
            meant[text] = rule(text)
        except ValueError as error:
            wrong.setdefault(str(error), []).append(text)
    return meant, wrong


def _age(text: str) -> Value:
    plain = text.strip()
    if _is_unknown(plain):
        return None
    years, months = YEARS.fullmatch(plain), MONTHS.fullmatch(plain)
    if not (years or months):
        raise ValueError(AGE)
    found = years or cast(re.Match[str], months)
    age = float(found[1].replace(",", ".")) / (12 if months else 1)
    if age > OLDEST:
        raise ValueError(AGE)
    return age


def _sex(text: str) -> Value:
    plain = str(_text(text))
    if _is_unknown(plain):
        return None
    if _is_number(plain):
        raise ValueError(SEX)
    return SEXES.get(plain.casefold().rstrip("."), plain)


def _site(text: str) -> Value:
    plain = str(_text(text)).lower()
    return None if _is_unknown(plain) else plain


def _number(text: str) -> Value:
    plain = text.strip()
    if _is_unknown(plain):
        return None
    if not _is_number(plain) or not np.isfinite(_as_float(plain)):
        raise ValueError("a finite number, as the column's other values are")
    return _as_float(plain)


def _text(text: str) -> Value:
    plain = " ".join(text.split())
    if not plain.isprintable():
        raise ValueError("text that can be shown")
    if is_formula(plain):
        raise ValueError("text that a spreadsheet does not compute (it begins with =, +, - or @)")
    if len(plain) > LONGEST:
        raise ValueError(f"text of at most {LONGEST} letters")
    return plain or None


def _checked_numbers(values: pd.Series, column: str, where: str, faults: Faults) -> pd.Series:
    """Return numbers as they are; infinite ones, ages out of range and codes for the sex go to ``faults``."""
    kind, numbers = _rule(column, [], np.array([])), values.to_numpy(dtype=float)
    wrong, reason = np.isinf(numbers), "a finite number"
    if kind is _age:
        wrong, reason = (numbers < 0) | (numbers > OLDEST), AGE
    if kind is _sex:
        wrong, reason = ~np.isnan(numbers), SEX
    if wrong.any():
        found = _listed([f"{value:g}" for value in np.unique(numbers[wrong])])
        faults.add(f"{where}: {column} must be {reason}; found {found} in {list_names(values.index[wrong])}")
    return values


def _say(meant: Mapping[str, Value], texts: pd.Series, column: str, where: str, notes: list[str]) -> None:
    changed = {text: value for text, value in meant.items() if _differs(text, value)}
    if changed:
        pairs = [
            f"{_quoted(text)} as {'missing' if value is None else _quoted(value)}" for text, value in changed.items()
        ]
        shown = ", ".join(pairs[:MOST_SHOWN]) + (", ..." if len(pairs) > MOST_SHOWN else "")
        notes.append(f"{where}: {column}: read {shown} in {list_names(texts.index[texts.isin(list(changed))])}")
    alike: dict[str, list[str]] = {}
    for value in {value for value in meant.values() if isinstance(value, str)}:
        alike.setdefault(value.casefold(), []).append(value)
    twins = [sorted(words) for words in alike.values() if len(words) > 1]
    if twins:
        notes.append(
            f"{where}: {column}: taken as different, though only their case differs: {list_names(sorted(twins))}"
        )


def _is_changed(meant: Mapping[str, Value]) -> bool:
    return any(value != text for text, value in meant.items())


def _differs(text: str, value: Value) -> bool:
    """Tell whether somebody might be surprised to see ``text`` read as ``value``: 45 as 45.0 surprises nobody."""
    if isinstance(value, float):
        return "," in text or not _is_number(text)
    return value != text


def _is_unknown(text: str) -> bool:
    return not text.strip() or text.strip().casefold() in UNKNOWN


def _is_number(text: str) -> bool:
    try:
        return not np.isnan(_as_float(text))
    except ValueError:
        return False


def _as_float(text: str) -> float:
    return float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text.strip()) else text)


def _quoted(value: Value) -> str:
    if value is None:
        return "missing"
    is_long = isinstance(value, str) and len(value) > MAX_NAME_LENGTH
    return f"{str(value)[:MAX_NAME_LENGTH]!r}..." if is_long else repr(value)


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:MOST_SHOWN]) + (", ..." if len(texts) > MOST_SHOWN else "")
