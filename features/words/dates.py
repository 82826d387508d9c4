"""Dates as people write them, read as numbers of days; a date that can mean two days is refused."""

import re
from datetime import date

START = date(1970, 1, 1)  # day 0, the same in training and new cases
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TIME = r"(?:[T\s]\s*\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?\s*(?:[ap]m)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?)?"
YEAR_FIRST = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){TIME}", re.IGNORECASE)
YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){TIME}", re.IGNORECASE)
DAY_FIRST = re.compile(rf"(\d{{1,2}})(?:st|nd|rd|th|\.)?[\s-]*([a-z]{{3,9}})\.?[\s,-]*(\d{{4}}){TIME}", re.IGNORECASE)
MONTH_FIRST = re.compile(rf"([a-z]{{3,9}})\.?\s*(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(\d{{4}}){TIME}", re.IGNORECASE)
YEAR_AND_MONTH = re.compile(r"((?:19|20)\d{2})[-/](\d{1,2})")
MONTH_AND_YEAR = re.compile(r"(\d{1,2}|[a-z]{3,9})\.?[\s/-]\s*((?:19|20)\d{2})", re.IGNORECASE)
RULE = "a date such as 2019-12-31; write the year first"


def is_date(text: str) -> bool:
    """Return whether ``text`` has the form of a date, also of one that is invalid or can mean two days."""
    plain = text.strip()
    return bool(
        YEAR_FIRST.fullmatch(plain) or YEAR_LAST.fullmatch(plain) or _date_with_month_name(plain) or _month(plain)
    )


def days_of(text: str) -> float:
    """Return the days from 1970-01-01 to the date in ``text``; the time of day is ignored.

    Raises ValueError with what would be right: for 05/06/2019, which is in May or in June, for years of two digits, and
    for days that do not exist.
    """
    plain = text.strip()
    if match := YEAR_FIRST.fullmatch(plain):
        return _days(int(match[1]), int(match[3]), int(match[4]))
    if numbers := _date_with_month_name(plain) or _month(plain):
        return _days(*numbers)
    match = YEAR_LAST.fullmatch(plain)
    if not match or len(match[4]) == 2:
        raise ValueError(RULE)
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if match[2] == "." or first > len(MONTHS) or first == second:  # with points, the day comes first everywhere
        return _days(year, second, first)
    if second > len(MONTHS):
        return _days(year, first, second)
    raise ValueError(RULE)


def _date_with_month_name(text: str) -> tuple[int, int, int] | None:
    """Return year, month and day of a date with the English name of the month; None for another text."""
    if match := DAY_FIRST.fullmatch(text):
        day, month, year = match[1], match[2], match[3]
    elif match := MONTH_FIRST.fullmatch(text):
        month, day, year = match[1], match[2], match[3]
    else:
        return None
    short = month[:3].casefold()
    return (int(year), MONTHS.index(short) + 1, int(day)) if short in MONTHS else None


def _month(text: str) -> tuple[int, int, int] | None:
    """Return the first day of a month, written as 2019-12, 12/2019 or Dec 2019; None for another text."""
    if match := YEAR_AND_MONTH.fullmatch(text):
        year, month = match[1], match[2]
    elif match := MONTH_AND_YEAR.fullmatch(text):
        month, year = match[1], match[2]
    else:
        return None
    short = month[:3].casefold()
    number = int(month) if month.isdecimal() else MONTHS.index(short) + 1 if short in MONTHS else 0
    return (int(year), number, 1) if 1 <= number <= len(MONTHS) else None


def _days(year: int, month: int, day: int) -> float:
    try:
        return float((date(year, month, day) - START).days)
    except ValueError:
        raise ValueError(RULE) from None
