"""Draw the synthetic clinic's pictures: a lesion on a patient's skin, from a description and a random generator."""

from dataclasses import dataclass
from math import cos, pi, sin
from pathlib import Path

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray
from PIL import Image
from scipy.special import expit

from features.clinic.camera import CAMERAS, Field, Picture, centred_grid, photograph

# Skin from fair to dark, as reflectance of R, G, B.
SKINS = np.array(((0.96, 0.84, 0.79), (0.90, 0.73, 0.61), (0.70, 0.51, 0.40)), np.float32)
MELANIN = np.array((0.50, 1.00, 1.50), np.float32)  # absorbance of brown pigment, highest for blue light
WARM = np.array((-0.55, -0.1, 0.25), np.float32)  # how orange-brown pigment differs from grey-brown
BLOOD = np.array((0.12, 1.0, 0.75), np.float32)
PIGMENT_SCALE = 0.6  # pigment is deep and looks soft; a lower resolution than that of skin saves time
# Absorbance of the additional colours of a variegated lesion: black, blue-grey, red, white regression, light tan.
PATCHES = np.array(
    ((1.8, 2.1, 2.3), (1.05, 0.92, 0.80), (0.30, 1.05, 0.95), (0.05, 0.14, 0.17), (0.25, 0.55, 0.95)), np.float32
)


@dataclass(frozen=True)
class Lesion:
    """The description of one picture: lesion, patient's phenotype and camera; every float is in [0, 1]."""

    asymmetry: float  # one-sided bulge, pigment heavier on one side
    border: float  # notches and ragged edge
    variegation: float  # how many colours are mixed, and how strongly
    size: float  # radius, 0.07 to 0.33 of the picture's short side
    darkness: float  # pigment concentration
    tone: float  # skin, fair to dark
    redness: float  # skin and mottling
    freckles: float  # spots on the skin around
    warmth: float  # pigment, grey-brown to orange-brown
    network: float  # strength of the pigment network
    globules: float  # number of dots inside
    hair: float
    camera: int  # index into CAMERAS


def draw_lesion(lesion: Lesion, rng: Generator) -> NDArray[np.uint8]:
    """Return the picture of ``lesion``, uint8 (height, width, 3) at its camera's resolution.

    Light passes skin and pigment by the Beer-Lambert law: RGB = skin * exp(-absorbance).
    """
    camera = CAMERAS[lesion.camera]
    shape = (camera.height, camera.width)
    coarse = _lesion_absorbance(lesion, (round(PIGMENT_SCALE * shape[0]), round(PIGMENT_SCALE * shape[1])), rng)
    absorbance = np.stack([_enlarge(channel, shape) for channel in np.moveaxis(coarse, 2, 0)], axis=2)
    return photograph(_skin(lesion, shape, rng) * np.exp(-absorbance), camera, lesion.hair, rng)


def write_lesion(path: Path, lesion: Lesion, seed: int, case: int) -> None:
    """Draw case number ``case`` of clinic ``seed`` to a JPEG; its bytes depend only on the arguments."""
    rng = default_rng(SeedSequence([seed, case]))
    picture = Image.fromarray(draw_lesion(lesion, rng))
    picture.save(path, format="JPEG", quality=CAMERAS[lesion.camera].quality)


def cloud(rng: Generator, shape: tuple[int, int], cells: float, octaves: int = 3) -> Field:
    """Return smooth noise (height, width), mean 0 and deviation 1, with ``cells`` bumps per short side.

    Each further octave has bumps of half the width and 0.6 times the height, as in clouds and skin.
    """
    # Octaves are added on the coarse grid of the finest one, so that only one enlargement has the picture's size.
    total = _grid(rng, shape, cells)
    for octave in range(1, octaves):
        finer = _grid(rng, shape, cells * 2**octave)
        total = _enlarge(total, finer.shape) + 0.6**octave * finer
    smooth = _enlarge(total, shape)
    return np.asarray((smooth - smooth.mean()) / (smooth.std() + 1e-6), np.float32)


def _grid(rng: Generator, shape: tuple[int, int], cells: float) -> Field:
    height, width = (round(cells * side / min(shape)) + 2 for side in shape)
    return rng.standard_normal((height, width), np.float32)


def _enlarge(grid: Field, shape: tuple[int, ...]) -> Field:
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(grid)).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)
    )


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
    radius = 0.07 + 0.26 * lesion.size
    heavy_side = rng.uniform(-np.pi, np.pi)
    x, y = _lesion_plane(lesion, shape, rng)
    depth = _depth(lesion, x / radius, y / radius, heavy_side, rng)
    depth += (0.03 + 0.16 * lesion.border) * cloud(rng, shape, 1.3 / radius)
    mask: Field = expit(depth / _softness(lesion, np.arctan2(y, x), rng))
    lean: Field = np.asarray((x * cos(heavy_side) + y * sin(heavy_side)) / radius, np.float32)
    amount = _pigment(lesion, depth, lean, radius, shape, rng) * (1 + _network(lesion, x, y, depth, shape, rng))
    amount += _globules(lesion, x / radius, y / radius, rng)
    melanin = MELANIN * (1 + (lesion.warmth - 0.5) * WARM)
    colour = _mix_colours(lesion, np.maximum(amount, 0.0)[..., None] * melanin, lean, radius, rng)
    return np.asarray(mask[..., None] * colour)


def _lesion_plane(lesion: Lesion, shape: tuple[int, int], rng: Generator) -> tuple[Field, Field]:
    # Coordinates around the lesion's centre in units of the short side, gently warped so that no edge is ideal.
    y, x = centred_grid(shape)
    warp = 0.010 + 0.012 * lesion.border
    x = x + rng.normal(0, 0.03) + warp * cloud(rng, shape, 5, 2)
    y = y + rng.normal(0, 0.03) + warp * cloud(rng, shape, 5, 2)
    return x, y


def _depth(lesion: Lesion, x: Field, y: Field, heavy_side: float, rng: Generator) -> Field:
    # Distance to the outline in lesion radii, positive inside; the outline is tabulated once per angle.
    angles = np.linspace(-np.pi, np.pi, 721, dtype=np.float32)
    outline = np.interp(np.arctan2(y, x), angles, _outline(lesion, angles, heavy_side, rng))
    return np.asarray(outline - np.hypot(x, y), np.float32)


def _outline(lesion: Lesion, angles: Field, heavy_side: float, rng: Generator) -> Field:
    # Radius as a short Fourier series of the angle, plus a bulge towards the heavy side.
    radius = 0.95 + rng.uniform(0.0, 0.14) * np.cos(2 * angles + rng.uniform(0, 6.28))
    radius += 0.85 * lesion.asymmetry * (np.exp(2.2 * (np.cos(angles - heavy_side) - 1)) - 0.3)
    for order in range(3, 13):
        size = 0.07 * lesion.asymmetry if order < 5 else 0.21 * lesion.border**1.5 / order**0.7
        radius += rng.normal(0.0, size + 0.006) * np.cos(order * angles + rng.uniform(0, 6.28))
    return np.asarray(np.maximum(radius, 0.35), np.float32)


def _softness(lesion: Lesion, angle: Field, rng: Generator) -> Field:
    # A regular border fades evenly; an irregular one is sharp on one side and fades on the other.
    uneven = 0.75 * lesion.border * np.cos(angle - rng.uniform(0, 6.28))
    return np.asarray(rng.uniform(0.05, 0.09) * (1 + uneven), np.float32)


def _pigment(lesion: Lesion, depth: Field, lean: Field, radius: float, shape: tuple[int, int], rng: Generator) -> Field:
    concentration = 0.35 + 1.75 * lesion.darkness
    core = 0.70 + 0.35 * np.clip(depth, 0.0, 1.0)
    side_weight = np.exp(1.1 * lesion.asymmetry * np.clip(lean, -1.2, 1.2))
    uneven = 1 + 0.13 * cloud(rng, shape, 1.2 / radius)
    return np.asarray(concentration * core * side_weight * uneven, np.float32)


def _network(lesion: Lesion, x: Field, y: Field, depth: Field, shape: tuple[int, int], rng: Generator) -> Field:
    # Three crossing waves make a honeycomb; melanin follows its lines, clearest near the lesion's edge.
    bend_x, bend_y = (0.012 * cloud(rng, shape, 9, 2) for _ in range(2))
    waves = np.zeros(shape, np.float32)
    for angle in rng.uniform(0, np.pi) + np.array((0.0, np.pi / 3, 2 * np.pi / 3)):
        across = (x + bend_x) * cos(angle) + (y + bend_y) * sin(angle)
        waves += np.cos(2 * pi * 27 * across)
    patchy = np.clip(0.6 + 0.5 * cloud(rng, shape, 4, 2), 0.0, 1.3) * np.exp(-1.2 * np.maximum(depth, 0.0))
    return np.asarray(-0.20 * lesion.network * waves * patchy, np.float32)


def _globules(lesion: Lesion, x: Field, y: Field, rng: Generator) -> Field:
    total = np.zeros(x.shape, np.float32)
    for _ in range(rng.poisson(14 * lesion.globules)):
        away, angle = 0.85 * np.sqrt(rng.random()), rng.uniform(0, 6.28)
        near = np.square(x - away * cos(angle)) + np.square(y - away * sin(angle))
        total += rng.uniform(0.25, 0.6) * np.square(np.maximum(1 - near / rng.uniform(0.06, 0.13) ** 2, 0.0))
    return total


def _mix_colours(lesion: Lesion, colour: Picture, lean: Field, radius: float, rng: Generator) -> Picture:
    # Colours are added one after the other as variegation rises, in a random order per lesion.
    for rank, patch in enumerate(rng.permutation(len(PATCHES))):
        strength = min(4.0 * lesion.variegation - 0.7 * rank, 1.0) * (0.1 + 0.8 * lesion.variegation)
        if strength <= 0:
            break
        field = cloud(rng, lean.shape, rng.uniform(0.5, 1.1) / radius) + 0.4 * lean
        where = strength * np.clip(0.7 * (field - rng.uniform(0.3, 0.6)) + 0.5, 0.0, 1.0)[..., None]
        colour += where * (PATCHES[patch] - colour)
    return colour
