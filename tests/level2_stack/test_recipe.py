"""Tests for recipe.py: valid files, and errors for unknown values and for settings without effect."""

from pathlib import Path

import pytest

import level2_stack
from level2_stack.learners import lgbm, xgb
from level2_stack.recipe import Calibration, Recipe, read_recipe
from runtime.errors import InputFault

DEFAULT = Path(level2_stack.__file__).parent / "configs" / "default.toml"


def read(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_recipe(path)


def test_the_default_file_holds_the_default_values():
    assert read_recipe(DEFAULT).model_dump(include=set(Recipe.model_fields)) == Recipe().model_dump()


def test_a_learner_gets_its_table_or_its_defaults(tmp_path):
    recipe = read(tmp_path, "[lgbm]\nnum_leaves = 4\n")
    assert recipe.parameters("lgbm") == lgbm.Params(num_leaves=4)
    assert recipe.parameters("xgb") == xgb.Params()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sedes = 4", "mine.toml: unknown key 'sedes'; did you mean 'seeds'"),
        ("[lgbm]\nnum_leafs = 4", "num_leafs'; did you mean 'num_leaves'"),
        ("[lgbm]\nnum_leaves = 1", "lgbm.num_leaves = 1"),
        ("[lgmb]\nnum_leaves = 4", "unknown key 'lgmb'; did you mean 'lgbm'"),
        ("seeds = 0", "seeds = 0"),
        ('learners = ["lgbm", "xbg"]\nblend = ["lgbm"]', "learners: unknown value 'xbg'; did you mean 'xgb'"),
        ('blocks = ["metdata"]', "blocks: unknown value 'metdata'; did you mean 'metadata'"),
        ('learners = ["lgbm"]\nblend = ["lgbm", "xgb"]', "blend: unknown value 'xgb'"),
        ('submit = "stack"', "submit: unknown value 'stack'"),
        ('submit = "xgb"\nlearners = ["lgbm"]\nblend = ["lgbm"]', "submit: unknown value 'xgb'"),
        ('acquisition = "kept"', "acquisition = 'kept'"),
        ("shift_threshold = 0.4", "shift_threshold = 0.4"),
        ('blend_weights = "best"', "blend_weights = 'best'"),
        ("negatives_per_positive = 0", "negatives_per_positive = 0"),
        ("inner_seeds = 0", "inner_seeds = 0"),
        ("[calibration]\nprevalence = 1.0", "calibration.prevalence = 1.0"),
        ("[calibration]\nmethods = []", "calibration.methods"),
        ("[calibration]\nmethod = 'platt'", "method'; did you mean 'methods'"),
        ("[thresholds]\nsensitivity = [90.0]", "thresholds.sensitivity.0 = 90"),
        (
            "[thresholds]\nnpv = ['best']",
            "thresholds.npv = .* must be shares between 0 and 1, such as 0.998, or 'auto'",
        ),
        ("[thresholds]\nnpv = [99.8]", "thresholds.npv = .* must be shares"),
        ("[thresholds]\nnet_benefit = [0.0]", "thresholds.net_benefit.0 = 0"),
        ("[thresholds]\nspecificty = [0.9]", "specificty'; did you mean 'specificity'"),
        ("[thresholds]\nspecificity = [0.9, 0.9]", "thresholds.specificity = .* lists an aim twice"),
        ("[thresholds]\nsensitivity = []\nspecificity = []\nnpv = []", "no rule has an aim"),
        ("[tuning]\nseconds = 60", "tuning.seconds .* has no effect without trials"),
        ('learners = ["lgbm", "lgbm"]\nblend = ["lgbm"]', "learners = .* twice"),
        ('learners = ["lgbm"]\nblend = ["lgbm"]\n[xgb]\nmax_depth = 2', r"\[xgb\] has no effect"),
        ('learners = ["mean"]\nblend = ["mean"]\nseeds = 3', "seeds = 3 has no effect"),
        ('blend = ["lgbm", "lgbm"]', "blend = .* twice"),
    ],
)
def test_a_wrong_setting_or_one_without_effect_is_refused_with_its_reason(tmp_path, text, message):
    with pytest.raises(InputFault, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize("submit", ["auto", "blend", "lgbm", "rank_mean"])
def test_submit_may_be_a_learner_the_blend_or_auto(tmp_path, submit):
    assert read(tmp_path, f'submit = "{submit}"').submit == submit


def test_thresholds_have_an_aim_per_rule_and_the_npv_may_follow_from_the_prevalence(tmp_path):
    recipe = read(tmp_path, "[thresholds]\nsensitivity = [0.97]\nnpv = ['auto', 0.999]\nnet_benefit = [20]")
    aims = [("sensitivity", 0.97), ("specificity", 0.9), ("npv", 0.9982), ("npv", 0.999), ("net_benefit", 20)]
    assert list(recipe.thresholds.aims(0.0176)) == aims


def test_the_table_of_one_learner_does_not_change_the_others(tmp_path):
    recipe = read(tmp_path, "negatives_per_positive = 20\n[calibration]\nprevalence = 0.02\n[xgb]\nmax_depth = 2\n")
    assert recipe.calibration == Calibration(prevalence=0.02)
    assert recipe.parameters("lgbm") == lgbm.Params()
    assert recipe.negatives_per_positive == 20


def test_all_contradictions_are_reported_together(tmp_path):
    with pytest.raises(InputFault, match="2 fault") as error:
        read(tmp_path, 'submit = "stack"\nblocks = ["metdata"]')
    assert "submit" in str(error.value)


def test_patterns_select_networks():
    assert Recipe(networks=["b3_*", "lite0"]).select_networks(["lite0", "b3_512", "b3_384", "b4_384"]) == [
        "b3_384",
        "b3_512",
        "lite0",
    ]


def test_a_network_that_two_patterns_match_is_selected_once():
    assert Recipe(networks=["b3_*", "*384"]).select_networks(["b3_384", "b4_512"]) == ["b3_384"]


def test_a_learner_without_its_library_is_refused_before_any_fit(tmp_path, monkeypatch):
    monkeypatch.setattr("level2_stack.learners.find_spec", lambda name: None)
    with pytest.raises(InputFault, match="library of 'catboost' is not installed"):
        read(tmp_path, 'learners = ["lgbm", "catboost"]\nblend = ["lgbm"]')
