"""Tests for forecasts.py and machine.py: ranges add up, what is free is read as the kernel says it, and what fits."""

from pathlib import Path

import pytest

from runtime.errors import InputFault
from runtime.forecasts import (
    Forecast,
    Span,
    check_resources,
    format_seconds,
    missing_resources,
    read_forecasts,
    total_disk,
    total_time,
    write_forecasts,
)
from runtime.machine import Machine, available_memory, free_disk, parse_gigabytes, this_machine
from runtime.run_folder import Run

GB = 10**9
ROOMY = Machine(disk=100 * GB, memory=16 * GB)


def part(name: str, **values: object) -> Forecast:
    return Forecast.model_validate({"level": "one", "name": name, "how": "measured", **values})


TWO = [
    part("b0", seconds={"training": Span(low=10, high=20)}, disk={"weights": 2 * GB}, scratch=GB, memory=3 * GB),
    part("b1", seconds={"training": Span(low=1, high=2), "prediction": Span(low=3, high=4)}, scratch=2 * GB),
]


def test_times_add_up_and_only_the_largest_scratch_counts() -> None:
    assert total_time(TWO) == Span(low=14, high=26)
    assert total_disk(TWO) == 4 * GB


def test_a_span_of_measurements_goes_from_the_least_to_the_most() -> None:
    assert Span.of([3.0, 1.0, 2.0]).times(10) == Span(low=10, high=30)
    assert Span.of([]) == Span()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(40, 60, "40-60 s"), (59.6, 60.4, "60 s"), (300, 900, "5-15 min"), (5400, 9000, "1.5-2.5 h")],
)
def test_a_duration_is_told_in_the_unit_that_suits_it(low: float, high: float, expected: str) -> None:
    assert format_seconds(Span(low=low, high=high)) == expected


def test_what_is_written_is_read_back_level_by_level(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_forecasts(run, [*TWO, part("default", level="two")], ROOMY)
    assert read_forecasts(run, "one") == TWO
    assert [each.name for each in read_forecasts(run, "two")] == ["default"]
    assert read_forecasts(Run(tmp_path / "other"), "one") == []


def test_what_fits_is_not_refused(tmp_path: Path) -> None:
    assert missing_resources(Run(tmp_path), TWO, ROOMY) == []
    check_resources(Run(tmp_path), TWO, ROOMY)


def test_a_disk_that_is_too_small_is_refused_with_what_is_needed_and_what_needs_most(tmp_path: Path) -> None:
    small = Machine(disk=3 * GB, memory=16 * GB)
    with pytest.raises(
        InputFault, match=r"needs 4\.0 GB of disk, and 3\.0 GB are free there; free 1\.0 GB more.*needs most: b0, 2\.0"
    ):
        check_resources(Run(tmp_path), TWO, small)


def test_every_refusal_is_told_together(tmp_path: Path) -> None:
    refused = [part("b0", refused="too large"), part("b1", refused="larger still")]
    with pytest.raises(InputFault, match=r"cannot be done here:\n  b0: too large\n  b1: larger still"):
        check_resources(Run(tmp_path), refused, ROOMY)


def lay_out(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 32000 kB\nMemAvailable:   20000 kB\n"


def test_without_a_group_what_the_kernel_calls_available_is_available(tmp_path: Path) -> None:
    assert available_memory(lay_out(tmp_path, {"proc/meminfo": MEMINFO})) == 20000 * 1024


def test_a_groups_limit_counts_less_what_it_uses_but_for_pages_that_can_be_dropped(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/memory.max": "9000000\n"}
    files |= {"sys/fs/cgroup/box/memory.current": "5000000\n", "sys/fs/cgroup/box/memory.stat": "inactive_file 1000\n"}
    assert available_memory(lay_out(tmp_path, files)) == 4_001_000


def test_the_tightest_of_the_groups_around_a_process_counts(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/box/inner\n"}
    files |= {"sys/fs/cgroup/box/inner/memory.max": "max\n", "sys/fs/cgroup/memory.max": "3000000\n"}
    files |= {"sys/fs/cgroup/box/memory.max": "2000000\n", "sys/fs/cgroup/box/memory.current": "500000\n"}
    assert available_memory(lay_out(tmp_path, files)) == 1_500_000


def test_the_older_kind_of_groups_is_read_and_its_largest_number_means_no_limit(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "5:cpu,memory:/box\n4:pids:/box\n"}
    place = "sys/fs/cgroup/memory"
    files |= {f"{place}/box/memory.limit_in_bytes": "7000000\n", f"{place}/box/memory.usage_in_bytes": "1000000\n"}
    files |= {f"{place}/memory.limit_in_bytes": "9223372036854771712\n"}
    assert available_memory(lay_out(tmp_path, files)) == 6_000_000


def test_the_disk_of_a_folder_that_is_not_there_yet_is_that_of_the_nearest_one_that_is(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "run" / "deeper") > 0
    assert this_machine(tmp_path, disk=5, memory=6) == Machine(5, 6, None, this_machine(tmp_path).cores)


def test_gigabytes_are_read_as_bytes_and_nothing_else_is() -> None:
    assert parse_gigabytes("1.5") == 1_500_000_000
    for wrong in ("much", "-1", "inf"):
        with pytest.raises(InputFault, match=r"GB"):
            parse_gigabytes(wrong)
