"""What is submitted: the best learner where it beats the rank mean beyond chance, else the rank mean."""

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
    """Return scores with common noise that know the target with the given strengths."""
    own = np.random.default_rng(1)
    return pd.DataFrame(
        {name: strength * Y + NOISE + 0.1 * own.normal(size=800) for name, strength in strengths.items()}
    )


def test_what_beats_the_rank_mean_beyond_chance_is_chosen():
    table = scores(rank_mean=1.0, lgbm=1.6, xgb=1.3)
    found = prefer(Y, table, PATIENTS, ["xgb", "lgbm"])
    assert (found.preferred, found.choice) == ("lgbm", "lgbm")
    assert found.auc == auc(Y, table["lgbm"].to_numpy())
    assert found.gain == pytest.approx(found.auc - auc(Y, table["rank_mean"].to_numpy()))
    assert 0 < found.low < found.gain < found.high
    assert found.sentence() == (
        f"lgbm is preferred by nested evaluation ({found.auc:.4f}, "
        f"{found.gain:+.4f} [{found.low:.4f}, {found.high:.4f}] against the rank mean)"
    )


def test_the_rank_mean_is_chosen_where_the_best_is_better_by_chance_only():
    found = prefer(Y, scores(rank_mean=1.0, lgbm=1.005, xgb=0.9), PATIENTS, ["lgbm", "xgb"])
    assert (found.preferred, found.choice) == ("lgbm", "rank_mean")
    assert found.low <= 0 < found.high
    assert found.sentence().startswith(f"nothing beats the rank mean: the best, lgbm, reaches {found.auc:.4f}, ")


def test_the_rank_mean_is_chosen_where_all_are_worse():
    found = prefer(Y, scores(rank_mean=2.0, lgbm=1.0), PATIENTS, ["lgbm"])
    assert found.choice == "rank_mean"
    assert found.high < 0


@pytest.mark.parametrize("candidates", [["lgbm"], ["rank_mean"], ["lgbm", "rank_mean"]])
def test_without_another_to_compare_with_the_best_is_chosen_and_the_gain_unknown(candidates):
    table = scores(lgbm=1.0, rank_mean=2.0)[candidates]
    found = prefer(Y, table, PATIENTS, candidates)
    assert found.choice == found.preferred == candidates[-1]
    assert np.isnan([found.gain, found.low, found.high]).all()
    assert found.sentence() == f"{candidates[-1]} is preferred by nested evaluation ({found.auc:.4f})"


def test_only_candidates_can_be_preferred():
    assert prefer(Y, scores(rank_mean=1.0, leak=5.0, lgbm=1.5), PATIENTS, ["lgbm"]).preferred == "lgbm"


def test_of_equals_the_first_is_preferred():
    table = scores(rank_mean=1.0, lgbm=1.5)
    assert prefer(Y, table.assign(xgb=table["lgbm"]), PATIENTS, ["xgb", "lgbm"]).preferred == "xgb"


def test_the_same_draw_of_patients_gives_the_same_preference():
    table = scores(rank_mean=1.0, lgbm=1.2)
    assert prefer(Y, table, PATIENTS, ["lgbm"]) == prefer(Y, table, PATIENTS, ["lgbm"])
    assert prefer(Y, table, PATIENTS, ["lgbm"]).low != prefer(Y, table, PATIENTS, ["lgbm"], seed=1).low


@pytest.mark.parametrize(("low", "chosen"), [(1e-9, "lgbm"), (0.0, "rank_mean"), (-0.1, "rank_mean")])
def test_a_gain_counts_from_where_its_interval_leaves_zero(low, chosen):
    assert Preference("lgbm", 0.9, 0.05, low, 0.1).choice == chosen
