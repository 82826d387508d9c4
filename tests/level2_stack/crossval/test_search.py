"""The tuning of a recipe: one resumable study per learner and outer fold, which never uses a row of that fold."""

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


def recipe_with_tuning(trials=3):
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
def results(design, tmp_path_factory):
    return search(design, recipe_with_tuning(), tmp_path_factory.mktemp("tuning"))


def test_every_tunable_learner_has_a_study_per_outer_fold(results):
    assert {study.fold for study in results if study.learner == "lgbm"} == {0, 1, 2}
    assert not [study for study in results if study.learner == "rank_mean"]
    assert all(result.trials == 3 and result.best <= result.default for result in results.values())


def test_a_study_does_not_depend_on_the_targets_of_its_outer_fold(design, results, tmp_path):
    after_flip = search(flip_targets(design, 1), recipe_with_tuning(), tmp_path)
    own, other = Study("lgbm", 1), Study("lgbm", 0)
    assert after_flip[own] == results[own]
    assert after_flip[other].default != results[other].default


def test_a_finished_search_is_read_from_its_journals(design, results, tmp_path, capsys):
    first = search(design, recipe_with_tuning(2), tmp_path)
    journals = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = search(design, recipe_with_tuning(2), tmp_path)
    assert again == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == journals
    longer = search(design, recipe_with_tuning(3), tmp_path)
    assert longer == results


def test_cross_validation_uses_the_parameters_of_each_fold(design, results):
    recipe = recipe_with_tuning()
    params = best_parameters(results)
    result = cross_validate(design, recipe, tuned_params=params)
    default = cross_validate(design, recipe)
    tuned_folds = [fold for fold in range(3) if params["lgbm", fold] != recipe.parameters("lgbm")]
    rows = np.isin(result.folds, tuned_folds)
    same = result.scores["lgbm"].outer(result.folds) == default.scores["lgbm"].outer(default.folds)
    assert same[~rows].all()
    assert not tuned_folds or not same[rows].all()


def test_folds_that_do_not_allow_nesting_are_refused_before_the_search(design, tmp_path):
    split_patients = replace(design, folds=np.arange(len(design.y)) % 3)
    with pytest.raises(InputFault, match="more than one fold"):
        search(split_patients, recipe_with_tuning(), tmp_path)
    assert not list(tmp_path.iterdir())
