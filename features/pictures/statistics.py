"""Measure one picture: light, colour, texture, hair, dark corners, and the shape of its lesion."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
# Linear sRGB -> XYZ (IEC 61966-2-1); the rows add up to the D65 white.
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
# Parts of the picture by elliptical radius: 1 is the middle of each edge, sqrt(2) is a corner.
CENTRE, RING, CORNER = 0.35, (0.8, 1.0), 1.2
NEAR_BLACK = 0.12  # luminance of 0 to 1; outside the field of view of a dermatoscope
HAIR_ELEMENT = 7  # px of a picture 256 px long: wider than a hair, narrower than a globule
HAIR_RESPONSE = 0.1  # luminance by which a hair is darker than its surroundings
SMOOTHING = 9  # px; with less, reflections leave holes in the lesion mask and hairs leave lines
TINY = 1e-6  # a spread below this counts as zero, a light value below it as black


def picture_statistics(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Return the statistics of ``picture``, uint8 RGB (height, width, 3); all values are finite.

    Luminance, colours and shares are between 0 and 1; Lab has its usual units (L 0 to 100). Texture and hair depend on
    the size in pixels: resize all pictures to the same size (about 256 px on the long side) first.
    """
    # One plane per channel, since reductions over a last axis of length three are ten times slower.
    codes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    rgb = codes.astype(np.float32) / np.float32(255)
    luminance = _mix(LUMA[None], rgb)[0]
    lab = srgb_to_lab(codes)
    radius = _radius(*luminance.shape)
    return (
        _light(luminance)
        | _colours(rgb)
        | _moments(lab, ("lab_l", "lab_a", "lab_b"))
        | _texture(luminance)
        | _corners(luminance, radius)
        | _lesion(lab, radius)
    )


def srgb_to_lab(codes: NDArray[np.uint8]) -> Floats:
    """Return CIE L*a*b* (D65) planes, float32 (3, height, width), of uint8 sRGB planes ``codes``, same shape.

    Source: IEC 61966-2-1 for linear light and XYZ; CIE 15:2004 for Lab, cube root above (6/29)^3, linear below.
    """
    code = np.arange(256, dtype=np.float32) / np.float32(255)
    linear = np.where(code <= 0.04045, code / 12.92, _power((code + 0.055) / 1.055, 2.4))
    xyz = _mix(RGB_TO_XYZ / RGB_TO_XYZ.sum(axis=1, keepdims=True), np.take(linear, codes))
    x, y, z = np.where(xyz > (6 / 29) ** 3, _power(xyz, 1 / 3), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def otsu_threshold(values: Floats, bins: int = 256) -> float:
    """Return the threshold with the largest variance between the values below and above it (Otsu 1979).

    If all values are equal, or differ by less than ``bins`` steps of their precision, return the largest, so that no
    value is above it.
    """
    most = values.max()
    if most - values.min() < max(TINY, bins * np.spacing(np.abs(values).max())):
        return float(most)
    counts, edges = np.histogram(values, bins)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = values.size - below
    sums = np.cumsum(counts * centres)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1:-1][np.argmax(between)])


def _light(luminance: Floats) -> dict[str, float]:
    counts = np.bincount((luminance.ravel() * 255 + 0.5).astype(np.intp), minlength=256)
    shares = counts[counts > 0] / luminance.size
    return {
        "brightness": float(luminance.mean()),
        "contrast": float(luminance.std()),
        "entropy": float(-(shares * np.log2(shares)).sum()) + 0.0,  # bits; + 0.0 turns -0.0 into 0.0
    }


def _colours(rgb: Floats) -> dict[str, float]:
    """Return RGB moments, HSV summaries and colourfulness.

    The circular mean of the hue is weighted by colour strength, since grey has no hue: with alpha = R - (G + B) / 2
    and beta = sqrt(3) / 2 (G - B), the hue is the angle of (alpha, beta), its strength the length (Hanbury 2008).
    Colourfulness is sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 + mean yb^2) (Hasler and Suesstrunk 2003).
    """
    red, green, blue = rgb
    value, least = rgb.max(axis=0), rgb.min(axis=0)
    alpha, beta = red - (green + blue) / 2, np.float32(np.sqrt(3) / 2) * (green - blue)
    strength = max(float(np.hypot(alpha, beta).sum()), TINY)
    opponents = (red - green, (red + green) / 2 - blue)
    spread = sum(float(plane.var()) for plane in opponents)
    offset = sum(float(plane.mean()) ** 2 for plane in opponents)
    return _moments(rgb, ("red", "green", "blue"), skewness=True) | {
        "saturation_mean": float(((value - least) / np.maximum(value, np.float32(1e-3))).mean()),
        "value_std": float(value.std()),
        "hue_cos": float(alpha.sum()) / strength,
        "hue_sin": float(beta.sum()) / strength,
        "colourfulness": spread**0.5 + 0.3 * offset**0.5,
    }


def _moments(planes: Floats, names: tuple[str, str, str], skewness: bool = False) -> dict[str, float]:
    moments: dict[str, float] = {}
    for name, plane in zip(names, planes, strict=True):
        mean, std = float(plane.mean()), float(plane.std())
        moments |= {f"{name}_mean": mean, f"{name}_std": std}
        if skewness:
            z_scores = (plane - np.float32(mean)) / np.float32(max(std, 1e-3))
            moments[f"{name}_skewness"] = float((z_scores * z_scores * z_scores).mean())
    return moments


def _texture(luminance: Floats) -> dict[str, float]:
    """Return sharpness (variance of the Laplacian) and the share of hair-like pixels.

    Hair is thin and dark: a morphological closing removes it, so that the difference (black-hat, after DullRazor, Lee
    et al. 1997) is large where there is hair.
    """
    grey = (luminance * 255 + 0.5).astype(np.uint8)
    closing = ndimage.grey_closing(grey, size=(HAIR_ELEMENT, HAIR_ELEMENT))
    black_hat = closing - grey  # a closing is never darker than its picture
    return {
        "sharpness": float(ndimage.laplace(luminance).var()),
        "hair_share": float((black_hat > HAIR_RESPONSE * 255).mean()),
    }


def _corners(luminance: Floats, radius: Floats) -> dict[str, float]:
    corners, centre = _within(luminance, radius > CORNER), _within(luminance, radius < CENTRE)
    return {
        "corner_darkness": float(centre.mean() - corners.mean()),
        "corner_black_share": float((corners < NEAR_BLACK).mean()),
    }


def skin_colour(picture: NDArray[np.uint8]) -> tuple[float, float, float]:
    """Return the median CIE L*, a*, b* of the skin in ``picture``, uint8 RGB (height, width, 3).

    Skin is what is inside the ellipse that touches the edges, outside of the lesion; only its lightest quarter counts,
    which leaves out hair and the shade of dark corners.
    """
    lab = srgb_to_lab(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    radius = _radius(*lab.shape[1:])
    _, skin, mask = _segment(lab, radius)
    around = (radius < RING[1]) & ~ndimage.binary_dilation(mask, iterations=SMOOTHING)
    pixels = _within(lab, around) if around.any() else skin[:, None]
    median = np.median(pixels[:, pixels[0] >= np.quantile(pixels[0], 0.75)], axis=-1)
    return float(median[0]), float(median[1]), float(median[2])


def lesion_mask(picture: NDArray[np.uint8]) -> Mask:
    """Return the mask (height, width) of the lesion in ``picture``, uint8 RGB (height, width, 3); it may be empty."""
    lab = srgb_to_lab(np.ascontiguousarray(picture.transpose(2, 0, 1)))
    return _segment(lab, _radius(*lab.shape[1:]))[2]


def _segment(lab: Floats, radius: Floats) -> tuple[Floats, Floats, Mask]:
    """Return the pixels of the outer ring, their median, which is the skin's colour, and the mask of the lesion."""
    ring = _within(lab, (radius > RING[0]) & (radius < RING[1]))
    skin = np.median(ring, axis=-1)
    return ring, skin, _mask(np.sqrt(np.square(lab - skin[:, None, None]).sum(axis=0)), radius)


def _lesion(lab: Floats, radius: Floats) -> dict[str, float]:
    """Return how the centre and the masked lesion differ from the surrounding skin.

    The skin colour is the median of the outer ring, which excludes dark corners.
    """
    ring, skin, mask = _segment(lab, radius)
    contrast = _within(lab, radius < CENTRE).mean(axis=-1) - ring.mean(axis=-1)
    inside = _within(lab, mask) if mask.any() else skin[:, None]
    shift = inside.mean(axis=-1) - skin
    return {
        "centre_minus_border_l": float(contrast[0]),
        "centre_minus_border_a": float(contrast[1]),
        "centre_minus_border_b": float(contrast[2]),
        "centre_border_distance": float(np.sqrt((contrast**2).sum())),
        "lesion_skin_distance": float(np.sqrt((shift**2).sum())),
        "lesion_darkness": float(-shift[0]),
        "lesion_colour_spread": float(np.sqrt(inside.var(axis=-1).sum())),
    } | _shape(mask)


def _mask(distance: Floats, radius: Floats) -> Mask:
    """Return the lesion: a connected region whose smoothed ``distance`` from the skin is above Otsu's threshold.

    Neighbouring moles, pen marks and hairs are other regions; the one with the largest sum of 1 - radius over its
    pixels is chosen, which prefers large and central regions.
    """
    smooth = ndimage.uniform_filter(distance, SMOOTHING)
    inner = radius <= RING[1]
    regions, count = ndimage.label((smooth > otsu_threshold(_within(smooth, inner))) & inner)
    if count == 0:
        return np.zeros(radius.shape, dtype=np.bool_)
    weights = np.bincount(regions.ravel(), (1 - radius).ravel())
    return np.asarray(regions == 1 + np.argmax(weights[1:]))


def _shape(mask: Mask) -> dict[str, float]:
    """Return area share, asymmetry about both principal axes and compactness of ``mask``; 0 if it is empty.

    Asymmetry is the share of the mask that its mirror image about an axis through the centroid does not cover.
    Compactness is 4 pi area / perimeter^2 (1 for a disc). The perimeter is pi / 4 times the number of changes between
    inside and outside along rows and columns (formula of Cauchy and Crofton).
    """
    names = ("lesion_area", "lesion_asymmetry_long", "lesion_asymmetry_short", "lesion_compactness")
    if not mask.any():
        return dict.fromkeys(names, 0.0)
    padded_mask = np.pad(mask, 1)
    steps = np.count_nonzero(padded_mask[1:] != padded_mask[:-1]) + np.count_nonzero(
        padded_mask[:, 1:] != padded_mask[:, :-1]
    )
    area = np.count_nonzero(mask)
    compactness = 4 * np.pi * area / (np.pi / 4 * steps) ** 2
    return dict(zip(names, (float(area / mask.size), *_asymmetries(mask), float(compactness)), strict=True))


def _asymmetries(mask: Mask) -> tuple[float, float]:
    rows, columns = np.nonzero(mask)
    centroid = rows.mean(), columns.mean()
    y, x = rows - centroid[0], columns - centroid[1]
    # In a round lesion every axis is a principal one; arctan2(0, 0) = 0 then keeps the picture's axes.
    angle = 0.5 * np.arctan2(2 * (x * y).sum(), (x * x).sum() - (y * y).sum())
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    about_long, about_short = (
        (
            centroid[0] + sign * (along * np.sin(angle) - across * np.cos(angle)),
            centroid[1] + sign * (along * np.cos(angle) + across * np.sin(angle)),
        )
        for sign in (1, -1)
    )
    return _asymmetry(mask, *about_long), _asymmetry(mask, *about_short)


def _asymmetry(mask: Mask, y: NDArray[np.float64], x: NDArray[np.float64]) -> float:
    """Return the share of the points ``y``, ``x`` whose nearest pixel is outside ``mask``."""
    rows, columns = np.rint(y).astype(np.intp), np.rint(x).astype(np.intp)
    inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
    return float(1 - np.count_nonzero(mask[rows[inside], columns[inside]]) / len(rows))


def _radius(height: int, width: int) -> Floats:
    """Return the elliptical radius of every pixel: 0 in the centre, 1 at the middle of an edge."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    return np.hypot(y[:, None], x[None, :]).astype(np.float32)


def _within(planes: Floats, region: Mask) -> Floats:
    """Return the pixels of ``planes`` (..., height, width) inside ``region``; all of them if ``region`` is empty."""
    pixels = np.flatnonzero(region if region.any() else ~region)
    return np.take(planes.reshape(*planes.shape[:-2], -1), pixels, axis=-1)


def _mix(matrix: Floats, planes: Floats) -> Floats:
    """Return ``matrix`` (m, n) times the n ``planes`` (n, height, width), pixel by pixel."""
    return (matrix @ planes.reshape(len(planes), -1)).reshape(-1, *planes.shape[1:])


def _power(values: Floats, exponent: float) -> Floats:
    """Return positive ``values`` to a power through log and exp, which in float32 is several times faster than cbrt."""
    return np.exp(np.log(np.maximum(values, TINY)) * exponent)
