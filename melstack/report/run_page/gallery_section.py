"""Galleries of a run within its report: the tiles that index.json lists, and whole pictures beside it."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from melstack.report.run_page.attachments import Left, read_left
from melstack.report.run_page.formats import words
from runtime.errors import Faults
from runtime.run_folder import Run

MOST_BYTES = 3_000_000  # of all pictures within the page, as base64 text; the rest of a page is below 1 MB
WIDEST = 1600  # pixels; a page is no wider
QUALITY = 82
TYPES = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}  # small already, and embedded as they are


class Contribution(Left):
    """What a column adds to the log odds of a case."""

    column: str
    value: float


class Item(Left):
    """One case of a gallery; ``picture`` and ``overlay`` are tiles in the galleries' folder."""

    image_name: str
    picture: str
    overlay: str | None = None
    scores: dict[str, float] = Field(default_factory=dict)
    contributions: list[Contribution] = Field(default_factory=list)
    metadata: dict[str, str | float] = Field(default_factory=dict)
    role: str | None = None
    malignant: bool | None = None
    ugly: bool | None = None
    distance: float | None = None


class Gallery(Left):
    """Cases side by side: single ``cases``, or the ``board`` of a patient."""

    name: str
    kind: str
    title: str
    items: list[Item]


class Index(Left):
    """The galleries of a run, in the order in which they are shown."""

    galleries: list[Gallery]


@dataclass(frozen=True)
class Sheet:
    """A whole picture that the page shows, and its title."""

    title: str
    path: Path


class Pictures:
    """Where the page finds its pictures: within itself as long as ``most_bytes`` last, else in the run beside it."""

    def __init__(self, run: Run, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._left = run.folder, most_bytes
        self.beside = 0

    def source(self, path: Path) -> str:
        """Return the address of the picture at ``path``, a file of the run, from within the page."""
        embedded = _embedded(path)
        if len(embedded) > self._left:
            self.beside += 1
            return path.relative_to(self._folder).as_posix()
        self._left -= len(embedded)
        return embedded

    def tile(self, name: str) -> str:
        """Return the address of the tile ``name`` of the galleries' folder."""
        return self.source(self._folder / "galleries" / name)


def read_galleries(run: Run) -> list[Gallery]:
    """Return what galleries/index.json lists; raise InputFault for another shape and for tiles that are not there."""
    folder = run.folder / "galleries"
    index = read_left(folder / "index.json", Index)
    if index is None:
        return []
    tiles = [tile for gallery in index.galleries for item in gallery.items for tile in (item.picture, item.overlay)]
    faults = Faults()
    for tile in tiles:
        if tile is not None and not _lies_in(folder, tile):
            faults.add(f"{tile}: no such tile; `make explain` draws it")
    faults.raise_if_any(str(folder / "index.json"))
    return index.galleries


def read_sheets(folder: Path) -> list[Sheet]:
    """Return the PNG pictures that lie in ``folder``, by name."""
    return [Sheet(words(path.stem), path) for path in sorted(folder.glob("*.png"))]


def _lies_in(folder: Path, name: str) -> bool:
    path = (folder / name).resolve()
    return path.is_file() and path.is_relative_to(folder.resolve())


def _embedded(path: Path) -> str:
    kind = TYPES.get(path.suffix.lower())
    content = path.read_bytes() if kind else _smaller(path)
    return f"data:image/{kind or 'webp'};base64,{base64.b64encode(content).decode()}"


def _smaller(path: Path) -> bytes:
    from PIL import Image

    written = io.BytesIO()
    with Image.open(path) as picture:
        small = picture.convert("RGB")
        small.thumbnail((WIDEST, 8 * WIDEST))
        small.save(written, "WEBP", quality=QUALITY)
    return written.getvalue()
