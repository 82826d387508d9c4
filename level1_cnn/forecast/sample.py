"""A handful of a run's pictures as a run of its own in a folder that is thrown away: what a forecast is measured on."""

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

OF_EACH = 12  # cases of each role and class; the batches of a training repeat them
ROUNDS, PER_ROUND = 3, 4 * CHUNK  # pictures that are decoded for measuring, after one round that starts the processes


def make_sample(run: Run, folder: Path, sizes: Sequence[int]) -> Run:
    """Return a run in ``folder`` with some cases of each role and class of ``run``, decoded at ``sizes``."""
    cases = run.read_cases()
    pictured = cases[cases["picture"].notna()]
    kinds = [rows for _, rows in pictured.groupby([pictured["role"], pictured["target"].fillna(-1)])]
    chosen = pd.concat([rows.iloc[_spread(len(rows), OF_EACH)] for rows in kinds])
    sample = Run(folder / "run")
    write_table(sample.cases, chosen)
    facts = {key: value for key, value in run.facts().items() if key not in MARK_KEYS}
    write_mark(sample.cases_mark, {"sample_of": run.cases_digest()}, **facts)
    with quiet():
        decode_pictures(sample, chosen, sizes)
    return sample


@dataclass(frozen=True)
class Decoding:
    """What decoding one picture takes: seconds, of all cores together, and bytes of the square JPEG of each side."""

    seconds: Span
    pictures: int  # that were measured
    bytes: dict[int, float]


def measure_decoding(undecoded: Sequence[MissingPictures]) -> Decoding:
    """Decode some of the pictures that are not decoded yet, as many processes side by side as there are cores."""
    sizes = sorted({size for part in undecoded for size in part.sizes})
    paths = {name: path for part in undecoded for name, path in part.paths.items()}
    rounds = _rounds(list(paths), ROUNDS + 1, PER_ROUND)
    seconds, bytes_of = [], list[dict[int, int]]()
    for names in rounds:
        started = time.perf_counter()
        scanned = list(scan({name: paths[name] for name in names}, sizes))
        seconds.append((time.perf_counter() - started) / len(names))
        bytes_of += [{size: len(jpeg) for size, jpeg in item.jpegs.items()} for item in scanned]
    measured = seconds[1:] or seconds
    count = sum(map(len, rounds[1:] or rounds))
    mean = {size: float(np.mean([each[size] for each in bytes_of if size in each])) for size in sizes}
    return Decoding(Span.of(measured), count, mean)


def _rounds(names: Sequence[str], rounds: int, each: int) -> list[list[str]]:
    """Return up to ``rounds`` lists of ``each`` names, no name twice, spread over all."""
    spread = [names[place] for place in _spread(len(names), rounds * each)]
    count = max(1, min(rounds, len(spread) // CHUNK))
    return [spread[number::count] for number in range(count)] if spread else []


def _spread(count: int, wanted: int) -> list[int]:
    """Return at most ``wanted`` places among ``count``, evenly spread."""
    return sorted(set(np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist())) if count else []
