"""Propose pairs of pictures that may show the same lesion: nearest neighbours among discs of all pictures."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.leaks.content_frame import SIDE
from features.leaks.discs import DISCS, SQUARE_RADII, discs, invariants, ring_spectra, smooth

Floats = NDArray[np.float32]
DIMENSIONS = 40
NEIGHBOURS = 16  # per picture
STARTS = 3  # pairs of discs per pair of pictures, from which their alignment may begin
ALL_PAIRS = 24  # up to this number of pictures every pair is compared
QUERIES = (0, DISCS - len(SQUARE_RADII))  # the frame, and the picture as a square
SHIFT, ZOOM = 0.09, 0.07  # of a disc's radius: what a copy's disc differs from the nearest disc of the original
NOISE = 4.0  # grey levels of the trial alteration
SAMPLE = 3000  # pictures from which the axes are learned
FLAT = 1e-4  # least variance of the changes along an axis, as a share of the largest variance
EXACT = 40_000  # discs; so few are compared one by one
PROBES = 16  # lists of the inverted file that a query searches
HITS = 64  # discs per query; many of them are the picture's own


def propose_pairs(points: Floats) -> pd.DataFrame:
    """Return pairs of pictures that may show the same lesion, and discs from which their alignment may begin.

    ``points`` (n * DISCS, d) are those of ``disc_points``; the columns (first, second, first_disc, second_disc) number
    pictures and their discs, first < second. A pair is proposed if one picture is among the NEIGHBOURS nearest of the
    other; it has a row for each of its STARTS nearest pairs of discs. The rows are sorted by pair.
    """
    count = len(points) // DISCS
    is_small = count <= ALL_PAIRS
    hits, neighbours = (len(points), count) if is_small else (HITS, NEIGHBOURS)
    queries = (np.arange(count)[:, None] * DISCS + np.array(QUERIES)).ravel()
    distance, hit = _nearest(points, queries, hits)
    own, other = np.repeat(queries, hits), hit.ravel()
    is_pair = (other >= 0) & (own // DISCS != other // DISCS)
    table = pd.DataFrame({"own": own, "other": other, "distance": distance.ravel()})[is_pair]
    table = table.sort_values(["distance", "own", "other"], kind="stable")
    table = table.assign(query=table["own"] // DISCS, picture=table["other"] // DISCS)
    table = table[table.groupby(["query", "picture"]).cumcount() < STARTS]
    nearest = table.drop_duplicates(["query", "picture"])
    nearest = nearest[nearest.groupby("query").cumcount() < neighbours]
    table = table.merge(nearest[["query", "picture"]], on=["query", "picture"])
    ends = np.sort(table[["own", "other"]].to_numpy(), axis=1)
    starts = pd.DataFrame(ends // DISCS, columns=["first", "second"])
    starts = starts.assign(first_disc=ends[:, 0] % DISCS, second_disc=ends[:, 1] % DISCS).drop_duplicates()
    starts = starts[starts.groupby(["first", "second"]).cumcount() < STARTS]
    return starts.sort_values(["first", "second"], kind="stable").reset_index(drop=True)


def learn_axes(grey: NDArray[np.uint8], frames: Floats) -> tuple[Floats, Floats]:
    """Return the mean (d,) and the axes (d, DIMENSIONS) along which discs differ and slightly moved discs do not.

    This is linear discriminant analysis (Fisher 1936) with every disc and its moved, noisy copy as one class.
    """
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(grey), min(SAMPLE, len(grey)), replace=False))
    squares, repeats = smooth(grey[rows]), max(1, 1500 // len(rows))
    row = np.tile(np.arange(len(rows)), repeats)
    places = discs(frames[rows], SIDE)[row, rng.integers(0, DISCS, len(row))]
    noisy = smooth(grey[rows] + rng.normal(0, NOISE, squares.shape).astype(np.float32))
    move, zoom = rng.uniform(-SHIFT, SHIFT, (len(row), 2)), np.exp(rng.uniform(-ZOOM, ZOOM, (len(row), 1)))
    other_places = np.concatenate([places[:, :2] + move * places[:, 2:], places[:, 2:] * zoom], axis=1).astype(
        np.float32
    )
    one, other = (invariants(ring_spectra(*disc)) for disc in ((squares, row, places), (noisy, row, other_places)))
    changes = (other - one).astype(np.float64)
    spread = changes.T @ changes / len(changes)
    diagonal_weight = changes.shape[1] / (changes.shape[1] + len(changes))
    variances, directions = np.linalg.eigh((1 - diagonal_weight) * spread + diagonal_weight * np.diag(np.diag(spread)))
    scaling = directions / np.sqrt(np.maximum(variances, FLAT * variances[-1] + 1e-12))
    mean = one.mean(axis=0)
    points = (one - mean) @ scaling
    _, main = np.linalg.eigh(points.T @ points / len(points))
    return mean, np.asarray(scaling @ main[:, ::-1][:, :DIMENSIONS], np.float32)


def disc_points(grey: NDArray[np.uint8], frames: Floats, axes: tuple[Floats, Floats]) -> Floats:
    """Return the points (n * DISCS, DIMENSIONS) of all discs of pictures along ``axes``, those of ``learn_axes``."""
    mean, directions = axes
    rows = np.repeat(np.arange(len(grey)), DISCS)
    spectra = ring_spectra(smooth(grey), rows, discs(frames, SIDE).reshape(-1, 4))
    return np.asarray((invariants(spectra) - mean) @ directions, np.float32)


def _nearest(points: Floats, queries: NDArray[np.intp], hits: int) -> tuple[Floats, NDArray[np.int64]]:
    """Return the squared distances and the rows of the ``hits`` nearest ``points`` of each of ``queries`` (rows)."""
    import faiss  # slow to import

    flat = faiss.IndexFlatL2(points.shape[1])
    if len(points) <= EXACT:
        flat.add(points)
        return flat.search(points[queries], hits)
    lists = int(2 * np.sqrt(len(points)))
    index = faiss.IndexIVFFlat(flat, points.shape[1], lists)
    index.cp.niter, index.cp.max_points_per_centroid = 10, 64
    index.train(points)
    index.add(points)
    index.nprobe = PROBES
    return index.search(points[queries], hits)
