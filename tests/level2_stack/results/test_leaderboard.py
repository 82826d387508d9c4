"""The leaderboard: one row per network, baseline, learner, the blend and the choice, all on the same footing."""

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
                "fold": random.integers(0, 7, 420),  # the network's own folds, which are not ours
            },
            index=index,
        )
        for name, strength in {"good": 2.0, "fair": 1.2, "useless": 0.0}.items()
    }
    predictions["good"].loc[index[:30], "probability"] = np.nan
    design = assemble(cases, predictions, {}, RECIPE, {})
    result = decide(design, RECIPE, cross_validate(design, RECIPE))
    return design, predictions, leaderboard(design, predictions, result, replicates=60), result


def test_every_kind_has_its_rows_and_the_best_comes_first(stack):
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


def test_a_network_is_scored_in_our_folds_on_its_own_rows(stack):
    design, predictions, frame, _ = stack
    probability = predictions["good"]["probability"].to_numpy()[:400]
    known = ~np.isnan(probability)
    fold = known & (design.folds == 1)
    assert frame.loc["good", "auc"] == pytest.approx(auc(design.y[known], probability[known]))
    assert frame.loc["good", "auc_fold_1"] == pytest.approx(auc(design.y[fold], probability[fold]))
    assert frame.loc["good", "rows"] == 370
    assert not frame.loc["good", "complete"]
    assert frame.loc["blend", "rows"] == 400


def test_fold_columns_are_those_of_level_two_and_their_mean(stack):
    frame = stack[2]
    folds = [name for name in frame if name.startswith("auc_fold_")]
    assert folds == ["auc_fold_0", "auc_fold_1", "auc_fold_2", "auc_fold_mean"]
    np.testing.assert_allclose(frame[folds[:3]].mean(axis=1), frame["auc_fold_mean"])


def test_intervals_hold_their_auc_and_the_headline_gains_nothing_on_itself(stack):
    frame = stack[2]
    assert (frame["low"] < frame["auc"]).all()
    assert (frame["auc"] < frame["high"]).all()
    assert frame.loc["choice", ["gain", "gain_low", "gain_high"]].tolist() == [0, 0, 0]
    assert frame.loc["useless", "gain_low"] > 0.1


def test_gains_are_of_what_the_recipe_submits_where_it_says_so(stack):
    design, predictions, _, _ = stack
    forced = RECIPE.model_copy(update={"submit": "mean"})
    frame = leaderboard(design, predictions, decide(design, forced, cross_validate(design, forced)), replicates=20)
    assert "choice" not in frame.index
    assert frame.loc["mean", "gain"] == 0
    assert frame.loc["useless", "gain"] == pytest.approx(frame.loc["mean", "auc"] - frame.loc["useless", "auc"])


def test_seeds_are_counted_and_their_spread_is_that_of_their_aucs(stack):
    design, _, frame, result = stack
    assert frame.loc[["logistic", "caruana", "blend"], "seeds"].tolist() == [1, 2, 2]
    assert frame.loc[["good", "choice"], "seeds"].isna().all()
    aucs = [auc(design.y, scores) for scores in result.by_seed["caruana"]]
    assert frame.loc["caruana", "auc_seed_std"] == pytest.approx(np.std(aucs, ddof=1))
    assert np.isnan(frame.loc["logistic", "auc_seed_std"])


def test_without_networks_there_is_nothing_to_compare_with():
    design = make_design(120, 0)
    design = replace(design, X=design.X[["metadata.age"]])
    boosted = recipe("lgbm")
    result = decide(design, boosted, cross_validate(design, boosted))
    frame = leaderboard(design, {}, result, replicates=20)
    assert set(frame["kind"]) == {"learner", "blend", "choice"}
    assert frame["auc_seed_std"].dtype == float
    assert list(comparisons(frame, result.headline)) == []


def test_the_leaderboard_survives_csv(stack, tmp_path):
    frame = stack[2]
    frame.to_csv(tmp_path / "leaderboard.csv")
    again = pd.read_csv(tmp_path / "leaderboard.csv", index_col="name")
    assert list(comparisons(again, "choice")) == list(comparisons(frame, "choice"))


def test_the_printed_leaderboard_says_what_the_headline_gains(stack, capsys):
    frame = stack[2]
    print_leaderboard(frame, "choice")
    printed = capsys.readouterr().out
    gain, low, high = frame.loc["rank_mean", ["gain", "gain_low", "gain_high"]]
    expected = f"choice against rank_mean: {gain:+.4f} [{low:.4f}, {high:.4f}] (95 %, patients resampled)"
    assert expected in printed
    assert "choice against the best single network, good, on the 370 rows it has: " in printed
    assert all(name in printed for name in frame.index)
