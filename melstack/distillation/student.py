"""Distil a stack into one network: fit its head to the stack's probabilities, and measure it on held-out folds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from threadpoolctl import threadpool_limits

from level1_cnn.inference.forward import ONNX_FILE
from level1_cnn.training.frozen import FrozenTrainer
from level1_cnn.training.linear_head import LinearHead
from level1_cnn.views import IDENTITY
from level2_stack.evaluation.auc import patient_bootstrap
from level2_stack.evaluation.paired import compare
from melstack.distillation.onnx_file import write_student
from melstack.distillation.teacher import Teacher, open_head
from melstack.report.run_page.inputs import StackResults, read_stack
from melstack.report.stack_parts import STUDENT_MARK, student_ingredients
from runtime.files import write_text
from runtime.progress import progress_bar, say
from runtime.provenance import is_fresh, write_mark
from runtime.run_folder import Run

LABELS = 0.5  # share of the label in what the student learns; the rest is the teacher's probability
STACK, STUDENT, ALL_VIEWS, ON_LABELS = "stack", "student", "student_all_views", "head_on_labels"
MEANING = {
    STUDENT: "the student, one view",
    ALL_VIEWS: "the student, the mean of all views",
    ON_LABELS: "the same network's own head, fitted to the labels, all views",
}
FILE, TABLE = "student.onnx", "oof.csv"


def distil_stack(run: Run, recipe: str, network: str | None = None) -> Path:
    """Write the student of the stack ``recipe`` on the frozen ``network`` of ``run``; return the path of its file.

    Without a ``network`` it is the stack's best one. Raises InputFault for a network that is not frozen, and for a
    stack of networks that cannot be fitted again.
    """
    stack = read_stack(run, recipe)
    network = network or stack.best_network
    mark, made_from = run.folder / STUDENT_MARK, student_ingredients(run, recipe, network)
    file, table = mark.parent / FILE, mark.parent / TABLE
    if is_fresh(mark, made_from, [file, table]):
        say(f"student: fresh, {file}")
        return file
    teacher, trainer = Teacher.of(stack), open_head(run, network)
    folds = stack.train["fold"].nunique()
    with (
        threadpool_limits(1, user_api="blas"),
        progress_bar("student: fitting", (folds + 1) * teacher.fits, "fit") as advance,
    ):
        scores = held_out_scores(stack, teacher, trainer, advance)
        head = fit_student(stack, trainer, teacher.probabilities(advance), trainer.cases_without())
    write_student(run.level1 / network / ONNX_FILE, _at_prevalence(head, stack), file)
    write_text(table, scores.to_csv())
    facts = _facts(stack, scores, network, trainer)
    write_mark(mark, made_from, [file, table], **facts)
    for line in facts["summary"]:
        say(line)
    return file


def held_out_scores(
    stack: StackResults, teacher: Teacher, trainer: FrozenTrainer, on_fit: Callable[[int], None]
) -> pd.DataFrame:
    """Return per training case its target, fold, and the probabilities of the stack, students and own head.

    The student of a fold learns from a teacher that has not seen the labels of the fold at any level.
    """
    parts, fold_of_case = [], stack.train["fold"].astype(int)
    for fold in sorted(fold_of_case.unique()):
        probabilities = teacher.probabilities(on_fit, fold)
        head = fit_student(stack, trainer, probabilities, trainer.cases_without(fold))
        cases = fold_of_case.index[fold_of_case == fold]
        predictions = trainer.predict(head, list(cases))
        views = expit(predictions.logits.astype(np.float64))
        columns = {STUDENT: views[:, predictions.views.index(IDENTITY)], ALL_VIEWS: views.mean(axis=1)}
        parts.append(pd.DataFrame(columns, index=cases))
    table = pd.concat(parts).loc[stack.train.index]
    table.insert(0, STACK, stack.score(stack.headline))
    return stack.train[["target", "fold"]].join(table)


def fit_student(
    stack: StackResults, trainer: FrozenTrainer, probabilities: pd.Series, may_train: list[str], labels: float = LABELS
) -> LinearHead:
    """Return the head of the student on the cases ``may_train``; external ones, which have no teacher, have a label."""
    target = stack.cases.loc[may_train, "target"].astype(np.float64)
    soft = probabilities.reindex(may_train).fillna(target)
    return trainer.fit_targets(labels * target + (1 - labels) * soft)


def _at_prevalence(head: LinearHead, stack: StackResults) -> LinearHead:
    """Return ``head`` for the prevalence of the stack's probabilities; the order of the cases stays."""
    change = logit(stack.prevalence) - logit(stack.y.mean())
    return head._replace(intercept=np.float32(head.intercept + change))


def _facts(stack: StackResults, scores: pd.DataFrame, network: str, trainer: FrozenTrainer) -> dict[str, Any]:
    """Return what the mark says: how to use the file, the AUCs with intervals, and the sentences to print."""
    columns = scores.drop(columns=["target", "fold"]).assign(**{ON_LABELS: stack.score(network)})
    aucs = patient_bootstrap(stack.y, columns, stack.groups, reference=STACK).to_dict("index")
    sentences = [f"student: {network}, fitted to the stack's probabilities and to the labels, half and half"]
    sentences += [f"  AUC {_interval(aucs[STACK])}: the stack, out of fold"]
    for name, meaning in MEANING.items():
        row = aucs[name]
        loss = f"{row['gain']:+.4f} [{row['gain_low']:+.4f}, {row['gain_high']:+.4f}]"
        sentences.append(f"  AUC {_interval(row)}: {meaning}; the stack has {loss} more")
    against = compare(stack.y, columns, stack.groups, pairs=[(STUDENT, ON_LABELS)]).iloc[0]
    gain = f"{against['gain']:+.4f} [{against['low']:+.4f}, {against['high']:+.4f}]"
    sentences.append(f"  the student, one view, against that head: {gain}")
    experiment = trainer.experiment
    use: Mapping[str, Any] = {
        "input": f"pixels 0 to 255, RGB, float32 (n, {experiment.image_size}, {experiment.image_size}, 3)",
        "output": "probability of melanoma, float32 (n, 1)",
        "prevalence": stack.prevalence,
        "licence": "" if experiment.onnx is None else experiment.onnx.licence,
    }
    return {"network": network, "use": use, "auc": aucs, "summary": sentences}


def _interval(row: Mapping[Any, Any]) -> str:
    return f"{row['auc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
