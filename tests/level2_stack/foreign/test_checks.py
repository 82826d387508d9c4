"""Tests for foreign_checks.py: is a test column the quantity of its out-of-fold column, in the right order?"""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.foreign.read import import_predictions
from level2_stack.foreign.row_order import by_quantile
from runtime.errors import InputFault
from tests.level2_stack.foreign.foreign_files import write_foreign

TRAIN, UNLABELLED = 400, 300


def cohort():
    """400 train and 300 test cases; the risk of each is what networks see, with noise of their own."""
    generator = np.random.default_rng(5)
    risk = pd.Series(generator.normal(size=TRAIN + UNLABELLED), index=[f"i{n:03}" for n in range(TRAIN + UNLABELLED)])
    target = (risk + generator.normal(size=len(risk)) > 1).astype(float)
    role = ["train"] * TRAIN + ["test"] * UNLABELLED
    cases = pd.DataFrame({"role": role, "fold": 0, "patient_id": risk.index, "target": target}, index=risk.index)
    return cases.rename_axis("image_name"), risk


def bring_networks(folder, changes, trust=()):
    """Write one network per name; ``changes[name]`` is applied to the score of its test rows."""
    cases, risk = cohort()
    for number, (name, change) in enumerate(changes.items()):
        noise = np.random.default_rng(number).normal(scale=0.5, size=len(risk))
        score = (1 / (1 + np.exp(-(risk + noise)))).rename("pred").rename_axis("image_name")
        test = pd.Series(change(score[TRAIN:].to_numpy()), index=score.index[TRAIN:], name="pred")
        write_foreign(folder, name, score[:TRAIN].to_csv(), test.rename_axis("image_name").to_csv())
    return import_predictions(folder, cases, trust)


def kept(score):
    return score


def shuffled(score):
    return np.random.default_rng(77).permutation(score)


def stretched(score):
    return 1.3 * score


def mostly_replaced(score):
    """Relate to the network by 0.25 or so, to every other score treated alike much more."""
    return 0.35 * score + np.random.default_rng(78).uniform(size=len(score))


def refused(found):
    return [network.name for network in found.refused]


def sentences(found, name):
    network = next(network for network in found.networks if network.name == name)
    return " ".join([*network.notes, *network.refusal])


def test_a_confirmed_order_is_noted_with_both_correlations(tmp_path):
    found = bring_networks(tmp_path, {"one": kept, "two": kept})
    assert not found.refused
    assert re.search(r"test\.csv confirmed \(rank .* -> test: two 0\.[78]\d -> 0\.[78]\d\)", sentences(found, "one"))


def test_a_shuffled_test_column_is_outvoted(tmp_path):
    found = bring_networks(tmp_path, {"one": kept, "three": shuffled, "two": kept})
    assert refused(found) == ["three"]
    assert re.search(r"in another order \(.* one 0\.[78]\d -> -?0\.[01]\d, two 0\.", sentences(found, "three"))


def test_of_two_that_disagree_both_are_refused(tmp_path):
    with pytest.raises(InputFault, match="its rows, or theirs, are in another order"):
        bring_networks(tmp_path, {"one": kept, "two": shuffled})


def test_networks_shuffled_alike_do_not_outvote_a_majority(tmp_path):
    found = bring_networks(tmp_path, {"a1": kept, "a2": kept, "a3": kept, "b1": shuffled, "b2": shuffled})
    assert refused(found) == ["b1", "b2"]


def test_a_single_network_is_said_to_be_unconfirmed(tmp_path):
    found = bring_networks(tmp_path, {"one": kept})
    assert "row order of test.csv cannot be confirmed" in sentences(found, "one")


def test_values_out_of_range_in_a_confirmed_order_take_the_out_of_fold_distribution(tmp_path):
    found = bring_networks(tmp_path, {"one": kept, "wide": stretched})
    cases, _ = cohort()
    assert not found.refused
    table = next(network.table for network in found.networks if network.name == "wide")
    oof, test = (table.loc[cases["role"] == role, "probability"] for role in ("train", "test"))
    brought = pd.read_csv(tmp_path / "wide" / "test.csv", index_col="image_name")["pred"]
    assert test.corr(brought, method="spearman") == pytest.approx(1.0)
    np.testing.assert_allclose(test.quantile([0.1, 0.5, 0.9]), oof.quantile([0.1, 0.5, 0.9]), atol=0.01)
    assert "mapped by quantile onto the out-of-fold distribution" in sentences(found, "wide")


@pytest.mark.parametrize("change", [lambda score: 1.3 * shuffled(score), mostly_replaced], ids=["shuffled", "blended"])
def test_values_out_of_range_in_an_unconfirmed_order_are_refused(tmp_path, change):
    found = bring_networks(tmp_path, {"one": kept, "two": kept, "wide": change})
    assert refused(found) == ["wide"]
    assert "its order is not confirmed" in sentences(found, "wide")


def test_networks_out_of_range_do_not_vouch_for_each_other(tmp_path):
    alike = dict.fromkeys(["wide1", "wide2", "wide3"], mostly_replaced)
    found = bring_networks(tmp_path, {"one": kept, **alike})
    assert refused(found) == list(alike)


def test_a_column_in_range_that_is_hardly_related_is_kept_with_a_warning(tmp_path):
    found = bring_networks(tmp_path, {"one": kept, "two": lambda score: mostly_replaced(score) / 1.4})
    assert not found.refused
    assert re.search(r"WARNING: test\.csv goes with one 0\.[78]\d -> 0\.[123]\d far less", sentences(found, "two"))


def test_up_to_a_tenth_of_the_train_cases_may_be_missing(tmp_path):
    bring_networks(tmp_path, {"net": kept})
    cases, _ = cohort()
    lines = (tmp_path / "net" / "oof.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "net" / "oof.csv").write_text("".join(lines[:-40]), encoding="utf-8")
    network = import_predictions(tmp_path, cases).accepted[0]
    assert network.table["probability"].isna().sum() == 40
    assert "train cases without a row: 40 (i360, i361, i362, i363, i364, ...) of 400" in " ".join(network.notes)
    (tmp_path / "net" / "oof.csv").write_text("".join(lines[:-41]), encoding="utf-8")
    with pytest.raises(InputFault, match="without a row: 41"):
        import_predictions(tmp_path, cases)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_mapping_by_quantile_keeps_the_order_and_the_range(scores, onto):
    before, target = pd.Series(scores), pd.Series(onto)
    after = by_quantile(before, target)
    assert after.between(target.min(), target.max()).all()
    order = before.argsort()
    assert (np.diff(after.to_numpy()[order]) >= -1e-12).all()
    assert after.groupby(before).nunique().eq(1).all()


def test_a_trusted_network_is_admitted_with_a_warning_and_the_others_stay_refused(tmp_path):
    changes = {"one": kept, "two": kept, "odd": lambda score: 2 * shuffled(score), "odder": shuffled}
    found = bring_networks(tmp_path, changes, trust=["odd"])
    assert refused(found) == ["odder"]
    assert "admitted because you trust it" in sentences(found, "odd")
    table = next(network.table for network in found.accepted if network.name == "odd")
    assert table["probability"].between(0, 1).all()


def test_a_trusted_name_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(InputFault, match="no network 'onne' to trust; did you mean 'one'"):
        bring_networks(tmp_path, {"one": kept, "two": kept}, trust=["onne"])
