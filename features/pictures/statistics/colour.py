"""Colours of pixels: CIE Lab of sRGB, and linear mixtures of channels, on planes (channels, height, width)."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# Linear sRGB -> XYZ (IEC 61966-2-1); the rows add up to the D65 white.
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
TINY = 1e-6  # a light value below this counts as black


def srgb_to_lab(codes: NDArray[np.uint8]) -> Floats:
    """Return CIE L*a*b* (D65) planes, float32 (3, height, width), of uint8 sRGB planes ``codes``, same shape.

    Source: IEC 61966-2-1 for linear light and XYZ; CIE 15:2004 for Lab, cube root above (6/29)^3, linear below.
    """
    code = np.arange(256, dtype=np.float32) / np.float32(255)
    linear = np.where(code <= 0.04045, code / 12.92, _power((code + 0.055) / 1.055, 2.4))
    xyz = mix(RGB_TO_XYZ / RGB_TO_XYZ.sum(axis=1, keepdims=True), np.take(linear, codes))
    x, y, z = np.where(xyz > (6 / 29) ** 3, _power(xyz, 1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def mix(matrix: Floats, planes: Floats) -> Floats:
    """Return ``matrix`` (m, n) times the n ``planes`` (n, height, width), pixel by pixel."""
    return (matrix @ planes.reshape(len(planes), -1)).reshape(-1, *planes.shape[1:])


def _power(values: Floats, exponent: float) -> Floats:
    """Return positive ``values`` to a power through log and exp, which in float32 is several times faster than cbrt."""
    return np.exp(np.log(np.maximum(values, TINY)) * exponent)
