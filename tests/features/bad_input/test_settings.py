"""Tests of the section "Settings" of docs/bad_input.md."""

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from features import blocks
from features.folder.folder_layout import read_layout
from features.folder.layout import Columns, Layout
from level1_cnn.backbones import find as find_backbone
from level1_cnn.experiment import find_experiments, read_experiment
from level2_stack import learners
from level2_stack.recipe import read_recipe
from level2_stack.recipe_files import recipe_file
from melstack.bundle.serving.limits import Limits, read_limits
from runtime.errors import InputFault
from runtime.settings import Settings, check_settings, toml_text
from tests.command_line import run_melstack
from tests.features.bad_input.table import check, outcome_of

MODEL = """
backbone = "efficientnet"
variant = "b0"
weights = "none"
image_size = 384
[training]
method = "finetune"
epochs = 5
learning_rate = 1e-3
"""
RECIPE = 'learners = ["lgbm", "logistic"]\nblend = ["lgbm", "logistic"]\n'


def in_file(name: str, text: str, read: Callable[[Path], object]) -> Callable[[Path], object]:
    """Return a function that writes ``text`` to a file and reads it."""

    def write_and_read(folder: Path) -> object:
        (folder / name).write_bytes(text.encode())
        return read(folder / name)

    return write_and_read


def model(old: str, new: str) -> Callable[[Path], object]:
    assert old in MODEL
    return in_file("mine.toml", MODEL.replace(old, new), read_experiment)


def recipe(text: str) -> Callable[[Path], object]:
    return in_file("mine.toml", text, read_recipe)


def mapping(text: str) -> Callable[[Path], object]:
    return in_file("cases.toml", text, lambda path: read_layout(path.parent, None, [], {}))


def limits(text: str) -> Callable[[Path], object]:
    return in_file("limits.toml", text, read_limits)


def in_bytes(content: bytes) -> Callable[[Path], object]:
    def write_and_read(folder: Path) -> object:
        (folder / "mine.toml").write_bytes(content)
        return read_experiment(folder / "mine.toml")

    return write_and_read


SETTINGS: dict[str, Callable[[Path], object]] = {
    "model_unknown_key": model("image_size", "image_sise"),
    "model_unknown_nested_key": model("learning_rate", "learning_rat"),
    "model_missing_key": model("epochs = 5\n", ""),
    "model_number_as_text": model("384", '"384"'),
    "model_true_for_a_number": model("epochs = 5", "epochs = true"),
    "model_fraction_for_a_count": model("384", "384.5"),
    "model_size_with_unit": model("384", '"384px"'),
    "model_size_too_small": model("384", "3"),
    "model_negative_rate": model("1e-3", "-1e-3"),
    "model_infinite_rate": model("1e-3", "inf"),
    "model_nan_rate": model("1e-3", "nan"),
    "model_percent_for_a_share": model("epochs = 5", "epochs = 5\nhead_dropout = 30"),
    "model_unknown_choice": model('"finetune"', '"finetuned"'),
    "model_setting_without_effect": model("epochs = 5", "epochs = 5\nfocal_gamma = 3.0"),
    "model_warmup_longer_than_training": model("epochs = 5", "epochs = 5\nwarmup_epochs = 9"),
    "model_unknown_view": model("image_size", 'views = ["identity", "sideways"]\nimage_size'),
    "model_list_for_a_value": model("384", "[384]"),
    "toml_syntax": model("384", "= 384"),
    "toml_key_twice": model("image_size = 384", "image_size = 384\nimage_size = 512"),
    "toml_bom": in_bytes(b"\xef\xbb\xbf" + MODEL.encode()),
    "toml_utf16": in_bytes(MODEL.encode("utf-16")),
    "toml_cp1252": in_bytes(MODEL.encode() + b"# gr\xf6\xdfer\n"),
    "toml_missing": lambda folder: read_experiment(folder / "mine.toml"),
    "toml_folder": lambda folder: read_experiment(folder),
    "profile_unknown": lambda _: find_experiments("labtop"),
    "model_unknown": lambda _: find_experiments("laptop", ["lite0_128_frosen"]),
    "backbone_unknown": lambda _: find_backbone("efficentnet"),
    "block_unknown": lambda _: blocks.find("metdata"),
    "learner_unknown": lambda _: learners.find("lgmb"),
    "recipe_unknown": lambda _: recipe_file("defualt"),
    "recipe_unknown_key": recipe("learnes = []"),
    "recipe_unknown_learner": recipe('learners = ["lgbn"]\nblend = ["lgbn"]'),
    "recipe_unknown_parameter": recipe(RECIPE + "[lgbm]\nround = 10"),
    "recipe_prevalence_in_percent": recipe(RECIPE + "[calibration]\nprevalence = 1.76"),
    "recipe_sensitivity_in_percent": recipe(RECIPE + "[thresholds]\nsensitivity = [90.0]"),
    "recipe_npv_in_percent": recipe(RECIPE + "[thresholds]\nnpv = [99.8]"),
    "recipe_without_thresholds": recipe(RECIPE + "[thresholds]\nsensitivity = []\nspecificity = []\nnpv = []"),
    "recipe_table_without_effect": recipe(RECIPE + "[xgb]\nrounds = 10"),
    "recipe_blend_of_an_unused_learner": recipe('learners = ["lgbm"]\nblend = ["xgb"]'),
    "recipe_learner_twice": recipe('learners = ["lgbm", "lgbm"]\nblend = ["lgbm"]'),
    "mapping_unknown_key": mapping("trian = 'x.csv'"),
    "mapping_file_outside": mapping('train = "../train.csv"'),
    "mapping_file_absolute": mapping('train_pictures = "/etc"'),
    "mapping_target_as_metadata": mapping('[columns]\nmetadata = ["sex", "target"]'),
    "mapping_label_as_metadata": mapping('[columns]\nmetadata = ["sex", "benign_malignant"]'),
    "mapping_metadata_twice": mapping('[columns]\nmetadata = ["sex", "sex"]'),
    "mapping_train_is_test": mapping('test = "train.csv"'),
    "mapping_text_for_a_list": mapping('[columns]\nmetadata = "sex"'),
    "limits_unknown_key": limits("picture = 3"),
    "limits_below_one": limits("pictures = 0"),
    "limits_with_unit": limits('picture_mb = "25 MB"'),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_have_the_outcome_of_the_page(name: str, tmp_path: Path) -> None:
    check(name, outcome_of(lambda _: SETTINGS[name](tmp_path)))


VALUES = {
    "option_prevalence_in_percent": ["submission", "--run", "none", "--prevalence", "1.76"],
    "option_loss_too_large": ["bundle", "--run", "none", "--slim", "5"],
    "option_trust_without_foreign": ["stack", "--run", "none", "--trust", "cnn_a"],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_out_of_range_is_refused_before_anything_is_read(name: str) -> None:
    answer = run_melstack(*VALUES[name])
    message = " ".join(answer.err.replace("│", " ").split())
    check(name, ("refused" if answer.code else "read", message, None))


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), min_size=1, max_size=12)
LAYOUTS = st.builds(
    Layout,
    train=st.just("train.csv"),
    positive=st.lists(TEXTS, max_size=3).map(tuple),
    columns=st.builds(Columns, patient_id=TEXTS, fold_group=TEXTS),
)
LIMITS = st.builds(Limits, pictures=st.integers(1, 10**6), picture_mb=st.floats(1e-3, 1e6), seconds=st.floats(1, 1e9))


@settings(max_examples=60)
@given(values=LAYOUTS | LIMITS)
def test_written_settings_are_read_unchanged(values: Settings) -> None:
    table = tomllib.loads(toml_text(values.model_dump()))
    assert check_settings(table, type(values), "mine.toml") == values


@settings(max_examples=60)
@given(key=TEXTS)
def test_any_unknown_key_is_refused_by_its_name(key: str) -> None:
    assume(key not in Limits.model_fields)
    with pytest.raises(InputFault) as error:
        check_settings({key: 1}, Limits, "limits.toml")
    assert f"limits.toml: unknown key {key!r}" in str(error.value)
