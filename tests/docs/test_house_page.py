"""Tests of the map of the house: its rooms are folders of the project."""

import re

from tests.sources import LAYERS, MODULES, ROOT

PICTURE = (ROOT / "docs" / "pictures" / "house.svg").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")


def test_every_floor_and_every_room_of_the_picture_exists() -> None:
    floors = re.findall(r'font-family="monospace">([a-z0-9_]+)/<', PICTURE)
    rooms = re.findall(r'font-size="12" font-weight="bold"[^>]*>([a-z0-9_]+)<', PICTURE)
    names = {name for path in MODULES for name in (path.stem, path.parent.name)}
    assert sorted(floors) == sorted(LAYERS.keys() - {"benchmarks"})
    assert len(rooms) > 20
    assert set(rooms) - names == set()


def test_every_folder_and_file_that_the_page_names_exists() -> None:
    tops = "|".join([*LAYERS, "docs"])
    paths = re.findall(rf"`((?:{tops})/[\w/.]*)`", PAGE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_every_short_room_name_is_a_folder_of_its_floor() -> None:
    rows = re.findall(r"^\| [0-3] \| `([a-z0-9_]+)/` \| .* \| (.*) \|$", PAGE, re.MULTILINE)
    names = [(floor, name) for floor, cell in rows for name in re.findall(r"`([a-z_]+)/`", cell)]
    assert len(rows) == 5
    assert len(names) > 14
    assert [each for each in names if not (ROOT / each[0] / each[1]).is_dir()] == []
