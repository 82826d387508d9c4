"""The state of a training between two epochs, on disk: what a killed process needs to go on as if never killed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputFault
from runtime.files import read_arrays, read_json, replacing, write_json
from runtime.progress import say

STATE = "state.npz"  # of a training between two epochs, in the folder of its fit
DONE = "epochs_done"


def save_state(path: Path, state: Mapping[str, np.ndarray], epochs_done: int) -> None:
    """Write the arrays of a training state and how many epochs it has behind it, atomically."""
    arrays: dict[str, Any] = {DONE: np.array(epochs_done), **state}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_state(path: Path) -> tuple[dict[str, np.ndarray], int] | None:
    """Return (state, epochs done) as saved, or None when no epoch was finished. Nothing in the file is executed.

    A damaged file is said, and counts as none: that fit starts again.
    """
    if not path.is_file():
        return None
    try:
        state = read_arrays(path, DONE)
    except InputFault as fault:
        say(f"{fault}; damaged, so this training starts from its first epoch")
        return None
    done = int(state.pop(DONE))
    return state, done


def save_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights by their path in the network, atomically."""
    names = list(weights)
    # A path holds slashes, which are folders within an archive: the names stand in a file of their own.
    arrays: dict[str, Any] = {f"w{number:04d}": weights[name] for number, name in enumerate(names)}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    write_json(path.with_suffix(".json"), names)


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights that ``save_weights`` wrote, by their path in the network; InputFault when damaged."""
    names = read_json(path.with_suffix(".json"))
    arrays = read_arrays(path, *(f"w{number:04d}" for number in range(len(names))))
    return {name: arrays[f"w{number:04d}"] for number, name in enumerate(names)}
