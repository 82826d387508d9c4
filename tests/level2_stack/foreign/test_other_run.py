"""Tests for other_run.py and bring.py: the networks of another run over the same cases become networks of this run."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from level2_stack.foreign.bring import import_into_run, networks_in
from level2_stack.foreign.other_run import match_cases
from runtime.errors import InputFault
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table
from tests.level2_stack.foreign.foreign_files import small_cases, write_foreign


def add_network(run: Run, name: str, *, shift: float = 0.0, own: bool = True) -> pd.DataFrame:
    """Add a finished network: trained in the run, or imported without folds."""
    cases = run.read_cases().query("role != 'extra'")
    scores = {"a": 0.1, "b": 0.6, "c": 0.5, "x": 0.3, "d": 0.4, "y": 0.2, "w": 0.5, "v": 0.3}
    values = np.array([scores[name] for name in cases.index]) + shift
    folds = cases["fold"].to_numpy(np.int8) if own else np.full(len(cases), -1, np.int8)
    table = pd.DataFrame({"probability": values, "spread": values / 10, "fold": folds}, index=cases.index)
    made_from = {"cases": run.cases_digest(), "settings": 1} if own else {"cases": run.cases_digest(), "files": {}}
    if own:
        write_mark(run.level1 / name / "begun.json", made_from)
    write_table(run.level1 / name / "predictions.parquet", table)
    write_mark(run.level1 / name / "run.json", made_from, [run.level1 / name / "predictions.parquet"])
    return table


def make_run(folder: Path, cases: pd.DataFrame | None = None) -> Run:
    """Return a run of six cases without networks."""
    run = Run(folder)
    write_table(run.cases, small_cases() if cases is None else cases)
    write_mark(run.cases_mark, {})
    return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run without networks."""
    return make_run(tmp_path / "run")


@pytest.fixture
def other(tmp_path: Path) -> Run:
    """Return another run over the same cases, in another order, with two networks."""
    other = make_run(tmp_path / "other", small_cases().iloc[::-1])
    add_network(other, "trained")
    add_network(other, "imported", own=False)
    return other


def refusal(run: Run, folder: Path) -> str:
    """Return the message with which an import of ``folder`` into ``run`` is refused."""
    with pytest.raises(InputFault) as error:
        import_into_run(run, folder, [])
    return str(error.value)


def test_networks_of_another_run_are_taken_as_they_are(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert networks_in(other.folder) == ["imported", "trained"]
    import_into_run(run, other.folder, [])
    output = capsys.readouterr().out
    assert "all 4 train cases match, with their targets, and all 2 test cases" in output
    assert "trained: imported\n" in output
    assert "they are this run's folds" in output
    assert "no folds: it cannot be checked" in output
    for name in ("trained", "imported"):
        table = read_table(run.level1 / name / "predictions.parquet")
        assert list(table.index) == ["a", "b", "c", "x", "d", "y"]
        pd.testing.assert_frame_equal(table, read_table(other.level1 / name / "predictions.parquet").loc[table.index])


def test_an_import_is_fresh_until_the_other_run_changes(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    import_into_run(run, other.folder, [])
    import_into_run(run, other.folder, [])
    assert "trained: fresh" in capsys.readouterr().out
    add_network(other, "trained", shift=0.05)
    import_into_run(run, other.folder, [])
    assert "trained: imported" in capsys.readouterr().out
    assert read_table(run.level1 / "trained" / "predictions.parquet").at["a", "probability"] == pytest.approx(0.15)


def test_a_run_over_other_cases_is_refused_with_all_differences(run: Run, tmp_path: Path) -> None:
    cases = small_cases().drop(index="y").rename(index={"c": "w"})
    cases.loc["d", "target"] = 0.0
    add_network(other := make_run(tmp_path / "cohort", pd.concat([cases, cases.loc[["x"]].rename({"x": "v"})])), "net")
    message = refusal(run, other.folder)
    assert "not a run over the same cases with the same targets: 4 faults" in message
    for part in (
        "train cases that it lacks, of 4: 1 (c)",
        "train cases that this run lacks: 1 (w)",
        "train cases with another target: 1 (d)",
        "test cases that it lacks, of 2: 1 (y)",
    ):
        assert part in message
    assert not run.level1.exists()


def test_additional_test_cases_of_the_other_run_are_left_out_with_a_note() -> None:
    cases = small_cases()
    others = pd.concat([cases, cases.loc[["x"]].rename({"x": "v"})])
    assert "test cases that this run lacks, left out: 1 (v)" in match_cases(cases, others, "other")[1]


def test_unfinished_damaged_and_stale_networks_are_refused_with_the_reason(
    run: Run, other: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_mark(other.level1 / "half" / "begun.json", {"settings": 1})
    add_network(other, "broken")
    (other.level1 / "broken" / "predictions.parquet").write_bytes(b"")
    add_network(other, "older")
    write_mark(other.level1 / "older" / "begun.json", {"cases": other.cases_digest(), "settings": 2})
    write_foreign(tmp_path / "source", "brought")
    import_into_run(other, tmp_path / "source", [])
    write_foreign(tmp_path / "source", "brought", oof="image_name,pred\na,0.2\nb,0.6\nc,0.5\nd,0.4\n")
    capsys.readouterr()
    import_into_run(run, other.folder, [])
    output = capsys.readouterr().out
    assert "half: REFUSED\n  not finished; `melstack oof --run" in output
    assert "broken: REFUSED\n  damaged: " in output
    assert "older: REFUSED\n  stale: settings: 1 -> 2; `melstack oof --run" in output
    assert "oof.csv: changed since it was imported; `melstack stack --run" in output
    assert run.networks() == ["imported", "trained"]


def test_networks_with_the_name_of_a_network_of_this_run_are_refused_with_the_remedy(
    run: Run, other: Run, tmp_path: Path
) -> None:
    before = add_network(run, "trained", shift=0.1)
    message = refusal(run, other.folder)
    assert "with the name of a network of this run: 1 (trained)" in message
    assert f"copy their folders from {other.level1} to a new folder, under other names" in message
    pd.testing.assert_frame_equal(read_table(run.level1 / "trained" / "predictions.parquet"), before)
    shutil.rmtree(run.level1)
    import_into_run(run, other.folder, [])
    third = make_run(tmp_path / "third")
    add_network(third, "imported", own=False, shift=0.1)
    assert "1 (imported)" in refusal(run, third.folder)


def test_a_network_that_the_other_run_has_from_this_one_is_left_as_it_is(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_network(run, "ours")
    other = make_run(tmp_path / "other")
    add_network(other, "theirs")
    import_into_run(other, run.folder, [])
    import_into_run(run, other.folder, [])
    output = capsys.readouterr().out
    assert "ours: left out, this run has a network of that name" in output
    assert run.networks() == other.networks() == ["ours", "theirs"]
    assert (run.level1 / "ours" / "begun.json").is_file()
    import_into_run(run, other.folder, [])
    assert "theirs: fresh" in capsys.readouterr().out


def test_folds_that_differ_are_noted_and_a_split_patient_refuses_the_network(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    table = read_table(other.level1 / "trained" / "predictions.parquet")
    for name, folds in (("trained", [1, 0, -1, 1, 1, -1]), ("split", [0, 0, -1, 1, 0, -1])):
        add_network(other, name)
        path = other.level1 / name / "predictions.parquet"
        write_table(path, table.loc[["d", "c", "y", "b", "a", "x"]].assign(fold=np.array(folds, np.int8)))
        write_mark(other.level1 / name / "run.json", {"cases": other.cases_digest(), "settings": 1}, [path])
    import_into_run(run, other.folder, [])
    output = capsys.readouterr().out
    assert "they differ from this run's folds" in output
    assert "split: REFUSED" in output
    assert "patients with pictures in several folds (a leak): 1 (p)" in output


def test_a_warning_of_the_first_import_stays_with_the_network(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = {"imported": {"notes": ["WARNING: rows doubtful", "checked"], "refusal": []}}
    write_mark(other.folder / "foreign.json", {}, networks=notes)
    import_into_run(run, other.folder, [])
    output = capsys.readouterr().out
    assert "WARNING: rows doubtful" in output
    assert "checked" not in output.replace("be checked", "")


def test_the_run_itself_and_a_run_without_networks_are_refused(run: Run, other: Run, tmp_path: Path) -> None:
    for folder in (other.folder, other.level1):
        assert "the predictions of this run itself" in refusal(other, folder)
    assert "a run without networks" in refusal(run, make_run(tmp_path / "empty").folder)
    with pytest.raises(InputFault, match="whose rows need no confirmation; --trust trained has no effect"):
        import_into_run(run, other.folder, ["trained"])
