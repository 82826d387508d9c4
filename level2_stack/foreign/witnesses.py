"""Predictions whose rows are in order: of the networks trained in the run, and of a small model of the metadata."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from features.blocks.metadata import NOT_METADATA
from features.folder.layout import LABEL_COLUMNS
from level2_stack.foreign.row_order import Candidate
from runtime.run_folder import Run
from runtime.tables import read_table

TABLE = "predictions.parquet"
MOST_VALUES = 20  # of a text column; those of a rarer value count as missing
MODEL = "a model of the metadata"


def own_witnesses(run: Run, names: Collection[str]) -> list[Candidate]:
    """Return the predictions of the networks ``names``, which were trained in ``run``, per role of the cases."""
    roles = run.read_cases()["role"]
    tables = {name: read_table(run.level1 / name / TABLE, ["probability"]) for name in names}
    return [_witness(name, table["probability"], roles) for name, table in tables.items()]


def metadata_witness(cases: pd.DataFrame) -> Candidate | None:
    """Return what a logistic regression on the metadata predicts, out of fold for train cases; None without metadata.

    Its folds are those of ``cases``, and its test predictions are those of a fit to all train cases.
    """
    design, is_train = _design(cases), (cases["role"] == "train").to_numpy()
    is_test = (cases["role"] == "test").to_numpy()
    target, folds = cases.loc[is_train, "target"], cases.loc[is_train, "fold"]
    if design.empty or target.nunique() < 2 or folds.nunique() < 2 or folds.groupby(target).nunique().min() < 2:
        return None
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    train = cross_val_predict(
        model, design[is_train], target, cv=PredefinedSplit(folds.to_numpy()), method="predict_proba"
    )
    scores = pd.Series(np.nan, index=cases.index)
    scores[is_train] = train[:, 1]
    scores[is_test] = model.fit(design[is_train], target).predict_proba(design[is_test])[:, 1]
    return _witness(MODEL, scores, cases["role"])


def _design(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the metadata as numbers: numeric columns with their squares, and a column per frequent text."""
    own = {"role", "fold", "target", *NOT_METADATA, *LABEL_COLUMNS}
    parts = []
    for name in [name for name in cases if name not in own and cases[name].notna().any()]:
        column = cases[name]
        if types.is_numeric_dtype(column):
            numbers = column.astype(float).fillna(column.astype(float).median())
            parts.append(pd.DataFrame({name: numbers, f"{name}^2": numbers**2}))
        else:
            frequent = column.value_counts().index[:MOST_VALUES]
            parts.append(pd.get_dummies(column.where(column.isin(frequent)), prefix=str(name), dtype=float))
    return pd.concat(parts, axis=1) if parts else pd.DataFrame(index=cases.index)


def _witness(name: str, scores: pd.Series, roles: pd.Series) -> Candidate:
    scores = scores.reindex(roles.index)
    return Candidate(name, {role: pd.DataFrame({"score": scores[roles == role]}) for role in ("train", "test")})
