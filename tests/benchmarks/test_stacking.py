"""Tests of the studies of level two's figures: permuted targets, planted leaks, synthetic clinics, growing tables."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import parallel_config
from scipy.special import expit

from benchmarks.stacking.choice import choice_study, old_rule
from benchmarks.stacking.columns import columns_study
from benchmarks.stacking.growth import _exponent, grow_tables, growth_study
from benchmarks.stacking.leak import LEAK_COLUMN, add_leak, leak_study
from benchmarks.stacking.networks import FOLDS, STEADY, LevelOne, draw_cases, train_level_one
from benchmarks.stacking.null import null_study, permute_targets
from benchmarks.stacking.optimism import _Clinic, _one_of_each_kind
from benchmarks.stacking.study import Study, check_out, report, with_error
from benchmarks.stacking.thresholds import plain_threshold, threshold_study
from benchmarks.stacking.truth import block_tables, truth_study
from level2_stack.evaluation.auc import auc
from level2_stack.learners import lgbm as lgbm_learner
from level2_stack.recipe import Recipe
from runtime.errors import InputFault
from runtime.run_folder import Run
from tests.level2_stack.small_designs import make_design

LINEAR = Recipe(learners=["logistic", "mean", "rank_mean"], blend=["logistic"])


class QuickRecipe(Recipe):
    """A recipe with a small booster."""

    lgbm: lgbm_learner.Params = lgbm_learner.Params(rounds=20, learning_rate=0.1)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40), st.integers(0, 5))
def test_permuted_targets_stay_in_their_fold(rows, seed):
    patients, y = np.array([row[0] for row in rows]), np.array([float(row[1]) for row in rows])
    folds = patients % 3
    permutation = permute_targets(y, folds, patients.astype(str).astype(object), seed)
    for fold in np.unique(folds):
        assert sorted(permutation[folds == fold]) == sorted(y[folds == fold])


def test_patients_with_equally_many_cases_exchange_all_their_targets():
    y = np.array([1.0, 1, 0, 0, 1, 0, 0, 0])
    groups = np.array(list("aabbccdd"), dtype=object)
    permutation = permute_targets(y, np.zeros(8, dtype=int), groups, seed=3)
    assert sorted(map(tuple, permutation.reshape(4, 2))) == sorted(map(tuple, y.reshape(4, 2)))
    assert not np.array_equal(permutation, y)


def test_level_two_finds_no_signal_in_permuted_targets():
    data = make_design(400, 40, signal=6.0)
    study = null_study(data, LINEAR, range(2))
    aucs = study.tables["permuted targets"]["auc"]
    assert len(aucs) == 2
    assert aucs.max() < 0.65  # with its own targets the network reaches 1.00
    assert study.figures["mean_p_over_base_rate"] == pytest.approx(1, abs=0.1)
    assert 0 <= study.figures["covering"] <= 2
    means = study.tables["mean AUC over the seeds"].set_index("model")["fold_mean"]
    assert study.figures["gain_over_rank_mean"] == pytest.approx(means["choice"] - means["rank_mean"])


def test_a_leaking_column_has_the_requested_auc_and_is_empty_for_test_rows():
    data = add_leak(make_design(20_000, 40), 0.9, seed=0)
    assert auc(data.y, data.train[LEAK_COLUMN].to_numpy()) == pytest.approx(0.9, abs=0.01)
    assert data.test[LEAK_COLUMN].isna().all()


def test_a_strength_outside_its_range_is_refused():
    with pytest.raises(InputFault, match=r"between 0\.5 and 1"):
        add_leak(make_design(), 1.0, seed=0)


def test_a_strong_leak_is_named_and_a_table_without_leak_gives_no_warning():
    recipe = QuickRecipe(learners=["lgbm"], blend=["lgbm"], seeds=1)
    table = leak_study(make_design(400, 40), recipe, [0.97]).tables["a planted leak, lgbm"]
    assert table["named"].tolist() == [False, True]
    assert table["warnings"].tolist() == [0, 1]
    assert table.loc[1, "strongest"] == LEAK_COLUMN
    assert table.loc[1, "low"] > 0


def test_columns_that_help_are_found_and_those_that_repeat_the_logits_are_not(tmp_path):
    data, run = make_design(400, 40), Run(tmp_path)
    rows, name, noise = len(data.X), data.networks[0], np.random.default_rng(0)
    target = np.append(data.y, noise.random(rows - len(data.y)) < 0.5)
    signal = np.outer(target, np.ones(12)) + noise.normal(size=(rows, 12))
    (run.level1 / name).mkdir(parents=True)
    pd.DataFrame(signal, data.X.index.rename("image_name")).rename(columns=str).to_parquet(
        run.level1 / name / "embeddings.parquet"
    )
    same = np.repeat(expit(data.X[[f"logit.{name}"]].to_numpy()), 8, axis=1)
    pd.DataFrame(same, data.X.index.rename("image_name")).rename(columns=str).to_parquet(
        run.level1 / name / "views.parquet"
    )
    study = columns_study(run, data, Recipe(learners=["ridge", "rank_mean"], blend=["ridge"]))
    assert study.figures["3 components"] > 0.05
    assert abs(study.figures["views"]) < 0.02
    (run.level1 / name / "embeddings.parquet").unlink()
    with pytest.raises(InputFault, match="no network has embeddings"):
        columns_study(run, data, LINEAR)


def test_the_leak_study_needs_a_learner_that_uses_all_columns():
    with pytest.raises(InputFault, match="none uses all columns"):
        leak_study(make_design(400, 40), LINEAR, [0.9])


def level_one():
    """Return a row per fold and a test row; predictions name the folds left out: 10 is fold 0, 12 is folds 0 and 1."""
    folds = np.array([0, 1, 2, 3, 4, -1], dtype=np.int8)
    singles = {frozenset({fold}): np.full(6, 10.0 * (fold + 1)) for fold in range(FOLDS)}
    pairs = {frozenset({a, b}): np.full(6, 10.0 * (a + 1) + (b + 1)) for a in range(FOLDS) for b in range(a + 1, FOLDS)}
    return LevelOne(pd.Index(list("abcdef")), folds, {"net": singles | pairs})


def test_a_row_is_predicted_without_its_fold_and_a_test_row_by_the_mean():
    assert level_one().out_of_fold()["net"]["probability"].tolist() == [10, 20, 30, 40, 50, 30]


def test_full_nesting_trains_no_fit_on_the_outer_fold():
    # Fold 0 is held out: fits {0, j} predict the rows of fold j, their mean the rows of fold 0 and the test rows.
    assert level_one().out_of_fold(frozenset({0}))["net"]["probability"].tolist() == [13.5, 12, 13, 14, 15, 13.5]


def test_in_the_usual_tables_test_rows_have_the_prediction_without_the_outer_fold():
    assert level_one().usual_tables(2)["net"]["probability"].tolist() == [10, 20, 30, 40, 50, 30]
    assert level_one().usual_tables(0)["net"]["probability"].tolist() == [10, 20, 30, 40, 50, 10]


def test_drawn_cases_contain_no_truth_and_keep_patients_in_one_fold():
    cohort, cases = draw_cases(400, 200, seed=1)
    train = cases["role"] == "train"
    assert not {"risk", "asymmetry", "camera"} & set(cases.columns)
    assert cases.loc[~train, "target"].isna().all()
    assert set(cases.loc[train, "fold"]) == set(range(FOLDS))
    assert cases[train].groupby("patient_id")["fold"].nunique().max() == 1
    assert cohort["target"].mean() == pytest.approx(cohort["risk"].mean(), abs=0.06)


def test_a_level_one_model_never_sees_the_fold_it_predicts():
    cohort, cases = draw_cases(300, 30, seed=0)
    networks = {"linear": STEADY["linear"]}
    first = train_level_one(cohort, cases, networks, seed=0).out_of_fold()["linear"]["probability"]
    flipped_cases = cases.assign(target=cases["target"].where(cases["fold"] != 2, 1 - cases["target"]))
    second = train_level_one(cohort, flipped_cases, networks, seed=0).out_of_fold()["linear"]["probability"]
    own = cases["fold"] == 2
    pd.testing.assert_series_equal(first[own], second[own])
    assert not np.allclose(first[~own], second[~own])


def test_the_truth_study_compares_the_report_with_fresh_rows():
    study = truth_study(LINEAR, [0, 1], train=300, test=400, networks={"linear": STEADY["linear"]})
    table = study.tables["AUC reported against fresh"]
    assert (table["reported"] - table["fresh"]).tolist() == pytest.approx(table["difference"].tolist())
    assert ((table["low"] <= table["fresh"]) & (table["fresh"] <= table["high"])).tolist() == table["covered"].tolist()
    assert (table["fresh"] < table["attainable"]).all()
    assert study.figures["difference"] == pytest.approx(table["difference"].mean())


def test_the_choice_study_compares_what_two_rules_submit_from_one_cross_validation():
    kinds = ["weak", "complete"]
    with parallel_config("sequential"):
        study = choice_study(LINEAR, [200], 2, test=300, kinds=kinds)
    stacks, summary = study.tables.values()
    assert (len(stacks), summary["networks"].tolist()) == (4, kinds)
    same = stacks["submitted_old"] == stacks["submitted_new"]
    assert (stacks["old"] == stacks["new"])[same].all()
    assert (stacks[["old", "new", "rank_mean", "blend"]].max(axis=1) <= stacks["best"]).all()
    assert summary["difference"].tolist() == pytest.approx((summary["new"] - summary["old"]).tolist())
    assert study.figures["difference"] == pytest.approx((stacks["new"] - stacks["old"]).mean())
    assert summary.set_index("networks")["rank_mean"].idxmax() == "complete"


@pytest.mark.parametrize(("blend", "lgbm", "name"), [(0.0, 0.0, "rank_mean"), (0.5, 0.51, "blend"), (0.5, 1.5, "lgbm")])
def test_the_old_rule_submits_what_is_better_beyond_chance(blend, lgbm, name):
    random = np.random.default_rng(0)
    y, common = np.tile([0.0, 1.0], 200), random.normal(size=400)
    strengths = {"lgbm": lgbm, "blend": blend, "rank_mean": 0.0}
    table = pd.DataFrame({key: value * y + common + 0.2 * random.normal(size=400) for key, value in strengths.items()})
    assert old_rule(y, table, np.arange(400).astype(object)) == name


def test_level_one_that_learns_nothing_from_labels_cannot_overfit_level_two():
    cohort, cases = draw_cases(300, 100, seed=0)
    probability = np.clip(cohort["asymmetry"].to_numpy(), 0.01, 0.99)
    fits = {frozenset({a, b}): probability for a in range(FOLDS) for b in range(FOLDS)}
    constant_model = LevelOne(cases.index, cases["fold"].to_numpy(), {"net": fits})
    aucs = _Clinic(cohort, cases, block_tables(cases), LINEAR).compare(constant_model, "logistic")
    assert aucs["usual"] == pytest.approx(aucs["nested"])
    assert aucs["optimism"] == pytest.approx(0, abs=1e-12)


def test_stacked_overfitting_is_measured_on_one_learner_of_each_kind():
    assert _one_of_each_kind(Recipe()) == ["lgbm", "logistic"]
    with pytest.raises(InputFault, match="none of them is trained"):
        _one_of_each_kind(Recipe(learners=["mean"], blend=["mean"]))


def run_tables():
    index = pd.Index([f"case_{i}" for i in range(9)], name="image_name")
    cases = pd.DataFrame(
        {"role": ["train"] * 6 + ["test"] * 3, "patient_id": list("aabbcc") + list("ddd")}, index=index
    )
    cases["fold"] = np.array([0, 0, 1, 1, 2, 2, -1, -1, -1], dtype=np.int8)
    cases["target"] = [0.0, 1, 0, 0, 1, 1, np.nan, np.nan, np.nan]
    probability = [0.1, 0.2, 0.3, 0.4, 0.5, np.nan, 0.7, 0.8, 0.9]
    return cases, {"net": pd.DataFrame({"probability": probability, "spread": 0.1}, index=index)}


def test_a_grown_table_has_the_requested_size_and_patients_in_one_fold():
    cases, predictions = run_tables()
    table, grown_predictions = grow_tables(cases, predictions, rows=60, seed=0)
    assert table["role"].value_counts().to_dict() == {"train": 60, "test": 30}
    assert table.index.is_unique
    assert table.groupby("patient_id")["fold"].nunique().max() == 1
    assert table.groupby("patient_id").size().max() == 3  # a patient drawn twice is two patients
    assert table["patient_id"].nunique() == 30 + 10
    assert grown_predictions["net"].index.equals(table.index)


def test_grown_rows_are_close_to_their_originals_but_all_different():
    cases, predictions = run_tables()
    probability = grow_tables(cases, predictions, rows=60, seed=0)[1]["net"]["probability"]
    assert probability.dropna().is_unique
    assert probability.isna().any()
    assert probability.between(0.05, 0.95).sum() == probability.notna().sum()


def test_the_exponent_of_a_power_law_is_found():
    rows = pd.Series([10.0, 100, 1000])
    assert _exponent(rows, 3 * rows**1.3) == pytest.approx(1.3)


def test_growth_of_one_size_is_refused():
    with pytest.raises(InputFault, match="at least two sizes"):
        growth_study(Path("nowhere"), Path("nowhere.toml"), [100, 100])


def test_a_report_is_written_as_json_with_gaps_as_null(tmp_path, capsys):
    table = pd.DataFrame({"name": ["a", "b"], "value": [0.5, np.nan]})
    report(Study({"one": table}, {"mean": 0.5, "error": float("nan")}, ["half"]), tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert content["tables"]["one"] == [{"name": "a", "value": 0.5}, {"name": "b", "value": None}]
    assert content["figures"] == {"mean": 0.5, "error": None}
    assert "half" in capsys.readouterr().out


def test_an_output_that_is_not_json_is_refused_before_the_work():
    with pytest.raises(InputFault, match=r"must end in \.json; name it figures\.json"):
        check_out(Path("figures.csv"))


def test_one_value_has_a_mean_and_no_standard_error():
    mean, error = with_error(pd.Series([2.0]))
    assert mean == 2
    assert np.isnan(error)
    assert with_error(pd.Series([1.0, 3.0])) == (2.0, 1.0)


@pytest.mark.full
def test_the_commands_start_without_a_booster():
    code = (
        "import sys; import benchmarks.stacking.__main__; print({'lightgbm', 'xgboost', 'sklearn'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_thresholds_of_drawn_clinics_are_compared_with_their_aims():
    study = threshold_study(range(6), [400], noises=(0.5,), processes=1)
    table = study.tables["frozen thresholds on new patients"].set_index("rule")
    assert table.loc["sensitivity", "reached"] == pytest.approx(0.9, abs=0.06)
    assert table.loc["specificity", "reached"] == pytest.approx(0.9, abs=0.03)
    assert table.loc["conformal, malignant", "reached"] == pytest.approx(0.9, abs=0.05)
    assert study.figures["sensitivity_400_0.5"] == table.loc["sensitivity", "reached"]


def test_the_plain_threshold_is_the_best_on_its_own_rows():
    y, score = np.array([0.0, 0, 1, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.9])
    assert plain_threshold("sensitivity", 0.6, y, score) == 0.6
    assert plain_threshold("specificity", 0.6, y, score) == 0.3
    assert plain_threshold("npv", 0.9, y, score) == 0.3
    assert plain_threshold("net_benefit", 2, y, score) == 0.3
