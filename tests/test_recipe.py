"""Recipes: what a file may say, and that a setting without effect is an error."""

from pathlib import Path

import pytest

import level2_stack
from features.faults import InputFault
from level2_stack.learners import lgbm, xgb
from level2_stack.recipe import Recipe, read_recipe

DEFAULT = Path(level2_stack.__file__).parent / "configs" / "default.toml"


def read(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_recipe(path)


def test_the_default_file_says_what_the_defaults_are():
    assert read_recipe(DEFAULT).model_dump(include=set(Recipe.model_fields)) == Recipe().model_dump()


def test_a_learner_has_its_table_or_its_defaults(tmp_path):
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
        ('learners = ["lgbm", "xbg"]\nblend = ["lgbm"]', "learners: no 'xbg'; did you mean 'xgb'"),
        ('blocks = ["metdata"]', "blocks: no 'metdata'; did you mean 'metadata'"),
        ('learners = ["lgbm"]\nblend = ["lgbm", "xgb"]', "blend: no 'xgb'"),
        ('submit = "stack"', "submit: no 'stack'"),
        ('learners = ["lgbm"]\nblend = ["lgbm"]\n[xgb]\nmax_depth = 2', r"\[xgb\] has no effect"),
        ('learners = ["mean"]\nblend = ["mean"]\nseeds = 3', "seeds = 3 has no effect"),
        ('blend = ["lgbm", "lgbm"]', "blend = .* twice"),
    ],
)
def test_a_wrong_or_idle_setting_is_refused_with_its_reason(tmp_path, text, message):
    with pytest.raises(InputFault, match=message):
        read(tmp_path, text)


def test_all_contradictions_are_reported_together(tmp_path):
    with pytest.raises(InputFault, match="2 fault") as refused:
        read(tmp_path, 'submit = "stack"\nblocks = ["metdata"]')
    assert "submit" in str(refused.value)


def test_patterns_choose_networks():
    assert Recipe(networks=["b3_*", "lite0"]).chosen(["lite0", "b3_512", "b3_384", "b4_384"]) == [
        "b3_384",
        "b3_512",
        "lite0",
    ]
