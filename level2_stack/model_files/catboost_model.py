"""The check of a CatBoost model (CBM) with symmetric trees; the library itself does not check them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from level2_stack.model_files.flatbuffer import Table
from level2_stack.model_files.reading import ModelFault, read_model, require, require_equal
from level2_stack.model_files.trees import MAX_TREES, require_finite, require_range
from runtime.errors import InputFault

START, HEAD = b"CBM1", 8  # the first bytes; the number of bytes before the core
VERSION = "FlabuffersModel_v1"
MAX_TREE_DEPTH = 16  # CatBoost's own limit on symmetric trees
PER_BIN = 254  # borders or categories of one column of a row as CatBoost packs it
# Fields of TModelCore and TModelTrees in CatBoost's model.fbs.
CORE_VERSION, TREES, FACTS = 0, 1, 2
SIZE, SPLITS, SIZES, STARTS, TEXTS, NUMBERS, CATEGORIES, LEAVES, WEIGHTS = 0, 1, 2, 3, 4, 5, 6, 8, 9
SCALE, BIAS, BIASES, BINS = 14, 15, 16, 17
OTHER_PARTS = {7, 10, 11, 12, 13, 18}  # statistics of the target, trees that are not symmetric, texts, embeddings
BIN = np.dtype([("column", "<u2"), ("mask", "u1"), ("border", "u1")])

Integers = NDArray[np.int64]


def read_catboost(path: Path, categories: Sequence[int | None]) -> bytes:
    """Return the bytes of the model at ``path`` after checking them; raise InputFault that says what is wrong.

    ``categories`` has the number of categories of each column, None for a number.
    """
    content = read_model(path)
    try:
        require(content[:4] == START, "it does not begin like one")
        core = content[HEAD:]
        require(int.from_bytes(content[4:HEAD], "little") == len(core), "its length is not the one that it says")
        _check(Table.root(core), [count is not None for count in categories])
    except ModelFault as error:
        raise InputFault(f"{path}: not a CatBoost model of this project: {error}") from error
    return content


def _check(core: Table, is_text: Sequence[bool]) -> None:
    require(core.fields <= {CORE_VERSION, TREES, FACTS}, "parts that a model with symmetric trees does not have")
    require_equal("the format", core.text(CORE_VERSION), VERSION)
    for fact in core.tables(FACTS):
        _check_fact(fact.text(0), fact.text(1))
    trees = core.table(TREES)
    others = [field for field in OTHER_PARTS if trees.count(field)]
    require(not others and max(trees.fields, default=0) <= max(OTHER_PARTS), "splits or trees of other kinds")
    require_equal("the number of values of a leaf", trees.number(SIZE, "<i"), 1)
    _check_columns(trees, is_text)
    _check_trees(trees)
    for name, value in (("scale", trees.number(SCALE, "<d", 1.0)), ("bias", trees.number(BIAS, "<d"))):
        require_finite(name, np.array([value]))
    biases = trees.array(BIASES, "<f8")
    require(len(biases) <= 1, "more than one bias")
    require_finite("bias", biases)


def _check_fact(name: str, value: str) -> None:
    """Check a fact of the fit; CatBoost reads those that are JSON by a function that calls itself."""
    try:
        json.loads(value if value.startswith(("{", "[")) else "{}")
    except (ValueError, RecursionError) as error:
        raise ModelFault(f"{name[:60]!r} is not JSON, or nested too deep") from error


def _check_columns(trees: Table, is_text: Sequence[bool]) -> None:
    """Check that the columns are those of the facts, in their order, and the borders and categories of each."""
    for kind, field, first in (("number", NUMBERS, 1), ("text", TEXTS, 0)):
        own = [(table.number(first, "<i"), table.number(first + 1, "<i")) for table in trees.tables(field)]
        places = [place for place, text in enumerate(is_text) if text == (kind == "text")]
        require(own == list(enumerate(places)), f"its columns of the kind {kind} are not those of learner.json")
    for table in trees.tables(NUMBERS):
        borders = table.array(3, "<f4")
        require_finite("a border", borders)
        require(bool((np.diff(borders) > 0).all()) and len(borders) < 2**16, "borders of a column do not rise")
        require_range("the treatment of gaps", np.array([table.number(5, "<b")]), 0, 3)
    columns = np.array([table.number(0, "<i") for table in trees.tables(CATEGORIES)], np.int64)
    require_range("a column of categories", columns, 0, max(sum(is_text), 1))
    require(any(is_text) or not len(columns), "categories of a column that is a number")
    require(bool((np.diff(columns) > 0).all()), "columns of categories do not rise")
    counts = np.array([table.count(1) for table in trees.tables(CATEGORIES)], np.int64)
    require_range("the number of categories", counts, 1, 2**16)
    for table in trees.tables(CATEGORIES):
        table.array(1, "<i4")  # raises ModelFault for a list that is longer than the file


def _check_trees(trees: Table) -> None:
    sizes, splits = trees.array(SIZES, "<i4").astype(np.int64), trees.array(SPLITS, "<i4").astype(np.int64)
    require(1 <= len(sizes) <= MAX_TREES, f"{len(sizes):,} trees; from 1 to {MAX_TREES:,} are read")
    require_range("the depth of a tree", sizes, 0, MAX_TREE_DEPTH + 1)
    starts = trees.array(STARTS, "<i4")
    require(np.array_equal(starts, np.cumsum(sizes) - sizes), "trees do not start where the one before ends")
    require(len(splits) == int(sizes.sum()), "another number of splits than the depths say")
    leaves = int((2**sizes).sum())
    for name, field in (("leaf values", LEAVES), ("leaf weights", WEIGHTS)):
        values = trees.array(field, "<f8")
        require(
            len(values) == leaves or (field == WEIGHTS and not len(values)), f"another number of {name} than leaves"
        )
        require_finite(name, values)
    bins = _bins(trees)
    require_range("a split", splits, 0, len(bins))
    raw_bins = trees.array(BINS, "<u4").view(BIN)
    require(not len(raw_bins) or np.array_equal(raw_bins, bins[splits]), "packed splits are not those of the trees")


def _bins(trees: Table) -> NDArray[np.void]:
    """Return how CatBoost packs every possible split: first the borders of all numbers, then all categories."""
    parts, column = list[NDArray[np.void]](), 0
    for field, values in ((NUMBERS, 3), (CATEGORIES, 1)):
        for table in trees.tables(field):
            number = np.arange(table.count(values))
            part = np.zeros(len(number), BIN)
            part["column"] = column + number // PER_BIN
            within = number % PER_BIN + 1
            part["border"], part["mask"] = (within, 0) if field == NUMBERS else (255, 255 - within)
            parts.append(part)
            column += -(-len(number) // PER_BIN)
    return np.concatenate([np.zeros(0, BIN), *parts])
