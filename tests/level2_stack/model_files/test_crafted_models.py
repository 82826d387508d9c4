"""Tests that crafted model files are refused with a reason before a library reads them, and sound ones are not."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fuzzing.bundles import training_rows
from level2_stack import learners
from level2_stack.learner_contract import Predict
from runtime.errors import InputFault
from runtime.files import read_json, write_json

LIBRARIES = ("lgbm", "xgb", "catboost")


def fit(name: str) -> Predict:
    X, y = training_rows()
    learner = learners.find(name)
    weak = {key: 0.1 for key in ("min_sum_hessian", "min_child_weight") if key in learner.Params.model_fields}
    params = learner.Params(rounds=12, **weak)
    return learner.fit(params, X, y, groups=np.arange(len(X)).astype(object), seed=0)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in LIBRARIES:
        learners.find(name).save(fit(name), folder / name)
    return folder


def refusal(folder: Path, name: str, content: bytes) -> str:
    """Write ``content`` as the model of learner ``name`` in ``folder`` and return why it is refused."""
    file = next((folder / name).glob("model.*"))
    file.write_bytes(content)
    with pytest.raises(InputFault) as error:
        learners.find(name).load(folder / name)
    assert str(file) in str(error.value)
    return str(error.value)


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "copy"))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_sound_model_predicts_after_the_check_as_before_it_was_written(sound: Path, name: str) -> None:
    X, _ = training_rows()
    predict, again = fit(name), learners.find(name).load(sound / name)
    np.testing.assert_array_equal(predict(X), again(X))
    np.testing.assert_array_equal(predict.stages(X), again.stages(X))


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.99])
def test_a_model_that_is_cut_off_is_refused(copy: Path, name: str, keep: float) -> None:
    content = next((copy / name).glob("model.*")).read_bytes()
    if name == "lgbm":
        content = content[: content.index(b"end of trees")]  # what follows is not read
    refusal(copy, name, content[: int(keep * len(content))])


@pytest.mark.parametrize(
    ("line", "value", "reason"),
    [
        ("left_child", "0", "left child"),
        ("left_child", "-2000", "left child"),
        ("right_child", "4000", "right_child"),
        ("split_feature", "99999", "split_feature has 99999"),
        ("split_feature", "-1", "split_feature"),
        ("num_leaves", "60000000", "another number of values"),
        ("leaf_value", "nan", "leaf_value"),
        ("leaf_value", "1e999", "not a finite number"),
        ("decision_type", "255", "decision_type"),
        ("cat_boundaries", "1", "cat_boundaries"),
        ("is_linear", "1", "linear"),
        ("num_cat", "7", "num_cat"),
        ("max_feature_idx", "3", "max_feature_idx"),
        ("num_class", "9", "num_class"),
        ("objective", "multiclass num_class:9", "objective"),
    ],
)
def test_a_crafted_lightgbm_text_is_refused(copy: Path, line: str, value: str, reason: str) -> None:
    text = (copy / "lgbm" / "model.txt").read_text()
    # The value is the first of its line, in the last tree that has values there.
    *_, place = re.finditer(rf"^{line}=(\S+)", text, re.MULTILINE)
    if line == "objective":
        place = re.search(r"^objective=(.+)", text, re.MULTILINE) or place
    text = text[: place.start(1)] + value + text[place.end(1) :]
    trees = re.findall(r"Tree=\d+\n.*?\n\n\n", text, re.DOTALL)
    text = re.sub(r"tree_sizes=.*", "tree_sizes=" + " ".join(str(len(tree)) for tree in trees), text)
    assert reason in refusal(copy, "lgbm", text.encode())


def test_sizes_of_trees_that_are_wrong_are_refused(copy: Path) -> None:
    text = (copy / "lgbm" / "model.txt").read_text()
    assert "tree 0" in refusal(copy, "lgbm", re.sub(r"tree_sizes=\d+", "tree_sizes=9", text).encode())


def array_start(content: bytes, name: bytes) -> int:
    """Return where the first array called ``name`` that has numbers begins in UBJSON."""
    places = re.finditer(re.escape(name) + rb"\[\$.#L(.{8})", content, re.DOTALL)
    return next(place.end() for place in places if int.from_bytes(place.group(1), "big"))


@pytest.mark.parametrize(
    ("array", "value", "reason"),
    [
        (b"left_children", 0, "left child is 0"),
        (b"right_children", 2**31 - 1, "right child"),
        (b"split_indices", 99999, "split_indices has 99999"),
        (b"categories_nodes", 77, "categories_nodes"),
        (b"categories", 31, "categories"),
        (b"parents", 0, "parents"),
        (b"split_conditions", 0x7FC00000, "not a finite number"),
    ],
)
def test_a_crafted_xgboost_file_is_refused(copy: Path, array: bytes, value: int, reason: str) -> None:
    content = (copy / "xgb" / "model.ubj").read_bytes()
    start = array_start(content, array)
    assert reason in refusal(copy, "xgb", content[:start] + value.to_bytes(4, "big") + content[start + 4 :])


def test_lengths_and_nesting_beyond_the_file_are_refused(copy: Path) -> None:
    content = (copy / "xgb" / "model.ubj").read_bytes()
    start = array_start(content, b"left_children") - 8
    assert "length" in refusal(copy, "xgb", content[:start] + (2**62).to_bytes(8, "big") + content[start + 8 :])
    deep = b"[#L" + (1).to_bytes(8, "big")
    assert "nested deeper" in refusal(copy, "xgb", deep * 100_000)


def test_a_crafted_catboost_file_is_refused(copy: Path) -> None:
    content = (copy / "catboost" / "model.cbm").read_bytes()
    predict = learners.find("catboost").load(copy / "catboost")
    leaf = np.asarray(predict.booster.get_leaf_values(), "<f8").tobytes()[8:16]
    at = content.index(leaf)
    nan = np.array([np.nan], "<f8").tobytes()
    assert "leaf values" in refusal(copy, "catboost", content[:at] + nan + content[at + 8 :])
    assert "length" in refusal(copy, "catboost", content + b"\0")


def test_facts_that_do_not_agree_with_the_model_are_refused(copy: Path) -> None:
    for name in LIBRARIES:
        facts = read_json(copy / name / "learner.json")
        write_json(copy / name / "learner.json", {**facts, "columns": facts["columns"][1:]})
        with pytest.raises(InputFault):
            learners.find(name).load(copy / name)


def test_json_that_is_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 200_000)
    with pytest.raises(InputFault, match="nested too deep"):
        read_json(tmp_path / "deep.json")
