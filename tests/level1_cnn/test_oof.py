"""Tests for level one as a whole, on drawn pictures and the tiny backbone: covered, leak-free, resumable."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level1_cnn.data.feed import Feed, picture_batches
from level1_cnn.data.run_pictures import shard_files
from melstack import level1_commands as command
from runtime.errors import InputFault
from runtime.run_folder import Run
from runtime.tables import read_table

SIDE, PATIENTS, FOLDS = 32, 24, 3
HEADER = "image_name,patient_id,sex,age_approx,anatom_site_general_challenge"
TINY = 'backbone = "tiny"\nvariant = "tiny"\nweights = "none"\nimage_size = 32\n[training]\n'
FROZEN = TINY + 'method = "frozen"\nregularisation = 0.01\n'
FINETUNE = TINY + 'method = "finetune"\nepochs = 6\nbatch_size = 8\nlearning_rate = 0.01\n'


def draw(path: Path, malignant: bool, rng: np.random.Generator) -> None:
    """A dark disc on light skin; a malignant one is bluish."""
    rows, columns = np.mgrid[:40, :40]
    disc = (rows - 20) ** 2 + (columns - 20) ** 2 < 110
    picture = np.full((40, 40, 3), 200.0)
    picture[disc] = (60, 60, 160) if malignant else (150, 90, 60)
    picture += rng.normal(0, 12, picture.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path, quality=95)


def make_data(folder: Path, noise_target: bool = False, seed: int = 4) -> Path:
    rng = np.random.default_rng(seed)
    train, test = [f"{HEADER},target"], [HEADER]
    for number in range(PATIENTS * 4):
        malignant = bool(number % 3 == 0)
        target = int(rng.random() < 0.4) if noise_target else int(malignant)
        patient = number // 4
        rows, role = (train, "train") if patient < PATIENTS * 3 // 4 else (test, "test")
        name = f"c{number:03d}"
        rows.append(f"{name},p{patient},male,50,torso" + (f",{target}" if role == "train" else ""))
        draw(folder / "jpeg" / role / f"{name}.jpg", malignant, rng)
    (folder / "train.csv").write_text("\n".join(train) + "\n")
    (folder / "test.csv").write_text("\n".join(test) + "\n")
    return folder


def train(run: Run, tmp_path: Path, name: str, text: str) -> pd.DataFrame:
    file = tmp_path / f"{name}.toml"
    file.write_text(text)
    command.oof(run.folder, models=str(file))
    return read_table(run.level1 / name / "predictions.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    folder = tmp_path_factory.mktemp("level1")
    run = Run(folder / "run")
    freeze_cases(run, Request(make_data(folder / "data"), folds=FOLDS))
    for name, text in (("frozen", FROZEN), ("finetuned", FINETUNE)):
        train(run, folder, name, text)
    return run, folder


def auc(run: Run, table: pd.DataFrame) -> float:
    from sklearn.metrics import roc_auc_score

    cases = run.read_cases()
    rows = cases.index[cases["role"] == "train"]
    return float(roc_auc_score(cases.loc[rows, "target"], table.loc[rows, "probability"]))


@pytest.mark.parametrize("name", ["frozen", "finetuned"])
def test_every_train_and_test_case_has_a_probability_and_the_fold_that_did_not_see_it(
    finished: tuple[Run, Path], name: str
) -> None:
    run, _ = finished
    cases, table = run.read_cases(), read_table(run.level1 / name / "predictions.parquet")
    assert table.index.equals(cases.index)
    assert table["probability"].between(0, 1).all()
    assert (table["spread"] >= 0).all()
    assert table["fold"].equals(cases["fold"])


@pytest.mark.parametrize("name", ["frozen", "finetuned"])
def test_a_network_learns_a_colour_that_decides(finished: tuple[Run, Path], name: str) -> None:
    run, _ = finished
    assert auc(run, read_table(run.level1 / name / "predictions.parquet")) > 0.9


@pytest.mark.parametrize("name", ["frozen", "finetuned"])
def test_embeddings_are_float16_for_every_case(finished: tuple[Run, Path], name: str) -> None:
    run, _ = finished
    table = read_table(run.level1 / name / "embeddings.parquet")
    assert table.index.equals(run.read_cases().index)
    assert set(table.dtypes.astype(str)) == {"float16"}
    assert np.isfinite(table.to_numpy(dtype=np.float32)).all()


def test_a_test_case_is_the_mean_of_the_fold_models(finished: tuple[Run, Path]) -> None:
    run, _ = finished
    folder = run.level1 / "finetuned"
    tests = run.read_cases().query("role == 'test'").index
    parts = [
        read_table(folder / f"fold_{fold}" / "predictions.parquet").loc[tests, "probability"] for fold in range(FOLDS)
    ]
    merged = read_table(folder / "predictions.parquet").loc[tests, "probability"]
    np.testing.assert_allclose(merged, np.mean(parts, axis=0))
    assert np.ptp(np.array(parts), axis=0).max() > 0


def test_a_second_run_does_nothing_and_says_fresh(
    finished: tuple[Run, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run, folder = finished
    before = {path: path.stat().st_mtime_ns for path in run.level1.rglob("*") if path.is_file()}
    command.oof(run.folder, models=str(folder / "finetuned.toml"))
    assert "finetuned: fresh" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in run.level1.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["frozen", "finetuned"])
def test_a_fold_lost_to_an_interruption_is_made_again_and_the_result_is_the_same(
    finished: tuple[Run, Path], name: str, tmp_path: Path
) -> None:
    run, folder = finished
    other = Run(tmp_path / "run")
    shutil.copytree(run.folder, other.folder)
    (other.level1 / name / "run.json").unlink()
    (other.level1 / name / "fold_1" / "done.json").unlink()
    (other.level1 / name / "fold_1" / "predictions.parquet").write_bytes(b"half")
    again = train(other, tmp_path, name, (folder / f"{name}.toml").read_text())
    first = read_table(run.level1 / name / "predictions.parquet")
    np.testing.assert_allclose(again["probability"], first["probability"], atol=1e-6)


def test_a_changed_toml_under_a_trained_name_is_refused_with_the_key(
    finished: tuple[Run, Path], tmp_path: Path
) -> None:
    run, _ = finished
    with pytest.raises(InputFault, match=r"settings\.training\.epochs: 6 -> 7"):
        train(run, tmp_path, "finetuned", FINETUNE.replace("epochs = 6", "epochs = 7"))


def test_an_unknown_backbone_is_refused_before_anything_is_trained(finished: tuple[Run, Path], tmp_path: Path) -> None:
    run, _ = finished
    with pytest.raises(InputFault, match="tiny"):
        train(run, tmp_path, "other", FROZEN.replace('"tiny"\nvariant', '"tinny"\nvariant'))
    assert not (run.level1 / "other").exists()


def test_training_shows_no_case_of_the_held_out_fold(finished: tuple[Run, Path]) -> None:
    """With augmentation off, every picture a fold trains on is one of the other folds' pictures in the shards."""
    from level1_cnn.augment.settings import Augmentation
    from level1_cnn.data.training_rows import candidates, fold_rows
    from level1_cnn.experiment import Finetune

    run, _ = finished
    cases = run.read_cases()
    still = Augmentation(dihedral=False, rotation=0, zoom=0, shift=0, brightness=0, contrast=0, saturation=0)
    settings = Finetune(method="finetune", epochs=1, learning_rate=1e-3, augmentation=still)
    files = shard_files(run, SIDE)
    rows = fold_rows(cases, settings, 0, (), None)
    feed = Feed(files, candidates(cases, settings), SIDE)
    batches = feed.batches(
        still, batch_size=6, malignant_share=0, seed=1, first_step=0, steps=len(rows.names) // 6, rows=rows
    )
    shown = {
        picture.astype(np.uint8).tobytes() for (pictures, _), *_ in batches.as_numpy_iterator() for picture in pictures
    }
    held_out = cases.index[(cases["role"] == "train") & (cases["fold"] == 0)]
    hidden = {picture.tobytes() for _, pictures in picture_batches(files, 16, held_out) for picture in pictures}
    assert len(shown) > len(rows.names) // 2
    assert not shown & hidden


def test_a_target_of_pure_noise_gives_an_auc_near_one_half(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(make_data(tmp_path / "data", noise_target=True), folds=FOLDS))
    table = train(run, tmp_path, "frozen", FROZEN)
    # Standard error of an AUC over 72 cases, 40 % positive: 0.07 (Hanley and McNeil 1982).
    assert abs(auc(run, table) - 0.5) < 3 * 0.07


def test_without_pictures_level_one_is_skipped_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = make_data(tmp_path / "data")
    shutil.rmtree(data / "jpeg")
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=FOLDS))
    command.oof(run.folder)
    assert "no pictures, so no network is trained" in capsys.readouterr().out
    assert not run.level1.exists()


def test_a_picture_that_cannot_be_decoded_is_named_and_no_shard_is_left(tmp_path: Path) -> None:
    data = make_data(tmp_path / "data")
    path = data / "jpeg/train/c000.jpg"
    damaged = path.with_suffix(".png")
    Image.open(path).save(damaged)
    path.unlink()
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF  # header and end mark are right: only decoding finds it
    run = Run(tmp_path / "run")
    freeze_cases(run, Request(data, folds=FOLDS))
    damaged.write_bytes(content)  # after the audit, which reads every picture
    with pytest.raises(InputFault, match="c000"):
        train(run, tmp_path, "frozen", FROZEN)
    assert not list(run.shards.glob("**/*.tfrec"))
