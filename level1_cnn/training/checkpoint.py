"""The state of a training between two epochs, on disk: from it a killed training continues with the same result."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import InputFault
from runtime.files import read_arrays, read_json, replacing, write_json
from runtime.progress import warn

STATE = "state.npz"  # in the folder of a fit
EPOCHS_KEY = "epochs_done"


def save_state(path: Path, state: Mapping[str, np.ndarray], epochs_done: int) -> None:
    """Write the arrays of a training state and the number of finished epochs, atomically."""
    arrays: dict[str, Any] = {EPOCHS_KEY: np.array(epochs_done), **state}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_state(path: Path) -> tuple[dict[str, np.ndarray], int] | None:
    """Return (state, number of finished epochs), or None when no epoch is finished. Nothing in the file is executed.

    A damaged file is reported and counts as missing: the fit starts again.
    """
    if not path.is_file():
        return None
    try:
        state = read_arrays(path, EPOCHS_KEY)
    except InputFault as fault:
        warn(f"{fault}; this training starts again from its first epoch")
        return None
    epochs = int(state.pop(EPOCHS_KEY))
    return state, epochs


def save_weights(path: Path, weights: Mapping[str, np.ndarray]) -> None:
    """Write weights (path in the network -> values) to ``path`` and the paths to a JSON file next to it, atomically."""
    names = list(weights)
    # The paths have slashes, which would be folders within the archive; that is why they are in a separate file.
    arrays: dict[str, Any] = {f"w{number:04d}": weights[name] for number, name in enumerate(names)}
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)
    write_json(path.with_suffix(".json"), names)


def load_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights that ``save_weights`` wrote, path in the network -> values; raise InputFault when damaged."""
    names = read_json(path.with_suffix(".json"))
    arrays = read_arrays(path, *(f"w{number:04d}" for number in range(len(names))))
    return {name: arrays[f"w{number:04d}"] for number, name in enumerate(names)}
