"""Why the stack says what it says: what every column adds to the log odds of every case, out of fold and test."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from threadpoolctl import threadpool_limits

from features import blocks
from level2_stack import learners
from level2_stack.calibration import calibrate
from level2_stack.contrasts import FAMILIES as CONTRASTS
from level2_stack.crossval.cluster import fits_at
from level2_stack.crossval.fits import Table, Workers, table_of
from level2_stack.crossval.nested import TunedParams
from level2_stack.design.assemble import Design
from level2_stack.explain.fits import Member, MemberScores, exact, members_of, rounding, score_folds, tasks_of
from level2_stack.explain.scales import Floats, Split, mean_probability, through, weighted
from level2_stack.recipe import BLEND, Recipe, read_recipe
from level2_stack.stacking import rebuild_design, with_prevalence
from runtime.errors import InputFault, list_names
from runtime.files import read_json, write_json
from runtime.progress import say, track
from runtime.run_folder import Run
from runtime.tables import read_table, write_table

BASE = "base"
LIMIT = 1e-6  # log odds: a stack made again that differs by more from what is on disk was made from other things
NETWORKS, PATIENT, ACQUISITION, STATISTICS = "networks", "patient-relative", "acquisition", "picture statistics"
FAMILY_OF = {
    "logit": NETWORKS,
    "spread": NETWORKS,
    "patient": PATIENT,
    "ugly_duckling": PATIENT,
    "pictures": STATISTICS,
} | dict.fromkeys(CONTRASTS, "contrasts")
WITHIN_PATIENT = "_z"  # ends the names of picture statistics that are compared within the patient


@dataclass(frozen=True)
class StackDecisions:
    """What a finished stack decided, as its decisions.json tells it: all that the outer fits are made from again."""

    submitted: str
    columns: list[str]  # of the design
    members: list[str]
    rounds: Mapping[str, Sequence[float]]
    weights: NDArray[np.float64]  # (folds, members)
    calibrators: list[calibrate.Calibrator]  # of what is submitted, one per outer fold
    tuned: TunedParams
    prevalence: float | None


@dataclass(frozen=True)
class Explanations:
    """``table``: a row per case, a column per column of the design and ``base``; they add up to ``log_odds``.

    ``rounding`` is by how much the parts of a fit missed its score before that was shared out, in log odds.
    """

    table: pd.DataFrame
    log_odds: Floats
    rounding: float

    @property
    def error(self) -> float:
        """Return the largest distance of the sum of a row from its log odds."""
        return float(np.abs(self.table.sum(axis=1).to_numpy() - self.log_odds).max(initial=0.0))


def make_explanations(run: Run, recipe_file: Path, folder: Path, cluster: str | None = None) -> None:
    """Write explanations.parquet and explanations.json into ``folder``, that of the finished stack of ``recipe_file``.

    Raises InputFault when the stack is not finished, or what its fits give is not what it wrote.
    """
    for name in ("decisions.json", "predictions.parquet"):
        if not (folder / name).is_file():
            raise InputFault(f"{folder}: no {name}; `make stack` makes it")
    decided = read_decisions(read_json(folder / "decisions.json"))
    recipe = with_prevalence(read_recipe(recipe_file), decided.prevalence)
    design = rebuild_design(run, recipe, decided.columns)
    probability = read_table(folder / "predictions.parquet")["probability"]
    with fits_at(cluster, run.folder) as processes:
        explained = explain(design, recipe, decided, probability, str(folder), processes=processes)
    write_table(folder / "explanations.parquet", explained.table)
    acquisition = {name: blocks.find(name).ACQUISITION for name in recipe.blocks}
    out_of_fold = explained.table.loc[design.train.index].drop(columns=BASE)
    told = {"explains": decided.submitted, "additivity_error": explained.error, "rounding": explained.rounding}
    told["rows"] = "training cases, out of fold"
    write_json(folder / "explanations.json", told | summary(out_of_fold, acquisition))
    say(f"explanations of {decided.submitted}: {folder / 'explanations.parquet'}, {_adds_up(explained)}")


def explain(
    design: Design,
    recipe: Recipe,
    decided: StackDecisions,
    probability: pd.Series,
    where: str = "level two",
    *,
    processes: Workers | None = None,
) -> Explanations:
    """Return what every column of ``design`` adds to the log odds of ``probability``, which the stack submits.

    The outer fits are made again; a training case is explained by those that left out its fold, as it was scored.
    Each learner's logit is split exactly: trees by their SHAP values, linear models by their terms, all others by
    hiding columns. The mean over seeds and the blend are linear in logits, so their splits are as well. The
    calibration of a fold scales all parts of a case by one slope (``explain_scales.through``; Platt's is the same for
    all), and of a test case the mean probability over the folds is split in the same way. The base is what remains
    without any part, in log odds: the same for all training cases of a fold, and for all test cases.
    Raises InputFault, found at ``where``, if the log odds are not those of ``probability``.
    """
    table = table_of(design)
    members = members_of(recipe, decided.members, decided.rounds)
    with threadpool_limits(1, user_api="blas"):
        train, test, rounded = _folds(table, recipe, decided, members, processes)
    whole = Split(np.zeros((len(table.X), table.X.shape[1])), np.zeros(len(table.X)))
    for fold, split in enumerate(train):
        own = np.flatnonzero(table.folds == fold)
        whole.parts[own], whole.base[own] = split.parts, split.base
    if len(design.test):
        mean = mean_probability(test)
        whole.parts[len(table.y) :], whole.base[len(table.y) :] = mean.parts, mean.base
    log_odds = logit(probability.loc[design.X.index].to_numpy(dtype=np.float64))
    _refuse_other(whole.total, log_odds, design.X.index, where)
    frame = pd.DataFrame(whole.parts, index=design.X.index, columns=design.X.columns).assign(**{BASE: whole.base})
    return Explanations(frame, log_odds, rounded)


def read_decisions(values: Mapping[str, Any]) -> StackDecisions:
    """Return what decisions.json of a finished stack says of how its submitted scores came about."""
    submitted, by_fold = values["submitted"], values["blend_weights"]
    members = list(by_fold[0]) if submitted == BLEND else [submitted]
    weights = [[row[name] if submitted == BLEND else 1.0 for name in members] for row in by_fold]
    return StackDecisions(
        submitted=submitted,
        columns=values["columns"],
        members=members,
        rounds=values["rounds"],
        weights=np.array(weights, dtype=np.float64),
        calibrators=[_calibrator(each) for each in values["calibrators"][submitted]],
        tuned={_study(text): _params(text, params) for text, params in values["tuned"].items()},
        prevalence=values["recipe"]["calibration"]["prevalence"],
    )


def family(column: str, acquisition: Mapping[str, Collection[str]]) -> str:
    """Return the family of a column of the design; a block's ``acquisition`` columns are one of their own.

    Networks (logits, spreads), contrasts of logits within the patient, patient-relative (the patient's counts and ages,
    ugly ducklings, statistics within the patient), picture statistics; any other block is its own family.
    """
    prefix, _, name = column.partition(".")
    if name in acquisition.get(prefix, ()):
        return ACQUISITION
    if prefix == "pictures" and name.endswith(WITHIN_PATIENT):
        return PATIENT
    return FAMILY_OF.get(prefix, prefix)


def summary(parts: pd.DataFrame, acquisition: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Return, ready for JSON, the mean size of every column of ``parts`` (log odds), and the families' shares of it.

    Columns and families are listed from the largest to the smallest; the shares add up to 1.
    """
    sizes = parts.abs().mean().sort_values(ascending=False, kind="stable")
    families = {str(name): family(str(name), acquisition) for name in sizes.index}
    shares = (sizes / max(sizes.sum(), np.finfo(np.float64).tiny)).groupby(families).sum()
    return {
        "families": [
            {"name": str(name), "share": float(share)} for name, share in shares.sort_values(ascending=False).items()
        ],
        "columns": [
            {"name": str(name), "family": families[str(name)], "mean_abs": float(size)} for name, size in sizes.items()
        ],
    }


def _folds(
    table: Table, recipe: Recipe, decided: StackDecisions, members: list[Member], processes: Workers | None
) -> tuple[list[Split], list[Split], float]:
    """Return the calibrated splits of every fold's own rows and of the test rows by it, and the largest rounding."""
    folds = len(decided.calibrators)
    tasks = tasks_of(members, recipe, decided.tuned, folds)
    train, test, rounded = list[Split](), list[Split](), 0.0
    found = score_folds(tasks, members, table, processes)
    shown = track(found, "level two: explaining", folds * len(members), unit="models")
    for fold, of_fold in groupby(shown, key=itemgetter(0)):
        scored = [each for _, _, each in of_fold]
        rounded = max(rounded, *map(rounding, scored))
        split = _calibrated(scored, table, recipe, decided, fold)
        own = int((table.folds == fold).sum())
        train.append(Split(split.parts[:own], split.base[:own]))
        test.append(Split(split.parts[own:], split.base[own:]))
    return train, test, rounded


def _calibrated(scored: list[MemberScores], table: Table, recipe: Recipe, decided: StackDecisions, fold: int) -> Split:
    """Return the split of the blend of all members in ``fold``, through its calibration."""
    blended = weighted([exact(each) for each in scored], list(decided.weights[fold]))
    trained = float(table.y[table.folds != fold].mean())
    prevalence = recipe.calibration.prevalence
    return through(blended, calibrate.deployed_log_odds(decided.calibrators[fold], trained, prevalence))


def _refuse_other(total: Floats, log_odds: Floats, index: pd.Index, where: str) -> None:
    differing = ~(np.abs(total - log_odds) < LIMIT)
    if differing.any():
        raise InputFault(
            f"{where}: the fits made again give other probabilities than predictions.parquet for "
            f"{list_names(index[differing])}; its tables, recipe or libraries have changed since: `make stack` mends it"
        )


def _calibrator(told: Mapping[str, Any]) -> calibrate.Calibrator:
    return calibrate.restored(told["name"], {k: v for k, v in told.items() if k not in ("name", "log_loss")})


def _study(text: str) -> tuple[str, int]:
    learner, _, fold = text.partition(", fold ")
    return learner, int(fold)


def _params(text: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  the learner's own Params
    return learners.find(_study(text)[0]).Params.model_validate(dict(values))


def _adds_up(explained: Explanations) -> str:
    return f"adding up to its log odds within {explained.error:.1e} (rounding shared out: {explained.rounding:.1e})"
