"""Tests for leaderboard.py: its rows and columns, and the gains that are printed."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from level2_stack.crossval.decide import decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.design.assemble import assemble
from level2_stack.evaluation.auc import auc
from level2_stack.results.leaderboard import comparisons, leaderboard, print_leaderboard
from tests.level2_stack.small_designs import make_design, recipe

RECIPE = recipe("logistic", "caruana", "mean", "rank_mean", blocks=[], blend=["logistic", "caruana"], seeds=2)


@pytest.fixture(scope="module")
def stack():
    random = np.random.default_rng(0)
    index = pd.Index([f"case_{i:03d}" for i in range(420)], name="image_name")
    train = np.arange(420) < 400
    y = (random.random(420) < 0.3).astype(float)
    cases = pd.DataFrame(
        {
            "role": np.where(train, "train", "test"),
            "fold": np.where(train, np.arange(420) // 4 % 3, -1).astype(np.int8),
            "patient_id": [f"patient_{i // 4}" for i in range(420)],
            "target": np.where(train, y, np.nan),
        },
        index=index,
    )
    predictions = {
        name: pd.DataFrame(
            {
                "probability": 1 / (1 + np.exp(2 - strength * y - random.normal(size=420))),
                "spread": np.nan,
                "fold": random.integers(0, 7, 420),  # the network's own folds, unlike those of level two
            },
            index=index,
        )
        for name, strength in {"good": 2.0, "fair": 1.2, "useless": 0.0}.items()
    }
    predictions["good"].loc[index[:30], "probability"] = np.nan
    design = assemble(cases, predictions, {}, RECIPE, {})
    result = decide(design, RECIPE, cross_validate(design, RECIPE))
    return design, predictions, leaderboard(design, predictions, result, replicates=60), result


def test_every_model_has_a_row_and_the_best_comes_first(stack):
    frame = stack[2]
    assert frame["kind"].to_dict() == {
        **dict.fromkeys(["good", "fair", "useless"], "network"),
        **dict.fromkeys(["mean", "rank_mean", "caruana"], "baseline"),
        "logistic": "learner",
        "blend": "blend",
        "choice": "choice",
    }
    assert frame["auc"].is_monotonic_decreasing
    assert frame.index[-1] == "useless"


def test_an_incomplete_network_is_scored_on_its_own_rows_in_level_twos_folds(stack):
    design, predictions, frame, _ = stack
    probability = predictions["good"]["probability"].to_numpy()[:400]
    has_score = ~np.isnan(probability)
    fold = has_score & (design.folds == 1)
    assert frame.loc["good", "auc"] == pytest.approx(auc(design.y[has_score], probability[has_score]))
    assert frame.loc["good", "auc_fold_1"] == pytest.approx(auc(design.y[fold], probability[fold]))
    assert frame.loc["good", "rows"] == 370
    assert not frame.loc["good", "complete"]
    assert frame.loc["blend", "rows"] == 400


def test_fold_columns_hold_level_twos_folds_and_their_mean(stack):
    frame = stack[2]
    folds = [name for name in frame if name.startswith("auc_fold_")]
    assert folds == ["auc_fold_0", "auc_fold_1", "auc_fold_2", "auc_fold_mean"]
    np.testing.assert_allclose(frame[folds[:3]].mean(axis=1), frame["auc_fold_mean"])


def test_intervals_contain_their_auc_and_the_headline_has_no_gain_over_itself(stack):
    frame = stack[2]
    assert (frame["low"] < frame["auc"]).all()
    assert (frame["auc"] < frame["high"]).all()
    assert frame.loc["choice", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert frame.loc["useless", "gain_low"] > 0.1


def test_gains_are_those_of_the_learner_that_the_recipe_submits(stack):
    design, predictions, _, _ = stack
    of_mean = RECIPE.model_copy(update={"submit": "mean"})
    frame = leaderboard(design, predictions, decide(design, of_mean, cross_validate(design, of_mean)), replicates=20)
    assert "choice" not in frame.index
    assert frame.loc["mean", "gain"] == 0
    assert frame.loc["useless", "gain"] == pytest.approx(frame.loc["mean", "auc"] - frame.loc["useless", "auc"])


def test_seeds_are_counted_and_the_standard_deviation_of_their_aucs_is_shown(stack):
    design, _, frame, result = stack
    assert frame.loc[["logistic", "caruana", "blend"], "seeds"].tolist() == [1, 2, 2]
    assert frame.loc[["good", "choice"], "seeds"].isna().all()
    aucs = [auc(design.y, scores) for scores in result.by_seed["caruana"]]
    assert frame.loc["caruana", "auc_seed_std"] == pytest.approx(np.std(aucs, ddof=1))
    assert np.isnan(frame.loc["logistic", "auc_seed_std"])


def test_without_networks_no_gain_is_printed():
    design = make_design(120, 0)
    design = replace(design, X=design.X[["metadata.age"]])
    one_booster = recipe("lgbm")
    result = decide(design, one_booster, cross_validate(design, one_booster))
    frame = leaderboard(design, {}, result, replicates=20)
    assert set(frame["kind"]) == {"learner", "blend", "choice"}
    assert frame["auc_seed_std"].dtype == float
    assert list(comparisons(frame, result.headline)) == []


def test_gains_are_the_same_after_writing_and_reading_the_leaderboard(stack, tmp_path):
    frame = stack[2]
    frame.to_csv(tmp_path / "leaderboard.csv")
    from_csv = pd.read_csv(tmp_path / "leaderboard.csv", index_col="name")
    assert list(comparisons(from_csv, "choice")) == list(comparisons(frame, "choice"))


def test_the_printed_leaderboard_shows_the_gain_of_the_headline(stack, capsys):
    frame = stack[2]
    print_leaderboard(frame, "choice")
    text = " ".join(capsys.readouterr().out.split())
    gain, low, high = frame.loc["rank_mean", ["gain", "gain_low", "gain_high"]]
    limits = f"[{low:+.4f}, {high:+.4f}] (95 %, patients resampled)"
    assert f"gain of the stack (choice) over rank_mean: {gain:+.4f} AUC {limits}" in text
    assert "over the best single network (good, on the 370 rows that have its score): " in text
    assert all(name in text for name in frame.index)
