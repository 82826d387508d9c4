"""A 255-bit hash of a picture's coarse pattern, from which the hashes of its eight views follow, and a thumbnail."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

Bytes = NDArray[np.uint8]
Signs = NDArray[np.bool_]

SQUEEZED = 64  # px; four times the highest frequency kept, so that no fine detail is taken for a coarse one
FREQUENCIES = 16  # per axis, the constant one included
HASH_BYTES = FREQUENCIES * FREQUENCIES // 8
THUMBNAIL = 32  # px; enough to compare the detail of two pictures that the hash takes for the same
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
ODD = np.arange(FREQUENCIES) % 2 == 1


@dataclass(frozen=True)
class Fingerprint:
    """What tells one picture from another: its hash as 64 hexadecimal digits, and its thumbnail as 1024 grey bytes."""

    hash: str
    thumbnail: bytes


def fingerprint(picture: NDArray[np.uint8]) -> Fingerprint:
    """Return hash and thumbnail of ``picture``, uint8 RGB (height, width, 3), squeezed to a square."""
    grey = _squeezed(picture)
    side = SQUEEZED // THUMBNAIL
    thumbnail = grey.reshape(THUMBNAIL, side, THUMBNAIL, side).mean(axis=(1, 3))
    return Fingerprint(_hash(grey).hex(), np.rint(thumbnail).astype(np.uint8).tobytes())


def perceptual_hash(picture: NDArray[np.uint8]) -> bytes:
    """Return the 32-byte hash of ``picture``, uint8 RGB (height, width, 3).

    The grey picture is squeezed to 64 x 64 and its two-dimensional cosine transform taken (DCT-II); the bits are the
    signs of the 255 lowest frequencies after the constant one (after Zauner 2010, who thresholds at the median: a
    sign outlasts brightness and contrast, and what a symmetry does to it is known). They are packed in four blocks of
    64 by the parity of row and column frequency: (even, even), (even, odd), (odd, even), (odd, odd).
    """
    return _hash(_squeezed(picture))


def views_of(code: bytes) -> Bytes:
    """Return the hashes, uint8 (8, 32), of the eight symmetric views of a picture from its own ``code``.

    Order: as it is, mirrored left to right, flipped upside down, both; then the same four of the transposed picture.
    A mirror image negates the odd column frequencies, a flip the odd row frequencies; a transposition swaps the axes.
    """
    signs = _unpacked(np.frombuffer(code, np.uint8)[None])[0]
    negated = [(ODD[:, None] & flip) ^ (ODD[None, :] & mirror) for flip in (False, True) for mirror in (False, True)]
    return np.concatenate([_packed(np.stack([one ^ mask for mask in negated])) for one in (signs, signs.T)])


def transposed(codes: Bytes) -> Bytes:
    """Return the hashes (n, 32) of the transposed pictures whose hashes are ``codes``, uint8 (n, 32)."""
    return _packed(_unpacked(codes).transpose(0, 2, 1))


def _squeezed(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    # In floating point, and by a filter without ties: rounding would decide weak signs differently in each view.
    grey = Image.fromarray(picture.astype(np.float32) @ LUMA)
    return np.asarray(grey.resize((SQUEEZED, SQUEEZED), Image.Resampling.BILINEAR))


def _hash(grey: NDArray[np.float32]) -> bytes:
    signs = dctn(grey.astype(np.float64), norm="ortho")[:FREQUENCIES, :FREQUENCIES] > 0
    signs[0, 0] = False  # the mean grey is always positive
    return bytes(_packed(signs[None])[0])


def _packed(signs: Signs) -> Bytes:
    """Return signs (n, 16, 16) as bytes (n, 32), in the four parity blocks."""
    blocks = [signs[:, row::2, column::2].reshape(len(signs), -1) for row in (0, 1) for column in (0, 1)]
    return np.packbits(np.concatenate(blocks, axis=1), axis=1)


def _unpacked(codes: Bytes) -> Signs:
    half = FREQUENCIES // 2
    bits = np.unpackbits(codes, axis=1).astype(np.bool_).reshape(len(codes), 2, 2, half, half)
    # (n, row parity, column parity, row // 2, column // 2) -> (n, row, column)
    return bits.transpose(0, 3, 1, 4, 2).reshape(len(codes), FREQUENCIES, FREQUENCIES)
