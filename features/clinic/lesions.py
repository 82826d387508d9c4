"""Draw the synthetic clinic's pictures: a lesion on a patient's skin, from a description and a random generator."""

from math import cos, pi, sin
from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from features.clinic.camera import CAMERAS, Field, Picture, centred_grid, photograph
from features.clinic.description import Lesion
from features.clinic.noise import cloud, enlarge
from features.clinic.structures import Plane, clods, pigment_network, regression, streaks, veil

# Skin from fair to dark, as reflectance of R, G, B.
SKINS = np.array(((0.96, 0.84, 0.79), (0.90, 0.73, 0.61), (0.70, 0.51, 0.40)), np.float32)
MELANIN = np.array((0.50, 1.00, 1.50), np.float32)  # absorbance of brown pigment, highest for blue light
WARM = np.array((-0.55, -0.1, 0.25), np.float32)  # how orange-brown pigment differs from grey-brown
BLOOD = np.array((0.12, 1.0, 0.75), np.float32)
PIGMENT_SCALE = 0.6  # pigment is deep and looks soft; a lower resolution than that of skin saves time
# Absorbance that a variegated lesion has in addition, in patches: grey, red, light tan, blue-grey.
PATCHES = np.array(((0.55, 0.60, 0.55), (0.30, 1.05, 0.95), (0.25, 0.55, 0.95), (0.45, 0.30, 0.10)), np.float32)


def draw_lesion(lesion: Lesion, rng: Generator) -> NDArray[np.uint8]:
    """Return the picture of ``lesion``, uint8 (height, width, 3) at its camera's resolution.

    Light passes skin and pigment by the Beer-Lambert law: RGB = skin * exp(-absorbance).
    """
    camera = CAMERAS[lesion.camera]
    shape = (camera.height, camera.width)
    coarse = _lesion_absorbance(lesion, (round(PIGMENT_SCALE * shape[0]), round(PIGMENT_SCALE * shape[1])), rng)
    absorbance = np.stack([enlarge(channel, shape) for channel in np.moveaxis(coarse, 2, 0)], axis=2)
    return photograph(_skin(lesion, shape, rng) * np.exp(-absorbance), camera, lesion.hair, rng)


def write_lesion(path: Path, lesion: Lesion, seed: int, case: int) -> None:
    """Draw case number ``case`` of clinic ``seed`` to a JPEG; its bytes depend only on the arguments."""
    rng = default_rng(SeedSequence([seed, case]))
    picture = Image.fromarray(draw_lesion(lesion, rng))
    picture.save(path, format="JPEG", quality=CAMERAS[lesion.camera].quality)


def _skin(lesion: Lesion, shape: tuple[int, int], rng: Generator) -> Picture:
    base = [np.interp(lesion.tone, (0.0, 0.6, 1.0), channel) for channel in SKINS.T]
    flush = np.maximum(cloud(rng, shape, 4) * (0.01 + 0.06 * lesion.redness) + 0.18 * lesion.redness, 0.0)
    spots = np.maximum(cloud(rng, shape, 9, 2) - 1.1, 0.0) * (0.45 * lesion.freckles**2)
    grain = 1.0 + 0.022 * cloud(rng, shape, 45, 2) + 0.014 * _furrows(shape, rng)
    absorbance = flush[..., None] * BLOOD + spots[..., None] * MELANIN
    return np.asarray(np.exp(-absorbance) * (np.array(base, np.float32) * grain[..., None]), np.float32)


def _furrows(shape: tuple[int, int], rng: Generator) -> Field:
    # Skin lines: two families of crossing, slightly bent parallel lines.
    y, x = centred_grid(shape)
    bend = 0.02 * cloud(rng, shape, 5, 2)
    total = np.zeros(shape, np.float32)
    for angle in rng.uniform(0, np.pi) + np.array((0.0, 1.1)):
        across = x * cos(angle) + y * sin(angle) + bend
        total += np.sin(2 * pi * 26 * across)
    return total


def _lesion_absorbance(lesion: Lesion, shape: tuple[int, int], rng: Generator) -> Picture:
    plane = _plane(lesion, shape, rng)
    heavy_side = rng.uniform(-np.pi, np.pi)
    depth = _depth(lesion, plane, heavy_side, rng)
    depth += (0.03 + 0.11 * lesion.border) * cloud(rng, shape, 1.3 / plane.radius)
    inside: Field = expit(depth / _softness(lesion, np.arctan2(plane.y, plane.x), rng))
    amount = _pigment(lesion, plane, depth, heavy_side, rng) * pigment_network(lesion, plane, rng)
    amount += (0.8 + 0.8 * lesion.darkness) * clods(lesion, plane, rng)
    melanin = MELANIN * (1 + (lesion.warmth - 0.5) * WARM)
    colour = _add_tints(lesion, plane, np.maximum(amount, 0.0)[..., None] * melanin, rng)
    colour = veil(lesion, colour, inside, plane, rng)
    colour = inside[..., None] * regression(lesion, colour, inside, plane, rng)
    marks = rng.uniform(0.65, 1.0) * streaks(lesion, plane, rng)[..., None]
    return np.asarray(colour + marks * ((0.6 + 0.8 * lesion.darkness) * melanin - 0.35 * colour))


def _plane(lesion: Lesion, shape: tuple[int, int], rng: Generator) -> Plane:
    # Gently warped, so that no edge is ideal.
    y, x = centred_grid(shape)
    radius, warp = 0.23 + 0.13 * lesion.size, 0.010 + 0.012 * lesion.border
    centre = rng.normal(0, 0.03), rng.normal(0, 0.03)
    across = (x - centre[0] + warp * cloud(rng, shape, 5, 2)) / radius
    down = (y - centre[1] + warp * cloud(rng, shape, 5, 2)) / radius
    return Plane(across.astype(np.float32), down.astype(np.float32), centre, radius, rng.uniform(-np.pi, np.pi))


def _depth(lesion: Lesion, plane: Plane, heavy_side: float, rng: Generator) -> Field:
    # Distance to the outline in lesion radii, positive inside; the outline is tabulated once per angle.
    angles = np.linspace(-np.pi, np.pi, 721, dtype=np.float32)
    outline = np.interp(np.arctan2(plane.y, plane.x), angles, _outline(lesion, angles, heavy_side, rng))
    return np.asarray(outline - np.hypot(plane.x, plane.y), np.float32)


def _outline(lesion: Lesion, angles: Field, heavy_side: float, rng: Generator) -> Field:
    # Radius as a short Fourier series of the angle, plus a bulge towards the heavy side.
    radius = 0.95 + rng.uniform(0.0, 0.14) * np.cos(2 * angles + rng.uniform(0, 6.28))
    radius += 0.35 * lesion.asymmetry * (np.exp(2.2 * (np.cos(angles - heavy_side) - 1)) - 0.3)
    for order in range(3, 13):
        size = 0.05 * lesion.asymmetry if order < 5 else 0.15 * lesion.border**1.5 / order**0.7
        radius += rng.normal(0.0, size + 0.006) * np.cos(order * angles + rng.uniform(0, 6.28))
    return np.asarray(np.maximum(radius, 0.35), np.float32)


def _softness(lesion: Lesion, angle: Field, rng: Generator) -> Field:
    # A regular border fades evenly; an irregular one is sharp on one side and fades on the other.
    uneven = 0.75 * lesion.border * np.cos(angle - rng.uniform(0, 6.28))
    return np.asarray(rng.uniform(0.05, 0.09) * (1 + uneven), np.float32)


def _pigment(lesion: Lesion, plane: Plane, depth: Field, heavy_side: float, rng: Generator) -> Field:
    concentration = 0.30 + 0.80 * lesion.darkness
    core = 0.70 + 0.35 * np.clip(depth, 0.0, 1.0)
    lean = np.clip(plane.x * cos(heavy_side) + plane.y * sin(heavy_side), -1.2, 1.2)
    uneven = 1 + 0.13 * cloud(rng, plane.shape, 1.2 / plane.radius)
    return np.asarray(concentration * core * np.exp(0.8 * lesion.asymmetry * lean) * uneven, np.float32)


def _add_tints(lesion: Lesion, plane: Plane, colour: Picture, rng: Generator) -> Picture:
    # Tints are added one after the other as variegation rises, in a random order per lesion.
    for rank, patch in enumerate(rng.permutation(len(PATCHES))):
        strength = min(4.0 * lesion.variegation - 0.7 * rank, 1.0) * (0.1 + 0.6 * lesion.variegation)
        if strength <= 0:
            break
        field = cloud(rng, plane.shape, rng.uniform(0.5, 1.1) / plane.radius)
        where = strength * np.clip(0.7 * (field - rng.uniform(0.3, 0.6)) + 0.5, 0.0, 1.0)[..., None]
        colour = colour + where * PATCHES[patch]
    return colour
