"""Make the trace of a picture, with which the leak audit recognises it: pixel digest, grey square, descriptors."""

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

from features.pictures.contents import content_digest, source_file
from features.pictures.read import read_picture
from runtime.errors import InputFault, list_names
from runtime.fingerprints import fingerprints
from runtime.progress import track
from runtime.provenance import digest, digest_of_code, is_fresh, write_mark
from runtime.tables import INDEX, read_table, write_table

TABLE, MARK = "traces.parquet", "traces.json"
SHORTEST = 256  # px of the short side that decoding keeps; a large JPEG is decoded at an eighth of its size
CHUNK = 16  # pictures per parallel task
SLAB = 4096  # pictures between two writes of the table
CROP = 0.85  # least share of a side that the trial crop keeps
Floats = NDArray[np.float32]
SIDE = 64  # px of the squares that descriptors are made from
EDGES = (4, 8, 12, 16, 20, 24, 28, 32, 38)  # px; radii that separate the rings
SCALES = (2.0, 5.0)  # px; fine texture is below the first, medium texture between them
FREQUENCIES = 10  # per axis of the cosine transform
DARK = 8.0  # grey levels added before the logarithm, so that black corners do not outweigh the rest
FAINT = 0.01  # added to spreads before the logarithm


def read_or_make_traces(folder: Path, pictures: Mapping[str, Path], jobs: int = -1) -> pd.DataFrame:
    """Return the traces of ``pictures`` (image_name -> path) in their order, stored in ``folder`` as they are made.

    Only new pictures are read: names whose path or fingerprint has changed, or all if this code has changed. An
    interruption loses at most SLAB pictures. Raises as ``make_traces`` does.
    """
    table, mark = folder / TABLE, folder / MARK
    made_from = {"code": digest_of_code([Path(__file__)])}
    stored_traces = read_table(table) if is_fresh(mark, made_from, [table]) else None
    files = _file_digests(pictures)
    parts = [] if stored_traces is None else [_unchanged_traces(stored_traces, files)]
    missing = files.index if not parts else files.index.difference(parts[0].index, sort=False)
    for start in range(0, len(missing), SLAB):
        names = missing[start : start + SLAB]
        parts.append(make_traces({name: pictures[name] for name in names}, jobs).assign(file=files[names]))
        mark.unlink(missing_ok=True)  # a table must never be next to the mark of another code version
        write_table(table, pd.concat(parts))
        write_mark(mark, made_from, [table])
    return pd.concat(parts).loc[files.index] if parts else make_traces({})


def _file_digests(pictures: Mapping[str, Path]) -> pd.Series:
    """Return image_name -> digest of the picture's name in its folder or file, and of the file's fingerprint."""
    prints = fingerprints(source_file(path) for path in pictures.values())
    digests = {name: digest([path.name, prints[source_file(path)]]) for name, path in pictures.items()}
    return pd.Series(digests, dtype=object)


def changed_pictures(folder: Path, pictures: Mapping[str, Path], *, read_all: bool = False) -> list[str]:
    """Return the names of ``pictures`` that are not as they were when their traces in ``folder`` were made.

    Fingerprints of the files are compared; with ``read_all`` the whole content of every picture. Pictures whose traces
    do not record it are not compared. A missing picture counts as changed.
    """
    if not (folder / TABLE).is_file():
        return []
    traces = read_table(folder / TABLE)
    if "content" not in traces:  # of an earlier version
        return []
    names = [name for name in pictures if name in traces.index]
    if not read_all:
        now = _file_digests({name: pictures[name] for name in names})
        return [name for name in names if now[name] != traces["file"][name]]
    contents = traces["content"].to_dict()
    checks = track(((name, _content(pictures[name])) for name in names), "reading pictures", len(names))
    return [name for name, content in checks if content != contents[name]]


def _content(picture: Path) -> str | None:
    try:
        return content_digest(picture)
    except InputFault:
        return None


def _unchanged_traces(traces: pd.DataFrame, files: pd.Series) -> pd.DataFrame:
    return traces[traces["file"] == files.reindex(traces.index)]


def make_traces(pictures: Mapping[str, Path], jobs: int = -1) -> pd.DataFrame:
    """Return one row per picture: content and pixels (digests), shortest (side, px), grey (bytes), descriptor, cropped.

    ``cropped`` is the descriptor of a crop that keeps 85 % or more of each side: the difference shows which parts of
    a descriptor a crop changes. ``jobs`` processes work in parallel (-1: one per core). Raises InputFault with the
    names of all unreadable pictures.
    """
    items = list(pictures.items())
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    with Parallel(n_jobs=jobs if len(chunks) > 4 else 1, return_as="generator") as parallel:
        parts = parallel(delayed(_trace_chunk)(chunk) for chunk in chunks)
        rows = [row for part in track(parts, "computing picture fingerprints", len(chunks), "batch") for row in part]
    faulty = {row["name"]: row["fault"] for row in rows if "fault" in row}
    if faulty:
        raise InputFault(
            f"pictures that cannot be read: {list_names(faulty)}; the first: {next(iter(faulty.values()))}"
        )
    columns = ["name", "content", "pixels", "shortest", "grey", "descriptor", "cropped"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"name": INDEX}).set_index(INDEX)


def trace(picture: NDArray[np.uint8], seed: int = 0) -> dict[str, Any]:
    """Return the trace of ``picture``, uint8 RGB (height, width, 3); ``seed`` draws the trial crop."""
    image = Image.fromarray(picture)
    height, width = picture.shape[:2]
    rng = np.random.default_rng(seed)
    share, position = rng.uniform(CROP, 1, 2), rng.uniform(0, 1, 2)
    x, y = position * (1 - share) * (width, height)
    box = (x, y, x + share[0] * width, y + share[1] * height)
    squares = np.stack([_square_crop(image, None), _square_crop(image, box)])
    descriptor, crop_descriptor = describe(squares).astype(np.float16)
    grey = np.rint(squares[0].mean(axis=2)).astype(np.uint8)
    pixels = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()[:32]
    facts = {"pixels": pixels, "shortest": min(height, width)}
    return facts | {"grey": grey.tobytes(), "descriptor": descriptor.tobytes(), "cropped": crop_descriptor.tobytes()}


def grey_squares(traces: pd.DataFrame) -> NDArray[np.uint8]:
    """Return the grey squares, uint8 (n, 64, 64)."""
    return np.frombuffer(b"".join(traces["grey"]), np.uint8).reshape(-1, SIDE, SIDE)


def descriptors(traces: pd.DataFrame, column: str = "descriptor") -> NDArray[np.float32]:
    """Return the descriptors of the pictures, or of their trial crops (``column`` "cropped"), float32 (n, d)."""
    return np.frombuffer(b"".join(traces[column]), np.float16).reshape(len(traces), -1).astype(np.float32)


def _square_crop(image: Image.Image, box: tuple[float, float, float, float] | None) -> NDArray[np.uint8]:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX, box=box))


def _trace_chunk(items: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    return [_trace_one(name, path) for name, path in items]


def _trace_one(name: str, path: Path) -> dict[str, Any]:
    try:
        facts = {"name": name, "content": content_digest(path)}
        return facts | trace(read_picture(path, shortest=SHORTEST), zlib.crc32(name.encode()))
    except InputFault as fault:
        return {"name": name, "fault": str(fault)}


def describe(squares: NDArray[np.uint8]) -> Floats:
    """Return the descriptors, float32 (n, 200), of RGB ``squares``, uint8 (n, 64, 64, 3).

    Colours are logarithms relative to the picture's mean, so that brightness cancels. Means and spreads over rings
    around the centre do not change when the picture is rotated by 90 degrees or flipped; neither do the magnitudes of
    the cosine transform after the two of each pair of row and column frequencies are sorted.
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
    """Return the weights (4096, rings) of the pixels in the mean of each ring."""
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
