"""The galleries of a run in its report: the tiles that index.json lists."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from melstack.report.run_page.attachments import Attachment, read_attachment
from runtime.errors import Faults
from runtime.invocation import command
from runtime.run_folder import Run

MAX_BYTES = 3_000_000  # of all embedded pictures as base64 text; the rest of a page is below 1 MB
MAX_WIDTH = 1600  # pixels; a page is not wider
QUALITY = 82
TYPES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}  # already small, and embedded unchanged


class Contribution(Attachment):
    """A column and its contribution to the log odds of a case."""

    column: str
    value: float


class Item(Attachment):
    """One case of a gallery; ``picture`` and ``overlay`` are tiles in the galleries' folder."""

    image_name: str
    picture: str
    overlay: str | None = None
    no_heat: str = ""
    scores: dict[str, float] = Field(default_factory=dict)
    contributions: list[Contribution] = Field(default_factory=list)
    metadata: dict[str, str | float] = Field(default_factory=dict)
    role: str | None = None
    malignant: bool | None = None
    ugly: bool | None = None
    distance: float | None = None


class Gallery(Attachment):
    """Tiles of cases side by side; ``kind`` is "cases" or, for all lesions of a patient, "board"."""

    name: str
    kind: str
    title: str
    items: list[Item]


class Index(Attachment):
    """The galleries of a run, in the order of the page; ``stack`` is the digest of the stack that they show."""

    stack: str = ""
    galleries: list[Gallery]


@dataclass(frozen=True)
class Sheet:
    """A picture that the page shows as a whole, and its title."""

    title: str
    path: Path


class PictureSources:
    """Addresses of the page's pictures: the first ``max_bytes`` are embedded, the others stay files of the run."""

    def __init__(self, run: Run, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._remaining_bytes = run.folder, max_bytes
        self.external_count = 0

    def source(self, path: Path) -> str:
        """Return the address of the picture at ``path``: a data URI, or its path relative to the run folder."""
        uri = _data_uri(path)
        if len(uri) > self._remaining_bytes:
            self.external_count += 1
            return path.relative_to(self._folder).as_posix()
        self._remaining_bytes -= len(uri)
        return uri

    def tile(self, name: str) -> str:
        """Return the address of the tile ``name`` in the galleries folder."""
        return self.source(self._folder / "galleries" / name)


def read_galleries(run: Run) -> Index | None:
    """Return galleries/index.json, None without it; raise InputFault if the file is invalid or a tile is missing."""
    folder = run.folder / "galleries"
    index = read_attachment(folder / "index.json", Index, "explain")
    if index is None:
        return None
    tiles = [tile for gallery in index.galleries for item in gallery.items for tile in (item.picture, item.overlay)]
    faults = Faults()
    for tile in tiles:
        if tile is not None and not _is_inside(folder, tile):
            faults.add(f"{tile}: this tile is missing; {command('explain')} writes it")
    faults.raise_if_any(str(folder / "index.json"))
    return index


def _is_inside(folder: Path, name: str) -> bool:
    path = (folder / name).resolve()
    return path.is_file() and path.is_relative_to(folder.resolve())


def _data_uri(path: Path) -> str:
    kind = TYPES.get(path.suffix.lower())
    content = path.read_bytes() if kind else _smaller(path)
    return f"data:image/{kind or 'webp'};base64,{base64.b64encode(content).decode()}"


def _smaller(path: Path) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((MAX_WIDTH, 8 * MAX_WIDTH))
        small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
