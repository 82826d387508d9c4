"""The check of a LightGBM model's text; the library itself does not check it."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from level2_stack.model_files.reading import ModelFault, read_model, require, require_equal
from level2_stack.model_files.trees import Integers, Trees, check_trees, require_finite, require_range
from runtime.errors import InputFault

END = "end of trees"
# Lines before the first tree, with the only values of a model of this project (None: checked by their own rule).
HEADER = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "max_feature_idx": None,
    "objective": "binary sigmoid:1",
    "feature_names": None,
    "monotone_constraints": None,
    "feature_infos": None,
    "tree_sizes": None,
}
OF_SPLITS = ("split_feature", "split_gain", "threshold", "decision_type", "left_child", "right_child")
OF_SPLITS_TOO = ("internal_value", "internal_weight", "internal_count")
OF_LEAVES = ("leaf_value", "leaf_weight", "leaf_count")
OF_CATEGORIES = ("cat_boundaries", "cat_threshold")
ONE_VALUE = ("num_leaves", "num_cat", "is_linear", "shrinkage")
WHOLE = {"split_feature", "decision_type", "left_child", "right_child", "leaf_count", "internal_count"} | {
    *OF_CATEGORIES,
    "num_leaves",
    "num_cat",
    "is_linear",
}
INTEGERS = re.compile(r"(-?\d{1,18}( |$))*")
NUMBERS = re.compile(r"(-?\d[0-9.e+-]{0,40}( |$))*")
CATEGORICAL, HIGHEST_TYPE = 1, 16  # of decision_type: bit 0 a category, 1 the default side, 2 and 3 the missing values

Lines = dict[str, str]
Values = dict[str, NDArray[np.float64] | Integers]


def read_lightgbm(path: Path, categories: Sequence[int | None]) -> str:
    """Return the part of the text at ``path`` that a prediction needs, after checking all of it.

    ``categories`` has the number of categories of each column, None for a number. What follows the trees (the
    parameters of the fit, the categories of a pandas table) is left out: the library does not need it. Raises
    InputFault that names the file and what is wrong.
    """
    content = read_model(path)
    try:
        text = content.decode("ascii", errors="surrogateescape")  # names of columns may have any character
        end = text.find(f"\n{END}\n")
        require(end >= 0, f"the line {END!r} is missing")
        text = text[: end + len(END) + 2]
        require("\r" not in text and "\0" not in text, "a line ends in another way than LightGBM writes it")
        _check(text, categories)
        return text.encode("ascii", errors="surrogateescape").decode("utf-8")
    except (ModelFault, UnicodeDecodeError) as error:
        raise InputFault(f"{path}: not a LightGBM model of this project: {error}") from error


def _check(text: str, categories: Sequence[int | None]) -> None:
    head, _, body = text.partition("\n\n")
    header = _header(head, len(categories))
    sizes = _numbers("tree_sizes", header["tree_sizes"], whole=True)
    require_range("tree_sizes", sizes, 1, len(text))
    trees, start = [], 0
    for number, size in enumerate(sizes.tolist()):
        trees.append(_tree_lines(body[start : start + size], number))
        start += size
    require(body[start:] == f"{END}\n", "tree_sizes does not agree with the trees")
    require(bool(trees), "no tree")
    _check_values(
        {key: [tree.get(key, "") for tree in trees] for key in trees[0] | dict.fromkeys(OF_CATEGORIES, "")}, categories
    )


def _header(head: str, columns: int) -> Lines:
    lines = head.split("\n")
    require_equal("the first line", lines[0], "tree")
    header = _pairs(lines[1:])
    missing = HEADER.keys() - header.keys() - {"monotone_constraints"}
    require(header.keys() <= HEADER.keys() and not missing, "lines of the header are missing, or unknown")
    for key, expected in HEADER.items():
        require(expected is None or header[key] == expected, f"{key}={header.get(key, '')[:60]}; expected {expected}")
    require_equal("max_feature_idx", header["max_feature_idx"], str(columns - 1))
    for key in header.keys() & {"feature_names", "feature_infos", "monotone_constraints"}:
        count = len(header[key].split(" "))
        require(count == columns, f"{key} has {count} values; the model has {columns} columns")
    _numbers("monotone_constraints", header.get("monotone_constraints", ""), whole=True)
    return header


def _tree_lines(block: str, number: int) -> Lines:
    """Return the lines of one tree by their names; ``block`` is its text."""
    title, _, rest = block.partition("\n")
    require(title == f"Tree={number}" and rest.endswith("\n\n\n"), f"tree {number} is not where tree_sizes says")
    lines = _pairs(rest[:-3].split("\n"))
    allowance = {*ONE_VALUE, *OF_SPLITS, *OF_SPLITS_TOO, *OF_LEAVES}
    missing = allowance - lines.keys()
    require(
        lines.keys() <= allowance | {*OF_CATEGORIES} and not missing, f"tree {number}: lines are missing, or unknown"
    )
    return lines


def _pairs(lines: Sequence[str]) -> Lines:
    pairs = [line.partition("=") for line in lines]
    require(all(equals for _, equals, _ in pairs), "a line without '='")
    values = {key: value for key, _, value in pairs}
    require(len(values) == len(pairs), "a line occurs twice")
    return values


def _check_values(texts: dict[str, list[str]], categories: Sequence[int | None]) -> None:
    """Check the values of all trees; ``texts`` has one text per tree for every name of a line."""
    single = {key: _one_per_tree(key, texts[key]) for key in ONE_VALUE}
    leaves = single["num_leaves"].astype(np.int64)
    require_range("num_leaves", leaves, 1, 2**31 - 1)
    require(not single["is_linear"].any(), "is_linear: trees with linear leaves are not read")
    lengths = {key: np.array([text.count(" ") + bool(text) for text in each]) for key, each in texts.items()}
    for key in (*OF_SPLITS, *OF_SPLITS_TOO):
        require(bool((lengths[key] == leaves - 1).all()), f"{key}: a tree has another number of values than of splits")
    for key in OF_LEAVES:
        # A tree that is only a leaf may have no weight.
        right = (lengths[key] == leaves) | ((leaves == 1) & (lengths[key] == 0) & (key != "leaf_value"))
        require(bool(right.all()), f"{key}: a tree has another number of values than of leaves")
    values = {key: _numbers(key, " ".join(filter(None, each)), whole=key in WHOLE) for key, each in texts.items()}
    _check_splits(leaves, {key: values[key].astype(np.int64) for key in WHOLE & values.keys()})
    _check_categories(single["num_cat"].astype(np.int64), leaves, lengths, values, categories)


def _one_per_tree(key: str, texts: list[str]) -> NDArray[np.float64] | Integers:
    require(all(text and " " not in text for text in texts), f"{key}: not one value per tree")
    return _numbers(key, " ".join(texts), whole=key in WHOLE)


def _numbers(key: str, text: str, *, whole: bool) -> NDArray[np.float64] | Integers:
    require(bool((INTEGERS if whole else NUMBERS).fullmatch(text)), f"{key}: a value is not a finite number")
    try:
        words = text.split(" ") if text else []
        values: NDArray[np.float64] | Integers = np.array(words, np.int64) if whole else np.array(words, np.float64)
    except ValueError as error:
        raise ModelFault(f"{key}: a value is not a number") from error
    require_finite(key, values)
    return values


def _check_splits(leaves: Integers, values: dict[str, Integers]) -> None:
    """Check that the children make trees; a child below 0 is the leaf -1 - child."""
    splits = leaves - 1
    tree = np.repeat(np.arange(len(leaves)), splits)
    split = np.arange(len(tree)) - np.repeat(np.cumsum(splits) - splits, splits)
    left_child, right_child = (
        np.where(child >= 0, child, splits[tree] - 1 - child) for child in (values["left_child"], values["right_child"])
    )
    for child in (values["left_child"], values["right_child"]):
        require_range("left_child or right_child", child, -(2**31), splits[tree])
    check_trees(Trees(2 * leaves - 1, tree, split, left_child, right_child))
    require_range("decision_type", values["decision_type"], 0, HIGHEST_TYPE)
    require_range("leaf_count or internal_count", np.r_[values["leaf_count"], values["internal_count"]], 0, 2**31)


def _check_categories(
    counts: Integers, leaves: Integers, lengths: dict[str, Integers], values: Values, categories: Sequence[int | None]
) -> None:
    """Check the columns of all splits, and the sets of categories: a split's threshold is the number of its set."""
    column = values["split_feature"].astype(np.int64)
    require_range("split_feature", column, 0, len(categories))
    by_category = values["decision_type"].astype(np.int64) & CATEGORICAL == 1
    is_text = np.array([count is not None for count in categories], dtype=bool)
    require(bool((is_text[column] == by_category).all()), "decision_type: a split by category of a number, or reverse")
    boundaries, tree = values["cat_boundaries"].astype(np.int64), np.repeat(np.arange(len(leaves)), leaves - 1)
    require_range("num_cat", counts, 0, 2**31 - 1)
    right = np.where(counts == 0, 0, counts + 1) == lengths["cat_boundaries"]
    require(bool(right.all()), "cat_boundaries: another number of values than num_cat says")
    sets, limit = values["threshold"][by_category], counts[tree[by_category]]
    require(bool((sets == np.floor(sets)).all()), "threshold: the number of a set of categories is not whole")
    require_range("threshold", sets, 0, limit)
    require_range("cat_threshold", values["cat_threshold"], 0, 2**32)
    ends = np.cumsum(lengths["cat_boundaries"])
    for start, end, size in zip(ends - lengths["cat_boundaries"], ends, lengths["cat_threshold"], strict=True):
        own = boundaries[start:end]
        fits = not len(own) or (own[0] == 0 and own[-1] == size and bool((np.diff(own) > 0).all()))
        require(fits and (len(own) > 0 or size == 0), "cat_boundaries does not divide cat_threshold")
