"""The check of an XGBoost model's UBJSON; the library itself does not check them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from level2_stack.model_files.reading import ModelFault, read_model, require, require_equal
from level2_stack.model_files.trees import Trees, check_trees, require_finite, require_range
from level2_stack.model_files.ubjson import Reader
from runtime.errors import InputFault

Json = dict[str, Any]
Array = NDArray[Any]
# The arrays of a tree with one value per node, and their types in the file.
PER_NODE = {
    "base_weights": ">f4",
    "default_left": ">u1",
    "left_children": ">i4",
    "loss_changes": ">f4",
    "parents": ">i4",
    "right_children": ">i4",
    "split_conditions": ">f4",
    "split_indices": ">i4",
    "split_type": ">u1",
    "sum_hessian": ">f4",
}
CATEGORIES = {
    "categories": ">i4",
    "categories_nodes": ">i4",
    "categories_segments": ">i8",
    "categories_sizes": ">i8",
}
ROOT = 2**31 - 1  # the parent of a root


def read_xgboost(path: Path, template: pd.DataFrame, rounds: object) -> bytes:
    """Return the bytes of the model at ``path`` after checking all of them; raise InputFault that says what is wrong.

    ``template`` has the columns and categories of the fit, ``rounds`` is the number of trees.
    """
    content = read_model(path)
    try:
        _check(Reader(content).document(), template, rounds)
    except ModelFault as error:
        raise InputFault(f"{path}: not an XGBoost model of this project: {error}") from error
    return content


def _check(model: Any, template: pd.DataFrame, rounds: object) -> None:  # noqa: ANN401
    learner = _keys("the model", model, "learner", "version")["learner"]
    version = model["version"]
    is_version = isinstance(version, list) and len(version) == 3 and all(type(part) is int for part in version)
    require(is_version and version[0] == 3, "written by another major version of XGBoost; 3 is read")
    names = "attributes feature_names feature_types gradient_booster learner_model_param objective"
    _keys("learner", learner, *names.split())
    require_equal("attributes", learner["attributes"], {})
    require_equal("feature_names", learner["feature_names"], list(map(str, template.columns)))
    texts = [_categories(column) for _, column in template.items()]
    require_equal("feature_types", learner["feature_types"], ["float" if each is None else "c" for each in texts])
    require_equal("objective", learner["objective"], _objective())
    _check_parameters(learner["learner_model_param"], len(texts))
    booster = _keys("gradient_booster", learner["gradient_booster"], "model", "name")
    require_equal("gradient_booster.name", booster["name"], "gbtree")
    _check_forest(booster["model"], texts, rounds)


def _objective() -> Json:
    return {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}}


def _categories(column: pd.Series) -> list[str] | None:
    return list(map(str, column.cat.categories)) if isinstance(column.dtype, pd.CategoricalDtype) else None


def _keys(name: str, value: Any, *keys: str) -> Json:  # noqa: ANN401
    require(isinstance(value, dict), f"{name} is not an object")
    require(
        set(value) == set(keys), f"{name} has the keys {', '.join(sorted(value))[:200]}; expected {', '.join(keys)}"
    )
    fields: Json = value
    return fields


def _check_parameters(values: Any, columns: int) -> None:  # noqa: ANN401
    names = ("base_score", "boost_from_average", "num_class", "num_feature", "num_target")
    parameters = _keys("learner_model_param", values, *names)
    score = parameters["base_score"]
    require(isinstance(score, str) and len(score) < 40, "base_score is not a short text")
    try:
        share = float(score.strip("[]"))
    except ValueError as error:
        raise ModelFault("base_score is not a number") from error
    require(0 < share < 1, "base_score is not between 0 and 1")
    require(parameters["boost_from_average"] in ("0", "1"), "boost_from_average is neither 0 nor 1")
    for name, expected in (("num_class", "0"), ("num_feature", str(columns)), ("num_target", "1")):
        require_equal(name, parameters[name], expected)


def _check_forest(model: Any, texts: Sequence[list[str] | None], rounds: object) -> None:  # noqa: ANN401
    _keys("model", model, "cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees")
    trees = model["trees"]
    require(isinstance(trees, list) and len(trees) == rounds, f"another number of trees than the {rounds} rounds")
    parameters = {"num_parallel_tree": "1", "num_trees": str(len(trees))}
    require_equal("gbtree_model_param", model["gbtree_model_param"], parameters)
    _check_numbers("iteration_indptr", model["iteration_indptr"], range(len(trees) + 1))
    _check_numbers("tree_info", model["tree_info"], [0] * len(trees))
    _check_category_names(model["cats"], texts)
    for number, tree in enumerate(trees):
        _check_arrays(number, tree, len(texts))
    _check_nodes(trees)
    counts = np.array([-1 if each is None else len(each) for each in texts])
    for number, tree in enumerate(trees):
        _check_splits(number, tree, counts)


def _check_numbers(name: str, values: Any, expected: Sequence[int]) -> None:  # noqa: ANN401
    is_list = isinstance(values, list) and all(type(value) is int for value in values)
    is_array = isinstance(values, np.ndarray) and values.dtype.kind in "iu"
    require(is_list or is_array, f"{name} is not a list of whole numbers")
    require(len(values) == len(expected) and list(values) == list(expected), f"{name} is not as for these trees")


def _check_category_names(cats: Any, texts: Sequence[list[str] | None]) -> None:  # noqa: ANN401
    """Check the model's own list of categories: the bytes of their names, one after another, per column."""
    _keys("cats", cats, "enc", "feature_segments", "sorted_idx")
    if isinstance(cats["enc"], list) and not cats["enc"]:
        _check_numbers("feature_segments", cats["feature_segments"], [])
        _check_numbers("sorted_idx", cats["sorted_idx"], [])
        return
    require(isinstance(cats["enc"], list) and len(cats["enc"]) == len(texts), "cats.enc has not one item per column")
    for own, text in zip(cats["enc"], texts, strict=True):
        _keys("cats.enc", own, "offsets", "values")
        names = [name.encode("utf-8") for name in text or []]
        offsets = np.cumsum([0, *map(len, names)]) if names else np.zeros(0, int)
        _check_numbers("cats.enc.offsets", own["offsets"], offsets.tolist())
        _check_numbers("cats.enc.values", own["values"], np.frombuffer(b"".join(names), np.int8).tolist())
    counts = [len(text or []) for text in texts]
    _check_numbers("feature_segments", cats["feature_segments"], np.cumsum([0, *counts]).tolist())
    order = [rank for text in texts for rank in _order(text or [])]
    _check_numbers("sorted_idx", cats["sorted_idx"], order)


def _order(names: list[str]) -> list[int]:
    return sorted(range(len(names)), key=lambda index: names[index].encode("utf-8"))


def _check_arrays(number: int, tree: Any, columns: int) -> None:  # noqa: ANN401
    where = f"tree {number}"
    _keys(where, tree, "id", "tree_param", *PER_NODE, *CATEGORIES)
    require_equal(f"{where}: id", tree["id"], number)
    for name, kind in (PER_NODE | CATEGORIES).items():
        is_array = isinstance(tree[name], np.ndarray) and tree[name].dtype == kind
        require(is_array, f"{where}: {name} is not an array of the type {np.dtype(kind).name}")
    nodes = len(tree["left_children"])
    require(nodes >= 1, f"{where}: no node")
    require(all(len(tree[name]) == nodes for name in PER_NODE), f"{where}: arrays of different lengths")
    parameters = {"num_deleted": "0", "num_feature": str(columns), "num_nodes": str(nodes), "size_leaf_vector": "1"}
    require_equal(f"{where}: tree_param", tree["tree_param"], parameters)


def _check_nodes(trees: list[Json]) -> None:
    nodes = np.array([len(tree["left_children"]) for tree in trees], np.int64)
    flat = {name: np.concatenate([tree[name] for tree in trees]).astype(kind[1:]) for name, kind in PER_NODE.items()}
    tree = np.repeat(np.arange(len(nodes)), nodes)
    node = np.arange(len(tree)) - np.repeat(np.cumsum(nodes) - nodes, nodes)
    left_child, right_child = flat["left_children"].astype(np.int64), flat["right_children"].astype(np.int64)
    is_leaf = (left_child == -1) & (right_child == -1)
    splits = ~is_leaf
    check_trees(Trees(nodes, tree[splits], node[splits], left_child[splits], right_child[splits]))
    start = np.cumsum(nodes) - nodes
    parents = np.full(len(tree), ROOT)
    for child in (left_child, right_child):
        parents[start[tree[splits]] + child[splits]] = node[splits]
    require(bool((flat["parents"] == parents).all()), "parents does not agree with the children")
    require(flat["default_left"].max() <= 1, "default_left is neither 0 nor 1")
    require(not flat["split_type"][is_leaf].any(), "split_type of a leaf is not 0")
    for name in ("base_weights", "loss_changes", "sum_hessian", "split_conditions"):
        require_finite(name, flat[name])


def _check_splits(number: int, tree: Json, counts: Array) -> None:
    """Check the columns and categories of one tree's splits; ``counts`` of categories per column, -1 for a number."""
    where, columns = f"tree {number}", tree["split_indices"].astype(np.int64)
    require_range(f"{where}: split_indices", columns, 0, len(counts))
    splits = np.flatnonzero(tree["left_children"] != -1)
    by_category = splits[tree["split_type"][splits] == 1]
    require_range(f"{where}: split_type", tree["split_type"], 0, 2)
    is_text = counts[columns[splits]] >= 0
    require(bool((is_text == (tree["split_type"][splits] == 1)).all()), f"{where}: a split by category of a number")
    nodes, sizes = tree["categories_nodes"], tree["categories_sizes"].astype(np.int64)
    require(np.array_equal(nodes, by_category), f"{where}: categories_nodes are not the splits by category")
    require(len(sizes) == len(nodes), f"{where}: categories_sizes has another length")
    require_range(f"{where}: categories_sizes", sizes, 1, len(tree["categories"]) + 1)
    segments = np.cumsum(sizes) - sizes
    require(np.array_equal(tree["categories_segments"], segments), f"{where}: categories_segments overlap")
    require(int(sizes.sum()) == len(tree["categories"]), f"{where}: categories has another length")
    limits = np.repeat(counts[columns[by_category]], sizes)
    require_range(f"{where}: categories", tree["categories"].astype(np.int64), 0, limits)
