"""What pictures of a data folder cost: bytes of their square JPEGs, and a core's time to prepare and decode them."""

import io
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from features.folder.data_folder import DataFolder
from features.folder.picture_places import EXTRA
from features.pictures.scan import Scanned, scan
from runtime.errors import InputFault


def measure_costs(data: Path, sides: Sequence[int], at_most: int) -> pd.DataFrame:
    """Return a row per side, of ``at_most`` training pictures of ``data`` (every so many-th): the means of a picture.

    Columns: ``source_bytes``; ``jpeg_bytes`` of a square; ``prepare_ms`` of a core for the one decode that gives the
    square and the statistics; ``decode_ms`` of a core to decode the square again. Raises InputFault without pictures.
    """
    folder = DataFolder.open(data)
    place = folder.place("train") or folder.place(EXTRA)
    paths = {} if place is None else place.pictures()
    if not paths:
        raise InputFault(f"{data}: no training pictures to measure")
    step = max(1, len(paths) // at_most)
    chosen = dict(islice(islice(paths.items(), 0, None, step), at_most))
    source = float(np.mean([path.stat().st_size for path in chosen.values()]))
    rows = [{"side": side, "pictures": len(chosen), "source_bytes": source} | _cost(chosen, side) for side in sides]
    return pd.DataFrame(rows)


def _cost(paths: dict[str, Path], side: int) -> dict[str, float]:
    started = time.process_time()
    scanned = list(scan(paths, [side], jobs=1))
    prepared = time.process_time() - started
    jpegs = [_jpeg(one, side) for one in scanned]
    started = time.process_time()
    for jpeg in jpegs:
        np.asarray(Image.open(io.BytesIO(jpeg)))
    decoded = time.process_time() - started
    milliseconds = 1000 / len(jpegs)
    return {
        "jpeg_bytes": float(np.mean([len(jpeg) for jpeg in jpegs])),
        "prepare_ms": prepared * milliseconds,
        "decode_ms": decoded * milliseconds,
    }


def _jpeg(scanned: Scanned, side: int) -> bytes:
    if scanned.fault is not None:
        raise InputFault(f"{scanned.name}: {scanned.fault}")
    return scanned.jpegs[side]
