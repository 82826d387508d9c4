"""The submitted learner: the best one if it beats the rank mean beyond chance, else the rank mean."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.crossval.choose import Preference, prefer
from level2_stack.evaluation.auc import auc

PATIENTS = np.array([f"patient_{i // 4}" for i in range(800)], dtype=object)
RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(800) < 0.3).astype(float)
NOISE = RANDOM.normal(size=800)


def scores(**strengths: float) -> pd.DataFrame:
    """Return scores with common noise, each with the target times its strength added."""
    own = np.random.default_rng(1)
    return pd.DataFrame(
        {name: strength * Y + NOISE + 0.1 * own.normal(size=800) for name, strength in strengths.items()}
    )


def test_a_learner_that_beats_the_rank_mean_beyond_chance_is_chosen():
    table = scores(rank_mean=1.0, lgbm=1.6, xgb=1.3)
    preference = prefer(Y, table, PATIENTS, ["xgb", "lgbm"])
    assert (preference.preferred, preference.choice) == ("lgbm", "lgbm")
    assert preference.auc == auc(Y, table["lgbm"].to_numpy())
    assert preference.gain == pytest.approx(preference.auc - auc(Y, table["rank_mean"].to_numpy()))
    assert 0 < preference.low < preference.gain < preference.high
    assert preference.sentence() == (
        f"nested evaluation prefers lgbm (AUC {preference.auc:.4f}, "
        f"gain over the rank mean {preference.gain:+.4f} [{preference.low:.4f}, {preference.high:.4f}])"
    )


def test_the_rank_mean_is_chosen_if_the_best_is_better_by_chance_only():
    preference = prefer(Y, scores(rank_mean=1.0, lgbm=1.005, xgb=0.9), PATIENTS, ["lgbm", "xgb"])
    assert (preference.preferred, preference.choice) == ("lgbm", "rank_mean")
    assert preference.low <= 0 < preference.high
    start = f"nothing beats the rank mean beyond chance; the best is lgbm (AUC {preference.auc:.4f}, "
    assert preference.sentence().startswith(start)


def test_the_rank_mean_is_chosen_if_all_are_worse():
    preference = prefer(Y, scores(rank_mean=2.0, lgbm=1.0), PATIENTS, ["lgbm"])
    assert preference.choice == "rank_mean"
    assert preference.high < 0


@pytest.mark.parametrize("candidates", [["lgbm"], ["rank_mean"], ["lgbm", "rank_mean"]])
def test_with_nothing_to_compare_the_best_is_chosen_and_the_gain_is_unknown(candidates):
    table = scores(lgbm=1.0, rank_mean=2.0)[candidates]
    preference = prefer(Y, table, PATIENTS, candidates)
    assert preference.choice == preference.preferred == candidates[-1]
    assert np.isnan([preference.gain, preference.low, preference.high]).all()
    assert preference.sentence() == f"nested evaluation prefers {candidates[-1]} (AUC {preference.auc:.4f})"


def test_only_candidates_can_be_preferred():
    assert prefer(Y, scores(rank_mean=1.0, leak=5.0, lgbm=1.5), PATIENTS, ["lgbm"]).preferred == "lgbm"


def test_the_first_of_equal_candidates_is_preferred():
    table = scores(rank_mean=1.0, lgbm=1.5)
    assert prefer(Y, table.assign(xgb=table["lgbm"]), PATIENTS, ["xgb", "lgbm"]).preferred == "xgb"


def test_the_same_draw_of_patients_gives_the_same_preference():
    table = scores(rank_mean=1.0, lgbm=1.2)
    assert prefer(Y, table, PATIENTS, ["lgbm"]) == prefer(Y, table, PATIENTS, ["lgbm"])
    assert prefer(Y, table, PATIENTS, ["lgbm"]).low != prefer(Y, table, PATIENTS, ["lgbm"], seed=1).low


@pytest.mark.parametrize(("low", "choice"), [(1e-9, "lgbm"), (0.0, "rank_mean"), (-0.1, "rank_mean")])
def test_a_gain_counts_if_its_interval_is_above_zero(low, choice):
    assert Preference("lgbm", 0.9, 0.05, low, 0.1).choice == choice
