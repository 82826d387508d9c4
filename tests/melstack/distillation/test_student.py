"""Tests of `melstack distil`: its file says what it measured, and no label of a fold reaches the fold's student."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from level1_cnn.data.feed import picture_batches
from level1_cnn.data.run_pictures import shard_files
from melstack.distillation.student import fit_student
from melstack.distillation.teacher import Teacher, open_head
from melstack.report.run_page.inputs import StackResults, read_stack
from runtime.files import read_json
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.tiny_project import PREVALENCE, FinishedRun

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def run_of_frozen(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a copy of the tiny project's run whose stack has only the frozen network."""
    run = finished_run.copy_to(tmp_path_factory.mktemp("student"))
    words = ("--run", run.folder, "--recipe", finished_run.project.recipe)
    refused = run_melstack("distil", *words)
    assert refused.code == 2
    assert "the stack learns from tuned, whose weights were trained on the labels" in refused.err
    assert "--models frozen" in refused.err
    result = run_melstack("stack", *words, "--models", "frozen", "--prevalence", str(PREVALENCE))
    assert result.code == 0, result.err
    return run


@pytest.fixture(scope="module")
def output(run_of_frozen: Run, finished_run: FinishedRun) -> str:
    """Return what `melstack distil` printed for that run."""
    result = run_melstack("distil", "--run", run_of_frozen.folder, "--recipe", finished_run.project.recipe)
    assert result.code == 0, result.err
    return result.out


def test_it_prints_the_auc_of_the_table_that_it_writes(run_of_frozen, output):
    table = pd.read_csv(run_of_frozen.folder / "student" / "oof.csv")
    assert len(table) == (run_of_frozen.read_cases()["role"] == "train").sum()
    for name, words in (("student", "the student, one view"), ("stack", "the stack, out of fold")):
        (line,) = (line for line in output.splitlines() if line.endswith(f": {words}") or f": {words};" in line)
        assert f"AUC {roc_auc_score(table['target'], table[name]):.4f} [" in line
    facts = read_json(run_of_frozen.folder / "student" / "student.json")
    assert facts["use"]["prevalence"] == PREVALENCE
    assert facts["use"]["input"] == "pixels 0 to 255, RGB, float32 (n, 32, 32, 3)"


def test_a_second_call_finds_it_fresh(run_of_frozen, output, finished_run):
    assert "fresh" not in output
    again = run_melstack("distil", "--run", run_of_frozen.folder, "--recipe", finished_run.project.recipe)
    assert "student: fresh" in again.out


def test_the_file_is_the_network_with_a_head_that_learned_from_all_cases(run_of_frozen, output):
    assert output
    stack, trainer = read_stack(run_of_frozen, "quick"), open_head(run_of_frozen, "frozen", run_of_frozen.read_cases())
    probabilities = Teacher.of(stack).probabilities(lambda _: None)
    head = fit_student(stack, trainer, probabilities, trainer.cases_without())
    names = list(stack.cases.index[stack.cases["role"] == "test"])
    ((batch, pictures),) = picture_batches(shard_files(run_of_frozen, 32), len(names), names)
    session = onnxruntime.InferenceSession(run_of_frozen.folder / "student" / "student.onnx")
    (probability,) = session.run(None, {"pixels": pictures.astype(np.float32)})
    expected = trainer.predict(head, batch).logits[:, 0]
    odds = np.log(probability[:, 0] / (1 - probability[:, 0]))
    np.testing.assert_allclose(odds, expected, atol=0.01)  # the run keeps features in 16 bits


def test_students_are_probabilities_at_the_prevalence_of_the_stack(run_of_frozen, output):
    assert output
    table = pd.read_csv(run_of_frozen.folder / "student" / "oof.csv")
    log_odds = {name: np.log(table[name] / (1 - table[name])) for name in ("student", "student_all_views")}
    training = table["target"].mean()
    shift = np.log(PREVALENCE / (1 - PREVALENCE)) - np.log(training / (1 - training))
    for odds in log_odds.values():  # back at the prevalence of training, the means are near it
        assert (1 / (1 + np.exp(shift - odds))).mean() == pytest.approx(training, abs=0.03)


def test_verify_knows_the_student(run_of_frozen, output):
    assert output
    lines = run_melstack("verify", "--run", run_of_frozen.folder).out.splitlines()
    assert [line for line in lines if line.startswith("intact") and "student/student.json" in line]


def test_a_name_that_the_run_does_not_have_is_refused_at_once(run_of_frozen, finished_run):
    words = ("--run", run_of_frozen.folder, "--recipe", finished_run.project.recipe)
    result = run_melstack("distil", *words, "--model", "frozn")
    assert result.code == 2
    assert "it has no network 'frozn'; did you mean 'frozen'?" in result.err


def with_other_labels(stack: StackResults, fold: int) -> StackResults:
    cases = stack.cases.copy()
    own = (cases["fold"] == fold) & (cases["role"] == "train")
    cases.loc[own, "target"] = 1 - cases.loc[own, "target"]
    return replace(stack, cases=cases)


def student_of(stack: StackResults, fold: int) -> np.ndarray:
    trainer = open_head(stack.run, "frozen", stack.cases)
    probabilities = Teacher.of(stack).probabilities(lambda _: None, fold)
    return np.asarray(fit_student(stack, trainer, probabilities, trainer.cases_without(fold)).weights)


def test_no_label_of_a_fold_reaches_the_student_that_is_tested_on_it(run_of_frozen):
    stack = read_stack(run_of_frozen, "quick")
    first = student_of(stack, 0)
    np.testing.assert_array_equal(student_of(with_other_labels(stack, 0), 0), first)
    assert not np.allclose(student_of(with_other_labels(stack, 1), 0), first)


def test_with_the_labels_alone_a_student_is_the_network_with_its_own_head(run_of_frozen):
    stack, trainer = read_stack(run_of_frozen, "quick"), open_head(run_of_frozen, "frozen", run_of_frozen.read_cases())
    names = trainer.cases_without(0)
    head = fit_student(stack, trainer, pd.Series(0.5, index=names), names, labels=1.0)
    with np.load(run_of_frozen.level1 / "frozen" / "fold_0" / "head.npz") as own:
        np.testing.assert_array_equal(head.weights, own["weights"])


def test_a_network_whose_weights_were_trained_cannot_be_a_student(run_of_frozen, finished_run):
    words = ("--run", run_of_frozen.folder, "--recipe", finished_run.project.recipe, "--model", "tuned")
    result = run_melstack("distil", *words)
    assert result.code == 2
    assert "tuned: a student is a frozen network of the run" in result.err
