"""Search a learner's parameters on inner folds: Optuna, resumable from a text file, never worse there than defaults."""

import hashlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack import learners
from level2_stack.learner_contract import HasStages, Tunable
from level2_stack.recipe import Budget
from runtime.errors import InputFault, list_names
from runtime.provenance import digest, digest_of_code
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.trials import TrialResult, Value

Floats = NDArray[np.float64]
Objective = Literal["log_loss", "auc"]
CLIP = 1e-9  # a learner's probability of 0 for a malignant case must not make every other case meaningless


@dataclass(frozen=True)
class TuningResult:
    """The parameters that won, of how many trials, and the objective of the winner and of the defaults.

    Without a search ``trials`` is 0 and both figures are NaN.
    """

    params: Settings
    trials: int
    best: float
    default: float


class Rows(NamedTuple):
    """What is tuned on: the training rows of one outer fold, with their inner folds and patients."""

    X: pd.DataFrame
    y: Floats
    groups: NDArray[np.object_]
    folds: NDArray[np.integer]


def tune(
    learner: str,
    params: Settings,
    X: pd.DataFrame,
    y: Floats,
    *,
    groups: NDArray[np.object_],
    folds: NDArray[np.integer],
    budget: Budget,
    storage: Path,
    seed: int,
    objective: Objective = "log_loss",
) -> TuningResult:
    """Return the parameters of ``learner`` that are best on the inner ``folds`` of the rows of ``X`` (n x features).

    The objective is the mean over inner folds of the log loss (lower is better) or AUC (higher) of one fit without that
    fold; of a staged learner that of its best stage, because the caller chooses the number of rounds in the same way.
    ``params`` are trial 0, so that nothing worse than they can win. Further trials come from Optuna's tree-structured
    Parzen estimator (Bergstra et al. 2011), seeded by ``seed`` and the number of trials finished before: a search that
    was killed and resumed proposes what an undisturbed one proposes.

    ``storage`` is a journal of trials, one file per outer fold. It is continued up to the budget. A trial that was
    running when the process died is made again. A journal of other rows, folds, defaults, objective, seed or code is
    thrown away and begun anew, and the user is told: its trials cannot be compared. Raises InputFault for a learner
    that has nothing to tune, or an inner fold in which a class is missing.
    """
    if not budget.trials:
        return TuningResult(params, 0, math.nan, math.nan)
    # Optuna takes most of a second to import, and a recipe without tuning does not need it.
    from runtime.trials import Trials, quiet

    rows = Rows(X, y, groups, folds)
    suggest = _tunable(learner, rows).suggest

    def score(overrides: "Mapping[str, Value]") -> list[float]:
        return [mean_score(learner, _changed(params, overrides), rows, seed, objective)]

    with quiet():
        made_from = _made_from(learner, params, rows, seed, objective)
        trials = Trials(storage, made_from, suggest, maximize=objective == "auc", seed=seed)
        if not trials.results():
            trials.add(params.model_dump(), lambda: score({}))
        while _goes_on(trials.results(), budget):
            trials.propose(score)
        return _tuned(trials.results()[: budget.trials], params, objective)


def mean_score(learner: str, params: Settings, rows: Rows, seed: int, objective: Objective) -> float:
    """Return the mean objective over inner folds of fits that did not see them; of a staged learner the best stage's.

    The stage is the same for all folds. A learner without stages has one.
    """
    curves = [_curve(learner, params, rows, int(fold), seed, objective) for fold in np.unique(rows.folds)]
    means = np.mean(curves, axis=0)
    return float(means.max() if objective == "auc" else means.min())


def log_loss(y: Floats, probability: Floats) -> float:
    """Return the mean of -log of the probability of what happened, in nats; limits are 1e-9 and 1 - 1e-9."""
    certain = np.clip(probability, CLIP, 1 - CLIP)
    return float(-np.mean(np.where(y == 1, np.log(certain), np.log1p(-certain))))


def _curve(learner: str, params: Settings, rows: Rows, fold: int, seed: int, objective: Objective) -> list[float]:
    seen = np.flatnonzero(rows.folds != fold)
    held_out = np.flatnonzero(rows.folds == fold)
    fit = learners.find(learner).fit
    predict = fit(params, rows.X.iloc[seen], rows.y[seen], groups=rows.groups[seen], seed=seed)
    X = rows.X.iloc[held_out]
    stages = predict.stages(X) if isinstance(predict, HasStages) else predict(X)[np.newaxis]
    return [_score(rows.y[held_out], probability, objective) for probability in stages]


def _score(y: Floats, probability: Floats, objective: Objective) -> float:
    from level2_stack.evaluation.auc import auc  # scikit-learn is not needed to read a recipe

    return auc(y, probability) if objective == "auc" else log_loss(y, probability)


def _tunable(learner: str, rows: Rows) -> Tunable:
    """Return the learner if it and the inner folds can be tuned with; raise InputFault that says why not."""
    found, folds = learners.find(learner), np.unique(rows.folds)
    if not isinstance(found, Tunable):
        tunable = [name for name in learners.names() if isinstance(learners.find(name), Tunable)]
        raise InputFault(f"tuning: the learner {learner!r} has nothing to tune; {', '.join(tunable)} have")
    if len(folds) < 2:
        raise InputFault(f"tuning: {len(folds)} inner fold(s); at least 2 are needed")
    poor = [int(fold) for fold in folds if len(np.unique(rows.y[rows.folds == fold])) < 2]
    if poor:
        raise InputFault(f"tuning: inner folds with one class only: {list_names(poor)}; fewer folds may do")
    return found


def _made_from(learner: str, params: Settings, rows: Rows, seed: int, objective: Objective) -> str:
    """Return a digest of all that a trial's value depends on, beside the parameters it tried."""
    table = pd.util.hash_pandas_object(rows.X, index=False).to_numpy()
    arrays = [table, rows.y.astype(np.float64), rows.folds.astype(np.int64), pd.factorize(rows.groups)[0]]
    found = {
        "learner": [learner, digest_of_code([Path(inspect.getfile(learners.find(learner).Params))])],
        "defaults": params.model_dump(),
        "columns": [f"{name} {column.dtype.name}" for name, column in rows.X.items()],
        "rows": [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
        "judged": [objective, seed],
    }
    return digest(found)


def _goes_on(tried: "list[TrialResult]", budget: Budget) -> bool:
    spent = sum(trial.seconds for trial in tried)
    return len(tried) < budget.trials and (budget.seconds is None or spent < budget.seconds)


def _tuned(tried: "list[TrialResult]", params: Settings, objective: Objective) -> TuningResult:
    """Return the best trial, the earlier where two are equal."""
    values = np.array([trial.value for trial in tried])
    best = int(np.argmax(values) if objective == "auc" else np.argmin(values))
    # Trial 0 are the parameters themselves, which need not lie within the ranges.
    chosen = _changed(params, tried[best].params) if best else params
    return TuningResult(chosen, len(tried), float(values[best]), float(values[0]))


def _changed(params: Settings, overrides: "Mapping[str, Value]") -> Settings:
    return type(params).model_validate({**params.model_dump(), **overrides})
