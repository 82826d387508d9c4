"""What further columns from the networks add to a stack: components of their embeddings, and their views."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.stacking.study import Study
from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import CLIP, Design
from level2_stack.evaluation.paired import compare
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.progress import say
from runtime.run_folder import Run
from runtime.tables import read_table

Floats = NDArray[np.float64]
COMPONENTS = (3, 8)  # numbers of principal components per network
TODAY = "today's columns"


def columns_study(run: Run, design: Design, recipe: Recipe) -> Study:
    """Return the stack's AUC with each kind of further columns, and its gain over today's columns.

    Components are of all train and test pictures of ``run``; no target takes part. The interval of a gain resamples
    patients. Raises InputFault if no network of the run has embeddings or views.
    """
    kinds: dict[str, Callable[[], Design]] = {TODAY: lambda: design}
    kinds |= {
        f"{count} components": lambda count=count: _with(design, components(run, design, count))  # type: ignore[misc]  # a default binds it
        for count in COMPONENTS
    }
    kinds["views"] = lambda: _with(design, views(run, design))
    scores = {}
    for name, make in kinds.items():
        wider = make()
        result = decide(wider, recipe, cross_validate(wider, recipe))
        scores[name] = result.probability.loc[design.train.index, result.headline].to_numpy(np.float64)
        say(f"columns: {name}: {wider.X.shape[1]} columns, done")
    table = compare(design.y, pd.DataFrame(scores), design.groups, pairs=[(name, TODAY) for name in kinds])
    brief = table[["model", "auc", "gain", "low", "high"]].rename(columns={"model": "columns"})
    return Study({"further columns": brief}, dict(zip(brief["columns"], brief["gain"].tolist(), strict=True)))


def components(run: Run, design: Design, count: int) -> pd.DataFrame:
    """Return the first ``count`` principal components of every network's standardised embeddings, per row."""
    tables = dict[str, Floats]()
    for name in _with_file(run, design, "embeddings.parquet"):
        points = read_table(run.level1 / name / "embeddings.parquet").loc[design.X.index].to_numpy(np.float64)
        values = make_pipeline(StandardScaler(), PCA(count, random_state=0)).fit_transform(points)
        tables |= {f"component.{name}_{number}": column for number, column in enumerate(values.T)}
    return pd.DataFrame(tables, index=design.X.index)


def views(run: Run, design: Design) -> pd.DataFrame:
    """Return the largest, smallest and median logit over the views of every network, and that of its first view."""
    tables = dict[str, pd.Series]()
    for name in _with_file(run, design, "views.parquet"):
        logits = read_table(run.level1 / name / "views.parquet").loc[design.X.index].clip(CLIP, 1 - CLIP).apply(logit)
        statistics = {"max": logits.max(axis=1), "min": logits.min(axis=1), "median": logits.median(axis=1)}
        tables |= {f"view.{name}_{key}": value for key, value in {**statistics, "first": logits.iloc[:, 0]}.items()}
    return pd.DataFrame(tables, index=design.X.index)


def _with_file(run: Run, design: Design, file: str) -> Sequence[str]:
    names = [name for name in design.networks if (run.level1 / name / file).is_file()]
    if not names:
        raise InputFault(f"{run.level1}: no network has {file}; name a run whose networks were trained here")
    return names


def _with(design: Design, columns: pd.DataFrame) -> Design:
    return replace(design, X=pd.concat([design.X, columns], axis=1))
