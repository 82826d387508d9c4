"""The check that the nodes of a model's trees are trees: every node is reached once, none of them too deep."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from level2_stack.model_files.reading import require

Integers = NDArray[np.int64]
MAX_TREES = 100_000
MAX_NODES = 20_000_000  # of all trees together
MAX_DEPTH = 256  # the exact contributions recurse this deep


@dataclass(frozen=True)
class Trees:
    """The splits of all trees of a model, one after another; node 0 of each tree is its root.

    ``nodes`` (trees,) counts the nodes of each tree, leaves too. Per split: the tree that it belongs to, its number
    among the nodes of that tree, and the numbers of its two children.
    """

    nodes: Integers
    tree: Integers
    split: Integers
    left_child: Integers
    right_child: Integers


def check_trees(trees: Trees) -> None:
    """Raise ModelFault unless every node but the roots is the child of exactly one earlier split of its tree.

    A child has a higher number than its split in both libraries, so no path returns to where it was.
    """
    require(len(trees.nodes) <= MAX_TREES, f"{len(trees.nodes):,} trees; at most {MAX_TREES:,} are read")
    require(int(trees.nodes.sum()) <= MAX_NODES, f"more than {MAX_NODES:,} nodes")
    for name, child in (("left", trees.left_child), ("right", trees.right_child)):
        wrong = (child <= trees.split) | (child >= trees.nodes[trees.tree])
        if wrong.any():
            first = int(np.argmax(wrong))
            at = f"tree {trees.tree[first]}, node {trees.split[first]}"
            require(False, f"{at}: its {name} child is {child[first]}, which is not a later node of the tree")
    start = np.cumsum(trees.nodes) - trees.nodes
    children = np.concatenate([trees.left_child, trees.right_child]) + np.tile(start[trees.tree], 2)
    times = np.bincount(children, minlength=int(trees.nodes.sum()))
    times[start] += 1
    require(bool((times == 1).all()), f"{int((times != 1).sum())} nodes are reached twice, or never")
    parents = np.arange(len(times))
    parents[children] = np.tile(trees.split + start[trees.tree], 2)
    require(_depth(parents) <= MAX_DEPTH, f"a tree is deeper than {MAX_DEPTH} nodes")


def _depth(parents: Integers) -> int:
    """Return the number of splits above the deepest node; ``parents`` of a root is the root itself."""
    node = parents
    for depth in range(MAX_DEPTH + 2):
        if np.array_equal(parents[node], node):
            return depth + 1
        node = parents[node]
    return MAX_DEPTH + 2


def require_range(name: str, values: NDArray[Any], low: int, high: int | Integers) -> None:
    """Raise ModelFault unless all whole numbers ``values`` are at least ``low`` and below ``high``."""
    wrong = (values < low) | (values >= high)
    if wrong.any():
        first = int(np.argmax(wrong))
        limit = high if isinstance(high, int) else int(high[first])
        require(False, f"{name} has {values[first]}; it must be from {low} to {limit - 1}")


def require_finite(name: str, values: NDArray[Any]) -> None:
    """Raise ModelFault if one of ``values`` is infinite or not a number."""
    require(bool(np.isfinite(values).all()), f"{name} has a value that is not a finite number")
