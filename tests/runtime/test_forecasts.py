"""Tests of forecasts.py and machine/: ranges add up, free memory and disk, and work that does not fit."""

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
from runtime.machine.memory import available_memory
from runtime.machine.resources import Machine, free_disk, this_machine
from runtime.run_folder import Run

GB = 10**9
LARGE = Machine(disk=100 * GB, memory=16 * GB)


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
def test_seconds_are_printed_in_a_readable_unit(low: float, high: float, expected: str) -> None:
    assert format_seconds(Span(low=low, high=high)) == expected


def test_forecasts_are_read_back_per_level(tmp_path: Path) -> None:
    run = Run(tmp_path)
    write_forecasts(run, [*TWO, part("default", level="two")], LARGE)
    assert read_forecasts(run, "one") == TWO
    assert [forecast.name for forecast in read_forecasts(run, "two")] == ["default"]
    assert read_forecasts(Run(tmp_path / "other"), "one") == []


def test_work_that_fits_is_accepted(tmp_path: Path) -> None:
    assert missing_resources(Run(tmp_path), TWO, LARGE) == []
    check_resources(Run(tmp_path), TWO, LARGE)


def test_a_disk_that_is_too_small_is_refused_with_the_demand_and_the_largest_part(tmp_path: Path) -> None:
    small = Machine(disk=3 * GB, memory=16 * GB)
    message = r"needs 4\.0 GB of disk, and 3\.0 GB are free there; free 1\.0 GB more.*the largest part: b0, 2\.0"
    with pytest.raises(InputFault, match=message):
        check_resources(Run(tmp_path), TWO, small)


def test_all_reasons_against_the_work_are_in_one_message(tmp_path: Path) -> None:
    parts = [part("b0", refused="too large"), part("b1", refused="larger still")]
    with pytest.raises(InputFault, match=r"this machine cannot do the work:\n  b0: too large\n  b1: larger still"):
        check_resources(Run(tmp_path), parts, LARGE)


def write_files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


MEMINFO = "MemTotal: 32000 kB\nMemAvailable:   20000 kB\n"


def test_without_a_cgroup_the_kernels_number_of_available_bytes_counts(tmp_path: Path) -> None:
    assert available_memory(write_files(tmp_path, {"proc/meminfo": MEMINFO})) == 20000 * 1024


def test_the_limit_of_a_cgroup_counts_less_its_use_without_droppable_pages(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/box\n", "sys/fs/cgroup/box/memory.max": "9000000\n"}
    files |= {"sys/fs/cgroup/box/memory.current": "5000000\n", "sys/fs/cgroup/box/memory.stat": "inactive_file 1000\n"}
    assert available_memory(write_files(tmp_path, files)) == 4_001_000


def test_the_tightest_of_nested_cgroups_counts(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/box/inner\n"}
    files |= {"sys/fs/cgroup/box/inner/memory.max": "max\n", "sys/fs/cgroup/memory.max": "3000000\n"}
    files |= {"sys/fs/cgroup/box/memory.max": "2000000\n", "sys/fs/cgroup/box/memory.current": "500000\n"}
    assert available_memory(write_files(tmp_path, files)) == 1_500_000


def test_cgroups_of_version_1_are_read_and_their_largest_number_means_no_limit(tmp_path: Path) -> None:
    files = {"proc/meminfo": MEMINFO, "proc/self/cgroup": "5:cpu,memory:/box\n4:pids:/box\n"}
    group = "sys/fs/cgroup/memory"
    files |= {f"{group}/box/memory.limit_in_bytes": "7000000\n", f"{group}/box/memory.usage_in_bytes": "1000000\n"}
    files |= {f"{group}/memory.limit_in_bytes": "9223372036854771712\n"}
    assert available_memory(write_files(tmp_path, files)) == 6_000_000


def test_a_missing_folder_has_the_disk_of_its_nearest_existing_parent(tmp_path: Path) -> None:
    assert free_disk(tmp_path / "run" / "deeper") > 0
    assert this_machine(tmp_path, disk=5, memory=6) == Machine(5, 6, None, this_machine(tmp_path).cores)
