"""Tests for tiles.py and make.py: the hardest cases, with heat maps of the networks."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from level1_cnn.experiment import Experiment
from level1_cnn.training_settings import FrozenFeatures
from level2_stack.finished import stack_digest
from melstack.report.galleries.make import HARDEST, hardest_cases, make_galleries, positive_heat
from melstack.report.galleries.tiles import CaseResults, metadata, overlay, tile_name, write_index, write_tile
from runtime.errors import InputFault
from runtime.files import write_json, write_text
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import INDEX, write_table

TINY = Experiment(
    backbone="tiny",
    variant="tiny",
    weights="none",
    image_size=32,
    training=FrozenFeatures(method="frozen", regularisation=0.1),
)
NAMES = [f"c{number}" for number in range(12)]
RISK = pd.Series(np.linspace(0.95, 0.05, 12), index=pd.Index(NAMES, name=INDEX))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return a run with pictures, a network of its own, a foreign network and a stack; c8 to c11 are test cases."""
    data, run = tmp_path / "data", Run(tmp_path / "run")
    data.mkdir()
    random = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(random.integers(0, 255, (60, 90, 3), dtype=np.uint8)).save(data / f"{name}.png")
    cases = pd.DataFrame(
        {
            "patient_id": ["p1"] * 4 + ["p2"] * 4 + ["p3"] * 4,
            "target": [0.0, 1, 0, 1, 0, 1, 0, 1] + [np.nan] * 4,
            "sex": ["female"] * 4 + [None] * 4 + ["male"] * 4,
            "picture": [f"{name}.png" for name in NAMES],
            "role": ["train"] * 8 + ["test"] * 4,
            "fold": np.array([0] * 4 + [1] * 4 + [-1] * 4, dtype=np.int8),
        },
        index=RISK.index,
    )
    write_table(run.cases, cases)
    write_mark(run.cases_mark, {}, data=str(data))
    for model, made_from in (("own", {"settings": TINY.model_dump(mode="json")}), ("theirs", {"foreign": "1"})):
        write_table(run.level1 / model / "predictions.parquet", RISK.to_frame("probability") / 2)
        write_json(run.level1 / model / "run.json", {"made_from": made_from})
    for fold in range(2):
        (run.level1 / "own" / f"fold_{fold}").mkdir()
        head = {"weights": random.normal(size=32).astype(np.float32), "intercept": np.float32(0)}
        np.savez(run.level1 / "own" / f"fold_{fold}" / "head.npz", **head)
    write_table(run.level2 / "default" / "predictions.parquet", RISK.to_frame("probability"))
    write_text(run.level2 / "default" / "leaderboard.csv", "name,kind\nown,network\ntheirs,network\nblend,blend\n")
    return run


def galleries_of(run: Run) -> dict[str, dict]:
    galleries = json.loads((run.folder / "galleries" / "index.json").read_text())["galleries"]
    return {gallery["name"]: gallery for gallery in galleries}


def test_the_hardest_cases_are_malignant_with_the_lowest_risk_and_benign_with_the_highest(run: Run):
    cases = run.read_cases()
    assert hardest_cases(cases, RISK, "false_negatives", 2) == ["c7", "c5"]
    assert hardest_cases(cases, RISK, "false_positives", 3) == ["c0", "c2", "c4"]


def test_galleries_hold_tiles_overlays_scores_and_metadata(run: Run):
    make_galleries(run, "default", max_cases=2)
    galleries = galleries_of(run)
    assert [*galleries] == [*HARDEST, "patient_1", "patient_2", "patient_3"]
    item = galleries["false_negatives"]["items"][0]
    assert item["image_name"] == "c7"
    assert item["scores"] == pytest.approx({"stack": RISK["c7"], "own": RISK["c7"] / 2, "theirs": RISK["c7"] / 2})
    assert item["contributions"] == []
    assert item["metadata"] == {"patient_id": "p2", "target": 1.0}
    for key in ("picture", "overlay"):
        with Image.open(run.folder / "galleries" / item[key]) as tile:
            assert tile.size == (90, 60)
    assert (run.folder / "galleries" / item["picture"]).stat().st_size < 30_000


def test_contributions_are_the_largest_of_the_stack_with_their_signs(run: Run):
    parts = pd.DataFrame({f"x{i}": float(i) * (-1) ** i for i in range(9)}, index=RISK.index).assign(base=-3.0)
    write_table(run.level2 / "default" / "explanations.parquet", parts)
    summary = run.level2 / "default" / "explanations.json"
    write_json(summary, {"stack": "another"})
    assert CaseResults(run, "default").item("c3", "tile.jpg")["contributions"] == []
    write_json(summary, {"stack": stack_digest(run.level2 / "default")})
    contributions = CaseResults(run, "default").item("c3", "tile.jpg")["contributions"]
    assert contributions[:2] == [{"column": "x8", "value": 8.0}, {"column": "x7", "value": -7.0}]
    assert len(contributions) == 6


def test_a_network_that_the_stack_leaves_out_is_not_in_its_galleries(run: Run):
    write_text(run.level2 / "default" / "leaderboard.csv", "name,kind\nown,network\n")
    assert [*CaseResults(run, "default").item("c3", "tile.jpg")["scores"]] == ["stack", "own"]


def test_an_interrupted_drawing_leaves_no_index_of_tiles_of_two_stacks(run: Run):
    make_galleries(run, "default", max_cases=2)
    assert json.loads((run.folder / "galleries" / "index.json").read_text())["stack"] == stack_digest(
        run.level2 / "default"
    )
    write_table(run.level2 / "default" / "predictions.parquet", (1 - RISK).to_frame("probability"))
    (Path(run.facts()["data"]) / "c11.png").unlink()
    with pytest.raises((InputFault, OSError)):
        make_galleries(run, "default", max_cases=2)
    assert not (run.folder / "galleries" / "index.json").exists()


def test_unknown_patients_are_refused_before_older_galleries_are_removed(run: Run):
    make_galleries(run, "default", max_cases=1)
    with pytest.raises(InputFault, match="not in the run"):
        make_galleries(run, "default", patients=["p9"])
    assert (run.folder / "galleries" / "index.json").is_file()


def test_a_run_with_foreign_networks_only_has_galleries_without_overlays(run: Run):
    write_text(run.level2 / "default" / "leaderboard.csv", "name,kind\ntheirs,network\n")
    make_galleries(run, "default", max_cases=1)
    (item,) = galleries_of(run)["false_positives"]["items"]
    assert item["overlay"] is None
    assert [*item["scores"]] == ["stack", "theirs"]


def test_a_run_without_pictures_is_refused(run: Run):
    write_table(run.cases, run.read_cases().drop(columns="picture"))
    with pytest.raises(InputFault, match="the cases have no pictures"):
        make_galleries(run, "default")


def test_galleries_that_are_made_again_lose_the_tiles_that_they_do_not_list(run: Run):
    make_galleries(run, "default", max_cases=3)
    before = galleries_of(run)["false_negatives"]["items"][2]["picture"]
    assert (run.folder / "galleries" / before).is_file()
    make_galleries(run, "default", max_cases=2)
    assert not (run.folder / "galleries" / before).exists()


def test_pixels_without_heat_stay_unchanged_and_pixels_with_full_heat_turn_blue():
    picture = np.full((40, 40, 3), 200, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    result = overlay(picture, heat)
    np.testing.assert_array_equal(result[25:, 25:], picture[25:, 25:])
    red, green, blue = result[1, 1].astype(int)
    assert blue > 220
    assert max(red, green) < 150


def test_negative_heat_is_set_to_zero_and_each_map_is_scaled_to_one():
    heat = positive_heat(np.array([[[-1.0, 2.0], [4.0, 0.0]], [[-1.0, -2.0], [-3.0, -4.0]]]))
    np.testing.assert_array_equal(heat, [[[0, 0.5], [1, 0]], [[0, 0], [0, 0]]])


def test_special_characters_of_a_name_are_replaced_in_the_file_name():
    assert tile_name("patient_1", 3, "a/../b c") == "patient_1/03_a_.._b_c.jpg"


def test_missing_metadata_and_internal_columns_are_left_out():
    case = pd.Series({"sex": "male", "age_approx": np.nan, "picture": "jpeg/a.jpg", "width": 640, "fold": 1})
    assert metadata(case) == {"sex": "male", "width": 640.0}


def test_writing_an_index_keeps_the_tiles_that_it_lists_and_deletes_others(tmp_path: Path):
    write_tile(tmp_path / "g" / "01_a.jpg", np.zeros((4, 4, 3), np.uint8))
    write_tile(tmp_path / "g" / "02_b.jpg", np.zeros((4, 4, 3), np.uint8))
    write_index(tmp_path, "5ac7", [{"name": "g", "items": [{"picture": "g/01_a.jpg", "overlay": None}]}])
    assert sorted(path.name for path in tmp_path.rglob("*.jpg")) == ["01_a.jpg"]
