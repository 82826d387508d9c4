"""Recall and precision of the leak audit on altered copies that are planted among pictures."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import NDArray
from PIL import Image

from benchmarks.alterations import KINDS
from features.leaks.lookalikes import compare_proposals, select_lookalikes
from features.leaks.traces import make_traces, trace
from features.pictures.read import read_picture
from runtime.machine.pool import open_pool
from runtime.tables import INDEX


@dataclass(frozen=True)
class AuditResult:
    """The result for planted copies.

    ``copies`` has a row per copy: kind, proposed (the pair with its original was compared), hit (it was found).
    ``other_pairs`` were found but not planted: neither an original with its copy nor two copies of one original.
    """

    copies: pd.DataFrame
    other_pairs: pd.DataFrame

    def table(self) -> pd.DataFrame:
        """Return one row per kind: copies, share proposed, share of the proposed that were confirmed, recall."""
        groups = self.copies.groupby("kind", sort=False)
        shares = groups[["proposed", "hit"]].mean()
        return pd.DataFrame(
            {
                "copies": groups.size(),
                "proposed": shares["proposed"],
                "confirmed": shares["hit"] / shares["proposed"],
                "recall": shares["hit"],
            }
        )

    @property
    def recall(self) -> float:
        """Share of the planted copies whose pair with the original was found."""
        return float(self.copies["hit"].mean())

    @property
    def precision(self) -> float:
        """Share of planted pairs among all pairs that were found."""
        hits = int(self.copies["hit"].sum())
        return hits / max(hits + len(self.other_pairs), 1)


def plant(
    pictures: Mapping[str, Path], copies: int, seed: int = 0, jobs: int | None = None, kinds: Sequence[str] = ("light",)
) -> AuditResult:
    """Plant ``copies`` altered copies of each of ``kinds`` among ``pictures`` (image_name -> path); try the audit.

    The copies of all kinds are planted at once, of different pictures as far as there are enough. Pairs among the
    pictures themselves count as other pairs, although real data may contain true ones; pairs between two copies of one
    picture are not counted.
    """
    rng = np.random.default_rng(seed)
    names = np.array(list(pictures), dtype=object)
    originals = np.resize(rng.permutation(names), copies * len(kinds))  # every picture once before any twice
    plan = list(zip(np.repeat(list(kinds), copies).tolist(), originals, strict=True))
    labels = [f"{kind} copy of {name}" for kind, name in plan]
    rows = open_pool(jobs)(
        delayed(_trace_of_copy)(pictures[name], kind, label) for (kind, name), label in zip(plan, labels, strict=True)
    )
    copy_traces = pd.DataFrame(rows, index=labels).rename_axis(INDEX)
    traces = pd.concat([make_traces(pictures, jobs), copy_traces])
    sources = dict(zip(labels, (name for _, name in plan), strict=True)) | dict(zip(names, names, strict=True))
    compared_pairs = compare_proposals(traces, jobs)
    found_pairs = select_lookalikes(traces, compared_pairs)
    table = pd.DataFrame({"kind": [kind for kind, _ in plan]}, index=labels)
    copy_pairs = pd.MultiIndex.from_arrays([[name for _, name in plan], labels])
    table["hit"] = copy_pairs.isin(pd.MultiIndex.from_frame(found_pairs[["first", "second"]]))
    proposed_pairs = pd.MultiIndex.from_frame(compared_pairs[["first", "second"]])
    table["proposed"] = copy_pairs.isin(proposed_pairs) | table["hit"]
    is_planted = found_pairs["first"].map(sources) == found_pairs["second"].map(sources)
    return AuditResult(table, found_pairs[~is_planted])


@contextmanager
def shrunken(pictures: Mapping[str, Path], shortest: int | None) -> Iterator[Mapping[str, Path]]:
    """Yield paths of ``pictures`` after shrinking them to ``shortest`` px of the shorter side; None: as they are."""
    if shortest is None:
        yield pictures
        return
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.jpg" for name in pictures}
        for name, path in paths.items():
            image = Image.fromarray(read_picture(pictures[name]))
            scale = min(1.0, shortest / min(image.size))
            size = (round(image.width * scale), round(image.height * scale))
            image.resize(size, Image.Resampling.LANCZOS).save(path, quality=95)
        yield paths


def _trace_of_copy(picture: Path, kind: str, label: str) -> dict[str, object]:
    rng = np.random.default_rng(zlib.crc32(label.encode()))
    copy: NDArray[np.uint8] = KINDS[kind](read_picture(picture), rng)
    return trace(copy)
