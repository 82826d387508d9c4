"""The design that level two will have before level one is done: what is there as it is, the rest drawn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from features import blocks
from features.blocks import Sources, build_block
from features.pictures.statistics import picture_statistics
from level2_stack.design.assemble import Design, assemble
from level2_stack.recipe import Recipe
from runtime.run_folder import Run
from runtime.tables import read_table

# A network of AUC 0.85: trees grow on its logits as they do on those of real ones.
SIGNAL = 1.5
DRAWN_FEATURES = 8  # of drawn embeddings: blocks make as many columns of them as of real ones


def expected_design(run: Run, recipe: Recipe, planned: Sequence[str], foreign: Sequence[str]) -> Design:
    """Return a design of the shape, types and rows that ``recipe`` will have over ``run``.

    ``planned`` networks will be trained from pictures, ``foreign`` ones brought in; those that are finished, and every
    block that is computed, are taken as they are.
    """
    cases = run.read_cases()
    cases = cases[cases["role"].isin(["train", "test"])]
    finished = {name: run.level1 / name / "predictions.parquet" for name in run.networks()}
    predictions = {name: read_table(path) for name, path in finished.items()}
    for number, name in enumerate(name for name in [*planned, *foreign] if name not in predictions):
        predictions[name] = _drawn_predictions(cases, number)
    tables = _block_tables(run, recipe, cases, [*planned, *run.embeddings()])
    return assemble(cases, predictions, tables, recipe, {name: blocks.find(name).ACQUISITION for name in tables})


def _drawn_predictions(cases: pd.DataFrame, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    target = cases["target"].fillna(0).to_numpy(dtype=np.float64)
    probability = expit(SIGNAL * target - 3 + random.normal(size=len(cases)))
    return pd.DataFrame({"probability": probability, "spread": random.random(len(cases)) / 10}, index=cases.index)


def _block_tables(run: Run, recipe: Recipe, cases: pd.DataFrame, models: Sequence[str]) -> dict[str, pd.DataFrame]:
    sources = _sources(run, cases, models)
    found = {}
    for name in recipe.blocks:
        path = run.blocks / f"{name}.parquet"
        if path.is_file() and set(cases.index) <= set((table := read_table(path)).index):
            found[name] = table
        elif not blocks.missing_needs(name, sources):
            found[name] = build_block(name, cases, sources)
    return found


def _sources(run: Run, cases: pd.DataFrame, models: Sequence[str]) -> Sources:
    random = np.random.default_rng(0)
    statistics = None
    if "picture" in cases and cases["picture"].notna().all():
        names = list(picture_statistics(np.zeros((64, 64, 3), np.uint8)))
        statistics = pd.DataFrame(random.random((len(cases), len(names))), cases.index, names)
    drawn = pd.DataFrame(
        random.normal(size=(len(cases), DRAWN_FEATURES)), cases.index, [f"e{n:04d}" for n in range(DRAWN_FEATURES)]
    )
    return Sources(statistics, {name: lambda: drawn for name in dict.fromkeys(models)})
