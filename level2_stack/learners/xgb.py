"""XGBoost on all columns: shallow histogram trees, strongly regularised, with categories and gaps as they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import expit
from xgboost import collective
from xgboost.tracker import RabitTracker

from level2_stack.learner_contract import STAGES, Coder, Trial, rising, stage_ends, without_unused_categories
from level2_stack.learner_files import columns_seen, columns_told, read_facts, write_facts
from level2_stack.partitions import Part, coded
from runtime.errors import InputFault
from runtime.files import replacing
from runtime.settings import Settings

if TYPE_CHECKING:
    from features.meeting import Meeting
    from runtime.cluster.scheduler import Cluster

    Place = tuple[int, dict[str, str | int], Meeting]

USES: Literal["logits", "all"] = "all"
SEEDED = True
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
    # Over how many workers of a cluster the rows of one fit are spread; 1: one process does it, others do other fits.
    partitions: int = Field(1, ge=1)


class Boosted:
    """A fitted booster: call it with a design to get probabilities."""

    def __init__(self, booster: xgboost.Booster, seen: pd.DataFrame, rounds: int) -> None:
        self.booster = booster
        self.seen = seen.iloc[:0]
        self.coder = Coder(self.seen)
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


def fit_parts(params: Params, parts: Sequence[Part], *, seed: int, cluster: "Cluster") -> Boosted:
    """Return one booster fitted to the rows of all ``parts``, each on a worker of its own.

    The workers merge what each finds of the columns' quantiles and draw the rows of a tree each from its own: a booster
    like that of ``fit``, not the same. Equal parts give equal boosters.
    """
    seen = parts[0].seen()
    booster = xgboost.Booster({"nthread": params.nthread})
    booster.load_model(cluster.together(_fit_part, [(params, part, seen, seed) for part in parts], _tracked))
    return Boosted(booster, seen, params.rounds)


@contextmanager
def _tracked(cluster: "Cluster", workers: Sequence[str]) -> "Iterator[list[Place]]":
    """Yield what each worker has to know to find the others: its rank, the tracker that runs here, a meeting."""
    # Ranks by the order of the parts, not of the hosts: sums of floats depend on it.
    # It waits for the workers from now on, without end: they read their parts before they come.
    tracker = RabitTracker(len(workers), cluster.own_host(), sortby="task", timeout=0)
    tracker.start()
    arguments, meeting = tracker.worker_args(), cluster.meeting(len(workers))
    try:
        yield [(rank, arguments | {"dmlc_task_id": f"{rank:06d}"}, meeting) for rank in range(len(workers))]
    finally:
        # Of workers that never came together, or were cut off, it complains; what cut them off is being raised.
        with suppress(xgboost.core.XGBoostError):
            tracker.free()


def _fit_part(given: tuple[Params, Part, pd.DataFrame, int], place: "Place") -> bytearray | None:
    """Grow the trees together with the other workers; return the booster as UBJSON from the first of them."""
    (params, part, seen, seed), (rank, tracker, meeting) = given, place
    read = [coded(part, seen, rank)]
    meeting.arrive(rank)
    with _cut_off_told(), collective.CommunicatorContext(**tracker, dmlc_timeout=TIME_OUT):
        data = _binned(*read.pop(), params, seen)  # nobody else keeps the rows
        booster = xgboost.train(_settings(params, seen, seed), data, params.rounds)
    return booster.save_raw("ubj") if rank == 0 else None


def _binned(
    rows: NDArray[np.float64], y: NDArray[np.float64], params: Params, seen: pd.DataFrame
) -> xgboost.QuantileDMatrix:
    """Return the rows in bins that all workers agree upon."""
    return xgboost.QuantileDMatrix(
        rows,
        y,
        feature_names=list(map(str, seen.columns)),
        feature_types=Coder(seen).kinds,
        enable_categorical=True,
        max_bin=params.max_bin,
        nthread=params.nthread,
    )


@contextmanager
def _cut_off_told() -> Iterator[None]:
    """Raise ConnectionError in place of XGBoost's own where workers were cut off: such a fit is worth another try."""
    try:
        yield
    except xgboost.core.XGBoostError as error:
        if OF_NETWORK in str(error):
            raise ConnectionError(f"XGBoost: {str(error).splitlines()[0]}") from error
        raise


def _settings(params: Params, seen: pd.DataFrame, seed: int) -> dict[str, Any]:
    settings = params.model_dump(exclude={"rounds", "monotone", "partitions"}) | {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "seed": seed,
        "verbosity": 0,
    }
    return settings | ({"monotone_constraints": tuple(rising(seen))} if params.monotone else {})


def save(fitted: Boosted, folder: Path) -> None:
    """Write the booster as UBJSON, and its columns and rounds as JSON."""
    with replacing(folder / MODEL) as temporary:
        temporary.write_bytes(bytes(fitted.booster.save_raw("ubj")))
    write_facts(folder, "xgb", columns=columns_told(fitted.seen), rounds=fitted.rounds)


def load(folder: Path) -> Boosted:
    """Return the booster that ``save`` wrote; raise InputFault for a damaged folder, or another learner's."""
    facts, booster = read_facts(folder, "xgb", "columns", "rounds"), xgboost.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray((folder / MODEL).read_bytes()))
    except (OSError, xgboost.core.XGBoostError) as error:
        raise InputFault(f"{folder / MODEL}: not an XGBoost model ({error})") from error
    return Boosted(booster, columns_seen(facts["columns"]), int(facts["rounds"]))


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
