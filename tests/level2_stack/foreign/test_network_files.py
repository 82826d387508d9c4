"""Tests for network_files.py and read.py: names of networks, by which later commands find their files."""

from pathlib import Path

import numpy as np
import pytest

from level2_stack.foreign.bring import networks_in
from level2_stack.foreign.file_names import make_name
from level2_stack.foreign.network_files import find_networks
from level2_stack.foreign.read import import_predictions, read_foreign_predictions
from runtime.errors import InputFault
from tests.level2_stack.foreign.foreign_files import OOF, TEST, small_cases, write_foreign


def write_flat(folder: Path, *names: str) -> Path:
    """Write tables directly into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(OOF if "oof" in name else TEST)
    return folder


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("b5__384", "b5__384"),
        ("tf-efficientnet-b5-384", "tf_efficientnet_b5_384"),
        ("seresnext50.512", "seresnext50_512"),
        ("512", "net_512"),
        ("réseau", "reseau"),
        ("_b5", "b5"),
        ("网络", ""),
    ],
)
def test_a_name_is_made_of_the_folder_name(folder: str, name: str) -> None:
    assert make_name(folder) == name
    assert make_name(name) == name


def test_the_file_of_the_usual_name_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    write_foreign(tmp_path, "net")
    for name in ("submission.csv", "oof_v2.csv", "weights.h5"):
        (tmp_path / "net" / name).write_text("nothing")
    notes = import_predictions(tmp_path, small_cases()).networks[0].notes
    assert "not read: 3 (oof_v2.csv, submission.csv, weights.h5)" in notes


def test_a_network_of_another_folder_may_have_the_name_of_a_flat_one(tmp_path: Path) -> None:
    write_foreign(tmp_path, "b5")
    write_flat(tmp_path, "oof_b5.csv", "test_b5.csv")
    with pytest.raises(InputFault, match="'b5', 'b5' would all be network b5"):
        import_predictions(tmp_path, small_cases())


def test_files_without_out_of_fold_rows_are_not_networks_to_stack(tmp_path: Path) -> None:
    write_flat(tmp_path, "oof_1.csv", "sub_1.csv", "sub_2.csv", "sample_submission.csv", "notes.txt")
    content = find_networks(tmp_path)
    assert [network.name for network in content.networks] == networks_in(tmp_path) == ["net_1"]
    assert content.notes == ("not read: 3 (notes.txt, sample_submission.csv, sub_2.csv)",)


def test_trust_takes_the_name_of_the_folder_and_the_made_one(tmp_path: Path) -> None:
    write_foreign(tmp_path, "b5-384")
    for name in ("b5-384", "b5_384"):
        notes = " ".join(import_predictions(tmp_path, small_cases(), [name]).networks[0].notes)
        assert "accepted because --trust names it" in notes
        assert "WARNING" not in notes
    with pytest.raises(InputFault, match=r"trust names 'b5\.384', which is not a network of this folder"):
        import_predictions(tmp_path, small_cases(), ["b5.384"])


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["b5_384"], ["b5-384/test.csv"]),
        (["b5_384"], ["b5_384/submission.csv"]),
        (["net_1", "net_2"], ["sub_1.csv", "sub_2.csv"]),
        (["any_name"], ["submission.csv"]),
        ([], []),
    ],
)
def test_networks_of_a_bundle_find_their_predictions_of_new_cases(
    names: list[str], files: list[str], tmp_path: Path
) -> None:
    for file in files:
        write_flat((tmp_path / file).parent, Path(file).name)
    cases, notes = small_cases().query("role == 'test'"), list[str]()
    tables = read_foreign_predictions(tmp_path, names, cases, notes)
    assert {name: table["probability"].tolist() for name, table in tables.items()} == {
        name: [0.3, 0.2] for name in names
    }


def test_a_network_of_a_bundle_without_predictions_is_named(tmp_path: Path) -> None:
    write_flat(tmp_path / "b5-385", "test.csv")
    with pytest.raises(InputFault, match=r"no test\.csv of network b5_384; did you mean 'b5_385'"):
        read_foreign_predictions(tmp_path, ["b5_384"], small_cases().query("role == 'test'"), [])


def test_new_cases_without_ids_are_in_the_order_of_the_table_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    np.save(tmp_path / "net" / "test.npy", [0.3, 0.2])
    notes = list[str]()
    tables = read_foreign_predictions(tmp_path, ["net"], small_cases().query("role == 'test'"), notes)
    assert tables["net"].loc[["x", "y"], "probability"].tolist() == [0.3, 0.2]
    assert notes[0].startswith("warning: foreign network net: test.npy: its rows have no ids")
