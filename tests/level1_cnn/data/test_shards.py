"""Tests for shards.py: runs share a store, and only new and changed pictures are decoded."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from features.pictures.read import read_picture
from features.pictures.statistics.picture import picture_statistics
from level1_cnn.data.run_pictures import shard_files
from level1_cnn.data.shards import decode_pictures
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import read_table
from tests.sources import ROOT

HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge,diagnosis"
PART = 6  # pictures; too few for parallel work


def draw(path: Path, seed: int, side: int = 48) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path, quality=90)


def make_data(folder: Path, train: int = 16, test: int = 4) -> Path:
    rows = {"train": [HEADER + ",target"], "test": [HEADER]}
    for number in range(train + test):
        role = "train" if number < train else "test"
        target = f",{number % 2}" if role == "train" else ""
        site = "" if number == 0 else "torso"
        rows[role].append(f"c{number:03d},p{number},male,{40 + number},{site},nevus{target}")
        draw(folder / "jpeg" / role / f"c{number:03d}.jpg", number)
    for role, lines in rows.items():
        (folder / f"{role}.csv").write_text("\n".join(lines) + "\n")
    return folder


def make_run(folder: Path, data: Path, name: str = "run", **request: object) -> Run:
    run = Run(folder / "runs" / name)
    freeze_cases(run, Request(data, folds=2, **request))
    return run


def decode(run: Run, *sizes: int) -> Run:
    decode_pictures(run, run.read_cases(), sizes, cases_per_file=PART)
    return run


def contents(run: Run) -> dict[str, bytes]:
    """All files of the stores except their locks."""
    store = run.folder.parent / "pictures"
    return {str(path.relative_to(store)): path.read_bytes() for path in store.rglob("*.*")}


def times(run: Run, pattern: str = "*.*") -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (run.folder.parent / "pictures").rglob(pattern)}


def records(path: Path) -> dict[str, tf.train.Example]:
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    return {example.features.feature["image_name"].bytes_list.value[0].decode(): example for example in examples}


def integer(record: tf.train.Example, key: str) -> int:
    return record.features.feature[key].int64_list.value[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run with its shards; tests must not change existing files."""
    folder = tmp_path_factory.mktemp("shards")
    return decode(make_run(folder, make_data(folder / "data")), 32)


def test_the_files_hold_every_case_of_the_run_once_and_have_the_count_in_their_names(run: Run):
    files = shard_files(run, 32)
    assert [path.name for path in files] == [
        "train00-6.tfrec",
        "train01-6.tfrec",
        "train02-4.tfrec",
        "test00-4.tfrec",
    ]
    assert sorted(name for path in files for name in records(path)) == sorted(run.read_cases().index)


def test_a_record_has_kaggles_features_and_a_test_record_only_picture_and_name(run: Run):
    files = {path.name: path for path in shard_files(run, 32)}
    record = records(files["train00-6.tfrec"])["c003"]
    assert set(record.features.feature) == {
        *("image", "image_name", "patient_id", "sex", "age_approx", "anatom_site_general_challenge"),
        *("diagnosis", "target", "width", "height"),
    }
    assert [integer(record, key) for key in ("target", "age_approx", "width", "height")] == [1, 43, 48, 48]
    picture = tf.io.decode_jpeg(record.features.feature["image"].bytes_list.value[0])
    assert picture.shape == (32, 32, 3)
    assert set(records(files["test00-4.tfrec"])["c016"].features.feature) == {"image", "image_name"}


def test_codes_json_explains_the_codes_and_a_missing_value_is_minus_one(run: Run):
    files = {path.name: path for path in shard_files(run, 32)}
    codes = json.loads((files["train00-6.tfrec"].parents[1] / "codes.json").read_text())
    first, second = (records(files["train00-6.tfrec"])[name] for name in ("c000", "c001"))
    assert codes["sex"][integer(first, "sex")] == "male"
    assert codes["patient_id"][integer(second, "patient_id")] == "p1"
    assert codes["anatom_site_general_challenge"][integer(second, "anatom_site_general_challenge")] == "torso"
    assert integer(first, "anatom_site_general_challenge") == -1


def test_damaged_codes_are_refused_and_codes_of_an_earlier_version_are_read(run: Run):
    path = next((run.folder.parent / "pictures").glob("*/codes.json"))
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"male"', b'"mole"'))
    with pytest.raises(InputFault, match=r"codes.json: damaged, its digest is \w{16} instead of \w{16}; .*; delete "):
        decode(run, 32)
    path.write_bytes(whole[:-5])
    with pytest.raises(InputFault, match=r"codes.json: damaged, it is not JSON .* to decode again"):
        decode(run, 32)
    codes = {name: texts for name, texts in json.loads(whole).items() if name != "digest"}
    path.write_text(json.dumps(codes))
    record = records(shard_files(decode(run, 32, 24), 24)[0])["c001"]
    assert json.loads(path.read_text()) == codes
    assert codes["patient_id"][integer(record, "patient_id")] == "p1"


def test_the_run_has_the_statistics_of_its_own_cases_in_their_order(run: Run):
    cases = run.read_cases()
    assert read_table(run.statistics).index.equals(cases.index)
    picture = read_picture(Path(run.facts()["data"]) / cases.loc["c005", "picture"])
    assert read_table(run.statistics).loc["c005"].to_dict() == picture_statistics(picture)


def test_a_second_command_writes_nothing(run: Run):
    before, own = times(run), run.statistics.stat().st_mtime_ns
    decode(run, 32)
    assert times(run) == before
    assert run.statistics.stat().st_mtime_ns == own


def test_a_new_size_does_not_rewrite_the_other_sizes(run: Run):
    before = times(run, "*.tfrec")
    decode(run, 32, 24)
    assert before.items() <= times(run, "*.tfrec").items()
    assert sum(len(records(path)) for path in shard_files(run, 24)) == 20
    alone = decode(make_run(run.folder.parents[2] / "other", Path(run.facts()["data"])), 24)
    assert [path.read_bytes() for path in shard_files(run, 24)] == [
        path.read_bytes() for path in shard_files(alone, 24)
    ]


def test_another_run_with_other_folds_decodes_nothing_again(run: Run):
    before = times(run)
    other = decode(make_run(run.folder.parents[1], Path(run.facts()["data"]), "other", seed=7), 32)
    assert times(run) == before
    assert shard_files(other, 32) == shard_files(run, 32)
    assert read_table(other.statistics).equals(read_table(run.statistics))


def test_after_a_picture_changed_only_its_part_is_decoded_again(tmp_path: Path):
    run = decode(make_run(tmp_path, make_data(tmp_path / "data")), 32)
    before, old = times(run, "*.tfrec"), read_table(run.statistics)
    draw(tmp_path / "data/jpeg/train/c007.jpg", 99, side=64)
    again = decode(make_run(tmp_path, tmp_path / "data", "again"), 32)
    new_files = {path.name for path, time_ in times(run, "*.tfrec").items() if before[path] != time_}
    assert new_files == {"train01-6.tfrec"}
    assert (read_table(again.statistics) != old).any(axis=1).sum() == 1
    assert integer(records(shard_files(again, 32)[1])["c007"], "width") == 64


def test_new_pictures_are_decoded_into_new_parts(tmp_path: Path):
    data = make_data(tmp_path / "data", train=8)
    first = decode(make_run(tmp_path, data), 32)
    before = times(first, "*.tfrec")
    rows = (data / "train.csv").read_text()
    (data / "train.csv").write_text(rows + "new,p,male,50,torso,nevus,1\n")
    draw(data / "jpeg/train/new.jpg", 77)
    second = decode(make_run(tmp_path, data, "second"), 32)
    assert before.items() <= times(first, "*.tfrec").items()
    assert [path.name for path in shard_files(second, 32)] == [
        *("train00-6.tfrec", "train01-2.tfrec", "train02-1.tfrec", "test00-4.tfrec")
    ]
    assert len(shard_files(first, 32)) == 3
    assert "new" in read_table(second.statistics).index
    assert "new" not in read_table(first.statistics).index


def test_pictures_of_the_same_name_in_different_files_are_not_mixed_up(tmp_path: Path):
    """A part with the old c001.jpg is not used for a run whose c001 is a PNG, and each run still finds its picture."""
    data = make_data(tmp_path / "data", train=8)
    first = decode(make_run(tmp_path, data), 32)
    Image.new("RGB", (40, 40), "red").save(data / "jpeg/train/c001.png")
    (data / "jpeg/train/c001.jpg").rename(tmp_path / "c001.jpg")
    second = decode(make_run(tmp_path, data, "second"), 32)
    for run, side in ((first, 48), (second, 40)):
        pictures = [(name, record) for path in shard_files(run, 32) for name, record in records(path).items()]
        assert sorted(name for name, _ in pictures) == sorted(run.read_cases().index)
        assert integer(dict(pictures)["c001"], "width") == side


def test_external_pictures_have_their_own_store(tmp_path: Path):
    data, external = make_data(tmp_path / "data"), tmp_path / "more"
    external.mkdir()
    draw(external / "jpeg/x1.jpg", 50)
    (external / "train.csv").write_text(HEADER + ",target\nx1,q1,female,30,torso,melanoma,1\n")
    run = decode(make_run(tmp_path, data, extra=(external,)), 32)
    more, *_ = [path for path in shard_files(run, 32) if path.parents[1].name.startswith("more-")]
    assert more.name == "train00-1.tfrec"
    assert integer(records(more)["x1"], "target") == 1
    assert len(read_table(run.statistics)) == 21


def test_undecodable_pictures_are_all_named_and_no_shard_of_their_parts_is_left(tmp_path: Path):
    data = make_data(tmp_path / "data")
    pictures = [data / f"jpeg/train/{name}.jpg" for name in ("c002", "c013")]
    # The run is made with sound PNG files, which are damaged afterwards.
    damaged_contents = {path.with_suffix(".png"): damaged_png(path) for path in pictures}
    for path in pictures:
        path.unlink()
    run = make_run(tmp_path, data)
    for path, content in damaged_contents.items():
        path.write_bytes(content)
    with pytest.raises(InputFault, match=r"cannot be decoded: 2 \(c002, c013\)"):
        decode(run, 32)
    assert {name.split("/")[-1] for name in contents(run) if name.endswith(".tfrec")} == {
        "train01-6.tfrec",
        "test00-4.tfrec",
    }
    assert not run.statistics.exists()
    with pytest.raises(InputFault, match="10 case"):
        shard_files(run, 32)


def damaged_png(path: Path) -> bytes:
    whole = path.with_suffix(".png")
    Image.open(path).save(whole)
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 0xFF  # header and end mark stay correct, so that only decoding finds the damage
    return bytes(content)


@pytest.mark.full
def test_a_kill_loses_at_most_one_part_and_the_final_result_is_the_same(tmp_path: Path):
    data = make_data(tmp_path / "data", train=60)
    run, reference = (make_run(tmp_path / place, data) for place in ("killed", "reference"))
    code = (
        "import sys; from pathlib import Path; from runtime.run_folder import Run\n"
        "from level1_cnn.data.shards import decode_pictures\n"
        "run = Run(Path(sys.argv[1])); decode_pictures(run, run.read_cases(), (32, 24), cases_per_file=6)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(run.folder)], cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(times(run, "train*/24.json")) >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    marks = times(run, "*/24.json")
    assert 3 <= len(marks) < 11  # the process was killed in the middle
    shards = {path: time_ for path, time_ in times(run, "*.tfrec").items() if is_finished(path, marks)}
    assert len(shards) == 2 * len(marks)

    for run_ in (run, reference):
        decode(run_, 32, 24)

    assert shards.items() <= times(run, "*.tfrec").items()
    assert contents(run) == contents(reference)
    assert run.statistics.read_bytes() == reference.statistics.read_bytes()


def is_finished(shard: Path, marks: dict[Path, int]) -> bool:
    return shard.name.split("-")[0] in {mark.parent.name for mark in marks}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not condition():
        assert process.poll() is None, "the process ended before it could be killed"
        time.sleep(0.002)


def test_two_runs_that_decode_at_the_same_time_leave_one_sound_store(tmp_path: Path):
    data = make_data(tmp_path / "data", train=18)
    runs = [make_run(tmp_path, data, name, seed=seed) for seed, name in enumerate(("one", "two"))]
    with ThreadPoolExecutor(2) as pool:  # the lock works between two open files, in one process as in two
        list(pool.map(lambda run: decode(run, 32), runs))
    reference = decode(make_run(tmp_path / "reference", data), 32)
    assert contents(runs[0]) == contents(reference)
    assert read_table(runs[0].statistics).equals(read_table(runs[1].statistics))
