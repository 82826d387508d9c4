"""The leak study: a column that leaks the target is added, and the ablation must name it."""

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

LEAK_COLUMN = "metadata.planted"


def add_leak(design: Design, strength: float, seed: int) -> Design:
    """Return ``design`` with one more column of metadata: the target plus normal noise.

    The noise is such that the column alone has the AUC ``strength`` in (0.5, 1): with standard deviation s the AUC is
    Phi(1 / (s sqrt 2)). The column is empty for test rows, since a leak is not known before the diagnosis. Raises
    InputFault for any other strength.
    """
    if not 0.5 < strength < 1:
        raise InputFault(f"strength {strength}: the AUC of the leaking column must be between 0.5 and 1, such as 0.95")
    noise = 1 / (np.sqrt(2) * norm.ppf(strength))
    column = np.full(len(design.X), np.nan)
    column[: len(design.y)] = design.y + noise * np.random.default_rng(seed).normal(size=len(design.y))
    return Design(
        design.X.assign(**{LEAK_COLUMN: column}), design.y, design.folds, design.groups, design.missing_blocks
    )


def leak_study(design: Design, recipe: Recipe, strengths: Sequence[float], seed: int = 0) -> Study:
    """Return the leading booster's AUC and the ablation's warnings for a leak of each of ``strengths``.

    The first row is the unchanged design. Raises InputFault when no learner of ``recipe`` uses all columns.
    """
    recipe, leading = with_leading_booster(recipe)
    networks = design.train.filter(regex=r"^logit\.")
    best = max(auc(design.y[rows], networks[name][rows].to_numpy()) for name, rows in networks.notna().items())
    designs = {None: design} | {strength: add_leak(design, strength, seed) for strength in strengths}
    rows, sentences = [], []
    for strength, variant in designs.items():
        cross_validation = cross_validate(variant, recipe)
        ablation_table = ablation.ablate(variant, recipe, cross_validation)
        warnings = [sentence for sentence in ablation.describe_losses(ablation_table, best) if "may leak" in sentence]
        is_named = any(LEAK_COLUMN in warning for warning in warnings)
        row = _row(strength, variant, cross_validation, ablation_table, leading)
        rows.append(row | {"named": is_named, "warnings": len(warnings)})
        sentences += [f"{_title(strength)}: {text}" for text in warnings or ["no column is named"]]
        say(f"leak: {_title(strength)}: done")
    table = pd.DataFrame(rows)
    figures = {
        "best_network": best,
        "planted": len(strengths),
        "stronger_than_best_network": int((table["planted_auc"] > best).sum()),
        "named": int(table["named"].sum()),
    }
    return Study({f"a planted leak, {leading}": table}, figures, sentences)


def with_leading_booster(recipe: Recipe) -> tuple[Recipe, str]:
    """Return ``recipe`` with its leading booster only, and the booster's name; raise InputFault without a booster."""
    leading = ablation.leading_booster(recipe)
    if leading is None:
        raise InputFault(f"learners = {recipe.learners}: none uses all columns, as the ablation needs; add 'lgbm'")
    return recipe.model_copy(update={"learners": [leading], "blend": [leading], "submit": leading}), leading


def _row(
    strength: float | None,
    design: Design,
    cross_validation: CrossValidation,
    ablation_table: pd.DataFrame,
    leading: str,
) -> dict[str, object]:
    metadata = ablation_table.loc["metadata"]
    alone = auc(design.y, design.train[LEAK_COLUMN].to_numpy()) if strength is not None else float("nan")
    return {
        "strength": float("nan") if strength is None else strength,
        "planted_auc": alone,
        "auc": auc(design.y, cross_validation.scores[leading].outer(cross_validation.folds)),
        "without_metadata": float(metadata["auc_without"]),
        "loss": float(metadata["loss"]),
        "low": float(metadata["low"]),
        "high": float(metadata["high"]),
        "strongest": str(metadata["strongest"]),
    }


def _title(strength: float | None) -> str:
    return "unchanged design" if strength is None else f"strength {strength}"
