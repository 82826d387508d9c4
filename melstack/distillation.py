"""Distil a finished stack into one ONNX file: a frozen network whose head is fitted to the stack's probabilities.

The head that predicts a fold is fitted to what the stack says of the other folds' pictures by fits that used neither
that fold nor the picture's own. So its AUC on the fold owes nothing to the fold's labels, beyond what the networks'
out-of-fold predictions, of which every stack is made, know of each other's folds.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from threadpoolctl import threadpool_limits

from level1_cnn.experiment import Experiment
from level1_cnn.finished import make_job
from level1_cnn.job import Job
from level1_cnn.portable.export import export_frozen_network
from level1_cnn.portable.single_file import write_single_file
from level1_cnn.training.frozen import read_views
from level1_cnn.training.linear_head import LinearHead, fit_head
from level2_stack.evaluation.paired import compare
from level2_stack.finished import stack_digest
from level2_stack.thresholds.freeze import INNER
from melstack.next_steps.heads import frozen_settings
from runtime.errors import InputFault, did_you_mean
from runtime.files import read_json, write_text
from runtime.invocation import command
from runtime.progress import say
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import read_table, write_table

FILE, TABLE, COMPARISON, MARK = "network.onnx", "predictions.parquet", "comparison.csv", "distilled.json"
ONE_VIEW, ALL_VIEWS, NETWORK, STACK = "one view", "all views", "network", "stack"  # columns of scores
IDENTITY = "identity"  # the view of the unchanged picture, which alone the file sees
SCORES = {
    ONE_VIEW: "the distilled network, one view (the file)",
    ALL_VIEWS: "the distilled network, mean of its views",
    NETWORK: "the same network, its head fitted to the labels",
    STACK: "the stack",
}


class Embeddings(NamedTuple):
    """Embeddings (n, views, d) of the train cases in the order of ``cases``, and the model that made them."""

    job: Job
    cases: pd.DataFrame
    views: NDArray[np.float32]


def distil_stack(run: Run, recipe: str, network: str, out: Path) -> None:
    """Fit ``network``'s head to the stack ``recipe``; write network.onnx and its tables to ``out``; print the AUCs.

    An empty ``network`` stands for the frozen network with the highest AUC. predictions.parquet has, for every train
    case, the out-of-fold probability by one view and by all views; comparison.csv has the AUCs and their differences.
    Raises InputFault for a network without embeddings, and for a stack that an earlier version made.
    """
    embeddings, stack = _embeddings(run, network or _best_network(run)), run.level2 / recipe
    if not (stack / INNER).is_file():
        raise InputFault(f"{stack}: no {INNER}, it was made by an earlier version; {command('stack')} makes it again")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).unlink(missing_ok=True)
    with threadpool_limits(1, user_api="blas"):
        scores = _out_of_fold(embeddings, read_table(stack / INNER))
        submitted = read_table(stack / "predictions.parquet")["probability"].loc[embeddings.cases.index]
        head = _fit(embeddings, submitted.to_numpy(np.float64))
    write_table(out / TABLE, scores)
    _write_file(embeddings.job, head, out / FILE)
    table = _compare(run, stack, embeddings, scores)
    write_text(out / COMPARISON, table.to_csv(index=False))
    made_from = {"stack": stack_digest(stack), "network": embeddings.job.name, "model": embeddings.job.made_from}
    write_mark(out / MARK, made_from, [out / name for name in (FILE, TABLE, COMPARISON)])
    for line in _lines(table, out / FILE):
        say(line)


def frozen_networks(run: Run) -> list[str]:
    """Return the networks of the run whose head can be fitted again, the one with the highest AUC first."""
    names = [name for name in run.networks() if frozen_settings(run, name) is not None]
    auc = {name: read_json(run.level1 / name / "run.json")["auc"]["overall"] for name in names}
    return sorted(names, key=lambda name: -auc[name])


def _best_network(run: Run) -> str:
    names = frozen_networks(run)
    if not names:
        raise InputFault(
            f"{run.folder}: no finished network with method = 'frozen', whose head could learn from the stack; "
            f"{command('oof')} trains some"
        )
    return names[0]


def _embeddings(run: Run, network: str) -> Embeddings:
    settings = frozen_settings(run, network)
    if settings is None:
        raise InputFault(
            f"{run.folder}: {network!r} is not a finished network with method = 'frozen'; only the head of such a "
            f"network is fitted again; {did_you_mean(network, frozen_networks(run))}"
        )
    job = make_job(run, network, Experiment.model_validate(settings), "auto", False)
    content = read_views(job)
    if content is None:
        raise InputFault(f"{job.folder}: its embeddings are missing or out of date; {command('oof')} makes them again")
    names, views = content
    cases = run.read_cases().query("role == 'train'")
    return Embeddings(job, cases, np.asarray(views[pd.Index(names).get_indexer(cases.index)], np.float32))


def _fit(embeddings: Embeddings, target: NDArray[np.float64]) -> LinearHead:
    """Fit a head to the mean over the views of the cases whose ``target`` (n,) is not NaN."""
    rows = ~np.isnan(target)
    points = embeddings.views[rows].mean(axis=1)
    return fit_head(points, target[rows], "auto", embeddings.cases["fold"].to_numpy(int)[rows])


def _out_of_fold(embeddings: Embeddings, inner: pd.DataFrame) -> pd.DataFrame:
    """Return the out-of-fold probabilities by one view and by all views; ``inner`` are the stack's, per outer fold."""
    folds, identity = embeddings.cases["fold"].to_numpy(int), embeddings.job.experiment.views.index(IDENTITY)
    logits = np.zeros(embeddings.views.shape[:2])
    for fold in np.unique(folds):
        own = folds == fold
        head = _fit(embeddings, inner.loc[embeddings.cases.index, f"fold_{fold}"].to_numpy(np.float64))
        logits[own] = embeddings.views[own] @ head.weights + head.intercept
    columns = {ONE_VIEW: expit(logits[:, identity]), ALL_VIEWS: expit(logits).mean(axis=1)}
    return pd.DataFrame(columns, index=embeddings.cases.index)


def _write_file(job: Job, head: LinearHead, path: Path) -> None:
    export_frozen_network(job, path)
    experiment = job.experiment
    facts: dict[str, Any] = {
        "input": f"pixels 0 to 255, float32 (n, {experiment.image_size}, {experiment.image_size}, 3), RGB",
        "output": "probability of melanoma (n, 1)",
        "network": job.name,
        "weights_licence": experiment.onnx.licence if experiment.onnx else "",
    }
    write_single_file(path, head.weights, head.intercept, facts, path)


def _compare(run: Run, stack: Path, embeddings: Embeddings, scores: pd.DataFrame) -> pd.DataFrame:
    """Return a row per pair of SCORES, the distilled network first: AUCs and gain with limits by patients."""
    cases = embeddings.cases
    headline = read_json(stack / "decisions.json")["headline"]
    others = {
        NETWORK: read_table(run.level1 / embeddings.job.name / "predictions.parquet")["probability"].loc[cases.index],
        STACK: read_table(stack / "learners.parquet")[headline].loc[cases.index],
    }
    table = scores.assign(**others)
    pairs = [(ONE_VIEW, STACK), (ALL_VIEWS, STACK), (ONE_VIEW, NETWORK), (ALL_VIEWS, NETWORK)]
    y, groups = cases["target"].to_numpy(np.float64), cases["patient_id"].to_numpy(object)
    return compare(y, table, groups, pairs=pairs)


def _lines(table: pd.DataFrame, file: Path) -> list[str]:
    auc = dict(zip(table["model"], table["auc"], strict=True)) | dict(
        zip(table["against"], table["auc_against"], strict=True)
    )
    first = table.iloc[0]
    width = max(map(len, SCORES.values()))
    return [
        "distil: out-of-fold AUC",
        *(f"  {text:<{width}}  {auc[name]:.4f}" for name, text in SCORES.items()),
        f"distil: {file}, {file.stat().st_size / 1e6:.1f} MB: a picture to a probability; against the stack "
        f"{first['gain']:+.4f} [{first['low']:.4f}, {first['high']:.4f}]",
    ]
