"""Find pictures of the same lesion although they were rescaled, compressed, rotated, flipped, cropped or brightened.

``propose_pairs`` proposes pairs with similar descriptors; the correlation of the details of the two aligned pictures
(``alignment``) confirms them. Limits were measured with 200 copies, each cropped to 85-95 % of both sides, rotated,
flipped, brightened or darkened by up to 10 %, rescaled to 0.5-1.25 and compressed at quality 50-95, among the pictures
of the synthetic clinic, siim_mini and HAM10000: correctly aligned copies have a correlation of 0.65 or more, pairs of
unrelated pictures less than 0.45.
"""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

from features.leaks.alignment import align, blur, correlate_details, detail, halve, views
from features.leaks.traces import descriptors, grey_squares
from runtime.progress import progress_bar

COARSE_LIMIT = 0.33  # correlation of the 32 px details; 80 to 90 % of the unrelated pairs are below it
ALIKE = 0.55  # correlation of the 64 px details where they overlap
PAIRS_PER_TASK = 256  # 150 MB in a process
FEW_TASKS = 8  # one process finishes so few tasks before others have started
SMALL = 48  # px of the shorter side
PLAIN = 4  # largest difference in grey levels between two pixels that may be noise
HUGE = 200  # pictures with the same pixels; larger groups would have too many pairs
COLUMNS = ["first", "second", "alike"]
Floats = NDArray[np.float32]
ALL_PAIRS = 24  # up to this number of pictures every pair is compared, in one or two seconds
DIMENSIONS = 32  # of 200; with 16 to 64, 199 of 200 copies had their original among the 5 nearest of 10,013 pictures
NEIGHBOURS = 8  # per picture
FAR = 450.0  # squared distance in units of the changes by a crop; 99 % of the copies were below 380
MANY = 1000  # pictures; with fewer, the unit of distance is estimated too roughly for FAR
FLAT = 1e-4  # least variance of a crop's changes along an axis, as a share of the largest variance


def find_lookalikes(traces: pd.DataFrame, jobs: int = -1) -> pd.DataFrame:
    """Return all pairs of pictures of the same lesion: columns first, second (names), alike (correlation, up to 1).

    ``traces`` is a table of ``make_traces``; ``first`` comes before ``second`` in it. Pairs are sorted by falling
    ``alike``, which is 1 for equal pixels. Pictures of a single grey level are ignored: as placeholders for missing
    pictures they would tie unrelated patients. Pictures whose shorter side is under 48 px are compared only by their
    pixels, since their few details agree by chance when they are enlarged. ``jobs`` processes compare pictures (-1:
    one per core).
    """
    with_content = traces[np.ptp(grey_squares(traces), axis=(1, 2)) > PLAIN]
    large = with_content[with_content["shortest"] >= SMALL]
    names = large.index.to_numpy(dtype=object)
    similar = [_with_names(names, *part) for part in _compare_proposals(large, jobs)]
    pairs = pd.concat([_same_pixels(with_content), *similar], ignore_index=True)
    pairs = pairs.sort_values(["alike", "first", "second"], ascending=[False, True, True], kind="stable")
    return pairs.drop_duplicates(["first", "second"]).reset_index(drop=True)


def _compare_proposals(traces: pd.DataFrame, jobs: int) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield in parts the pairs (k, 2) of rows with a correlation of ALIKE or more, and the correlations."""
    if len(traces) < 2:
        return
    grey = grey_squares(traces)
    pairs = propose_pairs(descriptors(traces), descriptors(traces, "cropped"))
    parts = [pairs[start : start + PAIRS_PER_TASK] for start in range(0, len(pairs), PAIRS_PER_TASK)]
    stacks = (grey, *_in_blocks(grey))
    with (
        Parallel(
            n_jobs=jobs if len(parts) > FEW_TASKS else 1, return_as="generator", pre_dispatch="2*n_jobs"
        ) as parallel,
        progress_bar("comparing pictures", len(pairs), "pair") as advance,
    ):
        tasks = (delayed(_correlate_pairs)(*(stack[part] for stack in stacks)) for part in parts)
        for part, alike in zip(parts, parallel(tasks), strict=True):
            yield part[alike >= ALIKE], alike[alike >= ALIKE]
            advance(len(part))


def _correlate_pairs(
    grey: NDArray[np.uint8], small: NDArray[np.float16], soft: NDArray[np.float16]
) -> NDArray[np.float64]:
    """Return the correlation (k,) of pairs of squares (k, 2, side, side); 0 if it is below COARSE_LIMIT at 32 px."""
    alignment = align(*(stack[:, end].astype(np.float32) for stack in (small, soft) for end in (0, 1)))
    is_candidate, alike = alignment.alike >= COARSE_LIMIT, np.zeros(len(grey))
    if is_candidate.any():
        alignment, one, other = (
            alignment.part(is_candidate),
            detail(grey[is_candidate, 0]),
            detail(grey[is_candidate, 1]),
        )
        alike[is_candidate] = correlate_details(one, views(other)[np.arange(len(one)), alignment.view], alignment)
    return alike


def _with_names(names: NDArray[np.object_], pairs: NDArray[np.intp], alike: NDArray[np.float64]) -> pd.DataFrame:
    return pd.DataFrame({"first": names[pairs[:, 0]], "second": names[pairs[:, 1]], "alike": alike.clip(max=1)})


def _same_pixels(traces: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with the same pixels: all pairs of a group, or those with its first picture if it is huge."""
    pairs: list[tuple[object, object]] = []
    for _, names in traces.index.to_series().groupby(traces["pixels"].to_numpy(), sort=False):
        pairs += product(names[:1], names[1:]) if len(names) > HUGE else combinations(names, 2)
    return pd.DataFrame(pairs, columns=COLUMNS[:2], dtype=object).assign(alike=1.0)


def _in_blocks(grey: NDArray[np.uint8]) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Return details (n, 32, 32) and blurred squares (n, 16, 16) in half precision: 120 MB for 44,000 pictures."""
    blocks = [grey[start : start + 2048] for start in range(0, len(grey), 2048)]
    small = np.concatenate([detail(halve(block)).astype(np.float16) for block in blocks])
    return small, np.concatenate([blur(block).astype(np.float16) for block in blocks])


def propose_pairs(descriptors: Floats, crop_descriptors: Floats) -> NDArray[np.intp]:
    """Return sorted pairs of rows (k, 2), first < second, that may show the same lesion.

    ``descriptors`` (n, d) belong to the pictures, ``crop_descriptors`` (n, d) to one crop of each. A pair is proposed
    if either picture is among the NEIGHBOURS nearest of the other and, with at least MANY pictures, not farther than
    FAR. n rows need n^2 * 64 operations, half a minute for 44,000.
    """
    count = len(descriptors)
    if count <= ALL_PAIRS:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.intp)
    points = crop_invariant_points(descriptors, crop_descriptors)
    pairs = np.concatenate([_near_pairs(points, start) for start in range(0, count, 512)])
    return np.unique(np.sort(pairs, axis=1), axis=0)


def crop_invariant_points(descriptors: Floats, crop_descriptors: Floats) -> Floats:
    """Return points (n, 32) that a crop moves by about 1 per axis, while different pictures are far apart.

    This is linear discriminant analysis (Fisher 1936) with every picture and its crop as one class: the descriptors
    are scaled so that the changes by cropping have unit covariance, then the axes of largest variance are kept. The
    fewer the pictures, the more the covariance is shrunk to its diagonal, since it would be 0 in most directions.
    """
    changes = (crop_descriptors - descriptors).astype(np.float64)
    spread = changes.T @ changes / len(changes)
    diagonal_weight = changes.shape[1] / (changes.shape[1] + len(changes))
    variances, axes = np.linalg.eigh((1 - diagonal_weight) * spread + diagonal_weight * np.diag(np.diag(spread)))
    scaling = axes / np.sqrt(np.maximum(variances, FLAT * variances[-1] + 1e-12))
    points = (descriptors - descriptors.mean(axis=0)) @ scaling
    _, main = np.linalg.eigh(points.T @ points / len(points))
    return np.asarray(points @ main[:, ::-1][:, :DIMENSIONS], np.float32)


def _near_pairs(points: Floats, start: int) -> NDArray[np.intp]:
    block, squares = points[start : start + 512], np.einsum("ij,ij->i", points, points)
    rows = np.arange(len(block))
    distance = squares[start : start + 512, None] + squares - 2 * block @ points.T
    distance[rows, start + rows] = np.inf
    nearest = np.argpartition(distance, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    farthest = FAR if len(points) >= MANY else np.inf
    row, rank = np.nonzero(np.take_along_axis(distance, nearest, axis=1) <= farthest)
    return np.stack([start + row, nearest[row, rank]], axis=1)
