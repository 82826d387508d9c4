"""The leak study: a column that knows the target is planted, and the ablation has to name it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from benchmarks.stacking.study import Study
from level2_stack.crossval import ablation
from level2_stack.crossval.nested import CrossValidation, cross_validate
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.progress import say

PLANTED = "metadata.planted"


def planted(design: Design, strength: float, seed: int) -> Design:
    """Return ``design`` with one more column of metadata: the target plus normal noise.

    The noise is such that the column alone has the AUC ``strength`` in (0.5, 1): with standard deviation s it is
    Phi(1 / (s sqrt 2)). Test rows lack the column: what leaks is not known before the diagnosis. Raises InputFault for
    another strength.
    """
    if not 0.5 < strength < 1:
        raise InputFault(
            f"strength {strength}: the AUC of the planted column; must lie between 0.5 and 1, such as 0.95"
        )
    noise = 1 / (np.sqrt(2) * norm.ppf(strength))
    column = np.full(len(design.X), np.nan)
    column[: len(design.y)] = design.y + noise * np.random.default_rng(seed).normal(size=len(design.y))
    return Design(design.X.assign(**{PLANTED: column}), design.y, design.folds, design.groups, design.missing_blocks)


def leak_study(design: Design, recipe: Recipe, strengths: Sequence[float], seed: int = 0) -> Study:
    """Return what the leading booster of ``recipe`` makes of a leak of each of ``strengths``, and what ablation says.

    The first row is the design as it is. Raises InputFault where no learner of the recipe uses all columns.
    """
    recipe, leading = led(recipe)
    networks = design.train.filter(regex=r"^logit\.")
    best = max(auc(design.y[known], networks[name][known].to_numpy()) for name, known in networks.notna().items())
    designs = {None: design} | {strength: planted(design, strength, seed) for strength in strengths}
    rows, said = [], []
    for strength, one in designs.items():
        found = cross_validate(one, recipe)
        ablated = ablation.ablate(one, recipe, found)
        accused = [sentence for sentence in ablation.sentences(ablated, best) if "may leak" in sentence]
        rows.append(_row(strength, one, found, ablated, leading) | {"named": _named(accused), "accused": len(accused)})
        said += [f"{_called(strength)}: {sentence}" for sentence in accused] or [f"{_called(strength)}: nothing named"]
        say(f"leak: {_called(strength)}: done")
    table = pd.DataFrame(rows)
    figures = {
        "best_network": best,
        "planted": len(strengths),
        "stronger_than_best_network": int((table["planted_auc"] > best).sum()),
        "named": int(table["named"].sum()),
    }
    return Study({f"a planted leak, {leading}": table}, figures, said)


def led(recipe: Recipe) -> tuple[Recipe, str]:
    """Return ``recipe`` with its leading booster alone, and that booster's name; InputFault where there is none."""
    leading = ablation.leading_booster(recipe)
    if leading is None:
        raise InputFault(f"learners = {recipe.learners}: none uses all columns, so no ablation could find a leak")
    return recipe.model_copy(update={"learners": [leading], "blend": [leading], "submit": leading}), leading


def _row(
    strength: float | None, design: Design, found: CrossValidation, ablated: pd.DataFrame, leading: str
) -> dict[str, object]:
    metadata = ablated.loc["metadata"]
    alone = auc(design.y, design.train[PLANTED].to_numpy()) if strength is not None else float("nan")
    return {
        "strength": float("nan") if strength is None else strength,
        "planted_auc": alone,
        "auc": auc(design.y, found.scores[leading].outer(found.folds)),
        "without_metadata": float(metadata["auc_without"]),
        "loss": float(metadata["loss"]),
        "low": float(metadata["low"]),
        "high": float(metadata["high"]),
        "strongest": str(metadata["strongest"]),
    }


def _named(accused: Sequence[str]) -> bool:
    return any(PLANTED in sentence for sentence in accused)


def _called(strength: float | None) -> str:
    return "as it is" if strength is None else f"strength {strength}"
