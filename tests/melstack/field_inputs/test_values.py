"""Tests of the section "Ages, dates and sexes" of docs/field_inputs.md."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest

from tests.melstack.field_inputs.situation import Situation, check
from tests.melstack.field_inputs.small_tables import TRAIN, write_tables

DATES = 'columns = {metadata = ["sex", "acquired"]}'


def values(column: str, first: Sequence[object]) -> Situation:
    """Return tables in which a column begins with the values ``first``."""
    train = {column: [*first, *TRAIN[column][len(first) :]]}
    return Situation(lambda folder: write_tables(folder, train), _words)


def dates(train: Sequence[object], test: Sequence[object]) -> Situation:
    """Return tables with the metadata column acquired, which repeats ``train``."""
    columns = {"acquired": list(train) * (12 // len(train))}
    return Situation(lambda folder: write_tables(folder, columns, {"acquired": test}, DATES), _words)


def without_test_rows(folder: Path) -> None:
    write_tables(folder)
    text = (folder / "test.csv").read_text(encoding="utf-8")
    (folder / "test.csv").write_text(text.splitlines()[0] + "\n", encoding="utf-8")


def _words(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


SITUATIONS = {
    "age_85_plus": values("age_approx", ["85+", "85+"]),
    "age_over_85": values("age_approx", [">85", "\u2265 90"]),
    "age_90_and_over": values("age_approx", ["90 and over", "90 or older"]),
    "age_range_of_years": values("age_approx", ["40-45", "50 to 54"]),
    "age_as_in_dicom": values("age_approx", ["045Y", "006M"]),
    "age_about": values("age_approx", ["~50", "ca. 60"]),
    "age_in_other_languages": values("age_approx", ["45 Jahre", "50 ans"]),
    "age_filler": values("age_approx", [-1, 999]),
    "age_date_of_birth": values("age_approx", ["1975-03-02", "02/03/1975"]),
    "age_year_of_birth_in_all_rows": values("age_approx", [1975] * 12),
    "age_birthday_in_words": values("age_approx", ["2 March 1975"]),
    "dates_iso": dates(["2019-12-31", "2020-01-02", "2020-01-03"], ["2020-01-04", "2020-02-01"]),
    "dates_with_time": dates(["2019-12-31 10:20:00", "2020-01-02 09:00:00"], ["2020-01-04 08:00:00", None]),
    "dates_compact_text": dates(["31-Dec-2019", "2 January 2020"], ["Jan 4, 2020", "unknown"]),
    "dates_day_first": dates(["31/12/2019", "30/11/2019"], ["29/10/2019", "28/09/2019"]),
    "dates_ambiguous": dates(["31/12/2019", "05/06/2019"], ["29/10/2019", "28/09/2019"]),
    "dates_among_words": dates(["2019-12-31", "2019-12-30", "never"], ["2019-12-31", "2019-12-31"]),
    "months": dates(["2019-12", "2020-01"], ["2020-02", "2020-03"]),
    "months_by_name": dates(["Dec 2019", "January 2020"], ["Feb 2020", "Mar 2020"]),
    "months_before_the_year": dates(["12/2019", "01/2020"], ["02/2020", "03/2020"]),
    "years_alone": dates([2019, 2020], [2019, 2020]),
    "sex_other": values("sex", ["other", "MALE", "F"]),
    "sex_in_german": values("sex", ["m", "w", "m\u00e4nnlich"]),
    "test_header_only": Situation(without_test_rows, _words),
}
NUMBERS = {"dates_iso": 18261, "dates_with_time": 18261, "dates_compact_text": 18261, "dates_day_first": 18261}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_value_is_read_as_it_was_meant(name: str, tmp_path: Path) -> None:
    if check(name, SITUATIONS, tmp_path).code or name not in NUMBERS:
        return
    cases = pd.read_parquet(tmp_path / "run" / "cases.parquet")
    assert cases["acquired"].dtype == "float64"
    assert cases["acquired"].iloc[0] == NUMBERS[name]
