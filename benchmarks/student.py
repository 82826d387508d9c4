"""What a head that learns from a mean of heads seems to reach, and what it does: a trap of out-of-fold targets."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from level1_cnn.training.linear_head import fit_head
from runtime.errors import InputFault
from runtime.progress import say, track
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]
C = 1e-3  # of every head
COLUMNS = ["labels", "teacher", "student", "student_of_others"]


def run_students(run: Run, names: Sequence[str], draws: int) -> pd.DataFrame:
    """Print and return out-of-fold AUCs: on the labels of ``run``, and on ``draws`` permutations of them.

    ``labels`` is a head on the embeddings of the first network of ``names``, ``teacher`` the mean logit of such heads
    on all of them. ``student`` is a head on the first network that is fitted to the teacher's out-of-fold
    probabilities of the other folds, ``student_of_others`` one whose teacher left out the fold as well. Raises
    InputFault for a network without embeddings.
    """
    cases = run.read_cases().query("role == 'train'")
    points = [_embeddings(run, name, cases.index) for name in names]
    target, folds = cases["target"].to_numpy(np.float64), cases["fold"].to_numpy(int)
    labels = {"labels of the run": target}
    labels |= {f"permutation {draw}": np.random.default_rng(draw).permutation(target) for draw in range(draws)}
    rows = {name: _aucs(points, y, folds) for name, y in track(labels.items(), "fitting", len(labels))}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    say(table.round(4).to_string())
    return table


def _embeddings(run: Run, name: str, index: pd.Index) -> Floats:
    path = run.level1 / name / "embeddings.parquet"
    if not path.is_file():
        raise InputFault(f"{path}: no such file; name a frozen network of the run")
    return read_table(path).loc[index].to_numpy(np.float64)


def _aucs(points: Sequence[Floats], y: Floats, folds: NDArray[np.int_]) -> list[float]:
    teacher = np.mean([_out_of_fold(each, y, folds) for each in points], axis=0)
    scores = np.zeros((2, len(y)))
    for fold in np.unique(folds):
        others = folds != fold
        without = np.mean([_out_of_fold(each[others], y[others], folds[others]) for each in points], axis=0)
        for row, soft in enumerate((teacher[others], without)):
            scores[row, ~others] = _logits(points[0], others, expit(soft), folds)
    return [float(roc_auc_score(y, score)) for score in (_out_of_fold(points[0], y, folds), teacher, *scores)]


def _out_of_fold(points: Floats, y: Floats, folds: NDArray[np.int_]) -> Floats:
    logits = np.zeros(len(y))
    for fold in np.unique(folds):
        own = folds == fold
        logits[own] = _logits(points, ~own, y[~own], folds)
    return logits


def _logits(points: Floats, rows: NDArray[np.bool_], target: Floats, folds: NDArray[np.int_]) -> Floats:
    """Return the logits of the other rows by a head that is fitted to ``target`` (n,), 0 to 1, of ``rows``."""
    head = fit_head(points[rows], target, C, folds[rows])
    return np.asarray(points[~rows] @ head.weights + head.intercept)
