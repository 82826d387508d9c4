"""What a head that learns from a mean of heads seems to reach, and what it does: a trap of out-of-fold targets."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

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
            student = fit_soft(points[0][others], expit(soft))
            scores[row, ~others] = student.decision_function(points[0][~others])
    return [float(roc_auc_score(y, score)) for score in (_out_of_fold(points[0], y, folds), teacher, *scores)]


def _out_of_fold(points: Floats, y: Floats, folds: NDArray[np.int_]) -> Floats:
    logits = np.zeros(len(y))
    for fold in np.unique(folds):
        own = folds == fold
        logits[own] = fit_soft(points[~own], y[~own]).decision_function(points[own])
    return logits


def fit_soft(points: Floats, target: Floats) -> Pipeline:
    """Return the logistic regression on standardised ``points`` (n, d) of probabilities ``target`` (n,)."""
    head = make_pipeline(StandardScaler(), LogisticRegression(C=C, max_iter=1000))
    # A row with the target p is a malignant row of weight p and a benign one of weight 1 - p.
    classes, weights = np.repeat([1, 0], len(target)), np.concatenate([target, 1 - target])
    return head.fit(np.concatenate([points, points]), classes, logisticregression__sample_weight=weights)
