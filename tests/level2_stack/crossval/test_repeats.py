"""Tests of repeats.py: other partitions of the same patients, and the AUCs that they give."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from level2_stack.crossval.decide import StackResult, decide
from level2_stack.crossval.nested import cross_validate
from level2_stack.crossval.repeats import check_repeats, partitions, repeat_partitions
from level2_stack.design.assemble import Design
from level2_stack.evaluation.auc import auc
from level2_stack.evaluation.partitions import describe_repeats
from runtime.errors import InputFault
from runtime.files import write_json
from runtime.run_folder import Run
from tests.level2_stack.small_designs import make_design, recipe

RIDGE = recipe("ridge", "mean", "rank_mean", blend=["ridge"], repeats=3)


def run_with(folder: Path, pairs: tuple[tuple[str, str], ...] = ()) -> Run:
    """Return a run with ``pairs`` of pictures of the same lesion."""
    run = Run(folder)
    run.pairs.parent.mkdir(parents=True)
    write_json(run.pairs, [{"first": a, "second": b, "kind": "listed", "alike": None} for a, b in pairs])
    write_json(run.cases_mark, {"made_from": {}})
    return run


def evaluate(design: Design) -> StackResult:
    return decide(design, RIDGE, cross_validate(design, RIDGE))


def test_partitions_differ_and_keep_patients_and_lesions_together(tmp_path: Path) -> None:
    design = make_design()
    run = run_with(tmp_path, (("case_0", "case_30"), ("case_30", "case_63")))
    parts = partitions(run, design, 4)
    assert len({tuple(pd.factorize(folds)[0]) for folds in [design.folds, *parts]}) == 5
    for folds in parts:
        assert pd.Series(folds).groupby(design.groups).nunique().max() == 1
        assert folds[0] == folds[30] == folds[63]
        assert sorted(np.unique(folds)) == [0, 1, 2, 3]


def test_the_first_rows_are_the_runs_own_partition_and_others_are_evaluated_anew(tmp_path: Path) -> None:
    design = make_design()
    own = evaluate(design)
    table = repeat_partitions(run_with(tmp_path), design, RIDGE, own, evaluate)
    assert table["partition"].unique().tolist() == [0, 1, 2, 3]
    ridge = table[table["model"] == "ridge"].set_index("partition")["auc"]
    assert ridge[0] == auc(design.y, own.probability.loc[design.train.index, "ridge"].to_numpy())
    assert ridge.nunique() == 4
    assert table[table["model"] == "mean"]["auc"].std() < 0.02  # a baseline without fit hardly depends on the folds


def test_partitions_of_noise_have_an_auc_of_chance(tmp_path: Path) -> None:
    design = make_design(rows=600, signal=0.0, seed=3)
    table = repeat_partitions(run_with(tmp_path), design, RIDGE, evaluate(design), evaluate)
    assert table.loc[table["model"] == "ridge", "auc"].between(0.4, 0.6).all()


def test_too_few_patients_for_the_repeats_are_refused(tmp_path: Path) -> None:
    design = make_design(rows=12, folds=2)
    with pytest.raises(InputFault, match="repeats = 90: 4 patients have only"):
        partitions(run_with(tmp_path), design, 90)


def test_repeats_of_folds_by_a_column_are_refused() -> None:
    with pytest.raises(InputFault, match="repeats = 3 has no meaning here: the folds are made by hospital"):
        check_repeats(RIDGE, "hospital")
    check_repeats(RIDGE, None)
    check_repeats(recipe("ridge"), "hospital")


def test_repeats_with_tuning_are_refused() -> None:
    with pytest.raises(InputFault, match=r"repeats = 3 with tuning\.trials = 5"):
        recipe("lgbm", repeats=3, tuning={"trials": 5})


def test_a_recipe_without_repeats_has_the_facts_of_older_ones() -> None:
    assert "repeats" not in recipe("ridge").facts()
    assert RIDGE.facts()["repeats"] == 3


def test_the_sentence_has_the_spread_of_partitions_and_of_seeds() -> None:
    table = pd.DataFrame({"partition": [0, 1, 2], "model": "choice", "auc": [0.80, 0.82, 0.84]})
    deviations = pd.Series({"choice": float("nan"), "blend": 0.001})
    text = describe_repeats(table, ("choice", "blend"), deviations)
    assert "over 3 partitions of the patients: mean 0.8200, standard deviation 0.0200, 0.8000 to 0.8400" in text
    assert "standard deviation of blend over seeds 0.0010" in text
    assert "seeds" not in describe_repeats(table, ("choice",), deviations)
