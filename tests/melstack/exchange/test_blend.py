"""Tests of `melstack blend`: the stacks of several runs over the same cases are stacked."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from level2_stack.submission import read_sample
from melstack.exchange.blend import find_stacks, make_blend_run
from melstack.verify import INTACT, STALE, verify_run
from runtime.errors import InputFault
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.command_line import run_melstack
from tests.level2_stack.foreign_run import make_run
from tests.melstack.exchange.stacks_of_runs import add_run, add_stack


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a data folder of 600 cases without pictures."""
    make_run(tmp_path / "data")
    return tmp_path / "data"


def read_exact(path: Path) -> pd.DataFrame:
    """Return a CSV file with the index image_name and numbers to the last digit."""
    return pd.read_csv(path, index_col="image_name", float_precision="round_trip")


def refusal(*paths: Path) -> str:
    """Return the message with which stacks in ``paths`` are refused."""
    with pytest.raises(InputFault) as error:
        find_stacks(paths, Path("blend"))
    return str(error.value)


def test_two_stacks_are_blended_and_each_one_adds(data: Path) -> None:
    runs = [add_run(data, name, seed) for seed, name in enumerate(("one", "two"))]
    words = ("blend", *(run.folder for run in runs), "--run", data / "both")
    output = run_melstack(*words)
    assert output.code == 0, output.err
    assert "all 480 train cases match, with their targets, and all 120 test cases" in output.out
    blend, gains = Run(data / "both"), pd.read_csv(data / "both" / "level2" / "blend" / "inputs.csv", index_col="stack")
    assert (gains["adds_low"] > 0.01).all()
    assert (gains["gain"] > 0.01).all()
    assert gains["weight_caruana"].sum() == pytest.approx(1)
    assert gains.loc["one", "auc_without"] == pytest.approx(gains.loc["two", "auc"], abs=0.01)
    assert len(read_sample(blend.submission)) == 120
    assert "blend: gain over the best stack (" in output.out
    again = run_melstack(*words)
    assert "level two: blend: fresh" in again.out
    assert "fitting" not in again.out
    assert run_melstack("report", "--run", blend.folder).code == 0
    assert "blend: fresh" in run_melstack("stack", "--run", blend.folder).out
    assert {verdict.state for verdict in verify_run(blend)} == {INTACT}
    add_stack(runs[0], "default", 7)
    states = {verdict.mark.name: verdict.state for verdict in verify_run(blend)}
    assert states["blend.json"] == STALE
    assert "level two: blend: fresh" not in run_melstack(*words).out
    assert {verdict.state for verdict in verify_run(blend)} == {INTACT}


def test_runs_may_be_named_by_an_option_and_need_not_have_test_cases(tmp_path: Path) -> None:
    make_run(tmp_path / "data")
    (tmp_path / "data" / "cases.toml").write_text('test = ""\n')
    runs = [add_run(tmp_path / "data", name, seed) for seed, name in enumerate(("one", "two"))]
    names = " ".join(str(run.folder) for run in runs)
    output = run_melstack("blend", "--runs", names, "--run", tmp_path / "both", "--prevalence", 0.05)
    assert output.code == 0, output.err
    assert not Run(tmp_path / "both").submission.exists()
    assert "prevalence = 0.05" in (tmp_path / "both" / "run.toml").read_text()


def test_stacks_for_another_prevalence_are_brought_to_that_of_the_training_cases(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = add_run(data, "one", 0), add_run(data, "two", 1)
    shift = float(logit(0.05) - logit(1 / 3))
    before = add_stack(two, "default", 1)
    add_stack(two, "default", 1, prevalence=0.05, shift=shift)
    blend = Run(data / "both")
    make_blend_run(blend, find_stacks([one.folder, two.folder], blend.folder))
    assert "log odds shifted from a prevalence of 0.05 to that in training, 0.3333" in capsys.readouterr().out
    oof, test = (read_exact(blend.folder / "stacks" / "two" / f"{name}.csv") for name in ("oof", "test"))
    np.testing.assert_allclose(oof["pred"], before.loc[oof.index, "choice"], rtol=1e-9)
    np.testing.assert_allclose(test["target"], before.loc[test.index, "lgbm"], rtol=1e-9)
    first = read_exact(blend.folder / "stacks" / "one" / "oof.csv")
    assert first["pred"].to_dict() == add_stack(one, "default", 0).loc[first.index, "choice"].to_dict()


def test_folds_that_differ_between_runs_are_told(data: Path) -> None:
    runs = [add_run(data, "one", 0), add_run(data, "two", 1, folds=5)]
    output = run_melstack("blend", *(run.folder for run in runs), "--run", data / "both")
    assert output.code == 0, output.err
    log = (data / "both" / "log.txt").read_text()
    assert "4 folds, no patient in two of them; they are this run's folds" in log
    assert "5 folds, no patient in two of them; they differ from this run's folds" in log


def test_runs_over_other_cases_are_refused(data: Path, tmp_path: Path) -> None:
    one, blend = add_run(data, "one", 0), tmp_path / "both"
    make_run(tmp_path / "other")
    for file, old, new in (("train.csv", ",torso,1", ",torso,0"), ("test.csv", "c480,", "d480,")):
        text = (tmp_path / "other" / file).read_text()
        (tmp_path / "other" / file).write_text(text.replace(old, new, 1))
    two = add_run(tmp_path / "other", "two", 1)
    output = run_melstack("blend", one.folder, two.folder, "--run", blend)
    assert output.code == 2
    assert "train cases with another target: 1 (c000)" in output.err
    assert "test cases that it lacks, of 120: 1 (c480)" in output.err
    assert not (blend / "cases.parquet").exists()
    (tmp_path / "other" / "test.csv").write_text((data / "test.csv").read_text() + "d480,p120,male,50,torso\n")
    (tmp_path / "other" / "train.csv").write_text((data / "train.csv").read_text())
    larger = add_run(tmp_path / "other", "larger", 1)
    for pair in ((one, larger), (larger, one)):
        with pytest.raises(InputFault, match=r"test cases that it lacks, of 121: 1 \(d480\)"):
            make_blend_run(Run(blend), find_stacks([run.folder for run in pair], blend))


def test_another_run_over_other_cases_is_refused_before_the_audit_and_level_one(data: Path, tmp_path: Path) -> None:
    one = add_run(data, "one", 0)
    make_run(tmp_path / "other")
    text = (tmp_path / "other" / "train.csv").read_text()
    (tmp_path / "other" / "train.csv").write_text(text.replace(",torso,1", ",torso,0", 1))
    two = add_run(tmp_path / "other", "two", 1)
    output = run_melstack("stack", "--data", data, "--run", one.folder, "--folds", 4, "--foreign", two.folder)
    assert output.code == 2
    assert "train cases with another target: 1 (c000)" in output.err
    assert "audit:" not in output.out


def test_stacks_that_cannot_be_blended_are_refused_together(data: Path) -> None:
    one, two, three = (add_run(data, name, 0) for name in ("one", "two", "three"))
    assert "1 stack; name at least two: `melstack blend --runs 'runs/a runs/b'`" in refusal(one.folder)
    assert "named 2 times" in refusal(one.folder, one.level2 / "default")
    add_stack(two, "rare", 1)
    (three.level2 / "default" / "learners.parquet").write_bytes(b"")
    message = refusal(one.folder, two.folder, three.folder, data / "nowhere")
    assert "stacks to blend: 3 faults" in message
    assert f"{two.folder}: several stacks, none of them submitted; name one: 2 (" in message
    assert "learners.parquet: damaged, 0 bytes" in message
    assert "nowhere: no finished stack" in message
    write_mark(one.level2 / "default" / "run.json", {"cases": "another"})
    assert "stale: made from another case table" in refusal(one.folder, two.level2 / "rare")


def test_of_several_stacks_the_submitted_one_is_blended_under_a_name_of_its_own(data: Path) -> None:
    one, mean = add_run(data, "my run-1", 0), add_run(data, "mean", 1)
    add_stack(one, "rare", 2)
    write_mark(one.submission.with_suffix(".json"), {"recipe": "rare"})
    sources = find_stacks([one.folder, mean.folder], data / "both")
    assert [(source.name, source.folder.name) for source in sources] == [("my_run_1", "rare"), ("run_mean", "default")]
    stacks = find_stacks([one.level2 / "default", one.level2 / "rare"], data / "both")
    assert [source.name for source in stacks] == ["my_run_1_default", "my_run_1_rare"]


def test_a_stack_that_is_no_longer_named_leaves_the_blend(data: Path) -> None:
    folders = [add_run(data, name, seed).folder for seed, name in enumerate(("one", "two", "three"))]
    blend = Run(data / "all")
    make_blend_run(blend, find_stacks(folders, blend.folder))
    (blend.level1 / "two").mkdir(parents=True)
    make_blend_run(blend, find_stacks([folders[0], folders[2]], blend.folder))
    assert sorted(path.name for path in (blend.folder / "stacks").iterdir()) == ["one", "three"]
    assert not (blend.level1 / "two").exists()


def test_a_stack_whose_inputs_have_changed_since_is_named(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two, blend = add_run(data, "one", 0), add_run(data, "two", 1), Run(data / "both")
    write_table(two.blocks / "metadata.parquet", two.read_cases()[["sex"]])
    make_blend_run(blend, find_stacks([one.folder, two.folder], blend.folder))
    output = capsys.readouterr().out
    assert "two: used as it is, although its inputs have changed since: 1 (tables.features/metadata.parquet)" in output
    assert "one: used as it is" not in output


def test_a_blend_is_not_written_into_another_run(data: Path) -> None:
    folders = [add_run(data, name, seed).folder for seed, name in enumerate(("one", "two", "three"))]
    with pytest.raises(InputFault, match="a run of its own, not a blend"):
        make_blend_run(Run(folders[2]), find_stacks(folders[:2], folders[2]))
    with pytest.raises(InputFault, match="in the run that the blend is written to"):
        find_stacks(folders[:2], folders[0])
