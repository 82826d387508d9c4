"""Ages as people write them, in years: with a unit, top-coded as 85+, or as a range; a date of birth is refused."""

import re

from features.words.dates import is_date

OLDEST = 130.0  # years
NUMBER = r"(\d+(?:[.,]\d+)?)"
YEARS = re.compile(rf"{NUMBER}\s*(?:y|yr|yrs|years?(?: old)?|y\.o\.)?", re.IGNORECASE)
MONTHS = re.compile(rf"{NUMBER}\s*(?:mo|months?)", re.IGNORECASE)
UNIT = r"(?:\s*(?:y|yrs?|years?|y\.o\.))?"
OVER = r"(?:>=?|\u2265|over|above|older than|at least)"
OR_OVER = r"(?:\+|(?:and|or|&)\s*(?:over|older|above|more|up))"
AT_LEAST = re.compile(rf"{OVER}\s*{NUMBER}{UNIT}|{NUMBER}{UNIT}\s*{OR_OVER}{UNIT}", re.IGNORECASE)
TO = "(?:-|\u2013|\u2014|to)"
RANGE = re.compile(rf"[\[(]?{NUMBER}\s*{TO}\s*{NUMBER}[\])]?{UNIT}|[\[(]{NUMBER}\s*,\s*{NUMBER}[\])]", re.IGNORECASE)
YEARS_OF_BIRTH = (1850, 2100)
AGE = f"a number of years from 0 to {OLDEST:g}"
NO_BIRTH = "an age in years, not the date or year of birth; write how old the patient was when the picture was taken"


def age_of(text: str) -> float:
    """Return the years in ``text``; raise ValueError with what would be right, for a date of birth too."""
    age = _years(text)
    if is_date(text) or (age is not None and is_year_of_birth(age)):
        raise ValueError(NO_BIRTH)
    if age is None or age > OLDEST:
        raise ValueError(AGE)
    return age


def _years(text: str) -> float | None:
    """Return the years in ``text``: 85 for ``85+``, the middle of a range; None for another text."""
    if months := MONTHS.fullmatch(text):
        return _number(months[1]) / 12
    if match := YEARS.fullmatch(text) or AT_LEAST.fullmatch(text):
        return _number(next(number for number in match.groups() if number))
    match = RANGE.fullmatch(text)
    least, most = [_number(number) for number in match.groups() if number] if match else (1.0, 0.0)
    return (least + most) / 2 if least <= most else None


def is_year_of_birth(age: float) -> bool:
    """Return whether ``age`` can only be a calendar year."""
    return YEARS_OF_BIRTH[0] <= age <= YEARS_OF_BIRTH[1] and age == int(age)


def _number(text: str) -> float:
    return float(text.replace(",", "."))
