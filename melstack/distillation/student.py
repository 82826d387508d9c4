"""Distil a stack into one network: fit its head to the stack's probabilities, and measure it on held-out folds."""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.metrics import log_loss
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
from runtime.invocation import option
from runtime.progress import progress_bar, say
from runtime.provenance import is_fresh, read_mark, write_mark
from runtime.run_folder import Run
from runtime.tables import read_table

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
    teacher = Teacher.of(stack)
    is_chosen, network = network is None, network or stack.best_network
    trainer = teacher.heads.get(network) or open_head(run, network, stack.cases)
    mark, made_from = run.folder / STUDENT_MARK, student_ingredients(run, recipe, network)
    file, table = mark.parent / FILE, mark.parent / TABLE
    if is_fresh(mark, made_from, [file, table]):
        say(f"student: fresh, {file}")
        return file
    with (
        threadpool_limits(1, user_api="blas"),
        progress_bar("student: fitting", (stack.train["fold"].nunique() + 1) * teacher.fits, "fit") as advance,
    ):
        scores = held_out_scores(stack, teacher, trainer, advance)
        head = fit_student(stack, trainer, teacher.probabilities(advance), trainer.cases_without())
    facts = _facts(stack, scores, network, trainer)
    _announce_replacement(mark, made_from)
    mark.unlink(missing_ok=True)
    write_student(run.level1 / network / ONNX_FILE, head, file)
    write_text(table, scores.drop(columns=ON_LABELS).to_csv())
    write_mark(mark, made_from, [file, table], **facts)
    if is_chosen:
        say(f"student: on {network}, the best network of the stack out of fold; {option('model')} names another")
    for line in facts["summary"]:
        say(line)
    return file


def held_out_scores(
    stack: StackResults, teacher: Teacher, trainer: FrozenTrainer, on_fit: Callable[[int], None]
) -> pd.DataFrame:
    """Return per training case its target, fold, and the probabilities of the stack, student and the own head.

    The student of a fold learns from a teacher that has not seen the labels of the fold at any level. All except
    those of the own head are for the stack's prevalence.
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
    own = read_table(stack.run.level1 / trainer.name / "predictions.parquet", ["probability"])["probability"]
    return stack.train[["target", "fold"]].join(table.assign(**{ON_LABELS: own}))


def fit_student(
    stack: StackResults, trainer: FrozenTrainer, probabilities: pd.Series, may_train: list[str], labels: float = LABELS
) -> LinearHead:
    """Return the head of the student on the cases ``may_train``, for the prevalence of the stack's probabilities.

    External cases, which have no teacher, have their label.
    """
    target = stack.cases.loc[may_train, "target"].astype(np.float64)
    target = labels * target + (1 - labels) * probabilities.reindex(may_train).fillna(target)
    head = trainer.fit_targets(target)
    # A logistic regression has, over the rows that it is fitted to, the mean of their targets.
    change = logit(stack.prevalence) - logit(target.mean())
    return head._replace(intercept=np.float32(head.intercept + change))


def _facts(stack: StackResults, scores: pd.DataFrame, network: str, trainer: FrozenTrainer) -> dict[str, Any]:
    """Return what the mark says: how to use the file, the AUCs with intervals, and the sentences to print."""
    columns = scores.drop(columns=["target", "fold"])
    pairs = [(STACK, STUDENT), (STACK, ALL_VIEWS), (STACK, ON_LABELS), (STUDENT, ON_LABELS)]
    differences = compare(stack.y, columns, stack.groups, pairs=pairs)
    limits = patient_bootstrap(stack.y, columns, stack.groups).to_dict("index")
    board = stack.board.to_dict("index")[stack.headline]
    sentences = [f"student: {network}, fitted to the stack's probabilities and to the labels, half and half"]
    sentences.append(f"  AUC {_interval(board)}: the stack, out of fold")
    if stack.smaller is not None:
        sentences.append("  the stack's AUC to quote is another one: it has networks that shift (`melstack stack`)")
    for name, meaning in MEANING.items():
        loss = differences[(differences["model"] == STACK) & (differences["against"] == name)].iloc[0]
        sentences.append(f"  AUC {_interval(limits[name])}: {meaning}; the stack has {_change(loss)} more")
    sentences.append(f"  the student, one view, against that head: {_change(differences.iloc[-1])}")
    losses = {name: float(log_loss(stack.y, columns[name], sample_weight=stack.weights)) for name in (STACK, STUDENT)}
    sentences.append(
        f"  log loss at a prevalence of {stack.prevalence:.4g}: the student {losses[STUDENT]:.4f}, "
        f"the stack {losses[STACK]:.4f}"
    )
    experiment = trainer.experiment
    side = experiment.image_size
    use = {
        "input": f"pixels 0 to 255, RGB, float32 (n, {side}, {side}, 3)",
        "resize": f"the whole picture to {side} x {side} px, Lanczos; its proportions are not kept",
        "output": "probability of melanoma, float32 (n, 1)",
        "prevalence": stack.prevalence,
        "licence": "" if experiment.onnx is None else experiment.onnx.licence,
    }
    tables = {"auc": limits, "differences": differences.to_dict("records"), "log_loss": losses}
    return {"network": network, "use": use, **tables, "summary": sentences}


def _announce_replacement(mark: Path, made_from: Mapping[str, Any]) -> None:
    """Say that the student of another network or recipe is replaced."""
    earlier = (read_mark(mark) or {}).get("made_from", {})
    whose = [(*inputs.get("network", {}), inputs.get("recipe")) for inputs in (earlier, made_from)]
    if earlier and whose[0] != whose[1]:
        say(f"student: replaces that of {whose[0][0]} and the recipe {whose[0][1]}")


def _change(row: pd.Series) -> str:
    return f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _interval(row: Mapping[Hashable, Any]) -> str:
    return f"{row['auc']:.4f} [{row['low']:.4f}, {row['high']:.4f}]"
