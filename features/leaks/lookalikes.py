"""Pictures that show the same although they were rescaled, compressed anew, turned, flipped, cropped or relit.

Close descriptors propose a pair (``proposals``), the correlation of the details with one picture laid on the
other confirms it (``alignment``, ``refinement``). Measured with 200 copies, each cropped to 85-95 % of both
sides, turned, flipped, relit by up to 10 %, rescaled to 0.5-1.25 and compressed at quality 50-95, planted among the
pictures of the synthetic clinic, siim_mini and HAM10000: copies that were placed rightly correlate by 0.65 and more,
pairs of unrelated pictures by less than 0.45.
"""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from features.leaks.alignment import blurred, detail, halved, likeness, place, views
from features.leaks.traces import descriptors, greys
from runtime.progress import progress_bar

WORTH_REFINING = 0.33  # correlation of the 32 px details; unrelated pairs are below it in 80 to 90 of 100 cases
ALIKE = 0.55  # correlation of the 64 px details where they overlap
AT_ONCE = 256  # pairs compared together: 150 MB in a process
FEW = 8  # times AT_ONCE; fewer are compared before other processes have started
SMALL = 48  # px of the shorter side
PLAIN = 4  # grey levels from the darkest to the brightest pixel that may be noise
HUGE = 200  # pictures with the same pixels; all pairs of more would be too many
COLUMNS = ["first", "second", "alike"]
Floats = NDArray[np.float32]
ALL_PAIRS = 24  # up to so many pictures every pair is compared: a second or two
DIMENSIONS = 32  # of 200; with 16 to 64 the original was among the 5 nearest of 10,013 for 199 of 200 planted copies
NEIGHBOURS = 8  # per picture
FAR = 450.0  # squared distance in units of a crop's changes: 99 % of planted copies were within 380
MANY = 1000  # pictures; from fewer, the unit of distance is not well known
FLAT = 1e-4  # share of the largest variance below which a crop's change counts as this much


def find_lookalikes(traces: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """Return all pairs of pictures that show the same: columns first, second (names), alike (correlation, to 1).

    ``traces`` is a table of ``traces``; ``first`` stands before ``second`` in it, and the most alike come first.
    Pictures with the same pixels are alike by 1. One that is all of one grey shows nothing, and is like no other: as a
    placeholder for what is missing it would tie patients who have nothing in common. Pictures whose shorter side is
    under 48 px are compared by their pixels alone: enlarged, their few details agree by chance. ``jobs`` processes
    compare pictures (-1: one per core).
    """
    shown = traces[np.ptp(greys(traces), axis=(1, 2)) > PLAIN]
    large = shown[shown["shortest"] >= SMALL]
    names = large.index.to_numpy(dtype=object)
    compared = [_named(names, *part) for part in _compared(large, jobs)]
    kept = pd.concat([_same_pixels(shown), *compared], ignore_index=True)
    kept = kept.sort_values(["alike", "first", "second"], ascending=[False, True, True], kind="stable")
    return kept.drop_duplicates(["first", "second"]).reset_index(drop=True)


def _compared(traces: pd.DataFrame, jobs: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield, some pairs at a time, those pairs (k, 2) of rows that are ALIKE, and their correlation."""
    if len(traces) < 2:
        return
    grey = greys(traces)
    pairs = propose(descriptors(traces), descriptors(traces, "cropped"))
    parts = [pairs[start : start + AT_ONCE] for start in range(0, len(pairs), AT_ONCE)]
    stacks = (grey, *_in_blocks(grey))
    with (
        Parallel(n_jobs=jobs if len(parts) > FEW else 1, return_as="generator", pre_dispatch="2*n_jobs") as parallel,
        progress_bar("comparing pictures", len(pairs), "pairs") as advance,
    ):
        tasks = (delayed(_alike)(*(stack[part] for stack in stacks)) for part in parts)
        for part, alike in zip(parts, parallel(tasks), strict=True):
            yield part[alike >= ALIKE], alike[alike >= ALIKE]
            advance(len(part))


def _alike(grey: NDArray[np.uint8], small: NDArray[np.float16], soft: NDArray[np.float16]) -> NDArray[np.float64]:
    """Return the correlation (k,) of pairs of squares (k, 2, side, side); 0 where it is not WORTH_REFINING."""
    placed = place(*(stack[:, end].astype(np.float32) for stack in (small, soft) for end in (0, 1)))
    worth, alike = placed.alike >= WORTH_REFINING, np.zeros(len(grey))
    if worth.any():
        placed, one, other = placed.part(worth), detail(grey[worth, 0]), detail(grey[worth, 1])
        alike[worth] = likeness(one, views(other)[np.arange(len(one)), placed.view], placed)
    return alike


def _named(names: NDArray[np.object_], pairs: NDArray[np.intp], alike: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"first": names[pairs[:, 0]], "second": names[pairs[:, 1]], "alike": alike.clip(max=1)})


def _same_pixels(traces: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with the same pixels: all of a group, but those with its first alone where the group is huge."""
    pairs: list[tuple[object, object]] = []
    for _, names in traces.index.to_series().groupby(traces["pixels"].to_numpy(), sort=False):
        pairs += product(names[:1], names[1:]) if len(names) > HUGE else combinations(names, 2)
    return pd.DataFrame(pairs, columns=COLUMNS[:2], dtype=object).assign(alike=1.0)


def _in_blocks(grey: NDArray[np.uint8]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Return details (n, 32, 32) and soft squares (n, 16, 16), in half precision: 120 MB of 44,000 pictures."""
    blocks = [grey[start : start + 2048] for start in range(0, len(grey), 2048)]
    small = np.concatenate([detail(halved(block)).astype(np.float16) for block in blocks])
    return small, np.concatenate([blurred(block).astype(np.float16) for block in blocks])


def propose(descriptors: Floats, cropped: Floats) -> NDArray[np.intp]:
    """Return pairs of rows (k, 2), first < second, in order, that may show the same.

    ``descriptors`` (n, d) are of the pictures, ``cropped`` (n, d) of one crop of each. A pair is proposed when one is
    among the NEIGHBOURS nearest of the other and, of MANY pictures, not FAR. n rows take n^2 * 64
    operations: 44,000 half a minute.
    """
    count = len(descriptors)
    if count <= ALL_PAIRS:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.intp)
    points = crop_proof(descriptors, cropped)
    pairs = np.concatenate([_near(points, start) for start in range(0, count, 512)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def crop_proof(descriptors: Floats, cropped: Floats) -> Floats:
    """Return points (n, 32) in which a crop moves a picture by about 1 per axis, and pictures are far apart.

    Linear discriminant analysis (Fisher 1936) with every picture and its crop as one class: the descriptors are
    scaled so that the changes by cropping have unit covariance, then the axes of largest variance are kept. The fewer
    pictures there are, the more the covariance is shrunk to its diagonal: of few, it is 0 in most directions.
    """
    changes = (cropped - descriptors).astype(np.float64)
    spread = changes.T @ changes / len(changes)
    own = changes.shape[1] / (changes.shape[1] + len(changes))
    variances, axes = np.linalg.eigh((1 - own) * spread + own * np.diag(np.diag(spread)))
    scaling = axes / np.sqrt(np.maximum(variances, FLAT * variances[-1] + 1e-12))
    points = (descriptors - descriptors.mean(axis=0)) @ scaling
    _, main = np.linalg.eigh(points.T @ points / len(points))
    return np.asarray(points @ main[:, ::-1][:, :DIMENSIONS], np.float32)


def _near(points: Floats, start: int) -> NDArray[np.intp]:
    block, squares = points[start : start + 512], np.einsum("ij,ij->i", points, points)
    rows = np.arange(len(block))
    distance = squares[start : start + 512, None] + squares - 2 * block @ points.T
    distance[rows, start + rows] = np.inf
    nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    farthest = FAR if len(points) >= MANY else np.inf
    row, place = np.nonzero(np.take_along_axis(distance, nearest, axis=1) <= farthest)
    return np.stack([start + row, nearest[row, place]], axis=1)
