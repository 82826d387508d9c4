"""The trace of a picture, by which the leak audit knows it again: pixel digest, grey square, and descriptors."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.fft import dctn

from features.pictures.read import read_picture
from runtime.errors import InputFault, list_names
from runtime.progress import track
from runtime.provenance import digest, digest_of_code, is_fresh, write_mark
from runtime.tables import INDEX, read_table, write_table

SHORTEST = 256  # px that the decoder keeps; a large JPEG is then decoded at an eighth of its size
CHUNK = 16  # pictures per parallel task
SLAB = 4096  # pictures between two writes of the table
CROP = 0.85  # least share of a side that the trial crop keeps
Floats = NDArray[np.float32]
SIDE = 64  # px of the squares that are described
EDGES = (4, 8, 12, 16, 20, 24, 28, 32, 38)  # px; the radii between which means and spreads are taken
SCALES = (2.0, 5.0)  # px; fine texture is below the first, middle texture between the two
FREQUENCIES = 10  # per axis, of the cosine transform
DARK = 8.0  # grey levels added before the logarithm, so that black corners do not outweigh the rest
FAINT = 0.01  # added to spreads before the logarithm


def stored_traces(folder: Path, pictures: Mapping[str, Path], jobs: int = -1) -> pd.DataFrame:
    """Return the traces of ``pictures`` (image_name -> path), in their order, kept in ``folder`` as they are made.

    Only what is new there is read: a name whose path or file size is another, or everything when this code has
    changed. A kill costs at most SLAB pictures. Errors as in ``make_traces``.
    """
    table, mark = folder / "traces.parquet", folder / "traces.json"
    made_from = {"code": digest_of_code([Path(__file__)])}
    kept = read_table(table) if is_fresh(mark, made_from, [table]) else None
    files = pd.Series({name: digest([str(path), _size(path)]) for name, path in pictures.items()}, dtype=object)
    known = [] if kept is None else [kept[kept["file"] == files.reindex(kept.index)]]
    lacking = files.index if not known else files.index.difference(known[0].index, sort=False)
    for start in range(0, len(lacking), SLAB):
        names = lacking[start : start + SLAB]
        known.append(make_traces({name: pictures[name] for name in names}, jobs).assign(file=files[names]))
        mark.unlink(missing_ok=True)  # a table is never beside a mark of other code
        write_table(table, pd.concat(known))
        write_mark(mark, made_from, [table])
    return pd.concat(known).loc[files.index] if known else make_traces({})


def make_traces(pictures: Mapping[str, Path], jobs: int = -1) -> pd.DataFrame:
    """Return one row per picture: pixels (digest), shortest (side, px), grey (bytes), descriptor, cropped (float16).

    ``cropped`` describes a crop of the same picture that keeps 85 % or more of each side: how far the two are apart
    tells what of a descriptor a crop changes. ``jobs`` processes work in parallel (-1: one per core). Raises
    InputFault that names all the pictures that cannot be read.
    """
    items = list(pictures.items())
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with Parallel(n_jobs=jobs if len(chunks) > 4 else 1, return_as="generator") as parallel:
        parts = parallel(delayed(_trace_chunk)(chunk) for chunk in chunks)
        rows = [row for part in track(parts, "tracing pictures", len(chunks), "chunks") for row in part]
    faulty = {row["name"]: row["fault"] for row in rows if "fault" in row}
    if faulty:
        raise InputFault(
            f"pictures that cannot be read: {list_names(faulty)}; the first: {next(iter(faulty.values()))}"
        )
    columns = ["name", "pixels", "shortest", "grey", "descriptor", "cropped"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"name": INDEX}).set_index(INDEX)


def trace(picture: NDArray[np.uint8], seed: int = 0) -> dict[str, Any]:
    """Return the trace of ``picture``, uint8 RGB (height, width, 3); ``seed`` draws the trial crop."""
    image = Image.fromarray(picture)
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    share, place = rng.uniform(CROP, 1, 2), rng.uniform(0, 1, 2)
    left, top = place * (1 - share) * (width, height)
    box = (left, top, left + share[0] * width, top + share[1] * height)
    squares = np.stack([_squared(image, None), _squared(image, box)])
    descriptor, cropped = describe(squares).astype(np.float16)
    grey = np.rint(squares[0].mean(axis=2)).astype(np.uint8)
    pixels = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()[:32]
    facts = {"pixels": pixels, "shortest": min(height, width)}
    return facts | {"grey": grey.tobytes(), "descriptor": descriptor.tobytes(), "cropped": cropped.tobytes()}


def greys(traces: pd.DataFrame) -> NDArray[np.uint8]:
    """Return the grey squares, uint8 (n, 64, 64)."""
    return np.frombuffer(b"".join(traces["grey"]), np.uint8).reshape(-1, SIDE, SIDE)


def descriptors(traces: pd.DataFrame, column: str = "descriptor") -> NDArray[np.float32]:
    """Return the descriptors of the pictures, or of their trial crops (``column`` "cropped"), float32 (n, d)."""
    return np.frombuffer(b"".join(traces[column]), np.float16).reshape(len(traces), -1).astype(np.float32)


def _squared(image: Image.Image, box: tuple[float, float, float, float] | None) -> NDArray[np.uint8]:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box))


def _trace_chunk(items: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    return [_trace_one(name, path) for name, path in items]


def _trace_one(name: str, path: Path) -> dict[str, Any]:
    try:
        return {"name": name, **trace(read_picture(path, shortest=SHORTEST), zlib.crc32(name.encode()))}
    except InputFault as fault:
        return {"name": name, "fault": str(fault)}


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else -1


def describe(squares: NDArray[np.uint8]) -> Floats:
    """Return the descriptors, float32 (n, 200), of RGB ``squares``, uint8 (n, 64, 64, 3).

    Colours are logarithms relative to the picture's mean, so that brightness cancels. Means and spreads over rings
    about the centre do not change when the picture is turned by 90 degrees or flipped; neither do the magnitudes of
    the cosine transform once those of row-column and column-row frequency are put in order.
    """
    light = squares.astype(np.float32).transpose(0, 3, 1, 2)
    colours = np.log((light + DARK) / (light.mean(axis=(1, 2, 3), keepdims=True) + DARK))
    grey = colours.mean(axis=1)
    smooth, coarse = (ndimage.gaussian_filter(grey, (0, scale, scale)) for scale in SCALES)
    spreads = [_spread(grey - smooth), _spread(smooth - coarse), _spread(grey)]
    hues = colours - grey[:, None]
    means = [_over_rings(colours[:, channel]) for channel in range(3)]
    spreads += [_spread(hues[:, channel]) for channel in range(3)]
    logarithms = [np.log(spread + FAINT) for spread in spreads]
    return np.concatenate([*means, *logarithms, _frequencies(grey)], axis=1).astype(np.float32)


def _rings() -> Floats:
    """Return the weights (4096, rings) with which pixels enter the mean of each ring."""
    offsets = np.arange(SIDE) - (SIDE - 1) / 2
    ring = np.digitize(np.hypot(offsets[:, None], offsets), EDGES).ravel()
    members = (ring[:, None] == np.arange(len(EDGES) + 1)).astype(np.float32)
    return np.asarray(members / members.sum(axis=0), np.float32)


RINGS = _rings()


def _over_rings(plane: Floats) -> Floats:
    return np.asarray(plane.reshape(len(plane), -1) @ RINGS)


def _spread(plane: Floats) -> Floats:
    return np.asarray(np.sqrt(np.maximum(_over_rings(plane * plane) - _over_rings(plane) ** 2, 0)))


def _frequencies(grey: Floats) -> Floats:
    soft = ndimage.gaussian_filter(grey, (0, 1, 1))
    sizes = np.sqrt(np.abs(dctn(soft, axes=(1, 2), norm="ortho")[:, :FREQUENCIES, :FREQUENCIES]))
    rows, columns = np.triu_indices(FREQUENCIES)
    one, other = sizes[:, rows, columns], sizes[:, columns, rows]
    return np.concatenate([np.maximum(one, other), np.minimum(one, other)], axis=1)
