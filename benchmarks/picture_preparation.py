"""Speed of preparing pictures, as a ratio in one run: one scaled decode for all sizes, or a full decode for each."""

import io
import platform
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
import PIL
from PIL import Image

from features.pictures.read import Picture, encode_jpeg, read_picture, resize_square, shrink
from features.pictures.scan import STATISTICS_LONGEST, scan
from features.pictures.statistics.picture import picture_statistics
from runtime.machine.cores import allowed_cores
from runtime.progress import say

SIDES = (384, 512, 640, 768)  # the resolutions of the 2020 winners
SIZE = (6000, 4000)  # px; the largest pictures of SIIM-ISIC 2020
ROUNDS = 5


def run_preparation_benchmark(sides: Sequence[int] = SIDES, size: tuple[int, int] = SIZE, rounds: int = ROUNDS) -> None:
    """Print the seconds of both ways for one synthetic JPEG of ``size`` (width, height), their ratio and differences.

    Both ways take turns on one core. The full decode does less work: it makes the squares, but no statistics.
    """
    versions = f"Python {platform.python_version()}, Pillow {PIL.__version__}"
    say(f"machine: {platform.machine()}, {allowed_cores()} cores; {versions}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lesion.jpg"
        Image.fromarray(_lesion(size)).save(path, quality=90)
        full_seconds, scaled_seconds = _in_turns(
            [lambda: _decode_for_each(path, sides), lambda: list(scan({"a": path}, sides))], rounds
        )
        text = ", ".join(map(str, sides))
        say(f"{size[0]} x {size[1]} JPEG ({path.stat().st_size / 1e6:.1f} MB) for {text} px:")
        say(f"  a full decode for each size: {full_seconds * 1000:.0f} ms")
        say(f"  one scaled decode for all sizes, with statistics: {scaled_seconds * 1000:.0f} ms")
        say(f"  full / scaled = {full_seconds / scaled_seconds:.1f}")
        for line in _differences(path, sides):
            say(f"  {line}")


def _differences(path: Path, sides: Sequence[int]) -> list[str]:
    """Return sentences on how the statistics and squares of the scaled decode differ from those of the full decode."""
    ours, picture = next(scan({"a": path}, sides)), read_picture(path)
    exact = picture_statistics(shrink(picture, STATISTICS_LONGEST))
    share = {name: abs(ours.statistics[name] - value) / max(abs(value), 1e-3) for name, value in exact.items()}
    worst, second = sorted(share, key=lambda name: -share[name])[:2]
    squares = {side: np.asarray(Image.open(io.BytesIO(ours.jpegs[side])), np.float64) for side in sides}
    levels = {side: np.abs(square - _square(picture, side)).mean() for side, square in squares.items()}
    return [
        f"statistics against the full decode: median difference {median(share.values()):.2%}, "
        f"largest {share[worst]:.2%} ({worst}), then {share[second]:.2%} ({second})",
        "squares against the full decode, mean grey levels: " + ", ".join(f"{k} px {v:.2f}" for k, v in levels.items()),
    ]


def _square(picture: Picture, side: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encode_jpeg(resize_square(picture, side)))), np.float64)


def _decode_for_each(path: Path, sides: Sequence[int]) -> list[bytes]:
    return [encode_jpeg(resize_square(read_picture(path), side)) for side in sides]


def _in_turns(ways: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Return the median seconds of each way over rounds in which they take turns."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way, times in zip(ways, seconds, strict=True):
            start = time.perf_counter()
            way()
            times.append(time.perf_counter() - start)
    return [median(times) for times in seconds]


def _lesion(size: tuple[int, int]) -> Picture:
    """Return a synthetic lesion on skin with texture at every scale and sensor noise, uint8 (height, width, 3)."""
    width, height = size
    rng = np.random.default_rng(0)
    texture = np.zeros((height, width), np.float32)
    for cells in (6, 24, 96, 384, 1536):
        grain = Image.fromarray(rng.normal(0, 6, (cells * height // width + 1, cells)).astype(np.float32))
        texture += np.asarray(grain.resize(size, Image.Resampling.BICUBIC))
    texture += rng.normal(0, 5, texture.shape).astype(np.float32)
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    inside = 1 / (1 + np.exp(30 * (np.hypot(x * 1.4, y) - 0.5 - texture / 200)))
    planes = [skin + texture + (mole - skin) * inside for skin, mole in ((215, 110), (170, 70), (150, 55))]
    return np.stack(planes, axis=-1).clip(0, 255).astype(np.uint8)
