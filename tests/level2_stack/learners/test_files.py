"""Tests of saving and loading every learner: a loaded one predicts the same, and other or damaged files are refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

from level2_stack import learners
from level2_stack.learner_contract import HasStages, Predict, match_columns
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


def unusual_rows() -> pd.DataFrame:
    """Return rows unlike the training rows: extreme logits, a row without any value, an unknown category."""
    X = table(1, 6).astype({"metadata.sex": object, "metadata.site": object})
    X.iloc[0, :2] = [60.0, -70.0]
    X.iloc[1] = np.nan
    X.iloc[2, 6] = "sole"
    return X.astype({"metadata.sex": "category", "metadata.site": "category"})


def fit_and_load(name: str, folder: Path) -> tuple[Predict, Predict, pd.DataFrame]:
    """Return a fitted learner, the same after saving and loading it, and its training rows."""
    learner, X = learners.find(name), table()
    if learner.USES == "logits":
        X = X.filter(regex="^logit")
    y = (np.random.default_rng(2).random(ROWS) < 1 / (1 + np.exp(-X["logit.a"]))).to_numpy(float)
    params = learner.Params(**({"rounds": 30} if "rounds" in learner.Params.model_fields else {}))
    fit = learner.fit(params, X, y, groups=np.arange(ROWS).astype(str).astype(object), seed=3)
    learner.save(fit, folder)
    return fit, learner.load(folder), X


@pytest.mark.parametrize("name", learners.names())
def test_a_loaded_learner_predicts_bitwise_what_the_fitted_one_does(name: str, tmp_path: Path) -> None:
    fit, copy, X = fit_and_load(name, tmp_path)
    for rows in (X, X.iloc[:1], unusual_rows()[X.columns]):
        np.testing.assert_array_equal(copy(rows), fit(rows))
        if isinstance(fit, HasStages):
            assert isinstance(copy, HasStages)
            np.testing.assert_array_equal(copy.stages(rows), fit.stages(rows))
        if hasattr(fit, "contributions"):
            np.testing.assert_array_equal(copy.contributions(rows, 1.0), fit.contributions(rows, 1.0))
    for attribute in ("weights", "importance"):
        assert hasattr(copy, attribute) == hasattr(fit, attribute)
        assert getattr(copy, attribute, {}) == pytest.approx(getattr(fit, attribute, {}), rel=1e-9)


@pytest.mark.parametrize("name", learners.names())
def test_the_folder_of_another_learner_and_an_empty_one_are_refused(name: str, tmp_path: Path) -> None:
    other = "mean" if name != "mean" else "rank_mean"
    fit_and_load(other, tmp_path / "other")
    with pytest.raises(InputFault, match=f"holds the learner '{other}'; expected '{name}'"):
        learners.find(name).load(tmp_path / "other")
    with pytest.raises(InputFault, match="no such file"):
        learners.find(name).load(tmp_path)


@pytest.mark.parametrize("name", ["lgbm", "xgb", "catboost", "rank_mean", "caruana"])
def test_a_damaged_model_is_refused_by_its_file_name(name: str, tmp_path: Path) -> None:
    fit_and_load(name, tmp_path)
    (path,) = (path for path in tmp_path.iterdir() if path.name != "learner.json")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputFault, match=path.name):
        learners.find(name).load(tmp_path)


def test_ridge_encodes_columns_as_scikit_learn_does() -> None:
    X, y = table(), np.arange(ROWS) % 2.0
    regression = ridge.fit(ridge.Params(knots=6), X, y, groups=np.arange(ROWS).astype(object), seed=0)
    for rows in (X, match_columns(unusual_rows(), X)):
        np.testing.assert_allclose(
            regression.encoder.columns(rows), by_scikit_learn(X).transform(rows), rtol=1e-12, atol=1e-12
        )
    assert len(regression.encoder.sources()) == regression.encoder.columns(X).shape[1]


def by_scikit_learn(X: pd.DataFrame) -> ColumnTransformer:
    """Return the same encoding by scikit-learn: standardised numbers, indicators, splines of logits and categories."""
    texts = ["metadata.sex", "metadata.site"]
    spline = SplineTransformer(6, extrapolation="linear", include_bias=False)
    imputer, indicator_imputer = (
        SimpleImputer(strategy="median", add_indicator=gaps, keep_empty_features=True) for gaps in (False, True)
    )
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(indicator_imputer, StandardScaler()), [name for name in X if name not in texts]),
            ("logits", make_pipeline(imputer, spline, StandardScaler()), ["logit.a", "logit.b"]),
            ("texts", make_pipeline(encoder, StandardScaler()), texts),
        ]
    ).fit(X)
