"""Make the trace of a picture, with which the leak audit recognises it: digest of the pixels, grey square, frame."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.leaks.content_frame import SIDE, framed_square
from features.leaks.content_frame import __file__ as frame_code
from features.pictures.contents import content_digest, source_file
from features.pictures.read import read_picture
from runtime.errors import InputFault, list_names
from runtime.fingerprints import fingerprints
from runtime.machine.pool import map_chunks
from runtime.progress import track
from runtime.provenance import digest, digest_of_code, is_fresh, write_mark
from runtime.tables import INDEX, read_table, write_table

TABLE, MARK = "traces.parquet", "traces.json"
SHORTEST = 256  # px of the short side that decoding keeps; a large JPEG is decoded at an eighth of its size
CHUNK = 16  # pictures per parallel task
SLAB = 4096  # pictures between two writes of the table


def read_or_make_traces(folder: Path, pictures: Mapping[str, Path], jobs: int | None = None) -> pd.DataFrame:
    """Return the traces of ``pictures`` (image_name -> path) in their order, stored in ``folder`` as they are made.

    Only new pictures are read: names whose path or fingerprint has changed, or all if this code has changed. An
    interruption loses at most SLAB pictures. Raises as ``make_traces`` does.
    """
    table, mark = folder / TABLE, folder / MARK
    made_from = {"code": digest_of_code([Path(__file__), Path(frame_code)])}
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


def make_traces(pictures: Mapping[str, Path], jobs: int | None = None) -> pd.DataFrame:
    """Return one row per picture: content and pixels (digests), shortest (side, px), grey and frame (bytes).

    ``jobs`` processes work in parallel (None: one per core that is ours). Raises InputFault with the
    names of all unreadable pictures.
    """
    items = list(pictures.items())
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    parts = map_chunks(_trace_chunk, chunks, _without_process, jobs if len(chunks) > 4 else 1)
    rows = [row for part in track(parts, "computing picture fingerprints", len(chunks), "batch") for row in part]
    faulty = {row["name"]: row["fault"] for row in rows if "fault" in row}
    if faulty:
        raise InputFault(
            f"pictures that cannot be read: {list_names(faulty)}; the first: {next(iter(faulty.values()))}"
        )
    columns = ["name", "content", "pixels", "shortest", "grey", "frame"]
    return pd.DataFrame(rows, columns=columns).rename(columns={"name": INDEX}).set_index(INDEX)


def trace(picture: NDArray[np.uint8]) -> dict[str, Any]:
    """Return the trace of ``picture``, uint8 RGB (height, width, 3)."""
    pixels = hashlib.sha256(repr(picture.shape).encode() + np.ascontiguousarray(picture).tobytes()).hexdigest()[:32]
    grey, frame = framed_square(picture)
    facts = {"pixels": pixels, "shortest": min(picture.shape[:2])}
    return facts | {"grey": grey.tobytes(), "frame": frame.tobytes()}


def grey_squares(traces: pd.DataFrame) -> NDArray[np.uint8]:
    """Return the grey squares, uint8 (n, SIDE, SIDE); 0 is outside of the picture's content."""
    return np.frombuffer(b"".join(traces["grey"]), np.uint8).reshape(-1, SIDE, SIDE)


def frames(traces: pd.DataFrame) -> NDArray[np.float32]:
    """Return the frames (n, 4) of the pictures, as ``framed_square`` describes them."""
    return np.frombuffer(b"".join(traces["frame"]), np.float32).reshape(-1, 4)


def _without_process(item: tuple[str, Path]) -> dict[str, Any]:
    name, path = item
    return {"name": name, "fault": f"{path}: the process that reads it is killed, most likely for lack of memory"}


def _trace_chunk(items: Sequence[tuple[str, Path]]) -> list[dict[str, Any]]:
    return [_trace_one(name, path) for name, path in items]


def _trace_one(name: str, path: Path) -> dict[str, Any]:
    try:
        facts = {"name": name, "content": content_digest(path)}
        return facts | trace(read_picture(path, shortest=SHORTEST))
    except InputFault as fault:
        return {"name": name, "fault": str(fault)}
