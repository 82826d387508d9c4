"""A temporary run with a few pictures of a real run, on which a forecast is measured."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.pictures.scan import CHUNK, scan
from level1_cnn.data.picture_store import MissingPictures
from level1_cnn.data.shards import decode_pictures
from runtime.forecasts import Span
from runtime.progress import quiet
from runtime.provenance import MARK_KEYS, write_mark
from runtime.run_folder import Run
from runtime.tables import write_table

GROUP_CASES = 12  # cases of each role and class; the batches of a training repeat them
ROUNDS, PER_ROUND = 3, 4 * CHUNK  # timed rounds and their pictures; an untimed round before them starts the processes


def make_sample(run: Run, folder: Path, sizes: Sequence[int]) -> Run:
    """Return a run in ``folder`` with some cases of each role and class of ``run``, decoded at ``sizes``."""
    cases = run.read_cases()
    cases = cases[cases["picture"].notna()]
    groups = [rows for _, rows in cases.groupby([cases["role"], cases["target"].fillna(-1)])]
    sample_cases = pd.concat([rows.iloc[_spread(len(rows), GROUP_CASES)] for rows in groups])
    sample = Run(folder / "run")
    write_table(sample.cases, sample_cases)
    facts = {key: value for key, value in run.facts().items() if key not in MARK_KEYS}
    write_mark(sample.cases_mark, {"sample_of": run.cases_digest()}, **facts)
    with quiet():
        decode_pictures(sample, sample_cases, sizes)
    return sample


@dataclass(frozen=True)
class Decoding:
    """Seconds to decode one picture, with all cores in use, and the mean bytes of a square JPEG by side in px."""

    seconds: Span
    pictures: int  # number of pictures that were measured
    bytes: dict[int, float]  # side in pixels -> bytes


def measure_decoding(missing: Sequence[MissingPictures]) -> Decoding:
    """Decode some of the pictures that are not decoded yet, with one process per core."""
    sizes = sorted({size for part in missing for size in part.sizes})
    paths = {name: path for part in missing for name, path in part.paths.items()}
    rounds = _rounds(list(paths), ROUNDS + 1, PER_ROUND)
    seconds, bytes_of = [], list[dict[int, int]]()
    for names in rounds:
        start = time.perf_counter()
        results = list(scan({name: paths[name] for name in names}, sizes))
        seconds.append((time.perf_counter() - start) / len(names))
        bytes_of += [{size: len(jpeg) for size, jpeg in result.jpegs.items()} for result in results]
    count = sum(map(len, rounds[1:] or rounds))
    means = {size: float(np.mean([sizes_of[size] for sizes_of in bytes_of if size in sizes_of])) for size in sizes}
    return Decoding(Span.of(seconds[1:] or seconds), count, means)


def _rounds(names: Sequence[str], rounds: int, size: int) -> list[list[str]]:
    """Return up to ``rounds`` lists of about ``size`` names, evenly spread over ``names`` and without repetition."""
    sample = [names[index] for index in _spread(len(names), rounds * size)]
    count = max(1, min(rounds, len(sample) // CHUNK))
    return [sample[number::count] for number in range(count)] if sample else []


def _spread(count: int, most: int) -> list[int]:
    """Return at most ``most`` indices below ``count``, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist())) if count else []
