"""Build the design that level two will have, before level one is done: random numbers replace missing tables."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from features import blocks
from features.blocks import Sources, build_block
from features.pictures.statistics.picture import picture_statistics
from level2_stack.design.assemble import Design, assemble
from level2_stack.recipe import Recipe
from runtime.run_folder import Run
from runtime.tables import read_table

# Gives random predictions an AUC of 0.85, so that fits on them take as long as on real ones.
SIGNAL = 1.5
EMBEDDING_COLUMNS = 8  # of random embeddings; a block's number of columns does not depend on it


def expected_design(run: Run, recipe: Recipe, new_networks: Sequence[str], foreign: Sequence[str]) -> Design:
    """Return a design with the rows, columns and types that ``recipe`` will have over ``run``.

    The ``new_networks`` will be trained on pictures, the ``foreign`` ones imported. Tables of finished networks and
    computed blocks are used as they are; predictions and embeddings that are missing are random.
    """
    cases = run.read_cases()
    cases = cases[cases["role"].isin(["train", "test"])]
    predictions = {name: read_table(run.level1 / name / "predictions.parquet") for name in run.networks()}
    for number, name in enumerate(name for name in [*new_networks, *foreign] if name not in predictions):
        predictions[name] = _random_predictions(cases, number)
    tables = _block_tables(run, recipe, cases, [*new_networks, *run.embeddings()])
    return assemble(cases, predictions, tables, recipe, {name: blocks.find(name).ACQUISITION for name in tables})


def _random_predictions(cases: pd.DataFrame, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    target = cases["target"].fillna(0).to_numpy(dtype=np.float64)
    probability = expit(SIGNAL * target - 3 + random.normal(size=len(cases)))
    return pd.DataFrame({"probability": probability, "spread": random.random(len(cases)) / 10}, index=cases.index)


def _block_tables(run: Run, recipe: Recipe, cases: pd.DataFrame, models: Sequence[str]) -> dict[str, pd.DataFrame]:
    sources = _sources(run, cases, models)
    tables = {}
    for name in recipe.blocks:
        path = run.blocks / f"{name}.parquet"
        if path.is_file() and set(cases.index) <= set((table := read_table(path)).index):
            tables[name] = table
        elif not blocks.missing_needs(name, sources):
            tables[name] = build_block(name, cases, sources)
    return tables


def _sources(run: Run, cases: pd.DataFrame, models: Sequence[str]) -> Sources:
    random = np.random.default_rng(0)
    statistics = None
    if "picture" in cases and cases["picture"].notna().all():
        names = list(picture_statistics(np.zeros((64, 64, 3), np.uint8)))
        statistics = pd.DataFrame(random.random((len(cases), len(names))), cases.index, names)
    names = [f"e{number:04d}" for number in range(EMBEDDING_COLUMNS)]
    embeddings = pd.DataFrame(random.normal(size=(len(cases), EMBEDDING_COLUMNS)), cases.index, names)
    return Sources(statistics, {name: lambda: embeddings for name in dict.fromkeys(models)})
