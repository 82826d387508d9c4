"""Predictions whose rows are in order: of networks trained in the run, and what metadata say of a network's scores."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from threadpoolctl import threadpool_limits

from features.blocks.metadata import NOT_METADATA
from features.folder.layout import LABEL_COLUMNS
from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.relation import LEAST_ROWS
from runtime.run_folder import Run
from runtime.tables import read_table

TABLE = "predictions.parquet"
SIZES = ("width", "height")  # of a picture: no metadata for level two, but they say which row belongs to which case
FOLDS = 3
MOST_FACTS = 300  # columns of a model of them; of more, those that are correlated most with its target
METADATA, STATISTICS = "a model of the metadata", "a model of the metadata and picture statistics"


def own_witnesses(run: Run, names: Collection[str]) -> list[Candidate]:
    """Return the predictions of the networks ``names``, which were trained in ``run``, per role of the cases."""
    roles = run.read_cases()["role"]
    tables = {name: read_table(run.level1 / name / TABLE, ["probability"]) for name in names}
    return [_witness(name, table["probability"], roles) for name, table in tables.items()]


def picture_statistics(run: Run) -> pd.DataFrame | None:
    """Return the statistics of the run's pictures, one row per case; None before they are measured."""
    return read_table(run.statistics) if run.has_statistics() else None


def facts_of(cases: pd.DataFrame, statistics: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return what is a fact about each case, as numbers: metadata, size of the picture, statistics; never the target.

    Texts become numbers by their frequency, so that rare ones are together.
    """
    own = {"role", "fold", "target", *NOT_METADATA, *LABEL_COLUMNS} - set(SIZES)
    names = [name for name in cases if name not in own and cases[name].notna().any()]
    facts = pd.DataFrame({name: _numbers(cases[name]) for name in names}, index=cases.index)
    if statistics is None:
        return facts
    return facts.join(statistics.select_dtypes("number"), rsuffix=" of the picture")


def metadata_witness(
    network: Candidate, facts: pd.DataFrame, cases: pd.DataFrame, patients: pd.Series, name: str = METADATA
) -> Candidate | None:
    """Return what a small model of ``facts`` predicts of the network's scores; None if it cannot be fitted.

    The model learns the ranks of the out-of-fold scores, not the target: a network's scores have more in common with
    the facts than the diagnosis has. Train rows are predicted by models that saw other patients.
    """
    ranks = network.score("train").dropna().rank(pct=True)
    groups = patients[ranks.index]
    test = cases.index[cases["role"] == "test"]
    if facts.empty or len(ranks) < FOLDS * LEAST_ROWS or groups.nunique() < FOLDS:
        return None
    model = _model(facts.shape[1])
    with threadpool_limits(1):  # threads that wait for each other made these small fits five times slower
        oof = cross_val_predict(model, facts.loc[ranks.index], ranks, groups=groups, cv=GroupKFold(FOLDS))
        on_test = model.fit(facts.loc[ranks.index], ranks).predict(facts.loc[test])
    scores = pd.concat([pd.Series(oof, ranks.index), pd.Series(on_test, test)])
    return _witness(name, scores, cases["role"])


def _model(columns: int) -> HistGradientBoostingRegressor | Pipeline:
    model = HistGradientBoostingRegressor(max_iter=40, max_leaf_nodes=8, early_stopping=False, random_state=0)
    if columns <= MOST_FACTS:
        return model
    # A step of the model, so that the columns are chosen without the patients that are predicted.
    selection = SelectKBest(f_regression, k=MOST_FACTS)
    return make_pipeline(SimpleImputer(keep_empty_features=True), selection, model)


def _numbers(column: pd.Series) -> pd.Series:
    if types.is_numeric_dtype(column):
        return column.astype(np.float64)
    frequencies = column.value_counts()
    return column.map(pd.Series(np.arange(len(frequencies), dtype=np.float64), frequencies.index)).astype(np.float64)


def _witness(name: str, scores: pd.Series, roles: pd.Series) -> Candidate:
    scores = scores.reindex(roles.index)
    return Candidate(name, {role: pd.DataFrame({"score": scores[roles == role]}) for role in ("train", "test")})
