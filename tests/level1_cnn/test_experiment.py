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


def test_a_setting_of_the_other_method_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFault, match=r"unknown key 'training\.frozen\.epochs'"):
        find_experiments("laptop", [write_model(tmp_path, "mine", FROZEN_TOML + "epochs = 3\n")])
