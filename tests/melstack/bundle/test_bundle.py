"""Tests of the bundle: it predicts what its run did, without TensorFlow, and nothing damaged or strange passes."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit, logit

from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import read_manifest
from melstack.bundle.predicting import predict_folder
from melstack.bundle.writing import make_bundle
from melstack.level2_commands import cross_validate, write_submission
from melstack.options import StackOptions
from runtime.errors import InputFault
from runtime.files import read_json, write_json
from runtime.tables import read_table
from tests.features.pictures.dicom_files import write_jpeg_dicom
from tests.features.pictures.tfrecord_files import write_records
from tests.tiny_project import MODELS, PREVALENCE, RECIPE, FinishedRun, TinyProject


@pytest.fixture(scope="module")
def bundle(finished_run: FinishedRun) -> Bundle:
    return Bundle.load(finished_run.bundle, threads=1)


@pytest.fixture(scope="module")
def data(project: TinyProject) -> Path:
    return project.data


def some(data: Path, count: int = 3) -> tuple[pd.DataFrame, dict[str, Path]]:
    cases = read_new_cases(DataFolder.open(data)).iloc[:count]
    return cases, {str(name): data / picture for name, picture in cases["picture"].items()}


def test_it_predicts_the_test_cases_of_its_run_as_the_run_did(
    finished_run: FinishedRun, data: Path, tmp_path: Path
) -> None:
    predict_folder(finished_run.bundle, data, tmp_path, None, None)
    made = pd.read_csv(tmp_path / "submission.csv", index_col="image_name")["target"]
    asked = pd.read_csv(finished_run.run.submission, index_col="image_name")["target"]
    assert sorted(made.index) == sorted(asked.index)
    np.testing.assert_allclose(made[asked.index], asked, rtol=1e-5)  # the tuned network was run by TensorFlow
    networks = {path.stem for path in (tmp_path / "networks").iterdir()}
    assert networks == set(MODELS)


def test_a_bundle_of_some_networks_knows_nothing_of_the_others(
    finished_run: FinishedRun, data: Path, tmp_path: Path
) -> None:
    few, run = tmp_path / "few.toml", finished_run.copy_to(tmp_path)
    few.write_text(f'networks = ["frozen"]\n{RECIPE}')
    cross_validate(run, StackOptions(str(few), prevalence=PREVALENCE))
    make_bundle(run.folder, str(few), tmp_path / "bundle_few")
    predict_folder(tmp_path / "bundle_few", data, tmp_path, None, None)
    made = pd.read_csv(tmp_path / "submission.csv", index_col="image_name")["target"]
    asked = read_table(run.level2 / "few" / "predictions.parquet")["probability"]
    np.testing.assert_allclose(made, asked[made.index], rtol=1e-5)
    columns = read_table(tmp_path / "contributions.parquet").columns
    assert any("ugly_duckling.frozen" in name for name in columns)
    assert not any("tuned" in name for name in columns)
    assert [entry.name for entry in read_manifest(tmp_path / "bundle_few").networks] == ["frozen"]


def test_probabilities_lie_within_those_of_the_folds_and_contributions_add_up_to_them(
    bundle: Bundle, data: Path
) -> None:
    predicted = bundle.predict(*some(data, 12))
    table = predicted.table
    assert (table["low"] <= table["probability"]).all()
    assert (table["probability"] <= table["high"]).all()
    assert (table["low"] < table["high"]).any()
    np.testing.assert_allclose(predicted.contributions.sum(axis=1), logit(table["probability"]), atol=1e-9)


def test_a_patient_s_lesions_are_ranked_and_compared_with_each_other_alone(bundle: Bundle, data: Path) -> None:
    cases, pictures = some(data, 30)
    together = bundle.predict(cases, pictures).table
    for _, own in cases.groupby("patient_id"):
        alone = bundle.predict(own, {name: pictures[name] for name in own.index}).table
        np.testing.assert_allclose(alone["probability"], together.loc[own.index, "probability"], atol=1e-9)
        assert sorted(alone["rank"]) == list(range(1, len(own) + 1))
        assert (alone["pictures"] == len(own)).all()


def test_one_picture_without_anything_known_of_its_patient_is_predicted(bundle: Bundle, data: Path) -> None:
    _, pictures = some(data, 1)
    (name,) = pictures
    predicted = bundle.predict(pd.DataFrame(index=pd.Index([name], name="image_name")), pictures)
    assert predicted.table["probability"].between(0, 1).all()
    assert predicted.table[["rank", "pictures"]].to_numpy().tolist() == [[1, 1]]


def test_a_folder_of_pictures_alone_is_predicted(finished_run: FinishedRun, data: Path, tmp_path: Path) -> None:
    for picture in sorted((data / "jpeg/test").iterdir())[:4]:
        shutil.copy(picture, tmp_path)
    predict_folder(finished_run.bundle, tmp_path, tmp_path / "out", None, None)
    assert len(pd.read_csv(tmp_path / "out/submission.csv")) == 4


@pytest.mark.parametrize("left_out", [["patient_id"], None], ids=["no patient_id", "names alone"])
def test_a_folder_whose_table_names_no_patient_is_predicted_to_the_end(
    finished_run: FinishedRun,
    data: Path,
    tmp_path: Path,
    left_out: list[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(data / "jpeg/test", tmp_path / "new/jpeg/test")
    whole = pd.read_csv(data / "test.csv", dtype=str)
    table = whole[["image_name"]] if left_out is None else whole.drop(columns=left_out)
    table.to_csv(tmp_path / "new/test.csv", index=False)
    predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    shown = capsys.readouterr().out
    assert "test.csv: no column patient_id: taken as not known, so every case is a patient of its own" in shown
    assert ("no column sex: taken as not known" in shown) == (left_out is None)
    assert f"predicted: {len(whole)} cases of {len(whole)} patients" in shown
    tables = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    networks = {f"networks/{name}.parquet" for name in MODELS}
    own = {"submission.csv", "predictions.csv", "predictions.parquet", "contributions.parquet", "notices.json"}
    assert tables == own | networks
    for name in ("predictions.parquet", "contributions.parquet", *networks):
        assert read_table(tmp_path / "out" / name).index.tolist() == whole["image_name"].tolist()
    submitted = pd.read_csv(tmp_path / "out/submission.csv")
    assert submitted["image_name"].tolist() == whole["image_name"].tolist()
    assert submitted["target"].between(0, 1).all()
    assert (read_table(tmp_path / "out/predictions.parquet")["pictures"] == 1).all()


def test_what_cannot_be_read_or_written_is_refused_before_any_network_runs(
    finished_run: FinishedRun, bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "jpeg/test", tmp_path / "new/jpeg/test")
    (tmp_path / "file").touch()
    with pytest.raises(InputFault, match=r"file: a file; give a folder"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "file", None, None)
    with pytest.raises(InputFault, match=r"elsewhere: no such folder of other networks"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, tmp_path / "elsewhere")
    (tmp_path / "new/cases.toml").write_text('test = "new_lesions.csv"')
    with pytest.raises(InputFault, match=r"new_lesions\.csv: no such file"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    (tmp_path / "new/cases.toml").unlink()
    (tmp_path / "new/test.csv").mkdir()
    with pytest.raises(InputFault, match=r"test\.csv: no such file"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    with pytest.raises(InputFault, match="no cases to predict"):
        bundle.predict(some(data)[0].iloc[:0], {})
    assert not (tmp_path / "out").exists()


def test_a_table_without_pictures_is_refused_where_networks_look_at_them(
    finished_run: FinishedRun, bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    shutil.copy(data / "test.csv", tmp_path)
    with pytest.raises(InputFault, match=r"no pictures of the cases.*: 2 \(frozen, tuned\); .* jpeg/test"):
        predict_folder(finished_run.bundle, tmp_path, tmp_path / "out", None, None)
    with pytest.raises(InputFault, match="no pictures of the cases"):
        bundle.attention(some(data, 1)[0], {})
    assert not (tmp_path / "out").exists()


def test_what_is_repaired_in_a_table_in_memory_is_told_with_the_answer(bundle: Bundle, data: Path) -> None:
    cases, pictures = some(data, 2)
    spelt = cases.drop(columns="patient_id").assign(sex=["M", "female"], age_approx=["45 years", 50])
    plain = cases.assign(patient_id=cases.index, sex=["male", "female"], age_approx=[45.0, 50.0])
    told, quiet = bundle.predict(spelt, pictures), bundle.predict(plain, pictures)
    pd.testing.assert_frame_equal(told.table, quiet.table)
    assert list(told.notes) == [
        "cases: no column patient_id: taken as not known, so every case is a patient of its own",
        f"cases: sex: read 'M' as 'male' in 1 ({cases.index[0]})",
        f"cases: age_approx: read '45 years' as 45.0 in 1 ({cases.index[0]})",
    ]
    assert list(quiet.notes) == []


@pytest.mark.parametrize("kind", ["dicom", "records"])
def test_pictures_in_dicom_files_and_in_tfrecords_are_predicted_as_in_jpeg_files(
    finished_run: FinishedRun, data: Path, tmp_path: Path, kind: str
) -> None:
    pictures = sorted((data / "jpeg/test").iterdir())[:3]
    for kept in ("as_they_were", "new"):
        (tmp_path / kept).mkdir()
    for picture in pictures:
        content = picture.read_bytes()
        shutil.copy(picture, tmp_path / "as_they_were")
        if kind == "dicom":
            with Image.open(picture) as opened:
                size = {"Columns": opened.width, "Rows": opened.height}
            write_jpeg_dicom(
                tmp_path / "new" / f"{picture.stem}.dcm", content, PhotometricInterpretation="YBR_FULL_422", **size
            )
    if kind == "records":
        records = [{"image": picture.read_bytes(), "image_name": picture.stem.encode()} for picture in pictures]
        write_records(tmp_path / "new" / "test00-3.tfrec", records)
    made = {}
    for kept in ("as_they_were", "new"):
        predict_folder(finished_run.bundle, tmp_path / kept, tmp_path / kept / "out", None, None)
        made[kept] = pd.read_csv(tmp_path / kept / "out/submission.csv", index_col="image_name")["target"]
    networks = [read_table(tmp_path / kept / "out/networks/frozen.parquet") for kept in made]
    pd.testing.assert_frame_equal(networks[0], networks[1])
    assert list(made["new"].index) == [picture.stem for picture in pictures]


def test_foreign_networks_are_brought_along_or_asked_for(finished_run: FinishedRun, data: Path, tmp_path: Path) -> None:
    run, foreign = finished_run.copy_to(tmp_path), tmp_path / "foreign"
    cases = run.read_cases()
    drawn = np.random.default_rng(0).normal(cases["target"].fillna(0.5), 1.0)
    tables = {"oof": cases["role"] == "train", "test": cases["role"] == "test"}
    (foreign / "theirs").mkdir(parents=True)
    for file, rows in tables.items():
        views = {f"tta{view}": expit(drawn[rows] + shift) for view, shift in enumerate((-0.5, 0.1, 0.6))}
        brought = pd.DataFrame({"pred": np.mean(list(views.values()), axis=0)} | views, index=cases.index[rows])
        brought.to_csv(foreign / "theirs" / f"{file}.csv")
    recipe = str(finished_run.project.recipe)
    cross_validate(run, StackOptions(recipe, foreign, ["theirs"], PREVALENCE))
    write_submission(run, finished_run.project.recipe)
    make_bundle(run.folder, recipe, run.folder / "bundle")
    with pytest.raises(InputFault, match=r"their predictions are needed as well: 1 \(theirs\)"):
        predict_folder(run.folder / "bundle", data, tmp_path / "out", None, None)
    predict_folder(run.folder / "bundle", data, tmp_path / "out", None, foreign)
    made, asked = (
        pd.read_csv(path, index_col="image_name")["target"]
        for path in (tmp_path / "out/submission.csv", run.submission)
    )
    np.testing.assert_allclose(made[asked.index], asked, rtol=1e-9)
    whole, file = pd.read_csv(foreign / "theirs/test.csv"), foreign / "theirs/test.csv"
    assert read_table(tmp_path / "out/networks/theirs.parquet")["spread"].gt(0).all()
    whole.assign(pred=whole["pred"].astype(object).where(whole.index != 1, "high")).iloc[1:].to_csv(file, index=False)
    with pytest.raises(InputFault) as refused:
        predict_folder(run.folder / "bundle", data, tmp_path / "refused", None, foreign)
    first, second = whole["image_name"][:2]
    assert f"theirs: test.csv: 'pred' is not a number in rows: 1 ({second})" in str(refused.value)
    assert f"theirs: test.csv: test cases without a row: 1 ({first})" in str(refused.value)
    whole.assign(pred=whole["pred"] * 100).to_csv(file, index=False)
    with pytest.raises(InputFault, match=r"theirs: test.csv: values outside \[0, 1\]"):
        predict_folder(run.folder / "bundle", data, tmp_path / "refused", None, foreign)
    assert not (tmp_path / "refused").exists()
    table = pd.DataFrame({"probability": [0.5, np.nan, 1.5]}, index=["a", "b", "c"])
    with pytest.raises(InputFault, match=r"foreign network theirs: no probability from 0 to 1 for 2 \(b, c\)"):
        Bundle.load(run.folder / "bundle").predict(pd.DataFrame(index=table.index), {}, {"theirs": table})


def test_what_is_unlike_the_training_cases_is_told(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    cases, pictures = some(data, 2)
    noise = np.random.default_rng(0).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    first, second = cases.index
    cases = cases.assign(age_approx=[130.0, 50.0], anatom_site_general_challenge=["torso", "moon"])
    told = bundle.predict(cases, {first: tmp_path / "noise.png", second: pictures[second]}).notices
    assert any("unlike the training pictures" in sentence for sentence in told[first])
    assert any(sentence.startswith("age_approx 130 lies outside") for sentence in told[first])
    assert told[second] == ["anatom_site_general_challenge 'moon' is not among the training cases' values"]


def test_attention_is_a_map_between_0_and_1_that_reaches_its_maximum_somewhere(bundle: Bundle, data: Path) -> None:
    cases, pictures = some(data)
    heat = bundle.attention(cases, pictures)
    assert list(heat) == list(cases.index)
    for one in heat.values():
        assert one.ndim == 2
        assert one.min() >= 0
        assert one.max() <= 1
    assert max(float(one.max()) for one in heat.values()) > 0


def test_several_threads_get_the_same_answers(bundle: Bundle, data: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cases, pictures = some(data, 3)

    def ask(name: str) -> float:
        own = bundle.predict(cases.loc[[name]].drop(columns="patient_id"), {name: pictures[name]})
        return float(own.table["probability"].iloc[0])

    once = [ask(name) for name in cases.index]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, list(cases.index) * 2)) == once * 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"age_approx": ["old", 50.0]}, "age_approx must be a number of years from 0 to 130; .* found 'old' in 1"),
        ({"age_approx": [np.inf, 50.0]}, "age_approx must be a number of years from 0 to 130; .* found inf in 1"),
        ({"width": ["wide", 50.0]}, "width: not a number in 1"),
        ({"sex": ["male", 1]}, "sex must be female or male, not a code"),
        ({"anatom_site_general_challenge": ["torso", "=1+1"]}, "text that a spreadsheet does not compute"),
        ({"sex": ["male", "female"]}, None),
    ],
)
def test_values_that_cannot_be_used_are_named(
    bundle: Bundle, data: Path, values: dict[str, list], said: str | None
) -> None:
    cases, pictures = some(data, 2)
    if said is None:
        bundle.predict(cases.assign(**values), pictures)
        return
    with pytest.raises(InputFault, match=said):
        bundle.predict(cases.assign(**values), pictures)


def test_pictures_that_cannot_be_read_are_all_named(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    cases, pictures = some(data, 3)
    for name in cases.index[:2]:
        pictures[name] = tmp_path / f"{name}.jpg"
        pictures[name].write_bytes((data / cases.loc[name, "picture"]).read_bytes()[:500])
    with pytest.raises(InputFault, match=rf"2 \({cases.index[0]}, {cases.index[1]}\)"):
        bundle.predict(cases, pictures)


def copied(finished_run: FinishedRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run.bundle, tmp_path / "bundle"))


def test_one_changed_byte_is_found_and_its_file_named(finished_run: FinishedRun, tmp_path: Path) -> None:
    folder = copied(finished_run, tmp_path)
    path = folder / "networks/frozen/network.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputFault, match=r"not as they were written: 1 \(networks/frozen/network\.onnx\)"):
        Bundle.load(folder)


def test_another_format_is_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    folder = copied(finished_run, tmp_path)
    told = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", told | {"format": 99})
    with pytest.raises(InputFault, match="format 99; this version reads format 1"):
        Bundle.load(folder)
    with pytest.raises(InputFault, match="no bundle"):
        Bundle.load(tmp_path)


def test_it_is_made_once(finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished_run.bundle / "manifest.json").stat().st_mtime_ns
    make_bundle(finished_run.run.folder, str(finished_run.project.recipe), finished_run.bundle)
    assert "bundle: fresh" in capsys.readouterr().out
    assert (finished_run.bundle / "manifest.json").stat().st_mtime_ns == before
    assert {entry.name for entry in read_manifest(finished_run.bundle).networks} == set(MODELS)


@pytest.mark.full
def test_the_networks_of_a_bundle_are_timed_through_both_runtimes(
    finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.bundle_networks import RUNTIMES, run_portable_benchmark

    seconds = run_portable_benchmark(finished_run.run, finished_run.bundle / "networks", 3)
    assert set(seconds) == set(MODELS)
    assert all((times[runtime] > 0).all() for times in seconds.values() for runtime in RUNTIMES)
    assert "all 2 networks" in capsys.readouterr().out
