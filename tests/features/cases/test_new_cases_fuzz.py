"""Random damage to tables of new cases: each table is read, or refused with a message that names the place."""

import random
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from melstack.bundle.case_rows import match_training_columns
from melstack.bundle.manifest import MetadataColumn
from runtime.errors import InputFault

METADATA = {
    "sex": MetadataColumn(kind="text", values=("female", "male")),
    "age_approx": MetadataColumn(kind="number", low=10, high=90),
    "anatom_site_general_challenge": MetadataColumn(kind="text", values=("torso",)),
}
HEADER = ["image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"]
STRANGE = (
    "",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e400",
    "-5",
    "9" * 300,
    "１２",
    "0x1F",
    "45-50",
    "2020-01-01",
    "=1+1",
    "../../etc/passwd",
    "a/b",
    "a b",
    "\x00",
    "‮gpj",
    '"',
    '"open',
    "<script>",
    "TRUE",
    "None",
    "torso\nleg",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("fuzzed")
    (data / "jpeg" / "test").mkdir(parents=True)
    for number in range(4):
        Image.fromarray(np.full((32, 48, 3), 40 * number, np.uint8)).save(data / f"jpeg/test/p{number}.jpg")
    return data


def table(chance: random.Random) -> bytes:
    """Return a table of four cases with random damage to its cells, its shape or its bytes."""
    rows = [HEADER[:], *([f"p{number}", "one", "male", "50", "torso"] for number in range(4))]
    for _ in range(chance.choice([1, 1, 1, 3])):
        rows[chance.randrange(len(rows))][chance.randrange(5)] = chance.choice(STRANGE)
    shape = chance.choice(["none", "none", "none", "ragged", "twice", "empty", "header", "reversed"])
    if shape == "ragged":
        rows[chance.randrange(len(rows))] += ["more"] * chance.randrange(1, 4)
    if shape == "twice":
        rows.append(rows[1])
    if shape == "header":
        rows = rows[:1]
    if shape == "reversed":
        rows = [row[::-1] for row in rows]
    delimiter = chance.choice([",", ",", ",", ",", ",", ",", ";", "\t", "|"])
    text = chance.choice(["\n", "\r\n", "\r"]).join(delimiter.join(row) for row in rows)
    whole = text.encode(chance.choice(["utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-7", "utf-32"]))
    if chance.random() < 0.3:
        position = chance.randrange(len(whole))
        whole = whole[:position] + chance.randbytes(chance.randrange(1, 6)) + whole[position:]
    return b"" if shape == "empty" else whole[: chance.randrange(len(whole))] if chance.random() < 0.2 else whole


@pytest.mark.parametrize("tables", [100, pytest.param(1000, marks=pytest.mark.full)])
def test_damaged_tables_are_read_or_refused_with_a_message(folder: Path, tables: int) -> None:
    chance, messages, valid_tables = random.Random(6), list[str](), 0
    for number in range(tables):
        content = table(chance)
        (folder / "test.csv").write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                cases = read_new_cases(DataFolder.open(folder))
                rows = match_training_columns(cases, METADATA)
        except InputFault as fault:
            messages.append(str(fault))
        except Exception as error:
            raise AssertionError(f"table {number}, {content!r}: {error!r}") from error
        else:
            assert set(rows.index) <= {"p0", "p1", "p2", "p3"}, (number, content)
            assert np.isfinite(rows["age_approx"].dropna()).all()
            valid_tables += 1
    assert min(len(messages), valid_tables) > tables / 20
    places = ("test.csv", str(folder), "age_approx")  # the table, the folder or the column with the fault
    assert [message for message in messages if not any(place in message for place in places)] == []
