"""The table of docs/bad_input.md, and the small clinic that the tests of its kinds spoil: what they share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.cases.case_table import read_cases
from features.folder.layout import Request
from runtime.errors import InputFault
from tests.test_house import ROOT

PAGE = ROOT / "docs" / "bad_input.md"
ROW = re.compile(r"^\| `(?P<name>[a-z0-9_]+)` \| (?P<what>.+) \| (?P<outcome>read|said|refused) \| (?P<told>.*) \|$")
HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis,benign_malignant,target"
TRAIN = f"""{HEADER}
a1,p1,male,45,torso,nevus,benign,0
a2,p1,male,45,,melanoma,malignant,1
b1,p2,female,50,torso,melanoma,malignant,1
b2,p2,female,50,torso,unknown,benign,0
"""
TEST = """image_name,patient_id,sex,age_approx,anatom_site_general_challenge
t1,q1,female,30,torso
t2,q1,female,,
"""
SAMPLE = "image_name,target\nt2,0\nt1,0\n"
Spoil = Callable[[Path], object]


@dataclass(frozen=True)
class Told:
    """A row of the page: what becomes of a kind of bad input, and a part of the sentence that is printed."""

    section: str
    outcome: str
    sentence: str


def table() -> dict[str, Told]:
    """Return kind -> what the page says of it, and fail where it names a kind twice."""
    rows, section = dict[str, Told](), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        section = line[3:] if line.startswith("## ") else section
        found = ROW.match(line)
        if found:
            assert found["name"] not in rows, found["name"]
            quoted = re.search(r"`` (.+) ``|`(.+)`", found["told"])
            sentence = (quoted[1] or quoted[2]).replace(r"\|", "|") if quoted else ""
            rows[found["name"]] = Told(section, found["outcome"], sentence)
    return rows


def draw(path: Path, size: tuple[int, int] = (48, 32), seed: int = 0) -> Path:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def small_clinic(folder: Path) -> Path:
    """Write a clinic of four training and two test cases into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("train.csv", TRAIN), ("test.csv", TEST), ("sample_submission.csv", SAMPLE)):
        (folder / name).write_text(text)
    for number, name in enumerate(("a1", "a2", "b1", "b2")):
        draw(folder / "jpeg" / "train" / f"{name}.jpg", seed=number)
    for number, name in enumerate(("t1", "t2"), 4):
        draw(folder / "jpeg" / "test" / f"{name}.jpg", seed=number)
    return folder


def written(text: str, name: str = "train.csv") -> Spoil:
    """Return what writes ``text`` into a file of the clinic."""
    return lambda data: (data / name).write_bytes(text.encode())


def raw(content: bytes, name: str = "train.csv") -> Spoil:
    """Return what writes bytes into a file of the clinic."""
    return lambda data: (data / name).write_bytes(content)


def edited(old: str, new: str, name: str = "train.csv", count: int = -1) -> Spoil:
    """Return what replaces text in a file of the clinic."""

    def spoil(data: Path) -> None:
        text = (data / name).read_text()
        assert old in text
        (data / name).write_bytes(text.replace(old, new, count).encode())

    return spoil


def outcome_of(read: Callable[[list[str]], object]) -> tuple[str, str, object]:
    """Return what becomes of an input: read, said or refused; what is printed; and what ``read`` returned."""
    notes = list[str]()
    try:
        made = read(notes)
    except InputFault as fault:
        return "refused", str(fault), None
    return ("said" if notes else "read"), "\n".join(notes), made


def check(name: str, outcome: tuple[str, str, object]) -> None:
    """Fail unless the outcome of a kind is the one that the page tells."""
    told = table()[name]
    assert (outcome[0], told.sentence in outcome[1]) == (told.outcome, True), f"{told}\n{outcome[1]}"


def check_cases(name: str, data: Path, clean: pd.DataFrame, changed: frozenset[str] = frozenset()) -> None:
    """Fail unless a spoilt clinic has the outcome of the page, and, where it is read, the cases of the ``clean`` one.

    ``changed`` are the columns in which the cases differ.
    """
    outcome = outcome_of(lambda notes: read_cases(Request(data, folds=2), notes))
    check(name, outcome)
    if outcome[0] != "refused":
        assert isinstance(outcome[2], pd.DataFrame)
        left = [column for column in clean if column not in changed]
        pd.testing.assert_frame_equal(outcome[2][left], clean[left], check_dtype=False)


def clinics(tmp_path: Path) -> tuple[Path, pd.DataFrame]:
    """Return the folder of a clinic to spoil, and the cases of the sound one."""
    data = small_clinic(tmp_path / "clinic")
    return data, read_cases(Request(data, folds=2))


def kinds_of(kinds: dict[str, object]) -> pytest.MarkDecorator:
    """Return the parametrisation of a test over named kinds."""
    return pytest.mark.parametrize("name", list(kinds))
