"""Pictures that are the same or nearly, in any of the eight views, and which training cases that rules out.

A pair is proposed by the Hamming distance of the perceptual hashes and confirmed by the detail of the thumbnails.
Measured on 1,169 pictures of siim_mini and 10,013 of HAM10000 against each other (63 million pairs, the closest ones
looked at): a picture made small, coarsely compressed, darkened and turned stays within 30 bits of itself. Unrelated
pairs start at 25 bits, all of them one small mole in the middle of plain skin, so the hash alone is not enough. With
the thumbnails' local contrast evened out, a copy correlates by 0.8 and more, unrelated pairs within 50 bits by less
than 0.65. A copy that lost 1 % at each edge is found, of those that lost 2 % 95 in 100; a closer crop is not.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from features.perceptual_hash import HASH_BYTES, THUMBNAIL, transposed

CLOSE_BITS = 50  # of 255, in the best of eight views
ALIKE = 0.65  # correlation of the thumbnails' detail in the best of eight views
DETAIL_SCALE = 1.5  # px of the thumbnail: what is coarser is light and shade, and the mole's mere presence
NOISE = 1.0  # grey levels; fainter detail than this is rounding
BLOCK = 256  # rows per comparison: 12 million pairs of 44,000 pictures, a byte each in a dozen arrays
PAIRS_AT_ONCE = 1024  # whose thumbnails are compared together


def near_duplicates(hashes: pd.DataFrame, cases: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return all pairs of cases whose pictures are the same or nearly: columns first, second (names), distance (bits).

    ``hashes`` has one row per case with columns hash (64 hexadecimal digits) and thumbnail (1024 grey bytes), as
    features.perceptual_hash.fingerprint makes them; with ``cases``, only their rows are compared. The closest pairs
    come first; ``first`` stands before ``second`` in ``hashes``. n rows take n^2 / 2 comparisons in 1 GB at most.
    """
    rows = hashes if cases is None else hashes[hashes.index.isin(cases.index)]
    codes = np.frombuffer(bytes.fromhex("".join(rows["hash"])), np.uint8).reshape(-1, HASH_BYTES)
    grey = np.frombuffer(b"".join(rows["thumbnail"]), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    found = [pair for pair in _close(codes) if len(pair)]
    pairs = np.concatenate([pair[_alike(grey, pair)] for pair in found]) if found else np.empty((0, 3), np.intp)
    pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0], pairs[:, 2]))]
    names = rows.index.to_numpy(dtype=object)
    return pd.DataFrame({"first": names[pairs[:, 0]], "second": names[pairs[:, 1]], "distance": pairs[:, 2]})


def conflicts(pairs: pd.DataFrame, cases: pd.DataFrame, fold: int) -> set[str]:
    """Return the training cases of ``fold`` (other folds' and external ones) that show what it is judged on.

    That is: those which are in ``pairs`` with a validation case of the fold or with a test case.
    """
    judged = (cases["role"] == "test") | ((cases["role"] == "train") & (cases["fold"] == fold))
    return _partners(pairs, cases.index[judged], cases.index[~judged])


def conflicts_with_any(pairs: pd.DataFrame, cases: pd.DataFrame) -> set[str]:
    """Return the external cases that are in ``pairs`` with any train or test case: no stage shared by all folds may
    see them."""
    external = cases["role"] == "extra"
    return _partners(pairs, cases.index[~external], cases.index[external])


def _partners(pairs: pd.DataFrame, judged: pd.Index, trained: pd.Index) -> set[str]:
    both_ways = ((pairs["first"], pairs["second"]), (pairs["second"], pairs["first"]))
    return {str(name) for one, other in both_ways for name in one[one.isin(trained) & other.isin(judged)]}


def _close(codes: NDArray[np.uint8]) -> Iterator[NDArray[np.intp]]:
    """Yield, block by block, the pairs (k, 3) of rows at most CLOSE_BITS apart: first < second, and their distance."""
    words, crossed = codes.view(np.uint64), transposed(codes).view(np.uint64)
    for start in range(0, len(codes), BLOCK):
        block, others = slice(start, start + BLOCK), words[start:]
        distance = np.minimum(_least_bits(words[block], others), _least_bits(crossed[block], others))
        first, second = np.nonzero(distance <= CLOSE_BITS)
        pairs = np.stack([first + start, second + start, distance[first, second].astype(np.intp)], axis=1)
        yield pairs[first < second]


def _least_bits(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the least Hamming distance (n, m) over the four mirrorings of ``one`` (n, 4) against ``other`` (m, 4).

    A mirroring negates two of the four words as a whole, which turns their distance d into 64 - d; so the four words'
    distances give all four sums. Bytes may wrap on the way: every sum itself lies within 0 and 255.
    """
    even, column, row, both = (np.bitwise_count(one[:, None, word] ^ other[None, :, word]) for word in range(4))
    total, difference, turned = column + both, column - both, np.uint8(128)
    least = np.minimum(row + total, turned + row - total)  # as it is; mirrored
    least = np.minimum(least, turned - row + difference)  # flipped
    least = np.minimum(least, turned - row - difference)  # both
    return np.asarray(even + least, np.uint8)


def _alike(grey: NDArray[np.uint8], pairs: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell of each of ``pairs`` (k, 3) whether the thumbnails ``grey`` (n, 32, 32) agree in detail in one view."""
    starts = range(0, len(pairs), PAIRS_AT_ONCE)
    parts = [pairs[start : start + PAIRS_AT_ONCE] for start in starts]
    return np.concatenate([_correlation(grey[part[:, 0]], grey[part[:, 1]]) >= ALIKE for part in parts])


def _correlation(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the correlation (k,) of the details of two stacks of thumbnails (k, 32, 32) in the best of eight views."""
    details, fixed = _detail(one), _detail(other)
    views = [np.rot90(part, turn, (1, 2)) for part in (details, details.transpose(0, 2, 1)) for turn in range(4)]
    return np.asarray(np.max([np.einsum("kij,kij->k", view, fixed) for view in views], axis=0))


def _detail(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return what is finer than DETAIL_SCALE, its local strength evened out, with length 1; 0 where there is none.

    Without the evening out, one mole outweighs everything and any two small moles correlate.
    """
    scale = (0, DETAIL_SCALE, DETAIL_SCALE)
    fine = grey - ndimage.gaussian_filter(grey.astype(np.float64), scale)
    even = fine / (np.sqrt(ndimage.gaussian_filter(fine * fine, scale)) + NOISE)
    length = np.sqrt(np.einsum("kij,kij->k", even, even))
    return np.asarray(even / np.maximum(length, 1e-9)[:, None, None])
