"""Tests of what commands print: lines, details and warnings, the log of a run, rates and times left."""

from pathlib import Path

import pytest
from rich.table import Table

from runtime.errors import InputFault
from runtime.plural import number_of
from runtime.progress import (
    LOG,
    Pace,
    detail,
    earlier_warnings,
    logging_to,
    print_details,
    progress_bar,
    quiet,
    rate_in_words,
    say,
    time_in_words,
    warn,
)


class Clock:
    """A clock that the test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_detail_is_in_the_log_and_printed_only_with_verbose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(tmp_path, "head"):
        say("line")
        detail("[detail]")
        with print_details(True):
            detail("verbose")
    assert capsys.readouterr().out == "line\nverbose\n"
    assert (tmp_path / LOG).read_text() == "\nhead\nline\n[detail]\nverbose\n"


def test_without_a_log_a_detail_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    detail("line")
    assert capsys.readouterr().out == "line\n"


def test_the_log_grows_with_every_command_and_is_written_at_once(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with logging_to(tmp_path, name):
            say("line")
            assert (tmp_path / LOG).read_text().endswith(f"{name}\nline\n")
    assert (tmp_path / LOG).read_text() == "\none\nline\n\ntwo\nline\n"


def test_a_refusal_and_an_error_of_the_program_are_in_the_log(tmp_path: Path) -> None:
    with pytest.raises(InputFault), logging_to(tmp_path, "one"):
        raise InputFault("data: no such folder")
    with pytest.raises(ZeroDivisionError), logging_to(tmp_path, "two"):
        print(1 / 0)
    log = (tmp_path / LOG).read_text()
    assert "\none\nerror: data: no such folder\n" in log
    assert log.endswith("ZeroDivisionError: division by zero\n\n")
    assert "Traceback" in log


def test_a_table_has_its_full_width_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("model", "AUC")
    table.add_row("x" * 60, "0.9")
    with logging_to(tmp_path, "head"):
        detail(table)
    assert f"│ {'x' * 60} │ 0.9 │" in (tmp_path / LOG).read_text()
    assert capsys.readouterr().out == ""


def test_warnings_are_repeated_once_and_only_within_their_command(tmp_path: Path) -> None:
    with logging_to(tmp_path, "head"):
        for _ in range(2):
            warn("a worker process was killed")
        assert earlier_warnings() == ["a worker process was killed"]
    with logging_to(tmp_path, "head"):
        assert earlier_warnings() == []


def test_quiet_output_is_not_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path, "head"), quiet():
        say("line")
    assert (tmp_path / LOG).read_text() == "\nhead\n"
    assert capsys.readouterr().out == ""


def test_the_total_of_a_progress_bar_is_a_detail_in_the_right_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(tmp_path, "head"), progress_bar("tuning", 1, "study") as advance:
        advance(1)
    assert "tuning: 1 study in 0.0 s (" in (tmp_path / LOG).read_text()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("count", "seconds", "words"),
    [
        (400, 10, "40 pictures/s"),
        (5, 2, "2.5 pictures/s"),
        (10, 25, "2.5 s per picture"),
        (2, 78, "39 s per picture"),
        (0, 20, "none finished yet"),
    ],
)
def test_a_rate_below_one_per_second_is_seconds_per_item(count: int, seconds: float, words: str) -> None:
    assert rate_in_words(count, seconds, "picture") == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(4, "a few seconds"), (38, "about 40 s"), (400, "about 7 min"), (9000, "about 2.5 h")]
)
def test_times_are_rounded(seconds: float, words: str) -> None:
    assert time_in_words(seconds) == words


def test_no_time_left_is_estimated_before_a_tenth_is_done() -> None:
    clock = Clock()
    pace = Pace(100, "fit", clock)
    clock.now = 20.0
    pace.add(1)
    assert pace.seconds_left() is None
    assert str(pace) == "1 of 100 fits, 20 s per fit"
    pace.add(9)
    assert str(pace) == "10 of 100 fits, 2.0 s per fit, about 3 min left"


def test_after_slow_first_fits_the_later_ones_count() -> None:
    clock = Clock()
    pace = Pace(130, "fit", clock)
    for seconds in (*([4.0] * 10), *([0.5] * 80)):
        clock.now += seconds
        pace.add(1)
    seconds = pace.seconds_left()
    assert seconds is not None
    assert 18 <= seconds <= 24  # 40 fits of half a second; at the mean rate of all it were 36 s


def test_numbers_and_their_nouns_agree() -> None:
    words = [number_of(count, noun) for count in (1, 1200) for noun in ("picture", "study", "batch", "day")]
    assert words[:4] == ["1 picture", "1 study", "1 batch", "1 day"]
    assert words[4:] == ["1,200 pictures", "1,200 studies", "1,200 batches", "1,200 days"]
