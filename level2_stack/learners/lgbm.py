"""LightGBM on all columns: small trees, strong regularisation, no encoding of categories or gaps."""

import re
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit

from level2_stack.learner_contract import (
    STAGES,
    Encoder,
    Trial,
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
from level2_stack.model_files.lightgbm_text import read_lightgbm
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.settings import Settings, check_settings

if TYPE_CHECKING:
    import dask.dataframe as dd
    from distributed import Client

USES: Literal["logits", "all"] = "all"
USES_SEED = True
BASELINE = False
MODEL = "model.txt"
# Lines of the model's text with network addresses of the fit, which are not part of the model.
ADDRESSES = re.compile(r"^\[(machines|local_listen_port): .*\]\n", re.MULTILINE)
CONNECTION_ERROR = re.compile(r"Socket|Binding port")  # in the messages of LightGBM's errors


class Params(Settings):
    """Settings of the booster, without early stopping: it would need rows that the fit must not use."""

    # On 33,126 rows half the rate and 400 rounds took 1.5 times as long for 0.0002 of AUC; 130 rounds cost 0.0006.
    rounds: int = Field(240, ge=1)
    learning_rate: float = Field(0.04, gt=0)  # weight of every tree
    num_leaves: int = Field(6, ge=2)  # of a tree: small trees, little interaction
    min_child_samples: int = Field(20, ge=1)  # rows in a leaf
    # A minimum of evidence, not of rows: a leaf needs more rows where cancers are rarer.
    min_sum_hessian: float = Field(2.0, ge=0)
    feature_fraction: float = Field(0.4, gt=0, le=1)  # share of the columns of a tree
    bagging_fraction: float = Field(0.8, gt=0, le=1)  # share of the rows of a tree
    lambda_l2: float = Field(5.0, ge=0)  # penalty on the values of leaves
    max_bin: int = Field(255, ge=2)  # 63 cost 0.0005 of AUC and saved a sixth of the time
    # The probability never falls if a network's logit rises and all other columns stay the same.
    monotone: bool = False
    # Fits run side by side, one per core. More threads in one fit wait for each other after every split: on a busy
    # machine that made a thousand rows take minutes instead of a second.
    num_threads: int = Field(1, ge=1, le=1024)


class FittedBooster:
    """A predictor: the probability of every row of a design."""

    def __init__(self, booster: lightgbm.Booster, template: pd.DataFrame, params: Params) -> None:
        self.booster = booster
        self.template = template.iloc[:0]
        self.encoder = Encoder.of(self.template)
        self.params = params
        gains = booster.feature_importance("gain") / np.maximum(booster.feature_importance("split"), 1)
        self.importance: dict[str, float] = dict(zip(template.columns, gains.tolist(), strict=True))

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        # LightGBM's number of threads belongs to the process, and is reset by every call that does not set it.
        probability = self.booster.predict(self.encoder(X), num_threads=self.params.num_threads)
        return np.asarray(probability, dtype=np.float64)

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n), in the time of one prediction."""
        # The booster has fewer trees than rounds if no more splits were found.
        rows, n_trees = self.encoder(X), self.booster.current_iteration()
        margin, start, margins = np.zeros(len(X)), 0, []
        for end in stage_ends(self.params.rounds):
            count = min(end, n_trees) - start
            if count > 0:
                margin, start = margin + self._margin(rows, start, count), start + count
            margins.append(margin)
        return np.asarray(expit(np.stack(margins)), dtype=np.float64)

    def after(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return the probabilities after ``share`` of the rounds, (n,); rounding may differ from that of ``stages``."""
        margin = self._margin(self.encoder(X), 0, self._trees(share))
        return np.asarray(expit(margin), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit after ``share`` of the rounds, then the base.

        Exact SHAP values of the trees (Lundberg et al. 2020).
        """
        rows, count, threads = self.encoder(X), self._trees(share), self.params.num_threads
        parts = self.booster.predict(rows, pred_contrib=True, num_iteration=count, num_threads=threads)
        return np.asarray(parts, dtype=np.float64)

    def _trees(self, share: float) -> int:
        """Return the number of trees after ``share`` of the rounds; fewer if no more splits were found."""
        return int(min(stage_ends(self.params.rounds)[STAGES.index(share)], self.booster.current_iteration()))

    def _margin(self, rows: NDArray[np.float64], start: int, count: int) -> NDArray[np.float64]:
        threads = self.params.num_threads
        margin = self.booster.predict(
            rows, start_iteration=start, num_iteration=count, raw_score=True, num_threads=threads
        )
        return np.asarray(margin, dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> FittedBooster:
    """Fit a booster to the log loss of ``y`` (0/1); equal seeds give equal boosters."""
    rows = without_unused_categories(X)
    data = lightgbm.Dataset(rows, y, params={"num_threads": params.num_threads, "max_bin": params.max_bin})
    return FittedBooster(lightgbm.train(_settings(params, rows, seed), data, params.rounds), rows, params)


def fit_dask(params: Params, X: "dd.DataFrame", y: "dd.Series", *, seed: int, client: "Client") -> FittedBooster:
    """Fit one booster to the rows on Dask's workers; every partition of ``X`` must have all categories.

    Each worker computes the bins of some columns from its own rows only, and samples a tree's rows from its own. So the
    booster is similar to that of ``fit``, but not equal. Raises ConnectionError if the workers lose their connection.
    """
    from lightgbm.dask import DaskLGBMRegressor

    # DaskLGBMClassifier would number the classes on each worker separately. Dask sets the number of threads.
    settings = {key: value for key, value in _settings(params, X, seed).items() if key != "num_threads"}
    try:
        # It prints that it searches for ports, and warns about its own default, n_jobs=None.
        with redirect_stdout(None), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Parameter n_jobs will be ignored")
            regressor = DaskLGBMRegressor(client=client, n_estimators=params.rounds, **settings).fit(X, y)
    except lightgbm.basic.LightGBMError as error:
        if CONNECTION_ERROR.search(str(error)):
            raise ConnectionError(f"LightGBM: {error}") from error
        raise
    text = ADDRESSES.sub("", regressor.booster_.model_to_string())
    return FittedBooster(lightgbm.Booster(model_str=text), X._meta, params)


def _settings(params: Params, X: "pd.DataFrame | dd.DataFrame", seed: int) -> dict[str, Any]:
    settings = params.model_dump(exclude={"rounds", "min_sum_hessian", "monotone"}) | {
        "objective": "binary",
        "min_sum_hessian_in_leaf": params.min_sum_hessian,
        "bagging_freq": 1,
        "seed": seed,
        "deterministic": True,
        "force_row_wise": True,  # column-wise histograms would sum floats in another order
        "verbosity": -1,
    }
    return settings | ({"monotone_constraints": monotone_constraints(X)} if params.monotone else {})


def save(predict: FittedBooster, folder: Path) -> None:
    """Write the booster in LightGBM's text format, and its columns and parameters as JSON."""
    with replacing(folder / MODEL) as temporary:
        predict.booster.save_model(temporary)
    write_facts(folder, "lgbm", columns=columns_to_json(predict.template), params=predict.params.model_dump())


def load(folder: Path) -> FittedBooster:
    """Read the booster that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    facts = read_facts(folder, "lgbm", "columns", "params")
    template = columns_from_json(facts["columns"])
    try:
        booster = lightgbm.Booster(model_str=read_lightgbm(folder / MODEL, category_counts(template)))
    except lightgbm.basic.LightGBMError as error:
        raise InputFault(f"{folder / MODEL}: not a LightGBM model ({error})") from error
    # A booster of an earlier version may have a parameter that no longer exists.
    params = {name: value for name, value in facts["params"].items() if name in Params.model_fields}
    return FittedBooster(booster, template, check_settings(params, Params, str(folder / FACTS)))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the parameters that ``trial`` suggests, for tables with some hundred positives and some dozen columns.

    Leaves 3 to 16, rows per leaf 5 to 200, evidence per leaf 0.1 to 10, columns per tree 0.15 to 0.8, rows per tree
    0.5 to 1, L2 0.1 to 100 and the learning rate 0.01 to 0.06. The number of rounds is fixed, because the stages choose
    it.
    """
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.06, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 3, 16, log=True),
        "min_child_samples": trial.suggest_int("min_child_samples", 5, 200, log=True),
        "min_sum_hessian": trial.suggest_float("min_sum_hessian", 0.1, 10.0, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.15, 0.8),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.5, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    }
