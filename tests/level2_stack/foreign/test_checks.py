"""Tests for witnesses/: does test.csv hold the same quantity as oof.csv, with its rows in the right order?"""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from level2_stack.foreign.read import import_predictions
from level2_stack.foreign.witnesses.candidate import Candidate
from level2_stack.foreign.witnesses.scale_repair import map_quantiles
from runtime.errors import InputFault
from tests.level2_stack.foreign.foreign_files import write_foreign

TRAIN, TEST = 400, 300


def cohort():
    """Return 400 train and 300 test cases, and a risk per case, which networks predict with noise of their own."""
    generator = np.random.default_rng(5)
    risk = pd.Series(generator.normal(size=TRAIN + TEST), index=[f"i{n:03}" for n in range(TRAIN + TEST)])
    target = (risk + generator.normal(size=len(risk)) > 1).astype(float)
    role = ["train"] * TRAIN + ["test"] * TEST
    cases = pd.DataFrame({"role": role, "fold": 0, "patient_id": risk.index, "target": target}, index=risk.index)
    return cases.rename_axis("image_name"), risk


def import_networks(folder, changes, trust=(), cases=None, own=()):
    """Write and import one network per name; ``changes[name]`` is applied to the scores of its test rows."""
    cohort_cases, risk = cohort()
    for number, (name, change) in enumerate(changes.items()):
        noise = np.random.default_rng(number).normal(scale=0.5, size=len(risk))
        score = (1 / (1 + np.exp(-(risk + noise)))).rename("pred").rename_axis("image_name")
        test = pd.Series(change(score[TRAIN:].to_numpy()), index=score.index[TRAIN:], name="pred")
        write_foreign(folder, name, score[:TRAIN].to_csv(), test.rename_axis("image_name").to_csv())
    return import_predictions(folder, cohort_cases if cases is None else cases, trust, own)


def own_network(risk):
    """Return a network of the run itself, whose rows are in order."""
    parts = {"train": risk[:TRAIN], "test": risk[TRAIN:]}
    return Candidate("ours", {role: pd.DataFrame({"score": part}) for role, part in parts.items()})


def identity(score):
    return score


def shuffle(score):
    return np.random.default_rng(77).permutation(score)


def stretch(score):
    return 1.3 * score


def replace_mostly(score):
    """Correlate with the network by about 0.25, and much more with any other score changed in this way."""
    return 0.35 * score + np.random.default_rng(78).uniform(size=len(score))


def refused_names(imports):
    return [network.name for network in imports.refusals]


def sentences(imports, name):
    network = next(network for network in imports.networks if network.name == name)
    return " ".join([*network.notes, *network.refusal])


def test_brought_networks_agree_with_each_other_and_confirm_nothing(tmp_path):
    for name, change in (("right", identity), ("wrong", shuffle)):
        imports = import_networks(tmp_path / name, {"one": change, "two": change})
        assert not imports.refusals
        words = sentences(imports, "one")
        assert "WARNING: [row-order-only-alike] test.csv and that of two agree with each other" in words
        assert re.search(r"\(rank .* -> test: two 0\.[78]\d -> 0\.[78]\d\)", words)
        assert "row order of test.csv confirmed" not in words


def test_two_other_networks_outvote_a_shuffled_test_file(tmp_path):
    imports = import_networks(tmp_path, {"one": identity, "three": shuffle, "two": identity})
    assert refused_names(imports) == ["three"]
    assert re.search(r"another quantity \(.* one 0\.[78]\d -> -?0\.[01]\d, two 0\.", sentences(imports, "three"))


def test_two_networks_that_disagree_are_both_refused(tmp_path):
    with pytest.raises(InputFault, match="its rows, or theirs, are in a wrong order"):
        import_networks(tmp_path, {"one": identity, "two": shuffle})


def test_networks_shuffled_in_the_same_way_do_not_outvote_a_majority(tmp_path):
    imports = import_networks(tmp_path, {"a1": identity, "a2": identity, "a3": identity, "b1": shuffle, "b2": shuffle})
    assert refused_names(imports) == ["b1", "b2"]


def test_the_row_order_of_a_single_network_that_nothing_confirms_is_a_warning(tmp_path):
    for name, change in (("right", identity), ("wrong", shuffle)):
        imports = import_networks(tmp_path / name, {"one": change})
        assert "WARNING: [row-order-unconfirmed] the row order of test.csv cannot be confirmed" in sentences(
            imports, "one"
        )


def test_a_network_of_the_run_confirms_or_refuses_a_single_network(tmp_path):
    _, risk = cohort()
    imports = import_networks(tmp_path / "right", {"one": identity}, own=[own_network(risk)])
    assert "row order of test.csv confirmed" in sentences(imports, "one")
    with pytest.raises(InputFault, match=r"\[row-order-wrong\] .*: ours 0\.8\d -> -?0\.0\d\)"):
        import_networks(tmp_path / "wrong", {"one": shuffle}, own=[own_network(risk)])


def test_a_network_of_the_run_outvotes_networks_that_are_wrong_in_the_same_way(tmp_path):
    _, risk = cohort()
    changes = {"right": identity, "a": shuffle, "b": shuffle, "c": shuffle}
    imports = import_networks(tmp_path, changes, own=[own_network(risk)])
    assert refused_names(imports) == ["a", "b", "c"]


def test_metadata_confirm_a_single_network_and_refuse_it_if_they_say_enough(tmp_path):
    cases, risk = cohort()
    for name, noise, verdict in (("strong", 0.3, "refused"), ("weak", 4.0, "WARNING: [row-order-unconfirmed]")):
        age = risk + np.random.default_rng(9).normal(scale=noise, size=len(risk))
        with_age = cases.assign(age_approx=age.round(1))
        if verdict == "refused":
            imports = import_networks(tmp_path / name / "right", {"one": identity}, cases=with_age)
            assert re.search(r"confirmed \(.*: a model of the metadata 0\.\d+ -> 0\.\d+\)", sentences(imports, "one"))
            with pytest.raises(InputFault, match=r"far less in common with a model of the metadata"):
                import_networks(tmp_path / name / "wrong", {"one": shuffle}, cases=with_age)
        else:
            imports = import_networks(tmp_path / name / "wrong", {"one": shuffle}, cases=with_age)
            assert verdict in sentences(imports, "one")


def test_values_out_of_range_in_a_confirmed_order_get_the_out_of_fold_distribution(tmp_path):
    imports = import_networks(tmp_path, {"one": identity, "wide": stretch})
    cases, _ = cohort()
    assert not imports.refusals
    table = next(network.table for network in imports.networks if network.name == "wide")
    oof, test = (table.loc[cases["role"] == role, "probability"] for role in ("train", "test"))
    file_scores = pd.read_csv(tmp_path / "wide" / "test.csv", index_col="image_name")["pred"]
    assert test.corr(file_scores, method="spearman") == pytest.approx(1.0)
    np.testing.assert_allclose(test.quantile([0.1, 0.5, 0.9]), oof.quantile([0.1, 0.5, 0.9]), atol=0.01)
    assert "mapped by quantile onto the out-of-fold distribution" in sentences(imports, "wide")


@pytest.mark.parametrize("change", [lambda score: 1.3 * shuffle(score), replace_mostly], ids=["shuffled", "blended"])
def test_values_out_of_range_are_refused_without_a_confirmed_order(tmp_path, change):
    imports = import_networks(tmp_path, {"one": identity, "two": identity, "wide": change})
    assert refused_names(imports) == ["wide"]
    assert "its row order is not confirmed" in sentences(imports, "wide")


def test_networks_out_of_range_do_not_confirm_each_other(tmp_path):
    alike = dict.fromkeys(["wide1", "wide2", "wide3"], replace_mostly)
    imports = import_networks(tmp_path, {"one": identity, **alike})
    assert refused_names(imports) == list(alike)


def test_a_weak_correlation_is_refused_and_a_trusted_one_stays_a_warning(tmp_path):
    changes = {"one": identity, "three": identity, "two": lambda score: replace_mostly(score) / 1.4}
    assert refused_names(import_networks(tmp_path, changes)) == ["two"]
    imports = import_networks(tmp_path, changes, trust=["two"])
    assert "WARNING: [row-order-wrong] test.csv: has far less in common with one, three" in sentences(imports, "two")


def test_up_to_a_tenth_of_the_train_cases_may_be_missing(tmp_path):
    import_networks(tmp_path, {"net": identity})
    cases, _ = cohort()
    lines = (tmp_path / "net" / "oof.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "net" / "oof.csv").write_text("".join(lines[:-40]), encoding="utf-8")
    network = import_predictions(tmp_path, cases).valid_networks[0]
    assert network.table["probability"].isna().sum() == 40
    assert "train cases without a row: 40 (i360, i361, i362, i363, i364, ...) of 400" in " ".join(network.notes)
    (tmp_path / "net" / "oof.csv").write_text("".join(lines[:-41]), encoding="utf-8")
    with pytest.raises(InputFault, match="without a row: 41"):
        import_predictions(tmp_path, cases)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_mapping_by_quantile_keeps_the_order_and_the_range(scores, onto):
    before, target = pd.Series(scores), pd.Series(onto)
    after = map_quantiles(before, target)
    assert after.between(target.min(), target.max()).all()
    order = before.argsort()
    assert (np.diff(after.to_numpy()[order]) >= -1e-12).all()
    assert after.groupby(before).nunique().eq(1).all()


def test_trust_accepts_one_network_with_a_warning_and_the_other_stays_out(tmp_path):
    changes = {"one": identity, "two": identity, "odd": lambda score: 2 * shuffle(score), "odder": shuffle}
    imports = import_networks(tmp_path, changes, trust=["odd"])
    assert refused_names(imports) == ["odder"]
    assert "; accepted because " in sentences(imports, "odd")
    table = next(network.table for network in imports.valid_networks if network.name == "odd")
    assert table["probability"].between(0, 1).all()


def test_trust_in_an_unknown_network_is_refused(tmp_path):
    with pytest.raises(
        InputFault, match="trust names 'onne', which is not a network of this folder; did you mean 'one'"
    ):
        import_networks(tmp_path, {"one": identity, "two": identity}, trust=["onne"])
