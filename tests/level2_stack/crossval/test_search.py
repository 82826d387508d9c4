"""The tuning of a recipe: one study per learner and outer fold, none of which sees that fold, all of them resumable."""

from dataclasses import replace

import numpy as np
import pytest

from level2_stack.crossval.nested import cross_validate
from level2_stack.crossval.search import Study, best_parameters, search
from level2_stack.recipe import check_recipe
from runtime.errors import InputFault
from tests.level2_stack.small_designs import flip_targets, make_design


@pytest.fixture(scope="module")
def design():
    return make_design(rows=240, folds=3)


def tuned_recipe(trials=3):
    return check_recipe(
        {
            "learners": ["lgbm", "logistic", "rank_mean"],
            "blend": ["lgbm"],
            "seeds": 1,
            "lgbm": {"rounds": 20},
            "tuning": {"trials": trials},
        },
        "test",
    )


@pytest.fixture(scope="module")
def found(design, tmp_path_factory):
    return search(design, tuned_recipe(), tmp_path_factory.mktemp("tuning"))


def test_every_tunable_learner_has_a_study_per_outer_fold(found):
    assert {study.fold for study in found if study.learner == "lgbm"} == {0, 1, 2}
    assert not [study for study in found if study.learner == "rank_mean"]
    assert all(tuned.trials == 3 and tuned.best <= tuned.default for tuned in found.values())


def test_a_study_does_not_depend_on_the_targets_of_its_outer_fold(design, found, tmp_path):
    changed = search(flip_targets(design, 1), tuned_recipe(), tmp_path)
    own, other = Study("lgbm", 1), Study("lgbm", 0)
    assert changed[own] == found[own]
    assert changed[other].default != found[other].default


def test_a_finished_search_is_read_from_its_journals(design, found, tmp_path, capsys):
    first = search(design, tuned_recipe(2), tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = search(design, tuned_recipe(2), tmp_path)
    assert again == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == written
    longer = search(design, tuned_recipe(3), tmp_path)
    assert longer == found


def test_cross_validation_takes_the_parameters_of_each_fold(design, found):
    recipe = tuned_recipe()
    tuned = best_parameters(found)
    result = cross_validate(design, recipe, tuned_params=tuned)
    plain = cross_validate(design, recipe)
    changed = [fold for fold in range(3) if tuned["lgbm", fold] != recipe.parameters("lgbm")]
    rows = np.isin(result.folds, changed)
    same = result.scores["lgbm"].outer(result.folds) == plain.scores["lgbm"].outer(plain.folds)
    assert same[~rows].all()
    assert not len(changed) or not same[rows].all()


def test_folds_that_cannot_be_nested_are_refused_before_anything_is_searched(design, tmp_path):
    torn = replace(design, folds=np.arange(len(design.y)) % 3)
    with pytest.raises(InputFault, match="more than one fold"):
        search(torn, tuned_recipe(), tmp_path)
    assert not list(tmp_path.iterdir())
