"""Tests of the ranges of a search: read from a TOML, checked against the schema, drawn as the right kind of value."""

from pathlib import Path

import pytest

from level1_cnn.experiment import CONFIGS, SEARCHES, Finetune, find_experiments
from level1_cnn.tuning.search_space import Choices, Search, Span, changed, check_search, read_search, value_of
from runtime.errors import InputFault
from runtime.settings import toml_text
from tests.level1_cnn.drawn_run import tiny_experiment

MODEL = Finetune(method="finetune", epochs=2, learning_rate=1e-3)
SHIPPED = sorted(path.stem for path in (CONFIGS / SEARCHES).glob("*.toml"))


def search(**ranges: Span | Choices) -> Search:
    return Search(trials=2, seed=0, fold=0, ranges={key.replace("__", "."): value for key, value in ranges.items()})


def written(folder: Path, ranges: str) -> str:
    path = folder / "mine.toml"
    path.write_text(f"trials = 3\nseed = 5\nfold = 1\n[ranges]\n{ranges}\n")
    return str(path)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_search_suits_every_shipped_model(name: str) -> None:
    profiles = sorted(path.name for path in CONFIGS.iterdir() if path.name != SEARCHES)
    models = [model for profile in profiles for model in find_experiments(profile).values()]
    trained = [model.training for model in models if isinstance(model.training, Finetune)]
    assert trained
    for settings in trained:
        check_search(read_search(name), settings, name)


def test_dotted_quoted_and_nested_keys_are_the_same(tmp_path: Path) -> None:
    expected = {"augmentation.rotation": Span(low=0, high=90), "pooling": Choices(choices=("average", "gem"))}
    pooling = 'pooling = {choices = ["average", "gem"]}\n'
    for spelled in (
        "augmentation.rotation = {low = 0, high = 90}\n" + pooling,
        '"augmentation.rotation" = {low = 0, high = 90}\n' + pooling,
        pooling + "[ranges.augmentation]\nrotation = {low = 0, high = 90}\n",
    ):
        found = read_search(written(tmp_path, spelled))
        assert (found.trials, found.seed, found.fold, found.ranges) == (3, 5, 1, expected)


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ("learning_rate = 0.1", r"mine\.toml: ranges\.learning_rate = 0\.1; a range is \{low"),
        ("learning_rate = {low = 0.1}", r"mine\.toml: ranges\.learning_rate: 'high' is missing"),
        ("learning_rate = {low = 0.1, hihg = 1}", "unknown key 'hihg'; did you mean 'high'"),
        ('pooling = {choices = ["gem"]}', r"ranges\.pooling: choices"),
        ("", "ranges"),
    ],
)
def test_what_is_no_range_is_refused(tmp_path: Path, ranges: str, message: str) -> None:
    with pytest.raises(InputFault, match=message):
        read_search(written(tmp_path, ranges))


def test_an_unknown_search_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputFault, match="no search 'finetun' in level1_cnn/configs/search; did you mean 'finetune'"):
        read_search("finetun")


@pytest.mark.parametrize(
    ("key", "limits", "said"),
    [
        ("learning_rat", Span(low=1, high=2), "unknown setting; did you mean 'learning_rate'"),
        ("augmentation.rotaton", Span(low=1, high=2), "unknown setting; did you mean 'rotation'"),
        ("weight_decay", Span(low=-1, high=1), "weight_decay = -1: Input should be greater than or equal to 0"),
        ("head_dropout", Span(low=0.1, high=1.5), r"head_dropout = 1\.5: Input should be less than 1"),
        ("epochs", Span(low=0, high=3), "epochs = 0: Input should be greater than or equal to 1"),
        ("epochs", Span(low=1.5, high=3), r"epochs = 1\.5: Input should be a valid integer"),
        ("head_dropout", Span(low=0.5, high=0.1), r"low = 0\.5 must be below high = 0\.1"),
        ("label_smoothing", Span(low=0, high=0.1, log=True), "low = 0 has no logarithm"),
        ("pooling", Choices(choices=("gem", "max")), "pooling = 'max': Input should be 'average' or 'gem'"),
        ("keep", Span(low=1, high=2), "is no number; name its values"),
        ("batch_size", Span(low=8, high=16), "is no number; name its values"),
        ("train_batch_norm", Span(low=0, high=1), "is no number; name its values"),
        ("image_size", Span(low=64, high=128), "it makes another model; give that a TOML of its own"),
        ("augmentation", Span(low=0, high=1), "is a group of settings; name one of them"),
        ("pretrain.epochs", Span(low=1, high=2), "this model has no such stage: pretrain = None"),
        ("epochs.more", Span(low=1, high=2), "this model has no such stage: epochs = 2"),
        ("augmentation.hair_probability", Span(low=0.1, high=1.2), "Input should be less than or equal to 1"),
    ],
)
def test_a_range_that_the_schema_does_not_allow_is_refused_by_name(key: str, limits: Span | Choices, said: str) -> None:
    with pytest.raises(InputFault, match=rf"mine\.toml: 1 fault\(s\)\n  - ranges\.{key}: .*{said}"):
        check_search(Search(trials=1, seed=0, fold=0, ranges={key: limits}), MODEL, "mine.toml")


def test_all_wrong_ranges_are_told_together() -> None:
    wrong = search(learning_rat=Span(low=1, high=2), epochs=Span(low=0, high=3), keep=Choices(choices=("ema", "last")))
    with pytest.raises(InputFault, match=r"2 fault\(s\)"):
        check_search(wrong, MODEL, "mine.toml")


def test_settings_that_mean_nothing_without_each_other_are_judged_together() -> None:
    probability = {"augmentation__blur_probability": Span(low=0.2, high=1.0)}
    with pytest.raises(InputFault, match="has no effect while blur = 0"):
        check_search(search(**probability), MODEL, "mine.toml")
    check_search(search(**probability, augmentation__blur=Span(low=0.001, high=0.02)), MODEL, "mine.toml")


class Highest:
    """Answers with the upper limit, and notes which kind of value was asked for."""

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


def test_the_schema_tells_whole_numbers_from_others_however_they_are_written() -> None:
    ranges = {
        "epochs": Span(low=1, high=4),
        "augmentation__rotation": Span(low=0, high=180),
        "augmentation__hair": Span(low=1, high=9),
        "batch_size": Choices(choices=(8, 16)),
    }
    trial = Highest()
    values = search(**ranges).suggest(trial, MODEL)
    assert trial.kinds == {
        "epochs": "int",
        "augmentation.rotation": "float",
        "augmentation.hair": "int",
        "batch_size": "choice",
    }
    found = changed(MODEL, values)
    assert (found.epochs, found.augmentation.rotation, found.augmentation.hair, found.batch_size) == (4, 180.0, 9, 16)
    assert value_of(found, "augmentation.hair") == 9
    assert found.weight_decay == MODEL.weight_decay


def test_a_written_experiment_reads_back_as_the_same_with_its_reasons(tmp_path: Path) -> None:
    for profile in (path.name for path in CONFIGS.iterdir() if path.name != SEARCHES):
        for name, experiment in find_experiments(profile).items():
            path = tmp_path / f"{name}.toml"
            path.write_text(toml_text(experiment.model_dump(), ["why it is", ""], {"training.epochs": "as tuned"}))
            assert find_experiments("laptop", [str(path)]) == {name: experiment}
            assert path.read_text().startswith("# why it is\n#\nbackbone = ")
            assert ("# as tuned" in path.read_text()) == isinstance(experiment.training, Finetune)


def test_every_kind_of_value_survives_being_written(tmp_path: Path) -> None:
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
