"""The search for a learner's parameters on inner folds, with Optuna; it resumes from a journal, a text file."""

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
from runtime.plural import number_of
from runtime.provenance import digest, digest_of_code
from runtime.settings import Settings

if TYPE_CHECKING:
    from runtime.trials import TrialResult, Value

Floats = NDArray[np.float64]
Objective = Literal["log_loss", "auc"]
CLIP = 1e-9  # without it a probability of 0 for one malignant case would make the mean log loss infinite


@dataclass(frozen=True)
class TuningResult:
    """The best parameters, the number of trials, and the objective of the ``best`` and of the ``default`` parameters.

    Without a search ``trials`` is 0, and ``best`` and ``default`` are NaN.
    """

    params: Settings
    trials: int
    best: float
    default: float


class Rows(NamedTuple):
    """The rows to tune on: the training rows of one outer fold, with their inner folds and patients."""

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

    The objective is the mean over inner folds of the log loss (lower is better) or AUC (higher is better) of a fit
    without that fold. For a staged learner it is the objective of the best stage, because the caller chooses the number
    of rounds in the same way. Trial 0 has the default ``params``, so the result is never worse than the defaults.
    Further trials come from Optuna's tree-structured Parzen estimator (Bergstra et al. 2011), seeded by ``seed`` and
    the number of finished trials: a killed and resumed search proposes the same parameters as an uninterrupted one.

    ``storage`` is the journal of trials, one file per outer fold. The search continues it until the budget is used up,
    and repeats a trial that was running when the process died. If the journal was made from other rows, folds,
    defaults, objective, seed or code, its trials cannot be compared: the search prints a message and starts a new
    journal. Raises InputFault for a learner that has nothing to tune, or an inner fold with one class only.
    """
    if not budget.trials:
        return TuningResult(params, 0, math.nan, math.nan)
    # Importing Optuna takes most of a second, and a recipe without tuning does not need it.
    from runtime.trials import Trials, quiet

    rows = Rows(X, y, groups, folds)
    suggest = _check_tunable(learner, rows).suggest

    def score(overrides: "Mapping[str, Value]") -> list[float]:
        """Return the objective of the parameters with ``overrides``, as the only step of a trial."""
        return [mean_score(learner, _with_overrides(params, overrides), rows, seed, objective)]

    with quiet():
        made_from = _digest_inputs(learner, params, rows, seed, objective)
        trials = Trials(storage, made_from, suggest, maximize=objective == "auc", seed=seed)
        if not trials.results():
            trials.add(params.model_dump(), lambda: score({}))
        while _has_budget(trials.results(), budget):
            trials.propose(score)
        return _best_result(trials.results()[: budget.trials], params, objective)


def mean_score(learner: str, params: Settings, rows: Rows, seed: int, objective: Objective) -> float:
    """Return the mean objective over inner folds, each predicted by a fit without it; for a booster, the best stage's.

    The stage is the same for all folds. A learner without stages has one stage, all of its fit.
    """
    curves = [_curve(learner, params, rows, int(fold), seed, objective) for fold in np.unique(rows.folds)]
    means = np.mean(curves, axis=0)
    return float(means.max() if objective == "auc" else means.min())


def log_loss(y: Floats, probability: Floats) -> float:
    """Return the mean log loss of ``probability`` (n,) for ``y`` (n,) in 0/1, in nats; clipped at 1e-9 and 1 - 1e-9."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log1p(-p))))


def _curve(learner: str, params: Settings, rows: Rows, fold: int, seed: int, objective: Objective) -> list[float]:
    training = np.flatnonzero(rows.folds != fold)
    held_out = np.flatnonzero(rows.folds == fold)
    fit = learners.find(learner).fit
    predict = fit(params, rows.X.iloc[training], rows.y[training], groups=rows.groups[training], seed=seed)
    X = rows.X.iloc[held_out]
    stages = predict.stages(X) if isinstance(predict, HasStages) else predict(X)[np.newaxis]
    return [_score(rows.y[held_out], probability, objective) for probability in stages]


def _score(y: Floats, probability: Floats, objective: Objective) -> float:
    from level2_stack.evaluation.auc import auc  # imports scikit-learn, which reading a recipe does not need

    return auc(y, probability) if objective == "auc" else log_loss(y, probability)


def _check_tunable(learner: str, rows: Rows) -> Tunable:
    """Return the module of ``learner``; raise InputFault if it or the inner folds of ``rows`` do not allow tuning."""
    module, folds = learners.find(learner), np.unique(rows.folds)
    if not isinstance(module, Tunable):
        tunable = [name for name in learners.names() if isinstance(learners.find(name), Tunable)]
        raise InputFault(
            f"tuning: the learner {learner!r} has no parameters to tune; tunable learners are {', '.join(tunable)}"
        )
    if len(folds) < 2:
        raise InputFault(f"tuning: found {number_of(len(folds), 'inner fold')}, needs at least 2; use more folds")
    single_class = [int(fold) for fold in folds if len(np.unique(rows.y[rows.folds == fold])) < 2]
    if single_class:
        raise InputFault(
            f"tuning: every inner fold needs both classes; folds with one class: {list_names(single_class)}; "
            "use fewer folds"
        )
    return module


def _digest_inputs(learner: str, params: Settings, rows: Rows, seed: int, objective: Objective) -> str:
    """Return a digest of everything that a trial's value depends on, except the parameters of the trial."""
    table = pd.util.hash_pandas_object(rows.X, index=False).to_numpy()
    arrays = [table, rows.y.astype(np.float64), rows.folds.astype(np.int64), pd.factorize(rows.groups)[0]]
    inputs = {
        "learner": [learner, digest_of_code([Path(inspect.getfile(learners.find(learner).Params))])],
        "defaults": params.model_dump(),
        "columns": [f"{name} {column.dtype.name}" for name, column in rows.X.items()],
        "rows": [hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays],
        "judged": [objective, seed],
    }
    return digest(inputs)


def _has_budget(results: "list[TrialResult]", budget: Budget) -> bool:
    seconds = sum(trial.seconds for trial in results)
    return len(results) < budget.trials and (budget.seconds is None or seconds < budget.seconds)


def _best_result(results: "list[TrialResult]", params: Settings, objective: Objective) -> TuningResult:
    """Return the parameters of the best trial; if two are equally good, those of the earlier one."""
    values = np.array([trial.value for trial in results])
    best = int(np.argmax(values) if objective == "auc" else np.argmin(values))
    # Trial 0 has the default parameters, which may be outside the search ranges.
    best_params = _with_overrides(params, results[best].params) if best else params
    return TuningResult(best_params, len(results), float(values[best]), float(values[0]))


def _with_overrides(params: Settings, overrides: "Mapping[str, Value]") -> Settings:
    return type(params).model_validate({**params.model_dump(), **overrides})
