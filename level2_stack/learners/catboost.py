"""CatBoost on all columns: symmetric trees, a further member for the blend; its library is an optional extra."""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from level2_stack.learner_contract import (
    STAGES,
    Trial,
    match_columns,
    monotone_constraints,
    stage_ends,
    without_unused_categories,
)
from level2_stack.learner_files import (
    FACTS,
    category_counts,
    columns_from_json,
    columns_to_json,
    read_facts,
    write_facts,
)
from level2_stack.model_files.catboost_model import read_catboost
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.settings import Settings, check_settings

if TYPE_CHECKING:
    from catboost import CatBoost, Pool

USES: Literal["logits", "all"] = "all"
USES_SEED = True
BASELINE = False
EXTRA = "catboost"
MODEL = "model.cbm"
MISSING = "missing"  # CatBoost accepts text as a category, but no missing values


class Params(Settings):
    """Settings of the booster, without early stopping: it would need rows that the fit must not use."""

    rounds: int = Field(500, ge=1)  # trees
    learning_rate: float = Field(0.05, gt=0)  # weight of every tree
    depth: int = Field(3, ge=1, le=16)  # 4 and 5 were worse on 33,126 rows
    l2_leaf_reg: float = Field(10.0, ge=0)  # penalty on the values of leaves
    rsm: float = Field(0.4, gt=0, le=1)  # the share of columns that a split may use
    subsample: float = Field(0.8, gt=0, le=1)  # share of the rows of a tree
    border_count: int = Field(64, ge=1, le=65535)  # bins of a column
    # CatBoost's default of 10 Newton steps per leaf made a fit several times slower, and no better.
    leaf_estimation_iterations: int = Field(1, ge=1)
    # The probability never falls if a network's logit rises and all other columns stay the same.
    monotone: bool = False
    thread_count: int = Field(1, ge=1, le=1024)  # fits run side by side, one per core


class FittedBooster:
    """A predictor: the probability of every row of a design; ``importance`` is in percent, not a gain."""

    def __init__(self, booster: "CatBoost", template: pd.DataFrame, params: Params) -> None:
        self.booster = booster
        self.template = template.iloc[:0]
        self.params = params
        shares = booster.get_feature_importance(thread_count=params.thread_count)
        self.importance: dict[str, float] = dict(zip(template.columns, np.asarray(shares).tolist(), strict=True))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        rows = _pool(_library(), match_columns(X, self.template), None, self.params)
        return np.asarray(expit(self._margin(rows, 0, self.booster.tree_count_)), dtype=np.float64)

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n), in the time of one prediction."""
        rows, n_trees = _pool(_library(), match_columns(X, self.template), None, self.params), self.booster.tree_count_
        margin, start, margins = np.zeros(len(X)), 0, []
        for end in (min(end, n_trees) for end in stage_ends(self.params.rounds)):
            margin = margin + self._margin(rows, start, end) if end > start else margin
            margins.append(margin)
            start = end
        return np.asarray(expit(np.stack(margins)), dtype=np.float64)

    def after(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return the probabilities after ``share`` of the rounds, (n,); rounding may differ from that of ``stages``."""
        rows = _pool(_library(), match_columns(X, self.template), None, self.params)
        end = min(stage_ends(self.params.rounds)[STAGES.index(share)], self.booster.tree_count_)
        return np.asarray(expit(self._margin(rows, 0, end)), dtype=np.float64)

    def _margin(self, rows: "Pool", start: int, end: int) -> NDArray[np.float64]:
        """Return the contribution of trees ``start`` to ``end`` to the margin; that of tree 0 includes the bias."""
        threads = self.params.thread_count
        margin = self.booster.predict(
            rows, prediction_type="RawFormulaVal", ntree_start=start, ntree_end=end, thread_count=threads
        )
        return np.asarray(margin, dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> FittedBooster:
    """Fit a booster to the log loss of ``y`` (0/1); equal seeds give equal boosters.

    Raises InputFault if the library is not installed.
    """
    library, rows = _library(), without_unused_categories(X)
    settings = params.model_dump(exclude={"rounds", "monotone"}) | {
        "loss_function": "Logloss",
        "iterations": params.rounds,
        "boost_from_average": True,
        "boosting_type": "Plain",
        "bootstrap_type": "Bernoulli",
        "one_hot_max_size": 255,  # statistics of the target per category are noise if there are few positives
        "random_seed": seed,
        "allow_writing_files": False,
        "logging_level": "Silent",
    }
    if params.monotone:
        settings["monotone_constraints"] = monotone_constraints(rows)
    return FittedBooster(library.CatBoost(settings).fit(_pool(library, rows, y, params)), rows, params)


def save(predict: FittedBooster, folder: Path) -> None:
    """Write the booster in CatBoost's own format, and its columns and parameters as JSON."""
    with replacing(folder / MODEL) as temporary:
        predict.booster.save_model(str(temporary), format="cbm")
    write_facts(folder, "catboost", columns=columns_to_json(predict.template), params=predict.params.model_dump())


def load(folder: Path) -> FittedBooster:
    """Read the booster that ``save`` wrote; raise InputFault if ``folder`` is damaged or the library is missing."""
    facts, library = read_facts(folder, "catboost", "columns", "params"), _library()
    template = columns_from_json(facts["columns"])
    params = check_settings(facts["params"], Params, str(folder / FACTS))
    content = read_catboost(folder / MODEL, category_counts(template))
    try:
        booster = library.CatBoost().load_model(blob=content, format="cbm")
        return FittedBooster(booster, template, params)
    except library.CatBoostError as error:
        raise InputFault(f"{folder / MODEL}: not a CatBoost model ({error})") from error


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the parameters that ``trial`` suggests, for tables with some hundred positives and some dozen columns.

    Depth 2 to 6, L2 1 to 100, columns per split 0.15 to 0.8, rows per tree 0.5 to 1 and the learning rate 0.02 to 0.15.
    The number of rounds is fixed, because the stages choose it.
    """
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
        "depth": trial.suggest_int("depth", 2, 6),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 1.0, 100.0, log=True),
        "rsm": trial.suggest_float("rsm", 0.15, 0.8),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
    }


def _library() -> ModuleType:
    try:
        return import_module(EXTRA)
    except ImportError as error:
        raise InputFault(
            "the learner 'catboost' needs a library that is not installed; "
            "run `pip install 'melstack[catboost]'` (or `uv pip install`) in the project's .venv"
        ) from error


def _pool(library: ModuleType, X: pd.DataFrame, y: NDArray[np.float64] | None, params: Params) -> "Pool":
    categories = list(X.select_dtypes("category").columns)
    text = {name: X[name].astype(object).where(X[name].notna(), MISSING).astype(str) for name in categories}
    return library.Pool(X.assign(**text), y, cat_features=categories, thread_count=params.thread_count)
