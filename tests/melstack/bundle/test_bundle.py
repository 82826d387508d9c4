"""Tests of the bundle: it predicts as its run did, without TensorFlow, and refuses damaged files and invalid cases."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.special import expit, logit

from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from level2_stack.foreign.bring import import_into_run
from level2_stack.thresholds.operating_point import read_operating_points
from melstack.bundle.loading import Bundle
from melstack.bundle.manifest import read_manifest
from melstack.bundle.predicting import predict_folder
from melstack.bundle.writing import make_bundle
from melstack.options import StackOptions
from melstack.steps.stacking import cross_validate, write_submission
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


def first_cases(data: Path, count: int = 3) -> tuple[pd.DataFrame, dict[str, Path]]:
    cases = read_new_cases(DataFolder.open(data)).iloc[:count]
    return cases, {str(name): data / picture for name, picture in cases["picture"].items()}


def test_bundle_predicts_the_test_cases_as_its_run_did(finished_run: FinishedRun, data: Path, tmp_path: Path) -> None:
    predict_folder(finished_run.bundle, data, tmp_path, None, None)
    target = pd.read_csv(tmp_path / "submission.csv", index_col="image_name")["target"]
    submission = pd.read_csv(finished_run.run.submission, index_col="image_name")["target"]
    assert sorted(target.index) == sorted(submission.index)
    # TensorFlow ran the tuned network of the run, ONNX Runtime runs that of the bundle.
    np.testing.assert_allclose(target[submission.index], submission, rtol=1e-5)
    networks = {path.stem for path in (tmp_path / "networks").iterdir()}
    assert networks == set(MODELS)


def test_a_bundle_of_some_networks_has_no_column_of_the_others(
    finished_run: FinishedRun, data: Path, tmp_path: Path
) -> None:
    few, run = tmp_path / "few.toml", finished_run.copy_to(tmp_path)
    few.write_text(f'networks = ["frozen"]\n{RECIPE}')
    cross_validate(run, StackOptions(str(few), prevalence=PREVALENCE))
    make_bundle(run.folder, str(few), tmp_path / "bundle_few")
    predict_folder(tmp_path / "bundle_few", data, tmp_path, None, None)
    target = pd.read_csv(tmp_path / "submission.csv", index_col="image_name")["target"]
    probability = read_table(run.level2 / "few" / "predictions.parquet")["probability"]
    np.testing.assert_allclose(target, probability[target.index], rtol=1e-5)
    columns = read_table(tmp_path / "contributions.parquet").columns
    assert any("ugly_duckling.frozen" in name for name in columns)
    assert not any("tuned" in name for name in columns)
    assert [entry.name for entry in read_manifest(tmp_path / "bundle_few").networks] == ["frozen"]


def test_predictions_have_a_column_of_decisions_per_operating_point(
    bundle: Bundle, finished_run: FinishedRun, data: Path
) -> None:
    of_stack = read_operating_points(
        finished_run.run.level2 / Path(finished_run.project.recipe).stem / "thresholds.json"
    )
    assert bundle.operating_points == of_stack
    table = bundle.predict(*first_cases(data, 12)).table
    for point in bundle.operating_points:
        assert table[point.column].tolist() == (table["probability"] >= point.threshold).tolist()
    assert "malignant_at_sensitivity_90" in table


def test_a_bundle_of_an_older_version_predicts_and_says_that_it_has_no_thresholds(
    finished_run: FinishedRun, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = shutil.copytree(finished_run.bundle, tmp_path / "bundle")
    (older / "thresholds.json").unlink()
    manifest = read_json(older / "manifest.json")
    del manifest["files"]["thresholds.json"]
    write_json(older / "manifest.json", manifest)
    predict_folder(older, data, tmp_path / "out", None, None)
    assert "the bundle is of a version that froze no thresholds" in capsys.readouterr().out
    assert not any("malignant_at" in name for name in pd.read_csv(tmp_path / "out" / "predictions.csv"))


def test_low_and_high_enclose_the_probability_and_contributions_sum_to_its_log_odds(bundle: Bundle, data: Path) -> None:
    predictions = bundle.predict(*first_cases(data, 12))
    table = predictions.table
    assert (table["low"] <= table["probability"]).all()
    assert (table["probability"] <= table["high"]).all()
    assert (table["low"] < table["high"]).any()
    np.testing.assert_allclose(predictions.contributions.sum(axis=1), logit(table["probability"]), atol=1e-9)


def test_lesions_are_compared_only_within_their_patient(bundle: Bundle, data: Path) -> None:
    cases, pictures = first_cases(data, 30)
    together = bundle.predict(cases, pictures).table
    for _, own in cases.groupby("patient_id"):
        alone = bundle.predict(own, {name: pictures[name] for name in own.index}).table
        np.testing.assert_allclose(alone["probability"], together.loc[own.index, "probability"], atol=1e-9)
        assert sorted(alone["rank"]) == list(range(1, len(own) + 1))
        assert (alone["pictures"] == len(own)).all()


def test_one_picture_without_metadata_is_predicted(bundle: Bundle, data: Path) -> None:
    _, pictures = first_cases(data, 1)
    (name,) = pictures
    predictions = bundle.predict(pd.DataFrame(index=pd.Index([name], name="image_name")), pictures)
    assert predictions.table["probability"].between(0, 1).all()
    assert predictions.table[["rank", "pictures"]].to_numpy().tolist() == [[1, 1]]


def test_a_folder_with_only_pictures_is_predicted(finished_run: FinishedRun, data: Path, tmp_path: Path) -> None:
    for picture in sorted((data / "jpeg/test").iterdir())[:4]:
        shutil.copy(picture, tmp_path)
    predict_folder(finished_run.bundle, tmp_path, tmp_path / "out", None, None)
    assert len(pd.read_csv(tmp_path / "out/submission.csv")) == 4


@pytest.mark.parametrize("missing_columns", [["patient_id"], None], ids=["no patient_id", "only names"])
def test_a_table_without_patient_id_gives_complete_predictions(
    finished_run: FinishedRun,
    data: Path,
    tmp_path: Path,
    missing_columns: list[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(data / "jpeg/test", tmp_path / "new/jpeg/test")
    whole = pd.read_csv(data / "test.csv", dtype=str)
    table = whole[["image_name"]] if missing_columns is None else whole.drop(columns=missing_columns)
    table.to_csv(tmp_path / "new/test.csv", index=False)
    predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    output = capsys.readouterr().out
    assert "test.csv: column patient_id is missing; every case is a patient of its own" in output
    assert ("column sex is missing; its values are treated as missing" in output) == (missing_columns is None)
    assert f"predicted: {len(whole)} cases of {len(whole)} patients" in output
    tables = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")}
    networks = {f"networks/{name}.parquet" for name in MODELS}
    own = {"submission.csv", "predictions.csv", "predictions.parquet", "contributions.parquet", "notices.json"}
    assert tables == own | networks
    for name in ("predictions.parquet", "contributions.parquet", *networks):
        assert read_table(tmp_path / "out" / name).index.tolist() == whole["image_name"].tolist()
    submission = pd.read_csv(tmp_path / "out/submission.csv")
    assert submission["image_name"].tolist() == whole["image_name"].tolist()
    assert submission["target"].between(0, 1).all()
    assert (read_table(tmp_path / "out/predictions.parquet")["pictures"] == 1).all()


def test_unreadable_input_and_output_paths_are_refused_before_any_network_runs(
    finished_run: FinishedRun, bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "jpeg/test", tmp_path / "new/jpeg/test")
    (tmp_path / "file").touch()
    with pytest.raises(InputFault, match="file: a file, but the files of the command need a folder"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "file", None, None)
    with pytest.raises(InputFault, match=r"elsewhere: no such folder; give the folder"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, tmp_path / "elsewhere")
    (tmp_path / "new/cases.toml").write_text('test = "new_lesions.csv"')
    with pytest.raises(InputFault, match=r"new_lesions\.csv: the table of cases does not exist"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    (tmp_path / "new/cases.toml").unlink()
    (tmp_path / "new/test.csv").mkdir()
    with pytest.raises(InputFault, match=r"test\.csv: the table of cases does not exist"):
        predict_folder(finished_run.bundle, tmp_path / "new", tmp_path / "out", None, None)
    with pytest.raises(InputFault, match="no cases to predict"):
        bundle.predict(first_cases(data)[0].iloc[:0], {})
    assert not (tmp_path / "out").exists()


def test_a_table_without_pictures_is_refused_when_the_bundle_has_networks(
    finished_run: FinishedRun, bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    shutil.copy(data / "test.csv", tmp_path)
    with pytest.raises(InputFault, match=r"the cases have no pictures, .*: 2 \(frozen, tuned\); .* jpeg/test"):
        predict_folder(finished_run.bundle, tmp_path, tmp_path / "out", None, None)
    with pytest.raises(InputFault, match="the cases have no pictures"):
        bundle.attention(first_cases(data, 1)[0], {})
    assert not (tmp_path / "out").exists()


def test_repairs_of_a_table_in_memory_are_notes_of_the_predictions(bundle: Bundle, data: Path) -> None:
    cases, pictures = first_cases(data, 2)
    variants = cases.drop(columns="patient_id").assign(sex=["M", "female"], age_approx=["45 years", 50])
    canonical = cases.assign(patient_id=cases.index, sex=["male", "female"], age_approx=[45.0, 50.0])
    with_repairs, without_repairs = bundle.predict(variants, pictures), bundle.predict(canonical, pictures)
    pd.testing.assert_frame_equal(with_repairs.table, without_repairs.table)
    assert list(with_repairs.notes) == [
        "cases: column patient_id is missing; every case is a patient of its own",
        f"cases: sex: read 'M' as 'male' in 1 ({cases.index[0]})",
        f"cases: age_approx: read '45 years' as 45.0 in 1 ({cases.index[0]})",
    ]
    assert list(without_repairs.notes) == []


@pytest.mark.parametrize("kind", ["dicom", "records"])
def test_dicom_files_and_tfrecords_are_predicted_as_jpeg_files(
    finished_run: FinishedRun, data: Path, tmp_path: Path, kind: str
) -> None:
    pictures = sorted((data / "jpeg/test").iterdir())[:3]
    for name in ("jpeg", kind):
        (tmp_path / name).mkdir()
    for picture in pictures:
        content = picture.read_bytes()
        shutil.copy(picture, tmp_path / "jpeg")
        if kind == "dicom":
            with Image.open(picture) as image:
                size = {"Columns": image.width, "Rows": image.height}
            write_jpeg_dicom(
                tmp_path / kind / f"{picture.stem}.dcm", content, PhotometricInterpretation="YBR_FULL_422", **size
            )
    if kind == "records":
        records = [{"image": picture.read_bytes(), "image_name": picture.stem.encode()} for picture in pictures]
        write_records(tmp_path / kind / "test00-3.tfrec", records)
    targets = {}
    for name in ("jpeg", kind):
        predict_folder(finished_run.bundle, tmp_path / name, tmp_path / name / "out", None, None)
        targets[name] = pd.read_csv(tmp_path / name / "out/submission.csv", index_col="image_name")["target"]
    networks = [read_table(tmp_path / name / "out/networks/frozen.parquet") for name in targets]
    pd.testing.assert_frame_equal(networks[0], networks[1])
    assert list(targets[kind].index) == [picture.stem for picture in pictures]


def test_predictions_of_foreign_networks_are_read_or_requested(
    finished_run: FinishedRun, data: Path, tmp_path: Path
) -> None:
    run, foreign = finished_run.copy_to(tmp_path), tmp_path / "foreign"
    cases = run.read_cases()
    logits = np.random.default_rng(0).normal(cases["target"].fillna(0.5), 1.0)
    tables = {"oof": cases["role"] == "train", "test": cases["role"] == "test"}
    (foreign / "theirs").mkdir(parents=True)
    for file, rows in tables.items():
        views = {f"tta{view}": expit(logits[rows] + shift) for view, shift in enumerate((-0.5, 0.1, 0.6))}
        predictions = pd.DataFrame({"pred": np.mean(list(views.values()), axis=0)} | views, index=cases.index[rows])
        predictions.to_csv(foreign / "theirs" / f"{file}.csv")
    recipe = str(finished_run.project.recipe)
    import_into_run(run, foreign, ["theirs"])
    cross_validate(run, StackOptions(recipe, foreign, ["theirs"], PREVALENCE))
    write_submission(run, finished_run.project.recipe)
    make_bundle(run.folder, recipe, run.folder / "bundle")
    with pytest.raises(InputFault, match=r"predictions were read from tables: 1 \(theirs\)"):
        predict_folder(run.folder / "bundle", data, tmp_path / "out", None, None)
    predict_folder(run.folder / "bundle", data, tmp_path / "out", None, foreign)
    target = pd.read_csv(tmp_path / "out/submission.csv", index_col="image_name")["target"]
    probability = read_table(run.level2 / finished_run.project.recipe.stem / "predictions.parquet")["probability"]
    np.testing.assert_allclose(target, probability[target.index], rtol=1e-9)
    whole, file = pd.read_csv(foreign / "theirs/test.csv"), foreign / "theirs/test.csv"
    assert read_table(tmp_path / "out/networks/theirs.parquet")["spread"].gt(0).all()
    whole.assign(pred=whole["pred"].astype(object).where(whole.index != 1, "high")).iloc[1:].to_csv(file, index=False)
    with pytest.raises(InputFault) as fault:
        predict_folder(run.folder / "bundle", data, tmp_path / "refused", None, foreign)
    first, second = whole["image_name"][:2]
    assert f"theirs: test.csv: 'pred' is not a number in rows: 1 ({second})" in str(fault.value)
    assert f"theirs: test.csv: test cases without a row: 1 ({first})" in str(fault.value)
    whole.assign(pred=whole["pred"] * 100).to_csv(file, index=False)
    with pytest.raises(InputFault, match=r"theirs: test.csv: values outside \[0, 1\]"):
        predict_folder(run.folder / "bundle", data, tmp_path / "refused", None, foreign)
    assert not (tmp_path / "refused").exists()
    table = pd.DataFrame({"probability": [0.5, np.nan, 1.5]}, index=["a", "b", "c"])
    with pytest.raises(
        InputFault, match=r"foreign network theirs: probabilities must be from 0 to 1; correct those of 2 \(b, c\)"
    ):
        Bundle.load(run.folder / "bundle").predict(pd.DataFrame(index=table.index), {}, {"theirs": table})


def test_differences_from_the_training_cases_are_notices(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    cases, pictures = first_cases(data, 2)
    noise = np.random.default_rng(0).integers(0, 256, (200, 260, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    first, second = cases.index
    cases = cases.assign(age_approx=[130.0, 50.0], anatom_site_general_challenge=["torso", "moon"])
    notices = bundle.predict(cases, {first: tmp_path / "noise.png", second: pictures[second]}).notices
    assert any("unlike the training pictures" in sentence for sentence in notices[first])
    assert any(sentence.startswith("age_approx 130 is outside the range") for sentence in notices[first])
    assert notices[second] == ["anatom_site_general_challenge 'moon' does not occur in the training cases"]


def test_attention_maps_are_between_0_and_1_and_not_all_0(bundle: Bundle, data: Path) -> None:
    cases, pictures = first_cases(data)
    maps = bundle.attention(cases, pictures)
    assert list(maps) == list(cases.index)
    for attention in maps.values():
        assert attention.ndim == 2
        assert attention.min() >= 0
        assert attention.max() <= 1
    assert max(float(attention.max()) for attention in maps.values()) > 0


def test_several_threads_get_the_same_predictions(bundle: Bundle, data: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    cases, pictures = first_cases(data, 3)

    def probability_of(name: str) -> float:
        own = bundle.predict(cases.loc[[name]].drop(columns="patient_id"), {name: pictures[name]})
        return float(own.table["probability"].iloc[0])

    expected = [probability_of(name) for name in cases.index]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(probability_of, list(cases.index) * 2)) == expected * 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"age_approx": ["old", 50.0]}, "age_approx must be a number of years from 0 to 130; found 'old' in 1"),
        ({"age_approx": [np.inf, 50.0]}, "age_approx must be a number of years from 0 to 130; found inf in 1"),
        ({"width": ["wide", 50.0]}, "width: 'wide' is not a finite number; .* 1 "),
        ({"sex": ["male", 1]}, "sex must be female or male; replace codes"),
        ({"anatom_site_general_challenge": ["torso", "=1+1"]}, "text that does not begin with ="),
        ({"sex": ["male", "female"]}, None),
    ],
)
def test_invalid_values_are_named(bundle: Bundle, data: Path, values: dict[str, list], message: str | None) -> None:
    cases, pictures = first_cases(data, 2)
    if message is None:
        bundle.predict(cases.assign(**values), pictures)
        return
    with pytest.raises(InputFault, match=message):
        bundle.predict(cases.assign(**values), pictures)


def test_all_unreadable_pictures_are_named(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    cases, pictures = first_cases(data, 3)
    for name in cases.index[:2]:
        pictures[name] = tmp_path / f"{name}.jpg"
        pictures[name].write_bytes((data / cases.loc[name, "picture"]).read_bytes()[:500])
    with pytest.raises(InputFault, match=rf"2 \({cases.index[0]}, {cases.index[1]}\)"):
        bundle.predict(cases, pictures)


def copy_bundle(finished_run: FinishedRun, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run.bundle, tmp_path / "bundle"))


def test_one_changed_byte_is_refused_with_the_name_of_the_file(finished_run: FinishedRun, tmp_path: Path) -> None:
    folder = copy_bundle(finished_run, tmp_path)
    path = folder / "networks/frozen/network.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputFault, match=r"files changed since they were written: 1 \(networks/frozen/network\.onnx\)"):
        Bundle.load(folder)


def test_another_format_and_a_folder_without_manifest_are_refused(finished_run: FinishedRun, tmp_path: Path) -> None:
    folder = copy_bundle(finished_run, tmp_path)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"format": 99})
    with pytest.raises(InputFault, match="format 99; this version reads format 1"):
        Bundle.load(folder)
    with pytest.raises(InputFault, match="not a bundle"):
        Bundle.load(tmp_path)


def test_an_unchanged_bundle_is_not_written_again(
    finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished_run.bundle / "manifest.json").stat().st_mtime_ns
    make_bundle(finished_run.run.folder, str(finished_run.project.recipe), finished_run.bundle)
    assert "bundle: fresh" in capsys.readouterr().out
    assert (finished_run.bundle / "manifest.json").stat().st_mtime_ns == before
    assert {entry.name for entry in read_manifest(finished_run.bundle).networks} == set(MODELS)


@pytest.mark.full
def test_the_benchmark_times_the_networks_in_both_runtimes(
    finished_run: FinishedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.bundle_networks import INT8, RUNTIMES, run_portable_benchmark

    seconds = run_portable_benchmark(finished_run.run, finished_run.bundle / "networks", 3)
    assert set(seconds) == set(MODELS)
    assert [set(RUNTIMES) - set(seconds[name]) for name in ("tuned", "frozen")] == [{INT8}, set()]
    assert all((each > 0).all() for times in seconds.values() for each in times.values())
    assert "all 2 networks" in capsys.readouterr().out
