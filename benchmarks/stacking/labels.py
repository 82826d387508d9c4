"""Invert random labels of a finished run, fit heads and stack to them again, and count which of them are candidates."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.stacking.study import Study
from level2_stack.explain.explanations import read_decisions
from level2_stack.outlook.label_errors import label_candidates, wrong_probability
from level2_stack.outlook.refit import FrozenStack, Part
from level2_stack.recipe import recipe_of_stack
from level2_stack.stacking import read_predictions, unfiltered_design
from melstack.next_steps.heads import has_head, head_scores
from runtime.files import read_json
from runtime.run_folder import Run

FIRST = 24  # candidates that the run page shows


def label_study(run: Run, recipe: str, share: float, seeds: Sequence[int]) -> Study:
    """Return a row per seed: how many of the inverted labels are among the candidates, and the precision of the first.

    Heads of frozen networks and the stack are fitted to the inverted labels; other networks keep their predictions.
    ``expected`` is the precision that Bayes' rule predicts for the first candidates at the true share.
    """
    rows = [_trial(run, recipe, share, seed) for seed in seeds]
    table = pd.DataFrame(rows)
    means = table.drop(columns="seed").mean()
    return Study({"inverted labels": table}, {f"mean_{name}": float(value) for name, value in means.items()})


def _trial(run: Run, recipe: str, share: float, seed: int) -> dict[str, float]:
    cases = run.read_cases().copy()
    is_train = (cases["role"] == "train").to_numpy()
    names = cases.index[is_train]
    wrong = np.random.default_rng(seed).choice(names, round(share * len(names)), replace=False)
    cases.loc[wrong, "target"] = 1 - cases.loc[wrong, "target"]
    train = cases[is_train]
    y, folds = train["target"].to_numpy(np.float64), train["fold"].to_numpy(np.int64)
    probability, networks = _scores(run, recipe, cases, train)
    table = label_candidates(names, y, folds, probability, networks)
    is_wrong = table["image_name"].isin(wrong).to_numpy()
    expected = pd.Series(wrong_probability(y, probability, share), index=names)[table["image_name"]].to_numpy()
    count = len(wrong)
    return {
        "seed": seed,
        "inverted": count,
        "candidates": len(table),
        "precision": is_wrong.mean(),
        "recall": is_wrong.sum() / count,
        "precision_of_first": is_wrong[:FIRST].mean(),
        "expected_of_first": expected[:FIRST].mean(),
        "recall_at_inverted": is_wrong[:count].sum() / count,
        "by_chance": share,
    }


def _scores(run: Run, recipe: str, cases: pd.DataFrame, train: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the out-of-fold probabilities of the stack (n,) and its networks (n, k), by fits to ``cases``."""
    content = read_json(run.level2 / recipe / "decisions.json")
    decisions, settings = read_decisions(content), recipe_of_stack(content)
    predictions = read_predictions(run, settings.networks)
    for name in predictions:
        if has_head(run, name):
            ((_, logits),) = head_scores(run, name, train, [Part()])
            predictions[name] = predictions[name].copy()
            predictions[name].loc[train.index, "probability"] = expit(logits)
    design = unfiltered_design(run, settings, cases, predictions)
    design = design.without(set(design.X.columns) - set(decisions.columns))
    stack = FrozenStack(settings, decisions).scores(design, [Part()])[:, 0]
    networks = {name: table["probability"].loc[train.index] for name, table in predictions.items()}
    order = design.train.index.get_indexer(train.index)
    return expit(stack[order]), pd.DataFrame(networks)
