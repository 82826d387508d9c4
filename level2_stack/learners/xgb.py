"""XGBoost on all columns: shallow histogram trees, strongly regularised, with categories and gaps as they are."""

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
# Seconds that a worker waits for another one, which may have more to do; of a lost one Dask tells within seconds.
TIME_OUT = 3600
OF_NETWORK = "/collective/"  # the place in XGBoost's sources that its errors name


class Params(Settings):
    """Settings of the booster; there is no early stopping, which would need rows that must not be seen."""

    # On 33,126 rows half the rate and 300 rounds took 1.6 times as long for no more AUC.
    rounds: int = Field(160, ge=1)
    eta: float = Field(0.06, gt=0)
    max_depth: int = Field(3, ge=1)
    # The sum of hessians: leaves are equally reliable whatever the prevalence.
    min_child_weight: float = Field(5.0, ge=0)
    subsample: float = Field(0.8, gt=0, le=1)
    colsample_bytree: float = Field(0.4, gt=0, le=1)
    reg_lambda: float = Field(10.0, ge=0)
    max_bin: int = Field(256, ge=2)  # 64 cost 0.0008 of AUC and saved a tenth of the time
    # The probability never falls when a network's own logit rises and all else stays.
    monotone: bool = False
    nthread: int = Field(1, ge=1)  # fits run side by side, one per core


class Boosted:
    """A fitted booster: call it with a design to get probabilities."""

    def __init__(self, booster: xgboost.Booster, seen: pd.DataFrame, rounds: int) -> None:
        self.booster = booster
        self.seen = seen.iloc[:0]
        self.coder = Encoder(self.seen)
        self.rounds = rounds
        gains = booster.get_score(importance_type="gain")
        self.importance: dict[str, float] = {name: float(gains.get(name, 0.0)) for name in seen.columns}

    def __call__(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probability of every row of ``X``, shape (n,)."""
        return np.asarray(expit(self._margin(self.coder(X), 0, self.rounds, None)), dtype=np.float64)

    def stages(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Return the probabilities after each of ``STAGES``, shape (len(STAGES), n), at the cost of one prediction."""
        rows, margins, done = self.coder(X), list[NDArray[np.float64]](), 0
        for end in stage_ends(self.rounds):
            before = margins[-1] if margins else None
            margins.append(before if before is not None and end == done else self._margin(rows, done, end, before))
            done = end
        return np.asarray(expit(np.stack(margins)), dtype=np.float64)

    def contributions(self, X: pd.DataFrame, share: float) -> NDArray[np.float64]:
        """Return (n, columns + 1): what each column adds to the logit after ``share`` of the rounds, last the base.

        Exact SHAP values of the trees (Lundberg et al. 2020), computed in float32.
        """
        names, kinds = list(self.seen.columns), self.coder.kinds
        rows = xgboost.DMatrix(
            self.coder(X), feature_names=names, feature_types=kinds, enable_categorical=True, nthread=1
        )
        end = stage_ends(self.rounds)[STAGES.index(share)]
        parts = self.booster.predict(rows, pred_contribs=True, iteration_range=(0, end))
        return np.asarray(parts, dtype=np.float64)

    def _margin(
        self, rows: NDArray[np.float64], start: int, end: int, before: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return the margin after round ``end``; ``before``, after ``start``, replaces the base score."""
        # In place: half the time of a DMatrix, with the booster's own number of threads. The margins that go in would
        # be copied by a thread per core, which on a busy machine wait for each other longer than all else takes.
        with xgboost.config_context(nthread=1):
            margin = self.booster.inplace_predict(
                rows, iteration_range=(start, end), predict_type="margin", base_margin=before
            )
        return np.asarray(margin, dtype=np.float64)


def fit(params: Params, X: pd.DataFrame, y: NDArray[np.float64], *, groups: NDArray[np.object_], seed: int) -> Boosted:
    """Return a booster fitted to the log loss of ``y`` (0/1); equal seeds give equal boosters."""
    seen = without_unused_categories(X)
    data = xgboost.DMatrix(seen, y, enable_categorical=True, nthread=params.nthread)
    return Boosted(xgboost.train(_settings(params, seen, seed), data, params.rounds), seen, params.rounds)


def fit_dask(params: Params, X: "dd.DataFrame", y: "dd.Series", *, seed: int, client: "Client") -> Boosted:
    """Return one booster fitted to rows that Dask's workers hold, all categories known to each part of ``X``.

    The workers merge what each finds of the columns' quantiles and draw the rows of a tree each from its own: a booster
    like that of ``fit``, not the same. Raises ConnectionError where the workers were cut off from each other.
    """
    from xgboost import dask
    from xgboost.collective import Config

    try:
        data = dask.DaskQuantileDMatrix(client, X, y, enable_categorical=True, max_bin=params.max_bin)
        network = Config(timeout=TIME_OUT)
        grown = dask.train(client, _settings(params, X, seed), data, params.rounds, coll_cfg=network)["booster"]
    except xgboost.core.XGBoostError as error:
        if OF_NETWORK in str(error):
            raise ConnectionError(f"XGBoost: {str(error).splitlines()[0]}") from error
        raise
    grown.set_param({"nthread": params.nthread})
    return Boosted(grown, X._meta, params.rounds)


def _settings(params: Params, seen: "pd.DataFrame | dd.DataFrame", seed: int) -> dict[str, Any]:
    settings = params.model_dump(exclude={"rounds", "monotone"}) | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "seed": seed,
        "verbosity": 0,
    }
    return settings | ({"monotone_constraints": tuple(monotone_constraints(seen))} if params.monotone else {})


def save(fitted: Boosted, folder: Path) -> None:
    """Write the booster as UBJSON, and its columns and rounds as JSON."""
    with replacing(folder / MODEL) as temporary:
        temporary.write_bytes(bytes(fitted.booster.save_raw("ubj")))
    write_facts(folder, "xgb", columns=columns_to_json(fitted.seen), rounds=fitted.rounds)


def load(folder: Path) -> Boosted:
    """Return the booster that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    facts, booster = read_facts(folder, "xgb", "columns", "rounds"), xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray((folder / MODEL).read_bytes()))
    except (OSError, xgboost.core.XGBoostError) as error:
        raise InputFault(f"{folder / MODEL}: not an XGBoost model ({error})") from error
    return Boosted(booster, columns_from_json(facts["columns"]), int(facts["rounds"]))


def suggest(trial: Trial) -> dict[str, int | float]:
    """Return parameters drawn from ``trial``, around what suits a few hundred positives and some dozen columns.

    Depth 2 to 5, evidence per leaf and L2 over a factor of a hundred and more, columns per tree 0.15 to 0.8, rows per
    tree 0.5 to 1 and the learning rate 0.015 to 0.09; the number of rounds stays, its stages cover it.
    """
    return {
        "eta": trial.suggest_float("eta", 0.015, 0.09, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 5),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.2, 20.0, log=True),
        "subsample": trial.suggest_float("subsample", 0.5, 1.0),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.15, 0.8),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 100.0, log=True),
    }
