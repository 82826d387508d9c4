"""Explain a finished stack: what every column adds to the log odds of every case, out-of-fold and test."""

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
from level2_stack.crossval.cluster import open_workers
from level2_stack.crossval.fits import Table, Workers, build_table
from level2_stack.crossval.nested import TunedParams
from level2_stack.design.assemble import Design
from level2_stack.explain.fits import Member, MemberScores, exact_split, members_of, rounding, score_folds, tasks_of
from level2_stack.explain.scales import Floats, Split, apply_function, mean_probability, weighted_sum
from level2_stack.finished import stack_digest
from level2_stack.recipe import BLEND, Recipe, recipe_of_stack
from level2_stack.stacking import rebuild_design
from runtime.errors import InputFault, list_names
from runtime.files import read_json, write_json
from runtime.invocation import command
from runtime.progress import say, track
from runtime.run_folder import Run
from runtime.tables import read_table, write_table

BASE = "base"
LIMIT = 1e-6  # log odds: if refitted models differ by more from the stored stack, their inputs differ
NETWORKS, PATIENT, ACQUISITION, STATISTICS = "networks", "patient-relative", "acquisition", "picture statistics"
FAMILY_OF = {
    "logit": NETWORKS,
    "spread": NETWORKS,
    "patient": PATIENT,
    "ugly_duckling": PATIENT,
    "pictures": STATISTICS,
} | dict.fromkeys(CONTRASTS, "contrasts")
WITHIN_PATIENT = "_z"  # ending of the names of picture statistics that are compared within the patient


@dataclass(frozen=True)
class StackDecisions:
    """The content of a finished stack's decisions.json that is needed to refit its outer models."""

    submitted: str
    columns: list[str]  # of the design
    members: list[str]
    rounds: Mapping[str, Sequence[float]]
    weights: NDArray[np.float64]  # (folds, members)
    calibrators: list[calibrate.Calibrator]  # of the submitted model, one per outer fold
    tuned_params: TunedParams
    prevalence: float | None


@dataclass(frozen=True)
class Explanations:
    """The explanations of a stack: ``table`` has a row per case, and columns ``base`` and one per column of the design.

    The values of a row add up to its ``log_odds``.

    ``rounding`` is the largest difference between a fit's score and the sum of its parts, in log odds, before this
    difference was added to the parts.
    """

    table: pd.DataFrame
    log_odds: Floats
    rounding: float

    @property
    def error(self) -> float:
        """Return the largest difference between the sum of a row and its log odds."""
        return float(np.abs(self.table.sum(axis=1).to_numpy() - self.log_odds).max(initial=0.0))


def make_explanations(run: Run, folder: Path, cluster: str | None = None) -> None:
    """Write explanations.parquet and explanations.json into ``folder``, level2/<recipe> of a finished stack.

    Raises InputFault when the stack is not finished, or when its refitted models give other probabilities.
    """
    for name in ("decisions.json", "predictions.parquet"):
        if not (folder / name).is_file():
            raise InputFault(f"{folder}: no {name}; {command('stack')} writes it")
    content = read_json(folder / "decisions.json")
    decisions, recipe = read_decisions(content), recipe_of_stack(content)
    design = rebuild_design(run, recipe, decisions.columns)
    probability = read_table(folder / "predictions.parquet")["probability"]
    with open_workers(cluster, run.folder) as processes:
        explanations = explain(design, recipe, decisions, probability, str(folder), processes=processes)
    write_table(folder / "explanations.parquet", explanations.table)
    acquisition = {name: blocks.find(name).ACQUISITION for name in recipe.blocks}
    out_of_fold = explanations.table.loc[design.train.index].drop(columns=BASE)
    facts = {
        "stack": stack_digest(folder),
        "explains": decisions.submitted,
        "additivity_error": explanations.error,
        "rounding": explanations.rounding,
        "rows": "training cases, out of fold",
    }
    write_json(folder / "explanations.json", facts | summary(out_of_fold, acquisition))
    say(
        f"explanations of {decisions.submitted}: {folder / 'explanations.parquet'}, adding up to its log odds within "
        f"{explanations.error:.1e} (rounding added to the parts: {explanations.rounding:.1e})"
    )


def explain(
    design: Design,
    recipe: Recipe,
    decisions: StackDecisions,
    probability: pd.Series,
    where: str = "level two",
    *,
    processes: Workers | None = None,
) -> Explanations:
    """Return what every column of ``design`` adds to the log odds of the submitted probabilities, ``probability``.

    The outer models are refitted; a training case is explained by those that left out its fold, which also scored it.
    Each learner's logit is split exactly: trees by their SHAP values, linear models by their terms, all others by
    hiding columns. The mean over seeds and the blend are linear in logits, so their splits are weighted sums. The
    calibration of a fold multiplies all parts of a case by one slope (``scales.apply_function``; Platt's slope is the
    same for all cases). For a test case, the mean probability over the folds is split in the same way. The base is the
    score with all parts 0, in log odds: the same for all training cases of a fold, and for all test cases. Raises
    InputFault, which names ``where``, if the log odds of the refitted models differ from those of ``probability``.
    """
    table = build_table(design)
    members = members_of(recipe, decisions.members, decisions.rounds)
    with threadpool_limits(1, user_api="blas"):
        train, test, largest_rounding = _splits_by_fold(table, recipe, decisions, members, processes)
    whole = Split(np.zeros((len(table.X), table.X.shape[1])), np.zeros(len(table.X)))
    for fold, split in enumerate(train):
        own = np.flatnonzero(table.folds == fold)
        whole.parts[own], whole.base[own] = split.parts, split.base
    if len(design.test):
        mean = mean_probability(test)
        whole.parts[len(table.y) :], whole.base[len(table.y) :] = mean.parts, mean.base
    log_odds = logit(probability.loc[design.X.index].to_numpy(dtype=np.float64))
    _check_log_odds(whole.total, log_odds, design.X.index, where)
    frame = pd.DataFrame(whole.parts, index=design.X.index, columns=design.X.columns).assign(**{BASE: whole.base})
    return Explanations(frame, log_odds, largest_rounding)


def read_decisions(values: Mapping[str, Any]) -> StackDecisions:
    """Return the part of a finished stack's decisions.json ``values`` that its submitted scores depend on."""
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
        tuned_params={_study(text): _params(text, params) for text, params in values["tuned"].items()},
        prevalence=values["recipe"]["calibration"]["prevalence"],
    )


def family(column: str, acquisition: Mapping[str, Collection[str]]) -> str:
    """Return the family of a column of the design; the ``acquisition`` columns of all blocks form one family.

    The other families: networks (logits, spreads), contrasts of logits within the patient, patient-relative (the
    patient's counts and ages, ugly ducklings, statistics within the patient), picture statistics; any other block is a
    family of its own.
    """
    prefix, _, name = column.partition(".")
    if name in acquisition.get(prefix, ()):
        return ACQUISITION
    if prefix == "pictures" and name.endswith(WITHIN_PATIENT):
        return PATIENT
    return FAMILY_OF.get(prefix, prefix)


def summary(parts: pd.DataFrame, acquisition: Mapping[str, Collection[str]]) -> dict[str, Any]:
    """Return, as JSON values, the mean absolute value of every column of ``parts`` (log odds) and each family's share.

    Columns and families are sorted from the largest to the smallest; the shares add up to 1.
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


def _splits_by_fold(
    table: Table, recipe: Recipe, decisions: StackDecisions, members: list[Member], processes: Workers | None
) -> tuple[list[Split], list[Split], float]:
    """Return per fold the calibrated splits of its own rows and of the test rows, and the largest rounding."""
    folds = len(decisions.calibrators)
    tasks = tasks_of(members, recipe, decisions.tuned_params, folds)
    train, test, largest_rounding = list[Split](), list[Split](), 0.0
    scores = score_folds(tasks, members, table, processes)
    with_progress = track(scores, "level two: explaining", folds * len(members), unit="model")
    for fold, of_fold in groupby(with_progress, key=itemgetter(0)):
        by_member = [each for _, _, each in of_fold]
        largest_rounding = max(largest_rounding, *map(rounding, by_member))
        split = _calibrated_split(by_member, table, recipe, decisions, fold)
        own = int((table.folds == fold).sum())
        train.append(Split(split.parts[:own], split.base[:own]))
        test.append(Split(split.parts[own:], split.base[own:]))
    return train, test, largest_rounding


def _calibrated_split(
    by_member: list[MemberScores], table: Table, recipe: Recipe, decisions: StackDecisions, fold: int
) -> Split:
    """Return the split of the calibrated blend of all members in ``fold``."""
    blend = weighted_sum([exact_split(each) for each in by_member], list(decisions.weights[fold]))
    training_share = float(table.y[table.folds != fold].mean())
    prevalence = recipe.calibration.prevalence
    function = calibrate.calibrated_log_odds(decisions.calibrators[fold], training_share, prevalence)
    return apply_function(blend, function)


def _check_log_odds(total: Floats, log_odds: Floats, index: pd.Index, where: str) -> None:
    differing = ~(np.abs(total - log_odds) < LIMIT)
    if differing.any():
        raise InputFault(
            f"{where}: the refitted models give other probabilities than predictions.parquet for "
            f"{list_names(index[differing])}; tables, recipe or libraries have changed since the stack was made; "
            f"{command('stack')} makes it again"
        )


def _calibrator(values: Mapping[str, Any]) -> calibrate.Calibrator:
    return calibrate.from_parameters(values["name"], {k: v for k, v in values.items() if k not in ("name", "log_loss")})


def _study(text: str) -> tuple[str, int]:
    learner, _, fold = text.partition(", fold ")
    return learner, int(fold)


def _params(text: str, values: Mapping[str, Any]) -> Any:  # noqa: ANN401  the learner's own Params
    return learners.find(_study(text)[0]).Params.model_validate(dict(values))
