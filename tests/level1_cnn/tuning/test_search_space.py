"""Tests of the ranges of a search: read from a TOML file, checked against the schema, proposed in the right type."""

from pathlib import Path

import pytest

from level1_cnn.experiment import CONFIGS, SEARCHES, find_experiments
from level1_cnn.training_settings import Finetune
from level1_cnn.tuning.search_space import Choices, Search, Span, check_search, read_search, replace_values, value_of
from runtime.errors import InputFault
from runtime.settings import toml_text
from tests.level1_cnn.drawn_run import tiny_experiment

MODEL = Finetune(method="finetune", epochs=2, learning_rate=1e-3)
SEARCH_NAMES = sorted(path.stem for path in (CONFIGS / SEARCHES).glob("*.toml"))


def search(**ranges: Span | Choices) -> Search:
    return Search(trials=2, seed=0, fold=0, ranges={key.replace("__", "."): value for key, value in ranges.items()})


def write_search(folder: Path, ranges: str) -> str:
    path = folder / "mine.toml"
    path.write_text(f"trials = 3\nseed = 5\nfold = 1\n[ranges]\n{ranges}\n")
    return str(path)


@pytest.mark.parametrize("name", SEARCH_NAMES)
def test_every_shipped_search_is_valid_for_every_shipped_model(name: str) -> None:
    profiles = sorted(path.name for path in CONFIGS.iterdir() if path.name != SEARCHES)
    models = [model for profile in profiles for model in find_experiments(profile).values()]
    finetuned_models = [model.training for model in models if isinstance(model.training, Finetune)]
    assert finetuned_models
    for settings in finetuned_models:
        check_search(read_search(name), settings, name)


def test_dotted_quoted_and_nested_keys_are_the_same(tmp_path: Path) -> None:
    expected = {"augmentation.rotation": Span(low=0, high=90), "pooling": Choices(choices=("average", "gem"))}
    pooling = 'pooling = {choices = ["average", "gem"]}\n'
    for ranges in (
        "augmentation.rotation = {low = 0, high = 90}\n" + pooling,
        '"augmentation.rotation" = {low = 0, high = 90}\n' + pooling,
        pooling + "[ranges.augmentation]\nrotation = {low = 0, high = 90}\n",
    ):
        space = read_search(write_search(tmp_path, ranges))
        assert (space.trials, space.seed, space.fold, space.ranges) == (3, 5, 1, expected)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ("learning_rate = 0.1", r"mine\.toml: ranges\.learning_rate = 0\.1 is not a range; write \{low"),
        ("learning_rate = {low = 0.1}", r"mine\.toml: ranges\.learning_rate: 'high' is missing"),
        ("learning_rate = {low = 0.1, hihg = 1}", "unknown key 'hihg'; did you mean 'high'"),
        ('pooling = {choices = ["gem"]}', r"ranges\.pooling: choices"),
        ("", "ranges"),
    ],
)
def test_an_invalid_range_is_refused(tmp_path: Path, ranges: str, message: str) -> None:
    with pytest.raises(InputFault, match=message):
        read_search(write_search(tmp_path, ranges))


def test_an_unknown_search_is_refused_with_the_most_similar_name() -> None:
    with pytest.raises(
        InputFault, match="search 'finetun' is not in level1_cnn/configs/search; did you mean 'finetune'"
    ):
        read_search("finetun")


@pytest.mark.parametrize(
    ("key", "limits", "message"),
    [
        ("learning_rat", Span(low=1, high=2), "unknown setting; did you mean 'learning_rate'"),
        ("augmentation.rotaton", Span(low=1, high=2), "unknown setting; did you mean 'rotation'"),
        ("weight_decay", Span(low=-1, high=1), "weight_decay = -1: Input should be greater than or equal to 0"),
        ("head_dropout", Span(low=0.1, high=1.5), r"head_dropout = 1\.5: Input should be less than 1"),
        ("epochs", Span(low=0, high=3), "epochs = 0: Input should be greater than or equal to 1"),
        ("epochs", Span(low=1.5, high=3), r"epochs = 1\.5: Input should be a valid integer"),
        ("head_dropout", Span(low=0.5, high=0.1), r"low = 0\.5 must be below high = 0\.1"),
        ("label_smoothing", Span(low=0, high=0.1, log=True), "low = 0 has no logarithm"),
        ("pooling", Choices(choices=("gem", "max")), "pooling = 'max': Input should be 'average', 'centre' or 'gem'"),
        ("keep", Span(low=1, high=2), "the values are not numbers; list them"),
        ("batch_size", Span(low=8, high=16), "the values are not numbers; list them"),
        ("train_batch_norm", Span(low=0, high=1), "the values are not numbers; list them"),
        (
            "image_size",
            Span(low=64, high=128),
            "another value makes another model; write a separate TOML",
        ),
        ("augmentation", Span(low=0, high=1), "is a group of settings; name one of them"),
        ("pretrain.epochs", Span(low=1, high=2), "this model has no such group of settings: pretrain = None"),
        ("epochs.more", Span(low=1, high=2), "this model has no such group of settings: epochs = 2"),
        ("augmentation.hair_probability", Span(low=0.1, high=1.2), "Input should be less than or equal to 1"),
    ],
)
def test_a_range_that_the_schema_does_not_allow_is_named(key: str, limits: Span | Choices, message: str) -> None:
    with pytest.raises(InputFault, match=rf"mine\.toml: 1 fault\n  - ranges\.{key}: .*{message}"):
        check_search(Search(trials=1, seed=0, fold=0, ranges={key: limits}), MODEL, "mine.toml")


def test_all_invalid_ranges_are_listed_in_one_message() -> None:
    invalid_search = search(
        learning_rat=Span(low=1, high=2), epochs=Span(low=0, high=3), keep=Choices(choices=("ema", "last"))
    )
    with pytest.raises(InputFault, match=r"2 faults"):
        check_search(invalid_search, MODEL, "mine.toml")


def test_settings_that_need_each_other_are_checked_together() -> None:
    probability = {"augmentation__blur_probability": Span(low=0.2, high=1.0)}
    with pytest.raises(InputFault, match="has no effect while blur = 0"):
        check_search(search(**probability), MODEL, "mine.toml")
    check_search(search(**probability, augmentation__blur=Span(low=0.001, high=0.02)), MODEL, "mine.toml")


class HighestValues:
    """A trial that returns upper limits and records the type of each value."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def suggest_float(self, name, low, high, *, log=False):
        self.kinds[name] = "float"
        return high

    def suggest_int(self, name, low, high, *, log=False):
        self.kinds[name] = "int"
        return high

    def suggest_categorical(self, name, choices):
        self.kinds[name] = "choice"
        return choices[-1]


def test_the_schema_decides_which_proposed_values_are_whole_numbers() -> None:
    ranges = {
        "epochs": Span(low=1, high=4),
        "augmentation__rotation": Span(low=0, high=180),
        "augmentation__hair": Span(low=1, high=9),
        "batch_size": Choices(choices=(8, 16)),
    }
    trial = HighestValues()
    values = search(**ranges).suggest(trial, MODEL)
    assert trial.kinds == {
        "epochs": "int",
        "augmentation.rotation": "float",
        "augmentation.hair": "int",
        "batch_size": "choice",
    }
    settings = replace_values(MODEL, values)
    assert (settings.epochs, settings.augmentation.rotation, settings.batch_size) == (4, 180.0, 16)
    assert value_of(settings, "augmentation.hair") == settings.augmentation.hair == 9
    assert settings.weight_decay == MODEL.weight_decay


def test_an_experiment_is_the_same_after_writing_and_reading_and_the_reasons_are_comments(tmp_path: Path) -> None:
    for profile in (path.name for path in CONFIGS.iterdir() if path.name != SEARCHES):
        for name, experiment in find_experiments(profile).items():
            path = tmp_path / f"{name}.toml"
            path.write_text(toml_text(experiment.model_dump(), ["a comment", ""], {"training.epochs": "as tuned"}))
            assert find_experiments("laptop", [str(path)]) == {name: experiment}
            assert path.read_text().startswith("# a comment\n#\nbackbone = ")
            assert ("# as tuned" in path.read_text()) == isinstance(experiment.training, Finetune)


def test_every_type_of_value_is_the_same_after_writing_and_reading(tmp_path: Path) -> None:
    training = {
        "method": "finetune",
        "epochs": 3,
        "learning_rate": 1e-7,
        "targets": "diagnosis9",
        "pretrain": {"epochs": 2, "learning_rate": 1e-3},
        "pseudo": {"model": 'a "quoted" name', "weight": 0.5},
        "augmentation": {"hair": 3, "hair_probability": 0.5, "mixup": 0.2},
    }
    experiment = tiny_experiment(training, views=["identity"])
    path = tmp_path / "mine.toml"
    path.write_text(toml_text(experiment.model_dump()))
    assert find_experiments("laptop", [str(path)]) == {"mine": experiment}
