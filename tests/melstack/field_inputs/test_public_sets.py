"""Tests of the section "Public data sets" of docs/field_inputs.md: every set in miniature, read without a mapping."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest

from features.folder.public_sets.recognise import public_sets
from runtime.run_folder import Run
from tests.command_line import run_melstack
from tests.melstack.field_inputs.miniatures import SETS, is_melanoma
from tests.melstack.field_inputs.situation import Situation, check
from tests.tiny_project import FinishedRun


def cases(data: Path, run: Path) -> list[object]:
    """Return the words of `cases` with two folds: the miniatures have four melanomas."""
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def among(name: str, others: tuple[str, ...]) -> Callable[[Path], None]:
    """Return a function that writes the set ``name`` with other files beside it, as people keep them."""

    def write(data: Path) -> None:
        SETS[name](data)
        for other in others:
            (data / other).write_text("x,y\n1,2\n")

    return write


HAM10000_MAPPING = """
train = "HAM10000_metadata"
test = ""
sample = ""
train_pictures = "HAM10000_images_part_1"
positive = ["mel"]
[columns]
image_name = "image_id"
patient_id = "lesion_id"
target = "dx"
metadata = ["sex", "age", "localization"]
"""


def ham10000_with_a_mapping(data: Path) -> None:
    SETS["ham10000"](data)
    (data / "cases.toml").write_text(HAM10000_MAPPING)


SITUATIONS = {
    "ham10000_with_a_mapping": Situation(ham10000_with_a_mapping, cases),
    "isic_2016": Situation(SETS["isic_2016"], cases),
    "isic_2017": Situation(SETS["isic_2017"], cases),
    "isic_2018": Situation(SETS["isic_2018"], cases),
    "isic_2019": Situation(SETS["isic_2019"], cases),
    "isic_2020": Situation(SETS["isic_2020"], cases),
    "isic_2024": Situation(SETS["isic_2024"], cases),
    "isic_archive": Situation(SETS["isic_archive"], cases),
    "isic_archive_old": Situation(SETS["isic_archive_old"], cases),
    "ham10000": Situation(SETS["ham10000"], cases),
    "bcn20000": Situation(SETS["bcn20000"], cases),
    "pad_ufes_20": Situation(SETS["pad_ufes_20"], cases),
    "derm7pt": Situation(SETS["derm7pt"], cases),
    "milk10k": Situation(SETS["milk10k"], cases),
    "ddi": Situation(SETS["ddi"], cases),
    "ph2": Situation(SETS["ph2"], cases),
    "ham10000_among_other_files": Situation(among("ham10000", ("notes.csv", "LICENSE.txt")), cases),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_public_set_is_read_as_it_is_downloaded(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)
    table = Run(tmp_path / "run").read_cases()
    train = table[table["role"] == "train"]
    assert train["picture"].notna().all()
    assert 3 <= train["target"].sum() <= 8
    assert len(train) in (10, 12, 24)
    assert table["source"].isna().all() if "source" in table else True


@pytest.mark.full
@pytest.mark.parametrize("name", ["ham10000", "pad_ufes_20", "isic_archive", "isic_2019", "derm7pt", "ph2"])
def test_a_bundle_predicts_a_public_set_as_it_is_downloaded(
    name: str, tmp_path: Path, finished_run: FinishedRun
) -> None:
    (tmp_path / "data").mkdir()
    SETS[name](tmp_path / "data")
    words = ["predict", "--bundle", finished_run.bundle, "--data", tmp_path / "data", "--out", tmp_path / "out"]
    output = run_melstack(*words)
    count = 4 if name == "isic_2019" else 12
    assert (output.code, f"predicted: {count} cases" in output.out) == (0, True), output.out + output.err
    assert ("its training cases are predicted" in output.out) == (name != "isic_2019")
    predictions = pd.read_csv(tmp_path / "out" / "submission.csv")
    assert len(predictions) == count
    assert predictions["target"].between(0, 1).all()


def test_every_public_set_of_the_package_has_a_miniature() -> None:
    folder = Path(str(files("features.folder.public_sets")))
    assert {path.stem for path in folder.glob("*.toml")} == set(SETS)
    assert len(public_sets()) == len(SETS)


def test_a_melanoma_of_a_miniature_is_the_target(tmp_path: Path) -> None:
    check("isic_2019", SITUATIONS, tmp_path)
    table = Run(tmp_path / "run").read_cases()
    train = table[table["role"] == "train"]
    assert train["target"].tolist() == [float(is_melanoma(number)) for number in range(12)]
    assert train["age_approx"].tolist() == [40.0 + 5 * (number % 6) for number in range(12)]
