"""The submitted model has the highest expected AUC; chance decides only what is claimed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.crossval.choose import Preference, prefer, shrink
from level2_stack.evaluation.auc import auc

PATIENTS = np.array([f"patient_{i // 4}" for i in range(800)], dtype=object)
RANDOM = np.random.default_rng(0)
Y = (RANDOM.random(800) < 0.3).astype(float)
NOISE = RANDOM.normal(size=800)
GAINS = st.floats(-1, 1)
ERRORS = st.floats(0, 1)


def scores(**strengths: float) -> pd.DataFrame:
    """Return scores with common noise, each with the target times its strength added."""
    own = np.random.default_rng(1)
    return pd.DataFrame(
        {name: strength * Y + NOISE + 0.1 * own.normal(size=800) for name, strength in strengths.items()}
    )


@given(GAINS, ERRORS)
def test_a_gain_shrinks_towards_0_and_keeps_its_sign(gain, error):
    assert abs(shrink(gain, error)) <= abs(gain)
    assert shrink(gain, error) * gain >= 0
    assert shrink(-gain, error) == -shrink(gain, error)
    assert shrink(gain, 0) == gain


@given(GAINS, GAINS, ERRORS)
def test_a_larger_gain_with_the_same_error_is_expected_to_be_at_least_as_large(one, other, error):
    low, high = sorted([one, other])
    assert shrink(low, error) <= shrink(high, error)


@given(GAINS, ERRORS, ERRORS)
def test_the_less_certain_a_gain_is_the_less_of_it_is_expected(gain, one, other):
    small, large = sorted([one, other])
    assert abs(shrink(gain, large)) <= abs(shrink(gain, small))


def test_a_gain_within_one_standard_error_is_taken_for_0():
    assert (shrink(0.01, 0.01), shrink(-0.01, 0.02), shrink(0.0, 0.0)) == (0, 0, 0)
    assert shrink(0.02, 0.01) == pytest.approx(0.015)


def test_a_better_learner_is_chosen_and_its_gain_can_be_claimed():
    table = scores(rank_mean=1.0, blend=1.3, lgbm=1.6)
    preference = prefer(Y, table, PATIENTS)
    assert (preference.preferred, preference.choice) == ("lgbm", "lgbm")
    assert preference.auc == pytest.approx(auc(Y, table["lgbm"].to_numpy()))
    assert preference.gain == pytest.approx(preference.auc - auc(Y, table["rank_mean"].to_numpy()))
    assert 0 < preference.low < preference.gain < preference.high
    assert preference.low < preference.expected_gain < preference.gain
    assert preference.sentence() == (
        f"lgbm is expected to be best on new cases; its gain over the rank mean, {preference.gain:+.4f} "
        f"[{preference.low:+.4f}, {preference.high:+.4f}], is beyond chance"
    )


def test_a_stack_is_submitted_although_its_gain_cannot_be_claimed():
    preference = prefer(Y, scores(rank_mean=1.0, blend=1.005), PATIENTS)
    assert preference.low < 0 < preference.expected_gain
    assert preference.choice == "blend"
    assert preference.sentence().startswith("blend is expected to be best on new cases; its gain")
    assert preference.sentence().endswith("is not beyond chance")


def test_the_rank_mean_is_chosen_if_no_gain_over_it_is_expected():
    preference = prefer(Y, scores(rank_mean=1.0, blend=1.0, lgbm=0.9), PATIENTS)
    assert preference.expected_gain == 0
    assert (preference.preferred, preference.choice) == ("blend", "rank_mean")
    assert preference.sentence().startswith("no stack is expected to be better; the best is blend, whose gain")


def test_the_rank_mean_is_chosen_if_all_are_worse():
    preference = prefer(Y, scores(rank_mean=2.0, blend=1.0, lgbm=1.1), PATIENTS)
    assert preference.choice == "rank_mean"
    assert preference.high < 0


@pytest.mark.parametrize("learner", ["aaa", "zzz"])
def test_of_equal_models_the_simpler_is_chosen(learner):
    table = scores(blend=1.5)
    assert prefer(Y, table.assign(**{learner: table["blend"]})[[learner, "blend"]], PATIENTS).choice == "blend"
    equal = table.assign(rank_mean=table["blend"], **{learner: table["blend"]})
    assert prefer(Y, equal[[learner, "blend", "rank_mean"]], PATIENTS).choice == "rank_mean"


def test_the_blend_is_preferred_to_a_learner_that_is_better_by_less_than_one_standard_error():
    table = scores(rank_mean=1.0, lgbm=1.49, blend=1.5)
    lgbm, blend = (auc(Y, table[name].to_numpy()) for name in ("lgbm", "blend"))
    assert 0 < lgbm - blend < 0.002
    assert prefer(Y, table, PATIENTS).choice == "blend"


def test_without_a_rank_mean_the_gain_is_unknown_and_the_best_stack_is_chosen():
    preference = prefer(Y, scores(blend=1.0, lgbm=2.0), PATIENTS)
    assert preference.choice == preference.preferred == "lgbm"
    assert np.isnan([preference.gain, preference.low, preference.high, preference.expected_gain]).all()
    assert preference.sentence() == "lgbm is expected to be best on new cases"


def test_the_order_of_the_cases_and_of_the_models_does_not_change_the_choice():
    table = scores(rank_mean=1.0, xgb=1.55, blend=1.5, lgbm=1.6)
    order = np.random.default_rng(2).permutation(800)
    preference = prefer(Y, table, PATIENTS)
    assert prefer(Y[order], table.iloc[order], PATIENTS[order]) == preference
    assert prefer(Y, table[list(table)[::-1]], PATIENTS) == preference


def test_the_choice_depends_on_the_order_of_scores_alone():
    table = scores(rank_mean=1.0, blend=1.02, lgbm=1.0)
    assert prefer(Y, np.exp(table), PATIENTS) == prefer(Y, table, PATIENTS)


def test_the_same_draw_of_patients_gives_the_same_preference():
    table = scores(rank_mean=1.0, blend=1.2)
    assert prefer(Y, table, PATIENTS) == prefer(Y, table, PATIENTS)
    assert prefer(Y, table, PATIENTS).low != prefer(Y, table, PATIENTS, seed=1).low


@pytest.mark.parametrize(("expected_gain", "choice"), [(1e-9, "lgbm"), (0.0, "rank_mean"), (-0.1, "rank_mean")])
@pytest.mark.parametrize("low", [-0.1, 0.01])
def test_the_expected_gain_alone_decides_what_is_submitted(expected_gain, choice, low):
    assert Preference("lgbm", 0.9, 0.05, low, 0.1, expected_gain).choice == choice
