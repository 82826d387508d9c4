"""Draw the structures that dermoscopy looks for: pigment network, globules and clods, streaks, veil and regression.

A sign says how an amount of structure is arranged, not how much of it there is: fine lines or thick ones, many small
dots or a few large ones, blue that is spread or in one place. Networks see that; mean colours and sizes hardly show it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from features.clinic.camera import Field, Picture
from features.clinic.description import Lesion
from features.clinic.noise import cloud

Points = NDArray[np.float64]
OVERSAMPLING = 2  # dots and strokes are drawn at this scale, so that their edges are smooth
PERIOD = 0.05  # of the regular network, in short sides of the picture
HOLES = 4.5  # bumps per short side of the irregular network
# Absorbance of R, G, B: blue-white veil, thin blue tint, white scar, grey pepper.
VEIL, TINT = np.array((0.72, 0.45, 0.10), np.float32), np.array((0.40, 0.15, 0.0), np.float32)
SCAR, PEPPER = np.array((0.04, 0.12, 0.16), np.float32), np.array((0.55, 0.45, 0.32), np.float32)


@dataclass(frozen=True)
class Plane:
    """Coordinates around a lesion's centre in units of its radius, and the side on which its structures are crowded."""

    x: Field
    y: Field
    centre: tuple[float, float]  # x, y in short sides, from the centre of the picture
    radius: float  # in short sides
    crowded_side: float  # angle

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.x.shape[0], self.x.shape[1]

    @property
    def unit(self) -> float:
        """The radius in pixels."""
        return self.radius * min(self.shape)

    def pixels(self, away: Points, angle: Points) -> Points:
        """Return columns x and y, in pixels, of points ``away`` radii from the centre in direction ``angle``."""
        height, width = self.shape
        x = self.centre[0] * min(self.shape) + away * self.unit * np.cos(angle) + width / 2
        y = self.centre[1] * min(self.shape) + away * self.unit * np.sin(angle) + height / 2
        return np.stack([x, y], axis=-1)

    def lean(self) -> Field:
        """Return how far every pixel is towards the crowded side, in radii."""
        return np.asarray(self.x * cos(self.crowded_side) + self.y * sin(self.crowded_side), np.float32)


def pigment_network(lesion: Lesion, plane: Plane, rng: Generator) -> Field:
    """Return the factor by which the network's lines and holes change the pigment; its mean is about 1."""
    regular = np.clip(0.75 - 0.5 * _honeycomb(plane, rng), 0.0, 1.0)
    irregular = np.clip(1.2 - 2.4 * np.abs(cloud(rng, plane.shape, HOLES, 1)), 0.0, 1.0)
    lines = (1 - lesion.atypia) * regular / regular.mean() + lesion.atypia * irregular / irregular.mean()
    contrast = (0.40 + 0.50 * lesion.network) * np.clip(1 + 0.9 * lesion.imbalance * plane.lean(), 0.0, 1.5)
    return np.asarray(1 + contrast * (lines - 1), np.float32)


def clods(lesion: Lesion, plane: Plane, rng: Generator) -> Field:
    """Return globules or clods, 0 to 1: many small equal ones or few large uneven ones of about the same area."""
    size = 0.08 + 0.22 * lesion.clods
    count = max(round((0.14 + 0.18 * lesion.globules) / size**2), 2)
    radii = plane.unit * size * np.exp(rng.normal(0, 0.05 + 0.25 * lesion.clods, count))
    return _dots(plane, 0.75 * np.sqrt(rng.random(count)), _angles(lesion, plane, count, rng), radii)


def streaks(lesion: Lesion, plane: Plane, rng: Generator) -> Field:
    """Return the marks along the border, 0 to 1: round dots, or radial streaks of about the same area."""
    length, count = 0.50 * lesion.streaks, int(rng.integers(9, 19))
    width = rng.uniform(0.11, 0.16) / (1 + 4.5 * length) ** 0.6
    even = plane.crowded_side + np.arange(count) * 2 * np.pi / count + rng.normal(0, 0.15, count)
    angle = np.where(rng.random(count) < lesion.imbalance, _angles(lesion, plane, count, rng), even)
    outer = rng.normal(1.0, 0.06, count) + 0.55 * length
    inner = outer - length * rng.uniform(0.6, 1.0, count)
    ends = plane.pixels(inner, angle), plane.pixels(outer, angle + rng.normal(0, 0.07, count))
    return _strokes(plane, np.hstack(ends), plane.unit * width)


def veil(lesion: Lesion, colour: Picture, inside: Field, plane: Plane, rng: Generator) -> Picture:
    """Return ``colour`` (absorbance) with the lesion's blue in one structureless area, or thin and everywhere."""
    blue = rng.uniform(0.2, 1.0)
    tint = colour + 0.9 * blue * (1 - lesion.veil) * TINT
    where = 0.85 * _part(lesion, plane, inside, 0.45 * blue * lesion.veil, rng)[..., None]
    return np.asarray(tint + where * (VEIL - tint))


def regression(lesion: Lesion, colour: Picture, inside: Field, plane: Plane, rng: Generator) -> Picture:
    """Return ``colour`` (absorbance) with a white scar-like area and grey peppering in it."""
    where = _part(lesion, plane, inside, rng.uniform(0.2, 0.4) * lesion.regression, rng)
    count = 45
    away, angle = np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    pepper = where * _dots(plane, away, angle, np.full(count, 0.05 * plane.unit))
    return np.asarray(colour + 0.85 * where[..., None] * (SCAR - colour) + pepper[..., None] * PEPPER)


def _honeycomb(plane: Plane, rng: Generator) -> Field:
    # Three crossing waves, gently bent.
    bend_x, bend_y = (0.006 * cloud(rng, plane.shape, 6, 2) for _ in range(2))
    x, y = plane.x * plane.radius + bend_x, plane.y * plane.radius + bend_y
    waves = np.zeros(plane.shape, np.float32)
    for angle in rng.uniform(0, np.pi) + np.array((0.0, np.pi / 3, 2 * np.pi / 3)):
        waves += np.cos((2 * pi / PERIOD * cos(angle)) * x + (2 * pi / PERIOD * sin(angle)) * y)
    return waves


def _angles(lesion: Lesion, plane: Plane, count: int, rng: Generator) -> Points:
    # All directions alike, or a half or less of them around the crowded side.
    return plane.crowded_side + np.pi * (1 - 0.65 * lesion.imbalance) * rng.uniform(-1, 1, count)


def _part(lesion: Lesion, plane: Plane, inside: Field, share: float, rng: Generator) -> Field:
    """Return a ``share`` of the lesion as one or a few soft-edged areas, 0 to 1."""
    field = cloud(rng, plane.shape, 0.7 / plane.radius, 2) + 0.8 * lesion.imbalance * plane.lean()
    values = field[inside > 0.5]
    if not values.size:
        return np.zeros(plane.shape, np.float32)
    place = int((1 - share) * (values.size - 1))
    threshold = np.partition(values, place)[place]
    return np.asarray(np.clip((field - threshold) / 0.45 + 0.5, 0.0, 1.0) * min(10 * share, 1.0), np.float32)


def _dots(plane: Plane, away: Points, angle: Points, radii: Points) -> Field:
    sheet, pen = _sheet(plane)
    centres = plane.pixels(away, angle)
    for corners in OVERSAMPLING * np.hstack([centres - radii[:, None], centres + radii[:, None]]):
        pen.ellipse(tuple(corners), fill=255)
    return _field(sheet)


def _strokes(plane: Plane, lines: Iterable[Points], width: float) -> Field:
    # Lines (x, y, x, y) with round ends.
    sheet, pen = _sheet(plane)
    reach = OVERSAMPLING * width / 2
    for line in lines:
        ends = OVERSAMPLING * line
        pen.line(tuple(ends), fill=255, width=max(round(2 * reach), 1))
        for x, y in ends.reshape(2, 2):
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    return _field(sheet)


def _sheet(plane: Plane) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    height, width = plane.shape
    sheet = Image.new("L", (width * OVERSAMPLING, height * OVERSAMPLING))
    return sheet, ImageDraw.Draw(sheet)


def _field(sheet: Image.Image) -> Field:
    return np.asarray(sheet.reduce(OVERSAMPLING), np.float32) / np.float32(255)
