"""Tests of the section "Pictures" of docs/field_inputs.md: where pictures lie, ids, and files by their content."""

import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from runtime.run_folder import Run
from tests.features.small_clinic import draw_picture, edit_file, small_clinic, write_external
from tests.melstack.field_inputs.situation import Situation, check

Change = Callable[[Path], object]
TRAIN, TEST = ("a1", "a2", "b1", "b2"), ("t1", "t2")
CLASSES = 'train = ""\ntest = ""\npositive = ["malignant"]\nnegative = ["benign"]\n'


def clinic(*changes: Change, extra: bool = False) -> Situation:
    """Return the situation of the small clinic after ``changes``, with external cases or without."""

    def write(data: Path) -> None:
        small_clinic(data)
        for change in changes:
            change(data)

    return Situation(write, with_external if extra else cases)


def cases(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def with_external(data: Path, run: Path) -> list[object]:
    return [*cases(data, run), "--extra", data.parent / "ham"]


def mapping(text: str) -> Change:
    return lambda data: (data / "cases.toml").write_text(text)


def move(old: str, new: str) -> Change:
    """Return a function that moves files or folders (``old`` is a pattern) to the path or into the folder ``new``."""

    def change(data: Path) -> None:
        for path in sorted(data.glob(old)):
            target = data / (f"{new}{path.name}" if new.endswith("/") else new)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)

    return change


def spell(spelling: str, names: tuple[str, ...], *files: str) -> Change:
    """Return a function that writes each of ``names`` as ``spelling`` says in the tables ``files``."""
    return lambda data: [
        edit_file(f"{name},", f"{spelling.format(name)},", file)(data) for file in files for name in names
    ]


def write_bytes(*names: str) -> Change:
    return lambda data: [(data / name).write_bytes(b"\x00\x05\x16\x07") for name in names]


def mask(name: str) -> Change:
    return lambda data: draw_picture(data / name, seed=99)


def draw_classes(*folders: str, names: str = "{folder}{number}") -> Callable[[Path], None]:
    """Return a function that draws four pictures in each of ``folders``."""

    def write(data: Path) -> None:
        for place, folder in enumerate(folders):
            for number in range(4):
                name = names.format(folder=folder.replace("/", "_"), number=number)
                draw_picture(data / folder / f"{name}.jpg", seed=10 * place + number)

    return write


def both(*writers: Change) -> Change:
    return lambda data: [writer(data) for writer in writers]


def per_patient(data: Path) -> None:
    """Give every case a folder, in which its picture has the name 001.jpg."""
    for role, names in (("train", TRAIN), ("test", TEST)):
        for name in names:
            picture = next((data / "jpeg" / role).glob(f"{name}.*"))
            (data / "jpeg" / role / name).mkdir()
            picture.rename(data / "jpeg" / role / name / f"001{picture.suffix}")


FOUR_CLASSES = draw_classes("train/benign", "train/malignant", "test/benign", "test/malignant")


def pictures_in(suffix: str) -> Change:
    """Return a function that saves the training pictures in a format that is not read."""

    def change(data: Path) -> None:
        for path in list((data / "jpeg" / "train").iterdir()):
            Image.open(path).save(path.with_suffix(suffix))
            path.unlink()

    return change


def archive(data: Path) -> None:
    """Pack all pictures into an archive, as they are downloaded."""
    shutil.make_archive(str(data / "train"), "zip", data / "jpeg")
    shutil.rmtree(data / "jpeg")


def accent(data: Path) -> None:
    """Give a picture a name with an accent, as macOS stores it, and its row the name as others do."""
    (data / "jpeg/train/a1.jpg").rename(data / "jpeg/train" / unicodedata.normalize("NFD", "Größe.jpg"))
    edit_file("a1,p1", "Größe,p1")(data)


SITUATIONS = {
    "id_in_other_unicode_form": clinic(accent),
    "default_tiff": clinic(pictures_in(".tif")),
    "default_webp": clinic(pictures_in(".webp")),
    "default_archives": clinic(archive),
    # a folder that the mapping names is not there, or is empty
    "pictures_typo": clinic(mapping('train_pictures = "jpeg/trian"\ntest_pictures = "jpeg/test"\n')),
    "pictures_renamed": clinic(move("jpeg", "photos"), mapping('train_pictures = "imgs/train"\n')),
    "pictures_none": clinic(move("jpeg", "../gone"), mapping('train_pictures = "jpeg/train"\n')),
    "pictures_empty": clinic(lambda data: (data / "imgs").mkdir(), mapping('train_pictures = "imgs"\n')),
    "pictures_hdf5_missing": clinic(mapping('train_pictures = "train-image.hdf5"\n')),
    "pictures_one_of_two": clinic(mapping('train_pictures = ["jpeg/train", "jpeg/train2"]\n')),
    # pictures lie only deeper, or in several folders
    "deeper_two_parts": clinic(
        move("jpeg/train/a*", "jpeg/train/part_0/"),
        move("jpeg/train/b*", "jpeg/train/part_1/"),
        mapping('train_pictures = "jpeg/train"\n'),
    ),
    "deeper_packed_twice": clinic(
        move("jpeg/train/*", "jpeg/train/train/"), mapping('train_pictures = "jpeg/train"\n')
    ),
    "deeper_many": clinic(
        *(move(f"jpeg/t*/{name}.*", f"all/{name}/") for name in (*TRAIN, *TEST)),
        mapping('train_pictures = "all"\ntest_pictures = "all"\n'),
    ),
    "subfolders": clinic(
        *(move(f"jpeg/train/{name}.*", f"jpeg/train/{name}/deep/") for name in TRAIN),
        mapping('subfolders = true\ntrain_pictures = "jpeg/train"\n'),
    ),
    "several_folders": clinic(move("jpeg/train/b*", "more/"), mapping('train_pictures = ["jpeg/train", "more"]\n')),
    "parts_of_which_one_is_named": clinic(move("jpeg/train/b*", "more/"), mapping('train_pictures = "jpeg/train"\n')),
    "data_folder_itself": clinic(move("jpeg/*/*", "./"), mapping('train_pictures = "."\ntest_pictures = "."\n')),
    "data_folder_deeper": clinic(mapping('train_pictures = "."\n')),
    # no mapping: other folders
    "default_images": clinic(move("jpeg/*/*", "images/")),
    "default_upper_case": clinic(move("jpeg/train", "JPEG/Train"), move("jpeg/test", "JPEG/Test")),
    "default_packed_twice": clinic(move("jpeg/train", "train/train"), move("jpeg/test", "test/test")),
    "default_sizes": clinic(move("jpeg/train", "384x384/train"), move("jpeg/test", "384x384/test")),
    "default_train_image": clinic(move("jpeg/train", "train-image/image")),
    "default_two_sizes": clinic(mask("384/train/a1.jpg"), mask("512/train/a1.jpg"), move("jpeg/train", "512/train2")),
    "default_parts": clinic(move("jpeg/train/a*", "images/0/"), move("jpeg/*/*", "images/1/")),
    "default_beside_tables": clinic(move("jpeg/*/*", "./")),
    "default_other_pictures": clinic(move("jpeg", "../gone"), mask("slides/figure.png")),
    "tables_alone": clinic(move("jpeg", "../gone")),
    "tables_and_a_sheet": clinic(move("jpeg", "../gone"), mask("sheet.png")),
    "tables_and_a_run": clinic(
        move("jpeg", "../gone"), mask("run/galleries/a1.png"), lambda data: (data / "run/run.toml").write_text("")
    ),
    "no_pictures_wanted": clinic(
        move("jpeg/train", "slides"), move("jpeg", "../gone"), mapping('train_pictures = ""\ntest_pictures = ""\n')
    ),
    # a folder per class
    "classes_offered": Situation(FOUR_CLASSES, cases),
    "classes_offered_at_top": Situation(draw_classes("nv", "mel", "bkl"), cases),
    "classes_offered_in_words": Situation(draw_classes("data/Melanoma", "data/Not melanoma cases"), cases),
    "classes_read": Situation(
        both(FOUR_CLASSES, mapping(f'{CLASSES}train_pictures = "train"\ntest_pictures = "test"\n')), cases
    ),
    "classes_of_equal_names": Situation(
        both(
            draw_classes("train/benign", "train/malignant", "test/benign", names="{number}"),
            mapping(f'{CLASSES}train_pictures = "train"\ntest_pictures = "test"\n'),
        ),
        cases,
    ),
    "classes_below_patients": Situation(
        both(draw_classes("p1/benign", "p2/malignant/x"), mapping(f'{CLASSES}train_pictures = "."\n')), cases
    ),
    "class_in_neither": Situation(
        both(draw_classes("x/benign", "x/malignant", "x/unsure"), mapping(f'{CLASSES}train_pictures = "x"\n')), cases
    ),
    # ids with a suffix or a path
    "id_png": clinic(spell("{}.png", TRAIN, "train.csv")),
    "id_suffix_everywhere": clinic(
        spell("{}.jpg", TRAIN, "train.csv"), spell("{}.png", TEST, "test.csv", "sample_submission.csv")
    ),
    "id_path": clinic(spell("jpeg/train/{}.jpg", TRAIN, "train.csv")),
    "id_backslashes": clinic(spell(r".\train\{}.JPG", TRAIN, "train.csv")),
    "id_of_another_machine": clinic(spell("/kaggle/input/{}.jpg", TRAIN, "train.csv")),
    "id_names_the_folders": clinic(
        per_patient,
        spell("{}/001.jpg", TRAIN, "train.csv"),
        spell("{}/001", TEST, "test.csv", "sample_submission.csv"),
        mapping('train_pictures = "jpeg/train"\ntest_pictures = "jpeg/test"\n'),
    ),
    "id_is_the_folder": clinic(per_patient, mapping("subfolders = true\n")),
    "id_of_several": clinic(per_patient, spell("x/001.jpg", ("a1",), "train.csv"), mapping("subfolders = true\n")),
    "id_of_another_folder": clinic(
        move("jpeg/train/a*", "jpeg/train/a/"),
        move("jpeg/train/b*", "jpeg/train/b/"),
        spell("b/{}.jpg", TRAIN, "train.csv"),
        mapping('train_pictures = "jpeg/train"\n'),
    ),
    "id_without_pictures": clinic(move("jpeg", "../gone"), spell("img/{}.jpg", TRAIN, "train.csv")),
    "id_in_sample_alone": clinic(spell("test/{}.png", TEST, "sample_submission.csv")),
    "id_in_other_case": clinic(spell("A1", ("a1",), "train.csv")),
    "id_in_other_case_with_suffix": clinic(spell("A1.JPG", ("a1",), "train.csv")),
    "id_in_two_cases": clinic(spell("A1", ("a2",), "train.csv")),
    "id_downsampled": clinic(
        spell("a1_downsampled", ("a1",), "train.csv"), move("jpeg/train/a1.jpg", "jpeg/train/a1_downsampled.jpg")
    ),
    "id_of_external_cases": clinic(
        lambda data: write_external(data.parent / "ham", ("e1", "e2")),
        lambda data: edit_file("e1,", "jpeg/e1.jpg,")(data.parent / "ham"),
        extra=True,
    ),
    # files by their content
    "file_upper_case": clinic(move("jpeg/train/a1.jpg", "jpeg/train/a1.JPG")),
    "file_jfif": clinic(move("jpeg/train/a1.jpg", "jpeg/train/a1.jfif")),
    "file_without_suffix": clinic(move("jpeg/train/a1.jpg", "jpeg/train/a1")),
    "file_png_without_suffix": clinic(move("jpeg/test/t1.png", "jpeg/test/t1")),
    "file_bmp": clinic(
        lambda data: Image.open(data / "jpeg/train/a1.jpg").save(data / "jpeg/train/a1.bmp"),
        lambda data: (data / "jpeg/train/a1.jpg").unlink(),
    ),
    # files other than the pictures of cases
    "left_out_mac": clinic(write_bytes("jpeg/train/._a1.jpg", "jpeg/train/.DS_Store")),
    "left_out_windows": clinic(write_bytes("jpeg/train/Thumbs.db", "jpeg/train/desktop.ini")),
    "left_out_superpixels": clinic(mask("jpeg/train/a1_superpixels.png"), mask("jpeg/train/a2_superpixels.png")),
    "left_out_segmentations": clinic(mask("jpeg/train/a1_segmentation.png"), mask("jpeg/test/t1_mask.png")),
    "left_out_mask_folder": clinic(
        mask("jpeg/train/masks/a1.png"), mapping('subfolders = true\ntrain_pictures = "jpeg/train"\n')
    ),
    "mask_that_is_a_case": clinic(
        move("jpeg/train/a2.jpg", "jpeg/train/a1_lesion.jpg"), spell("a1_lesion", ("a2",), "train.csv")
    ),
}
EVERY_PICTURE = [
    *("subfolders", "several_folders", "data_folder_itself", "classes_read", "classes_of_equal_names", "id_path"),
    *("default_images", "default_upper_case", "default_packed_twice", "id_suffix_everywhere", "id_names_the_folders"),
    *("id_of_external_cases", "file_without_suffix", "file_bmp", "left_out_mac", "left_out_mask_folder"),
]


@pytest.mark.parametrize("name", SITUATIONS)
def test_pictures_are_read_as_they_were_meant(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)
    if name in EVERY_PICTURE:
        table = Run(tmp_path / "run").read_cases()
        assert table["picture"].notna().all()
        assert table["picture"].is_unique
