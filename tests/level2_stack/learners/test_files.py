"""Tests of saving and loading every learner: what was loaded predicts the same, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from level2_stack import learners
from level2_stack.learner_contract import HasStages, Predict
from level2_stack.learners import ridge
from runtime.errors import InputFault

ROWS = 240


def table(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(
        {
            "logit.a": rng.normal(0, 2, rows),
            "logit.b": rng.normal(-1, 1, rows),
            "metadata.age": rng.integers(20, 90, rows).astype(float),
            "pictures.flat": np.ones(rows),
            "pictures.gone": np.full(rows, np.nan),
            "metadata.sex": rng.choice(["female", "male"], rows),
            "metadata.site": rng.choice(["torso", "leg", "arm"], rows),
        },
        index=pd.Index([f"c{number:03}" for number in range(rows)], name="image_name"),
    )
    X.loc[X.index[::7], "logit.b"] = np.nan
    X.loc[X.index[::5], "metadata.age"] = np.nan
    X.loc[X.index[::9], "metadata.sex"] = np.nan
    return X.astype({"metadata.sex": "category", "metadata.site": "category"})


def strangers() -> pd.DataFrame:
    """Return rows unlike the training rows: far logits, gaps everywhere, categories that nobody has seen."""
    X = table(1, 6).astype({"metadata.sex": object, "metadata.site": object})
    X.iloc[0, :2] = [60.0, -70.0]
    X.iloc[1] = np.nan
    X.iloc[2, 6] = "sole"
    return X.astype({"metadata.sex": "category", "metadata.site": "category"})


def fitted(name: str, folder: Path) -> tuple[Predict, Predict, pd.DataFrame]:
    learner, X = learners.find(name), table()
    if learner.USES == "logits":
        X = X.filter(regex="^logit")
    y = (np.random.default_rng(2).random(ROWS) < 1 / (1 + np.exp(-X["logit.a"]))).to_numpy(float)
    params = learner.Params(**({"rounds": 30} if "rounds" in learner.Params.model_fields else {}))
    made = learner.fit(params, X, y, groups=np.arange(ROWS).astype(str).astype(object), seed=3)
    learner.save(made, folder)
    return made, learner.load(folder), X


@pytest.mark.parametrize("name", learners.names())
def test_a_loaded_learner_predicts_to_the_last_bit_what_the_fitted_one_does(name: str, tmp_path: Path) -> None:
    made, loaded, X = fitted(name, tmp_path)
    for rows in (X, X.iloc[:1], strangers()[X.columns]):
        np.testing.assert_array_equal(loaded(rows), made(rows))
        if isinstance(made, HasStages):
            assert isinstance(loaded, HasStages)
            np.testing.assert_array_equal(loaded.stages(rows), made.stages(rows))
        if hasattr(made, "contributions"):
            np.testing.assert_array_equal(loaded.contributions(rows, 1.0), made.contributions(rows, 1.0))
    for told in ("weights", "importance"):
        assert hasattr(loaded, told) == hasattr(made, told)
        assert getattr(loaded, told, {}) == pytest.approx(getattr(made, told, {}), rel=1e-9)


@pytest.mark.parametrize("name", learners.names())
def test_another_learner_s_folder_and_an_empty_one_are_refused(name: str, tmp_path: Path) -> None:
    other = "mean" if name != "mean" else "rank_mean"
    fitted(other, tmp_path / "other")
    with pytest.raises(InputFault, match=f"holds the learner '{other}'; expected '{name}'"):
        learners.find(name).load(tmp_path / "other")
    with pytest.raises(InputFault, match="no such file"):
        learners.find(name).load(tmp_path)


@pytest.mark.parametrize("name", ["lgbm", "xgb", "catboost", "rank_mean", "caruana"])
def test_a_damaged_model_is_named(name: str, tmp_path: Path) -> None:
    fitted(name, tmp_path)
    (path,) = (path for path in tmp_path.iterdir() if path.name != "learner.json")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputFault, match=path.name):
        learners.find(name).load(tmp_path)


def test_the_constants_of_ridge_prepare_as_scikit_learn_does() -> None:
    X, y = table(), np.arange(ROWS) % 2.0
    fitted = ridge.fit(ridge.Params(knots=6), X, y, groups=np.arange(ROWS).astype(object), seed=0)
    for rows in (X, ridge.match_columns(strangers(), X)):
        np.testing.assert_allclose(
            fitted.prepared.columns(rows), by_scikit_learn(X).transform(rows), rtol=1e-12, atol=1e-12
        )
    assert len(fitted.prepared.sources()) == fitted.prepared.columns(X).shape[1]


def by_scikit_learn(X: pd.DataFrame) -> ColumnTransformer:
    """Return what makes standardised numbers, gaps, splines of logits and categories of all columns at once."""
    texts = ["metadata.sex", "metadata.site"]
    spline = SplineTransformer(6, extrapolation="linear", include_bias=False)
    filled, marked = (
        SimpleImputer(strategy="median", add_indicator=gaps, keep_empty_features=True) for gaps in (False, True)
    )
    coder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(marked, StandardScaler()), [name for name in X if name not in texts]),
            ("logits", make_pipeline(filled, spline, StandardScaler()), ["logit.a", "logit.b"]),
            ("texts", make_pipeline(coder, StandardScaler()), texts),
        ]
    ).fit(X)
