"""XGBoost on all columns: shallow histogram trees, strong regularisation, no encoding of categories or gaps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xgboost
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
from level2_stack.learner_files import columns_from_json, columns_to_json, read_facts, write_facts
from level2_stack.model_files.xgboost_model import read_xgboost
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.settings import Settings

if TYPE_CHECKING:
    import dask.dataframe as dd
    from distributed import Client

USES: Literal["logits", "all"] = "all"
USES_SEED = True
BASELINE = False
MODEL = "model.ubj"
# Seconds that a worker waits for a slower one; Dask reports a lost worker within seconds.
TIME_OUT = 3600
CONNECTION_ERROR = "/collective/"  # the source folder in messages of XGBoost's connection errors


class Params(Settings):
    """Settings of the booster, without early stopping: it would need rows that the fit must not use."""

    # On 33,126 rows half the rate and 300 rounds took 1.6 times as long for no more AUC.
    rounds: int = Field(160, ge=1)
    eta: float = Field(0.06, gt=0)  # weight of every tree
    max_depth: int = Field(3, ge=1)  # of a tree
    # The sum of hessians: leaves are equally reliable at every prevalence.
    min_child_weight: float = Field(5.0, ge=0)
    subsample: float = Field(0.8, gt=0, le=1)  # share of the rows of a tree
    colsample_bytree: float = Field(0.4, gt=0, le=1)  # share of the columns of a tree
    reg_lambda: float = Field(10.0, ge=0)  # penalty on the values of leaves
    max_bin: int = Field(256, ge=2)  # 64 cost 0.0008 of AUC and saved a tenth of the time
    # The probability never falls if a network's logit rises and all other columns stay the same.
    monotone: bool = False
    nthread: int = Field(1, ge=1, le=1024)  # fits run side by side, one per core


class FittedBooster:
    """A predictor: the probability of every row of a design."""

    def __init__(self, booster: xgboost.Booster, template: pd.DataFrame, rounds: int) -> None:
        self.booster = booster
        self.template = template.iloc[:0]
        self.encoder = Encoder.of(self.template)
        self.rounds = rounds
        gains = booster.get_score(importance_type="gain")
        self.importance: dict[str, float] = {name: float(gains.get(name, 0.0)) for name in template.columns}

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        return np.asarray(expit(self._margin(self.encoder(X), 0, self.rounds, None)), dtype=np.float64)

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n), in the time of one prediction."""
        rows, margins, start = self.encoder(X), list[NDArray[np.float64]](), 0
        for end in stage_ends(self.rounds):
            before = margins[-1] if margins else None
            margins.append(before if before is not None and end == start else self._margin(rows, start, end, before))
            start = end
        return np.asarray(expit(np.stack(margins)), dtype=np.float64)

    def after(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return the probabilities after ``share`` of the rounds, (n,)."""
        margin = self._margin(self.encoder(X), 0, stage_ends(self.rounds)[STAGES.index(share)], None)
        return np.asarray(expit(margin), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit after ``share`` of the rounds, then the base.

        Exact SHAP values of the trees (Lundberg et al. 2020), computed in float32.
        """
        names, kinds = list(self.template.columns), self.encoder.kinds
        rows = xgboost.DMatrix(
            self.encoder(X), feature_names=names, feature_types=kinds, enable_categorical=True, nthread=1
        )
        end = stage_ends(self.rounds)[STAGES.index(share)]
        parts = self.booster.predict(rows, pred_contribs=True, iteration_range=(0, end))
        return np.asarray(parts, dtype=np.float64)

    def _margin(
        self, rows: NDArray[np.float64], start: int, end: int, before: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return the margin after round ``end``; ``before``, the margin after ``start``, replaces the base score."""
        # inplace_predict takes half the time of a DMatrix and uses the booster's number of threads. Without the setting
        # a thread per core would copy base_margin, and on a busy machine their waiting takes longer than all the rest.
        with xgboost.config_context(nthread=1):
            margin = self.booster.inplace_predict(
                rows, iteration_range=(start, end), predict_type="margin", base_margin=before
            )
        return np.asarray(margin, dtype=np.float64)


def fit(
    params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int
) -> FittedBooster:
    """Fit a booster to the log loss of ``y`` (0/1); equal seeds give equal boosters."""
    rows = without_unused_categories(X)
    data = xgboost.DMatrix(rows, y, enable_categorical=True, nthread=params.nthread)
    return FittedBooster(xgboost.train(_settings(params, rows, seed), data, params.rounds), rows, params.rounds)


def fit_dask(params: Params, X: "dd.DataFrame", y: "dd.Series", *, seed: int, client: "Client") -> FittedBooster:
    """Fit one booster to the rows on Dask's workers; every partition of ``X`` must have all categories.

    The workers merge the quantiles of the columns in their rows, and each samples a tree's rows from its own. So the
    booster is similar to that of ``fit``, but not equal. Raises ConnectionError if the workers lose their connection.
    """
    from xgboost import dask
    from xgboost.collective import Config

    try:
        data = dask.DaskQuantileDMatrix(client, X, y, enable_categorical=True, max_bin=params.max_bin)
        network = Config(timeout=TIME_OUT)
        booster = dask.train(client, _settings(params, X, seed), data, params.rounds, coll_cfg=network)["booster"]
    except xgboost.core.XGBoostError as error:
        if CONNECTION_ERROR in str(error):
            raise ConnectionError(f"XGBoost: {str(error).splitlines()[0]}") from error
        raise
    booster.set_param({"nthread": params.nthread})
    return FittedBooster(booster, X._meta, params.rounds)


def _settings(params: Params, X: "pd.DataFrame | dd.DataFrame", seed: int) -> dict[str, Any]:
    settings = params.model_dump(exclude={"rounds", "monotone"}) | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "seed": seed,
        "verbosity": 0,
    }
    return settings | ({"monotone_constraints": tuple(monotone_constraints(X))} if params.monotone else {})


def save(predict: FittedBooster, folder: Path) -> None:
    """Write the booster as UBJSON, and its columns and rounds as JSON."""
    with replacing(folder / MODEL) as temporary:
        temporary.write_bytes(bytes(predict.booster.save_raw("ubj")))
    write_facts(folder, "xgb", columns=columns_to_json(predict.template), rounds=predict.rounds)


def load(folder: Path) -> FittedBooster:
    """Read the booster that ``save`` wrote; raise InputFault if ``folder`` is damaged or holds another learner."""
    facts, booster = read_facts(folder, "xgb", "columns", "rounds"), xgboost.Booster({"nthread": 1})
    template = columns_from_json(facts["columns"])
    try:
        booster.load_model(bytearray(read_xgboost(folder / MODEL, template, facts["rounds"])))
    except xgboost.core.XGBoostError as error:
        raise InputFault(f"{folder / MODEL}: not an XGBoost model ({error})") from error
    return FittedBooster(booster, template, facts["rounds"])


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return the parameters that ``trial`` suggests, for tables with some hundred positives and some dozen columns.

    Depth 2 to 5, evidence per leaf 0.2 to 20, L2 0.1 to 100, columns per tree 0.15 to 0.8, rows per tree 0.5 to 1 and
    the learning rate 0.015 to 0.09. The number of rounds is fixed, because the stages choose it.
    """
    return {
        "eta": trial.suggest_float("eta", 0.015, 0.09, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 5),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.2, 20.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.15, 0.8),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100.0, log=True),
    }
