"""Measure one picture: light, colour, texture, hair, dark corners, and the shape of its lesion."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from features.pictures.statistics.colour import TINY, Floats, mix, srgb_to_lab
from features.pictures.statistics.lesion import CENTRE, CORNER, elliptical_radius, pixels_within, segment
from features.pictures.statistics.shape import mask_shape

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
NEAR_BLACK = 0.12  # luminance of 0 to 1; outside the field of view of a dermatoscope
HAIR_ELEMENT = 7  # px of a picture 256 px long: wider than a hair, narrower than a globule
HAIR_RESPONSE = 0.1  # luminance by which a hair is darker than its surroundings


def picture_statistics(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Return the statistics of ``picture``, uint8 RGB (height, width, 3); all values are finite.

    Luminance, colours and shares are between 0 and 1; Lab has its usual units (L 0 to 100). Texture and hair depend on
    the size in pixels: resize all pictures to the same size (about 256 px on the long side) first.
    """
    # One plane per channel, since reductions over a last axis of length three are ten times slower.
    codes = np.ascontiguousarray(picture.transpose(2, 0, 1))
    rgb = codes.astype(np.float32) / np.float32(255)
    luminance = mix(LUMA[None], rgb)[0]
    lab = srgb_to_lab(codes)
    radius = elliptical_radius(*luminance.shape)
    return (
        _light(luminance)
        | _colours(rgb)
        | _moments(lab, ("lab_l", "lab_a", "lab_b"))
        | _texture(luminance)
        | _corners(luminance, radius)
        | _lesion(lab, radius)
    )


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
    corners, centre = pixels_within(luminance, radius > CORNER), pixels_within(luminance, radius < CENTRE)
    return {
        "corner_darkness": float(centre.mean() - corners.mean()),
        "corner_black_share": float((corners < NEAR_BLACK).mean()),
    }


def _lesion(lab: Floats, radius: Floats) -> dict[str, float]:
    """Return how the centre and the masked lesion differ from the surrounding skin.

    The skin colour is the median of the outer ring, which excludes dark corners.
    """
    ring, skin, mask = segment(lab, radius)
    contrast = pixels_within(lab, radius < CENTRE).mean(axis=-1) - ring.mean(axis=-1)
    inside = pixels_within(lab, mask) if mask.any() else skin[:, None]
    shift = inside.mean(axis=-1) - skin
    return {
        "centre_minus_border_l": float(contrast[0]),
        "centre_minus_border_a": float(contrast[1]),
        "centre_minus_border_b": float(contrast[2]),
        "centre_border_distance": float(np.sqrt((contrast**2).sum())),
        "lesion_skin_distance": float(np.sqrt((shift**2).sum())),
        "lesion_darkness": float(-shift[0]),
        "lesion_colour_spread": float(np.sqrt(inside.var(axis=-1).sum())),
    } | mask_shape(mask)
