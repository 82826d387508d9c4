"""The state of a training between two epochs, on disk: what a killed process needs to go on as if never killed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from features.files import read_json, replacing, write_json

STATE = "state.npz"  # of a training between two epochs, in the folder of its fit
DONE = "epochs_done"


def save_state(path: Path, state: Mapping[str, np.ndarray], epochs_done: int) -> None:
    """Write the arrays of a training state and how many epochs it has behind it, atomically."""
    arrays: dict[str, Any] = {DONE: np.array(epochs_done), **state}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_state(path: Path) -> tuple[dict[str, np.ndarray], int] | None:
    """Return (state, epochs done) as saved, or None when no epoch was finished. Nothing in the file is executed."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        state = {name: arrays[name] for name in arrays.files if name != DONE}
        return state, int(arrays[DONE])


def save_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights by their path in the network, atomically."""
    names = list(weights)
    # A path holds slashes, which are folders within an archive: the names stand in a file of their own.
    arrays: dict[str, Any] = {f"w{number:04d}": weights[name] for number, name in enumerate(names)}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    write_json(path.with_suffix(".json"), names)


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights that ``save_weights`` wrote, by their path in the network."""
    names = read_json(path.with_suffix(".json"))
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[f"w{number:04d}"] for number, name in enumerate(names)}
