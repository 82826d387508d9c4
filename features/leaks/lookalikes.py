"""Find pictures of the same lesion although they were turned, flipped, cropped, relit, recoloured or compressed.

``proposals`` proposes pairs with similar discs; ``alignment`` aligns them by an affine map, in three steps from medium
to fine structure, and the correlation of the fine detail confirms them if it is high, and prominent among those after
shifts. After each step the unlike pairs are left out.
"""

from collections.abc import Iterator
from itertools import combinations, product

import numpy as np
import pandas as pd
from joblib import delayed
from numpy.typing import NDArray

from features.leaks.alignment import (
    FINE,
    MEDIUM,
    STEP,
    coarse_structure,
    disc_maps,
    prominence,
    refine_coarsely,
    refine_details,
)
from features.leaks.content_frame import SIDE
from features.leaks.discs import best_turns, blocks, discs, ring_spectra, smooth
from features.leaks.proposals import disc_points, learn_axes, propose_pairs
from features.leaks.traces import frames, grey_squares
from runtime.machine.pool import open_pool
from runtime.progress import progress_bar

TURNS = 3  # from which the alignment of a pair begins
DISC_LIMIT = 0.66  # agreement of the discs at the best turn; half of the unrelated proposals are below it
COARSE_LIMIT = 0.58  # correlation of the medium structure; six of seven of the unrelated proposals are below it
MEDIUM_LIMIT = 0.4  # correlation of the detail of squares of 32 px
ALIKE = 0.4  # correlation of the detail of squares of 64 px
PROMINENT = 10.0  # prominence of this correlation; unrelated pairs of the half of siim_mini that set it stay below 9
PICTURES_PER_TASK = 256
PAIRS_PER_TASK = 256
FEW_TASKS = 8  # one process finishes so few tasks before others have started
SMALL = 48  # px of the shorter side
PLAIN = 4  # largest difference in grey levels between two pixels that may be noise
HUGE = 200  # pictures with the same pixels; larger groups would have too many pairs
COLUMNS = ["first", "second", "alike"]
Floats = NDArray[np.float32]


def find_lookalikes(traces: pd.DataFrame, jobs: int | None = None) -> pd.DataFrame:
    """Return all pairs of pictures of the same lesion: columns first, second (names), alike (correlation, up to 1).

    ``traces`` is a table of ``make_traces``; ``first`` comes before ``second`` in it. Pairs are sorted by falling
    ``alike``, which is 1 for equal pixels. Pictures of a single grey level are ignored: as placeholders for missing
    pictures they would tie unrelated patients. Pictures whose shorter side is under 48 px are compared only by their
    pixels, since their few details agree by chance when they are enlarged. ``jobs`` processes compare pictures (None:
    one per core that is ours).
    """
    return select_lookalikes(traces, compare_proposals(traces, jobs))


def select_lookalikes(traces: pd.DataFrame, comparisons: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs of ``comparisons`` that are alike and the pairs with the same pixels, as ``find_lookalikes``."""
    similar = comparisons.loc[comparisons["alike"] >= ALIKE, COLUMNS]
    parts = [part for part in (_same_pixels(_with_content(traces)), similar) if len(part)]
    pairs = pd.concat(parts, ignore_index=True) if parts else similar
    pairs = pairs.sort_values(["alike", "first", "second"], ascending=[False, True, True], kind="stable")
    return pairs.drop_duplicates(["first", "second"]).reset_index(drop=True)


def compare_proposals(traces: pd.DataFrame, jobs: int | None = None) -> pd.DataFrame:
    """Return all pairs that were compared: columns as ``find_lookalikes``, but any ``alike``."""
    traces = _with_content(traces)
    traces = traces[traces["shortest"] >= SMALL]
    if len(traces) < 2:
        return pd.DataFrame(columns=COLUMNS)
    grey, edges = grey_squares(traces), frames(traces)
    points, coarse = _describe(grey, edges, jobs)
    parts = list(_compare(propose_pairs(points), discs(edges, SIDE), grey, coarse, jobs))
    pairs, names = pd.concat(parts, ignore_index=True), traces.index.to_numpy(dtype=object)
    return pd.DataFrame(
        {"first": names[pairs["first"]], "second": names[pairs["second"]], "alike": pairs["alike"].clip(upper=1)}
    )


def _with_content(traces: pd.DataFrame) -> pd.DataFrame:
    grey = grey_squares(traces)
    darkest = np.where(grey == 0, 255, grey).min(axis=(1, 2), initial=255)
    has_content: NDArray[np.bool_] = grey.max(axis=(1, 2), initial=0).astype(int) - darkest > PLAIN
    return traces[has_content]


def _describe(grey: NDArray[np.uint8], edges: Floats, jobs: int | None) -> tuple[Floats, NDArray[np.int8]]:
    """Return the points of all discs of the pictures, and their medium structure."""
    axes, parts = learn_axes(grey, edges), list(blocks(len(grey), PICTURES_PER_TASK))
    with (
        open_pool(jobs if len(parts) > FEW_TASKS else 1, return_as="generator") as parallel,
        progress_bar("describing pictures", len(grey), "picture") as advance,
    ):
        points, coarse = [], []
        for part in parallel(delayed(_describe_block)(grey[part], edges[part], axes) for part in parts):
            points.append(part[0])
            coarse.append(part[1])
            advance(len(part[1]))
    return np.concatenate(points), np.concatenate(coarse)


def _describe_block(
    grey: NDArray[np.uint8], edges: Floats, axes: tuple[Floats, Floats]
) -> tuple[Floats, NDArray[np.int8]]:
    return disc_points(grey, edges, axes), coarse_structure(grey)


def _compare(
    starts: pd.DataFrame, places: Floats, grey: NDArray[np.uint8], coarse: NDArray[np.int8], jobs: int | None
) -> Iterator[pd.DataFrame]:
    """Yield in parts the pairs of ``starts``, those of ``propose_pairs``: first, second (numbers), alike."""
    ends, its_discs = starts[["first", "second"]].to_numpy(), starts[["first_disc", "second_disc"]].to_numpy()
    begins = np.flatnonzero(~starts.duplicated(["first", "second"]))
    parts = list(blocks(len(begins), PAIRS_PER_TASK))

    def task(part: slice) -> tuple[NDArray[np.uint8], NDArray[np.int8], NDArray[np.intp], Floats]:
        pairs = begins[part]
        rows = np.arange(pairs[0], begins[part.stop] if part.stop < len(begins) else len(starts))
        number = np.searchsorted(pairs, rows, side="right") - 1
        return grey[ends[pairs]], coarse[ends[pairs]], number, places[ends[rows], its_discs[rows]]

    with (
        open_pool(jobs if len(parts) > FEW_TASKS else 1, return_as="generator", pre_dispatch="2*n_jobs") as parallel,
        progress_bar("comparing pictures", len(begins), "pair") as advance,
    ):
        scores = parallel(delayed(_correlate_pairs)(*task(part)) for part in parts)
        for part, alike in zip(parts, scores, strict=True):
            yield pd.DataFrame(ends[begins[part]], columns=["first", "second"]).assign(alike=alike)
            advance(len(alike))


def _correlate_pairs(
    grey: NDArray[np.uint8], coarse: NDArray[np.int8], pairs: NDArray[np.intp], places: Floats
) -> NDArray[np.float64]:
    """Return the correlation (k,) of pairs of squares (k, 2, side, side); 0 if another step is too low.

    ``places`` (s, 2, 4) are discs of both pictures of the ``pairs`` (s,) from which the alignment may begin.
    """
    alike = np.zeros(len(grey))
    start, angles, flips = _best_starts(grey, pairs, places)
    rows, number = np.unique(pairs[start], return_inverse=True)
    if not len(rows):
        return alike
    own, maps = disc_maps(places[start, 0]), disc_maps(places[start, 1], angles, flips.astype(np.float64))
    score, own, maps = refine_coarsely(coarse[rows] * np.float32(STEP), number, own, maps)
    for side, limit in ((MEDIUM, COARSE_LIMIT), (FINE, MEDIUM_LIMIT)):
        is_candidate = score >= limit
        rows, own, maps = rows[is_candidate], own.part(is_candidate), maps.part(is_candidate)
        if not len(rows):
            return alike
        score, maps = refine_details(grey[rows, 0], grey[rows, 1], own, maps, side)
    alike[rows] = score
    high = score >= ALIKE
    likely = rows[high]
    is_chance = prominence(grey[likely, 0], grey[likely, 1], own.part(high), maps.part(high), FINE) < PROMINENT
    alike[likely[is_chance]] = 0
    return alike


def _best_starts(
    grey: NDArray[np.uint8], pairs: NDArray[np.intp], places: Floats
) -> tuple[NDArray[np.intp], NDArray[np.float64], Floats]:
    """Return the TURNS best starts per pair above DISC_LIMIT, sorted by pair: row of ``places``, angle, flip."""
    spectra = [ring_spectra(smooth(grey[:, end]), pairs, places[:, end]) for end in (0, 1)]
    agreement, angles, flips = best_turns(spectra[0], spectra[1], TURNS)
    start = np.repeat(np.arange(len(pairs)), TURNS)
    order = np.lexsort((-agreement.ravel(), pairs[start]))
    rank = np.arange(len(order)) - np.searchsorted(pairs[start], pairs[start][order])
    best = order[(rank < TURNS) & (agreement.ravel()[order] >= DISC_LIMIT)]
    return start[best], angles.ravel()[best], flips.ravel()[best]


def _same_pixels(traces: pd.DataFrame) -> pd.DataFrame:
    """Return the pairs with the same pixels: all pairs of a group, or those with its first picture if it is huge."""
    pairs: list[tuple[object, object]] = []
    for _, names in traces.index.to_series().groupby(traces["pixels"].to_numpy(), sort=False):
        pairs += product(names[:1], names[1:]) if len(names) > HUGE else combinations(names, 2)
    return pd.DataFrame(pairs, columns=COLUMNS[:2], dtype=object).assign(alike=1.0)
