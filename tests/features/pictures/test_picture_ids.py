"""Tests of picture_ids.py: which picture an id means, and which ids stay as they are."""

from pathlib import Path

import pandas as pd
import pytest

from features.pictures.picture_ids import find_in_other_case, match_ids, read_ids
from runtime.errors import Faults, InputFault

FLAT = {name: Path(f"data/jpeg/train/{name}.jpg") for name in ("a", "b", "a_downsampled", "x.png")}
DEEP = {"p1_1": Path("data/img/p1/1.jpg"), "p2_1": Path("data/img/p2/1.jpg"), "c": Path("data/img/p2/c.jpg")}


def read(ids: list[str], pictures: dict[str, Path]) -> list[str]:
    faults = Faults()
    names = read_ids(pd.Series(ids, dtype=object, name="id"), lambda: pictures, "train.csv", faults, [])
    faults.raise_if_any("ids")
    return [str(name) for name in names]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a", "a"),
        ("a.jpg", "a"),
        ("A.PNG", "a"),
        ("./train/a.jpeg", "a"),
        (r"train\b.dcm", "b"),
        ("/other/machine/b.jpg", "b"),
        ("a_downsampled", "a_downsampled"),
        ("a_downsampled.jpg", "a_downsampled"),
        ("x.png", "x.png"),  # the name of a picture
        ("unknown.jpg", "unknown"),
        ("../a.jpg", "../a.jpg"),  # refused by check_names
        ("/etc/passwd", "/etc/passwd"),
    ],
)
def test_an_id_is_read_as_the_only_picture_that_it_can_mean(text: str, name: str) -> None:
    assert read([text], FLAT) == [name]


def test_folders_in_an_id_choose_between_pictures_of_one_name() -> None:
    assert read(["p1/1.jpg", "img/p2/1", "c.jpg"], DEEP) == ["p1_1", "p2_1", "c"]
    with pytest.raises(InputFault, match=r"several pictures can be meant by: 1 \(1.jpg \(p1_1 and p2_1\)\)"):
        read(["1.jpg"], DEEP)


def test_a_picture_in_another_folder_than_the_id_says_is_not_used() -> None:
    assert read(["p1/c.jpg"], DEEP) == ["p1_c"]


def test_without_pictures_equal_file_names_keep_their_folders() -> None:
    assert read(["p1/1.jpg", "p2/1.jpg", "p2/2.jpg"], {}) == ["p1_1", "p2_1", "2"]


def test_ids_of_other_tables_are_matched_with_the_names_of_cases() -> None:
    names = pd.Index(["a", "b", "p1_1", "Case"])
    ids = pd.Index(["a", "train/b.jpg", r"img\p1\1.png", "case.JPG", "z.jpg"])
    assert match_ids(ids, names).tolist() == ["a", "b", "p1_1", "Case", "z.jpg"]
    assert match_ids(pd.Index(["CASE"]), pd.Index(["Case", "case"])).tolist() == ["CASE"]


def test_a_file_name_in_another_case_belongs_to_one_case_at_most() -> None:
    assert find_in_other_case(["A", "B"], ["a", "c"]) == {"A": "a"}
    assert find_in_other_case(["AB", "Ab"], ["ab"]) == {}
