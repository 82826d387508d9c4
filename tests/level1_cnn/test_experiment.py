"""Tests for experiment.py: a model is one TOML file, and every shipped file can be read."""

from pathlib import Path

import pytest

from level1_cnn.experiment import CONFIGS, SEARCHES, find_experiments
from level1_cnn.training_settings import Finetune
from runtime.errors import InputFault
from tests.level1_cnn.drawn_run import FINETUNE_TOML, FROZEN_TOML, write_model


@pytest.mark.parametrize("profile", sorted(path.name for path in CONFIGS.iterdir() if path.name != SEARCHES))
def test_every_shipped_model_can_be_read(profile: str) -> None:
    experiments = find_experiments(profile)
    assert len(experiments) >= 3
    assert len({experiment.image_size for experiment in experiments.values()}) >= 3


def test_an_unknown_profile_or_model_is_refused_with_the_most_similar_name() -> None:
    with pytest.raises(InputFault, match="profile 'labtop' does not exist; did you mean 'laptop'"):
        find_experiments("labtop")
    first = next(iter(find_experiments("laptop")))
    with pytest.raises(InputFault, match=f"did you mean '{first}'"):
        find_experiments("laptop", [first + "x"])


def test_a_users_toml_file_is_a_model_named_after_the_file(tmp_path: Path) -> None:
    ((name, experiment),) = find_experiments("laptop", [write_model(tmp_path, "mine", FINETUNE_TOML)]).items()
    assert name == "mine"
    assert isinstance(experiment.training, Finetune)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('auc_margin_epochs = 1\ntargets = "diagnosis9"', "a loss for targets = 'binary', not for 'diagnosis9'"),
        ("auc_margin_epochs = 2", "auc_margin_epochs = 2 leaves none of the epochs = 2 to the loss that comes first"),
        ('pooling = "gem"\nlayers = "all"\nhead = "fitted"', "pooling = 'gem' pools the last map alone"),
        ("progressive_sides = [64, 48]", r"progressive_sides = \[64, 48\] must rise"),
        ("progressive_sides = [48, 64]", "progressive_sides and image_size are 3 sides, for epochs = 2"),
        ("progressive_sides = [16]", r"progressive_sides.* = 16: Input should be greater than or equal to 32"),
        ("progressive_sides = [96]", r"progressive_sides = \[96\] must be below image_size = 96"),
    ],
)
def test_settings_of_fine_tuning_that_make_no_sense_are_refused(tmp_path: Path, line: str, message: str) -> None:
    text = FINETUNE_TOML.replace("image_size = 32", "image_size = 96") + line
    with pytest.raises(InputFault, match=message):
        find_experiments("laptop", [write_model(tmp_path, "mine", text)])


def test_settings_that_were_added_later_are_recorded_only_where_they_are_used(tmp_path: Path) -> None:
    text = FINETUNE_TOML.replace("image_size = 32", "image_size = 96")
    parts = "progressive_sides = [64]\nauc_margin_epochs = 1\n"
    models = [write_model(tmp_path, name, text + lines) for name, lines in {"plain": "", "parts": parts}.items()]
    settings = {name: each.model_dump()["training"] for name, each in find_experiments("laptop", models).items()}
    extra = {"progressive_sides": (64,), "auc_margin_epochs": 1}
    assert settings["parts"] == settings["plain"] | extra
    assert not settings["plain"].keys() & extra.keys()


def test_a_setting_of_the_other_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"unknown key 'training\.frozen\.epochs'"):
        find_experiments("laptop", [write_model(tmp_path, "mine", FROZEN_TOML + "epochs = 3\n")])
