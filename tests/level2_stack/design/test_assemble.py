"""The design table: its rows and columns, their names, and the inputs that are refused."""

import numpy as np
import pandas as pd
import pytest

from level2_stack.contrasts import FAMILIES
from level2_stack.design.assemble import assemble, safe_name
from level2_stack.recipe import Recipe
from runtime.errors import InputFault

RECIPE = Recipe(blocks=["metadata"])


@pytest.fixture
def cases():
    index = pd.Index([f"case_{i:02d}" for i in range(26)], name="image_name")
    # Test and extra rows are mixed with the train rows, as in some case tables.
    role = ["test", "extra", "test", "test", *["train"] * 20, "extra", "train"]
    frame = pd.DataFrame({"role": role}, index=index)
    train = frame["role"] == "train"
    frame["fold"] = np.where(train, np.arange(26) // 2 % 3, -1).astype(np.int8)
    frame["patient_id"] = [f"patient_{i // 2}" for i in range(26)]
    frame["target"] = np.where(train, (np.arange(26) % 5 == 0).astype(float), np.nan)
    return frame


@pytest.fixture
def network(cases):
    return pd.DataFrame({"probability": np.linspace(0, 1, 26), "spread": 0.1, "fold": cases["fold"]}, index=cases.index)


@pytest.fixture
def metadata(cases):
    return pd.DataFrame(
        {"age": np.arange(26.0), "site": ["leg", None, "arm", "head", *["leg", "arm"] * 11], "camera": 1.5},
        index=cases.index,
    )


def build_design(cases, predictions, metadata, recipe=RECIPE, **blocks):
    return assemble(cases, predictions, {"metadata": metadata, **blocks}, recipe, {"metadata": ["camera"]})


def test_train_rows_come_first_then_test_rows_and_no_extra(cases, network, metadata):
    design = build_design(cases, {"a": network}, metadata)
    assert list(design.train.index) == [f"case_{i:02d}" for i in [*range(4, 24), 25]]
    assert list(design.test.index) == ["case_00", "case_02", "case_03"]
    np.testing.assert_array_equal(design.y, cases.loc[design.train.index, "target"])
    np.testing.assert_array_equal(design.folds, cases.loc[design.train.index, "fold"])
    np.testing.assert_array_equal(design.groups, cases.loc[design.train.index, "patient_id"])


def test_columns_are_named_family_dot_name(cases, network, metadata):
    metadata = metadata.drop(columns="camera")
    columns = list(build_design(cases, {"a": network}, metadata).X)
    assert columns[:2] == ["logit.a", "spread.a"]
    contrasts = [name for name in columns if name.split(".")[0] in FAMILIES]
    assert columns[2:] == [*contrasts, "metadata.age", "metadata.site"]
    assert {"difference.a", "zscore.a", "rank.a", "level.a"} <= set(contrasts)


def test_logits_are_finite_and_those_of_the_probability(cases, network, metadata):
    X = build_design(cases, {"a": network}, metadata).X
    assert X.loc["case_00", "logit.a"] == pytest.approx(np.log(1e-6), abs=1e-5)
    assert X.loc["case_25", "logit.a"] == pytest.approx(-np.log(1e-6), abs=1e-5)
    assert X.loc["case_05", "logit.a"] == pytest.approx(np.log(5 / 20))


def test_values_follow_the_case_name_and_not_the_row_order(cases, network, metadata):
    design = build_design(cases, {"a": network}, metadata).X
    pd.testing.assert_frame_equal(build_design(cases, {"a": network.iloc[::-1]}, metadata.iloc[::-1]).X, design)


@pytest.mark.parametrize(("acquisition", "has_column"), [("auto", True), ("keep", True), ("drop", False)])
def test_acquisition_columns_are_left_out_only_if_the_recipe_drops_them(
    cases, network, metadata, acquisition, has_column
):
    stack = RECIPE.model_copy(update={"acquisition": acquisition})
    X = build_design(cases, {"a": network}, metadata, stack).X
    assert ("metadata.camera" in X) == has_column
    assert "metadata.age" in X


def test_a_design_without_columns_keeps_its_rows_and_targets(cases, network, metadata):
    design = build_design(cases, {"a": network}, metadata)
    less = design.without(["metadata.camera", "spread.a"])
    assert set(design.X) - set(less.X) == {"metadata.camera", "spread.a"}
    assert list(less.test.index) == list(design.test.index)
    assert less.y is design.y


def test_text_becomes_sorted_categories_common_to_train_and_test(cases, network, metadata):
    site = build_design(cases, {"a": network}, metadata).X["metadata.site"]
    assert list(site.cat.categories) == ["arm", "head", "leg"]
    assert site["case_03"] == "head"  # of a test case only


def test_contrasts_and_networks_follow_the_recipe(cases, network, metadata):
    recipe = RECIPE.model_copy(update={"contrasts": [], "networks": ["b*"]})
    design = build_design(cases, {"a1": network, "b1": network, "b2": network}, metadata, recipe)
    assert design.networks == ["b1", "b2"]
    assert not [name for name in design.X if name.split(".")[0] in FAMILIES]


def test_a_pattern_that_matches_no_network_is_refused(cases, network, metadata):
    with pytest.raises(InputFault, match="'b5_\\*' matches no network"):
        build_design(cases, {"a": network}, metadata, RECIPE.model_copy(update={"networks": ["b5_*"]}))


def test_an_unknown_spread_is_left_out(cases, network, metadata):
    assert "spread.a" not in build_design(cases, {"a": network.assign(spread=np.nan)}, metadata).X


def test_blocks_that_were_not_computed_are_listed(cases, network, metadata):
    recipe = RECIPE.model_copy(update={"blocks": ["metadata", "pictures"]})
    assert build_design(cases, {"a": network}, metadata, recipe).missing_blocks == ("pictures",)


def test_every_faulty_network_is_named_at_once(cases, network, metadata):
    gap, invalid = network.copy(), network.copy()
    gap.loc["case_02", "probability"] = np.nan
    invalid.loc["case_07", "probability"] = 1.2
    with pytest.raises(InputFault) as error:
        build_design(cases, {"gap": gap, "invalid": invalid, "short": network.iloc[:-2]}, metadata)
    message = str(error.value)
    assert "network gap: has no probability for test cases: 1 (case_02)" in message
    assert "network invalid: has probabilities outside [0, 1]: 1 (case_07)" in message
    assert "network short: lacks 1 (case_25) of 24 train and test cases" in message


def test_a_tenth_of_the_train_probabilities_may_be_missing_and_stays_missing(cases, network, metadata):
    network.loc[["case_05", "case_06"], "probability"] = np.nan
    assert build_design(cases, {"a": network}, metadata).X["logit.a"].isna().sum() == 2
    network.loc["case_07", "probability"] = np.nan
    with pytest.raises(InputFault, match=r"has no probability for 3 \(case_05, case_06, case_07\) of 21 train"):
        build_design(cases, {"a": network}, metadata)


def test_a_block_that_lacks_cases_is_refused(cases, network, metadata):
    with pytest.raises(InputFault, match=r"block metadata: lacks 1 \(case_00\)"):
        build_design(cases, {"a": network}, metadata.iloc[1:])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("renamed", lambda cases: cases["target"].map({0.0: "harmless", 1.0: "cancer"})),
        ("copy", lambda cases: cases["target"]),
        ("group", lambda cases: cases["fold"] * 10.0),
        ("diagnosis", lambda cases: "nevus"),
    ],
)
def test_a_column_that_reveals_the_target_or_the_fold_is_refused(cases, network, metadata, column, values):
    with pytest.raises(InputFault, match=f"block metadata: column '{column}'"):
        build_design(cases, {"a": network}, metadata.assign(**{column: values(cases)}))


def test_column_names_that_the_boosters_refuse_are_replaced(cases, network, metadata):
    X = build_design(cases, {"a": network}, metadata.rename(columns={"age": "age [years], <90"})).X
    assert "metadata.age__years____90" in X


def test_every_booster_accepts_a_safe_name():
    assert safe_name("age [years], <90") == "age__years____90"
    assert safe_name("b3_384.v2-x") == "b3_384.v2-x"
    assert safe_name(safe_name('a"b:c{d}')) == safe_name('a"b:c{d}') == "a_b_c_d_"


def test_block_columns_with_the_same_safe_name_are_refused(cases, network, metadata):
    with pytest.raises(InputFault, match=r"block metadata: has columns whose names differ only in .*: 1 \(a_b\)"):
        build_design(cases, {"a": network}, metadata.assign(**{"a b": 1.0, "a,b": 2.0}))


@pytest.mark.parametrize("name", ["networks", "blend", "choice", "mean", "b3 [384]"])
def test_ambiguous_network_names_are_refused(cases, network, metadata, name):
    with pytest.raises(InputFault, match="name"):
        build_design(cases, {name: network}, metadata)
