"""Named arrays in one file, written whole or not at all, and read without unpickling anything."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from features.faults import InputFault
from features.files import replacing

Array = NDArray[Any]


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write numeric ``arrays`` under their names as a compressed .npz file."""
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)


def read_arrays(path: Path, *needed: str) -> dict[str, Array]:
    """Return the arrays in ``path`` by name; raise InputFault when it is missing, damaged, or lacks ``needed`` ones."""
    try:
        # Opened here: NumPy leaves a file that is no archive open.
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, AttributeError, TypeError) as error:
        raise InputFault(f"{path}: not a file of arrays ({error})") from error
    # NumPy gives the bytes of what is no array as they are.
    strange = [name for name, held in arrays.items() if not isinstance(held, np.ndarray)]
    if strange:
        raise InputFault(f"{path}: not a file of arrays ({', '.join(strange)} is none)")
    lacking = [name for name in needed if name not in arrays]
    if lacking:
        raise InputFault(f"{path}: lacks the arrays {', '.join(lacking)}")
    return arrays
