"""What one text of a metadata column says: an age, a sex, a site, a number, a date, or words."""

import re
from collections.abc import Callable

import numpy as np

from features.cases.names import LONGEST, is_formula
from features.words.ages import FILLERS, age_of
from features.words.dates import days_of, is_date

Value = str | float | None
Rule = Callable[[str], Value]

AGE_NAMES = ("age", "age_approx", "age_approximate", "age_years", "patient_age")
SEX_NAMES = ("sex", "gender", "patient_sex")
UNKNOWN = ("unknown", "unk", "not known", "n.a.", "?", "-", "--", ".", "missing", "not reported", "not available")
MALE = ("m", "male", "man", "mann", "m\u00e4nnlich", "homme", "masculin", "hombre", "masculino")
FEMALE = ("f", "female", "woman", "w", "frau", "weiblich", "femme", "f\u00e9minin", "mujer", "femenino")
SEXES = dict.fromkeys(MALE, "male") | dict.fromkeys(FEMALE, "female")
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
SEX = "female or male; replace codes by these words"
NUMBERS_AT_LEAST = 0.9  # share of numbers from which a column is numeric and its other texts are errors
DATES_AT_LEAST = 0.5  # share of dates from which a column holds dates; as texts each would be a category of its own


def rule_of_column(column: str, texts: list[str], counts: np.ndarray) -> Rule:
    """Return how the ``texts`` of a column, each of which occurs as often as ``counts`` say, are read."""
    name = column.casefold()
    if name in AGE_NAMES:
        return read_age
    if name in SEX_NAMES:
        return read_sex
    if name == "site" or name.startswith("anatom_site"):
        return _site
    unknown = np.array([is_unknown(text) for text in texts], bool)
    dates = np.array([is_date(text) for text in texts], bool)
    if dates.any() and counts[dates].sum() >= DATES_AT_LEAST * counts[~unknown].sum():
        return read_date
    numeric = unknown | np.array([is_number(text) for text in texts], bool)
    is_numeric = any(map(is_number, texts)) and counts[numeric].sum() >= NUMBERS_AT_LEAST * counts.sum()
    return _number if is_numeric else _text


def read_age(text: str) -> Value:
    """Return the age in years, None if it is unknown; raise ValueError with what is accepted."""
    plain = text.strip()
    if is_unknown(plain) or (is_number(plain) and as_float(plain) in FILLERS):
        return None
    return age_of(plain)


def read_sex(text: str) -> Value:
    """Return female, male, or another word, None if it is unknown; raise ValueError with what is accepted."""
    plain = str(_text(text))
    if is_unknown(plain):
        return None
    if is_number(plain):
        raise ValueError(SEX)
    return SEXES.get(plain.casefold().rstrip("."), plain)


def _site(text: str) -> Value:
    plain = str(_text(text)).lower()
    return None if is_unknown(plain) else plain


def _number(text: str) -> Value:
    plain = text.strip()
    if is_unknown(plain):
        return None
    if not is_number(plain) or not np.isfinite(as_float(plain)):
        raise ValueError("a finite number, like the other values of the column")
    return as_float(plain)


def read_date(text: str) -> Value:
    """Return the days since the start that dates.py names, None if unknown; raise ValueError with what is accepted."""
    return None if is_unknown(text) else days_of(text)


def _text(text: str) -> Value:
    plain = " ".join(text.split())
    if not plain.isprintable():
        raise ValueError("text of printable characters")
    if is_formula(plain):
        raise ValueError("text that does not begin with =, +, - or @, since spreadsheets compute it as a formula")
    if len(plain) > LONGEST:
        raise ValueError(f"text of at most {LONGEST} characters")
    return plain or None


def is_unknown(text: str) -> bool:
    """Return whether a text says that the value is not known."""
    return not text.strip() or text.strip().casefold() in UNKNOWN


def is_number(text: str) -> bool:
    """Return whether a text is a number, also with a decimal comma."""
    try:
        return not np.isnan(as_float(text))
    except ValueError:
        return False


def as_float(text: str) -> float:
    """Return the number in a text, also with a decimal comma; raise ValueError if it holds none."""
    return float(text.replace(",", ".") if DECIMAL_COMMA.fullmatch(text.strip()) else text)
