"""Ages as people write them, in years: with a unit, top-coded as 85+, or as a range; a date of birth is refused."""

import re

from features.words.dates import is_date

OLDEST = 130.0  # years
NUMBER = r"(\d+(?:[.,]\d+)?)"
ABOUT = r"(?:(?:~|\u2248|ca\.|ca\b|circa|about|approx\.|approx\b|approximately)\s*)?"
UNIT = r"(?:\s*(?:y|yrs?|years?(?: old)?|yo|y\.o\.?|y/o|jahre?|j\.|ans|anni|a\u00f1os|anos|jaar))?"
YEARS = re.compile(rf"{ABOUT}{NUMBER}{UNIT}", re.IGNORECASE)
MONTHS = re.compile(rf"{NUMBER}\s*(?:mo|months?)", re.IGNORECASE)
DICOM = re.compile(r"(\d{3})([DWM])")  # an age as DICOM writes it, in days, weeks or months
PER_YEAR = {"D": 365.25, "W": 365.25 / 7, "M": 12.0}
OVER = r"(?:>=?|\u2265|over|above|older than|at least)"
OR_OVER = r"(?:\+|plus|(?:and|or|&)\s*(?:over|older|above|more|up))"
AT_LEAST = re.compile(rf"{OVER}\s*{NUMBER}{UNIT}|{NUMBER}{UNIT}\s*{OR_OVER}{UNIT}", re.IGNORECASE)
TO = "(?:-|\u2013|\u2014|to)"
RANGE = re.compile(rf"[\[(]?{NUMBER}\s*{TO}\s*{NUMBER}[\])]?{UNIT}|[\[(]{NUMBER}\s*,\s*{NUMBER}[\])]", re.IGNORECASE)
YEARS_OF_BIRTH = (1850, 2100)
FILLERS = (-1.0, -9.0, -99.0, -999.0, 999.0, 9999.0)  # numbers that say that the age is unknown
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
    if dicom := DICOM.fullmatch(text):
        return float(dicom[1]) / PER_YEAR[dicom[2]]
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
