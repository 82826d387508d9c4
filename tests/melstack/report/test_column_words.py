"""Tests for column_words.py: every column of every feature block has words of its own, and other names stay raw."""

import numpy as np
import pandas as pd
import pytest

from features import blocks
from features.blocks import Sources
from features.blocks.metadata import ACQUISITION
from features.pictures.statistics.picture import picture_statistics
from level1_cnn.experiment import CONFIGS, Experiment, read_experiment
from level1_cnn.training_settings import FrozenFeatures
from level2_stack.contrasts import FAMILIES, contrasts
from level2_stack.design.shift import acquisition_set
from melstack.report.column_words import (
    ColumnWords,
    bare_words,
    group_words,
    metric_words,
    network_words,
    sentence_words,
    with_raw_name,
)

WORDS = ColumnWords({"net_a": "EfficientNet-B4, 512 px, fine-tuned"})
PLAIN_NAMES = {
    *("metadata.sex", "metadata.camera", "metadata.device", "metadata.attribution"),
    *("pictures.sharpness", "pictures.colourfulness"),
}
NAMES = [f"c{number}" for number in range(6)]


def columns_of_blocks() -> dict[str, list[str]]:
    """Return the columns of all feature blocks, for cases with all metadata, picture statistics and embeddings."""
    random = np.random.default_rng(0)
    cases = pd.DataFrame({"patient_id": ["a"] * 3 + ["b"] * 3, "sex": "male"}, index=NAMES)
    cases = cases.assign(age_approx=45.0, anatom_site_general_challenge="torso", width=640, height=480, file_bytes=9000)
    cases = cases.assign(**dict.fromkeys(ACQUISITION, "x"), clin_size_long_diam_mm=random.random(6))
    pictures = random.integers(0, 255, (6, 40, 50, 3), dtype=np.uint8)
    statistics = pd.DataFrame([picture_statistics(picture) for picture in pictures], index=NAMES)
    embeddings = pd.DataFrame(random.normal(size=(6, 4)), index=NAMES)
    sources = Sources(statistics, {"net_a": lambda: embeddings})
    return {
        name: [f"{name}.{column}" for column in blocks.build_block(name, cases, sources)] for name in blocks.names()
    }


def test_every_column_of_every_feature_block_has_words_of_its_own() -> None:
    for block, columns in columns_of_blocks().items():
        words = [WORDS.column(name) for name in columns]
        assert columns, block
        assert len(set(words)) == len(words), block
        assert [name for name, text in zip(columns, words, strict=True) if "." in text or "_" in text] == [], block
        assert {name for name in columns if WORDS.column(name) == name.partition(".")[2]} <= PLAIN_NAMES


def test_every_contrast_has_words_with_the_network() -> None:
    logits = pd.DataFrame({"net_a": range(6), "net_b": range(6)}, index=NAMES, dtype="float64")
    patients, sites = (pd.Series(["x"] * 6, index=NAMES) for _ in range(2))
    columns = [str(name) for name in contrasts(logits, patients, sites, FAMILIES)]
    words = [WORDS.column(name) for name in columns]
    assert len(set(words)) == len(words)
    assert set(words).isdisjoint(columns)
    assert WORDS.column("rank.net_a") == "EfficientNet-B4, 512 px, fine-tuned: rank within the patient"
    assert WORDS.column("site_rank.networks") == "mean of all networks: rank among the patient's lesions at the site"


def test_names_without_words_stay_raw() -> None:
    for name in ("metadata.tbp_lv_A", "table.contrast", "ugly_duckling.odd", "patient.width", "no_family"):
        assert WORDS.column(name) == name
    assert WORDS.network("theirs") == bare_words("theirs") == group_words("theirs") == "theirs"
    assert WORDS.column("measured.tbp_lv_A_z") == "tbp_lv_A, z-score within the patient"


def test_acquisition_columns_are_named_after_their_block() -> None:
    assert group_words(acquisition_set("pictures")) == "picture sizes and statistics: acquisition columns"


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("laptop/lite0_96_frozen", "EfficientNet-Lite0, 96 px, frozen"),
        ("int8/lite0_96_int8", "EfficientNet-Lite0, 96 px, frozen, 8-bit integers"),
        ("desktop/lite0_joint_all", "EfficientNet-Lite0, 192 px, frozen, all layers, 4 inputs"),
        ("desktop/lite0_192_centre", "EfficientNet-Lite0, 192 px, frozen, all layers, weighted to the middle"),
        ("gpu/b4_512_metadata", "EfficientNet-B4, 512 px, fine-tuned, with metadata"),
        ("external/lite0_96_pretrained", "EfficientNet-Lite0, 96 px, fine-tuned, pretrained on external pictures"),
    ],
)
def test_a_network_is_described_by_its_settings(file: str, words: str) -> None:
    settings = read_experiment(CONFIGS / f"{file}.toml").model_dump(mode="json")
    assert network_words(settings) == words


def test_a_network_with_another_backbone_or_incomplete_settings_is_described_without_guessing() -> None:
    frozen_head = FrozenFeatures(method="frozen", regularisation=0.1)
    tiny = Experiment(backbone="tiny", variant="small", weights="none", image_size=64, training=frozen_head)
    assert network_words(tiny.model_dump(mode="json")) == "tiny small, 64 px, frozen"
    file = {"backbone": "onnx", "variant": "DINOv2 small", "image_size": 224, "training": {"method": "frozen"}}
    assert network_words(file) == "DINOv2 small, 224 px, frozen"
    assert network_words({"seed": 0}) == ""


def test_metrics_have_words() -> None:
    assert metric_words("sensitivity_at_90_specificity") == "sensitivity at 90 % specificity"
    assert metric_words("auc") == "AUC, patients resampled"
    assert metric_words("other_metric") == "other_metric"


def test_a_raw_name_follows_different_words_only() -> None:
    assert with_raw_name("age", "age_approx") == "age (age_approx)"
    assert with_raw_name("sex", "sex") == "sex"


def test_a_sentence_names_columns_in_words_with_the_raw_name_and_other_words_stay() -> None:
    text = "missing values: sex 3, age_approx 6, my_age_approx 1"
    assert sentence_words(text) == "missing values: sex 3, age (age_approx) 6, my_age_approx 1"
    assert sentence_words("age (age_approx) 6") == "age (age_approx) 6"
