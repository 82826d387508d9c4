"""Tests for predict.py, view_predictions.py and view_contributions.py: outputs over views, tables, merged folds."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from level1_cnn.inference.predict import predict_batches
from level1_cnn.inference.view_predictions import ViewPredictions, embedding_table, merge_folds
from level1_cnn.inspect.view_contributions import ALL, print_view_contributions, view_contributions
from level1_cnn.views import SYMMETRIES, apply_view
from runtime.provenance import write_mark
from runtime.run_folder import Run
from runtime.tables import write_table
from tests.level1_cnn.data.grey_shards import write_shard

SIDE, NAMES = 8, [f"c{number}" for number in range(7)]


def log_odds(probabilities: list[list[float]]) -> np.ndarray:
    p = np.array(probabilities)
    return np.log(p / (1 - p))


def name_index(names: list[str]) -> pd.Index:
    return pd.Index(names, name="image_name")


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shard file of seven pictures."""
    rng = np.random.default_rng(0)
    pictures = {name: rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8) for name in NAMES}
    return write_shard(tmp_path_factory.mktemp("shards") / "cases00-7.tfrec", pictures)


def corner(pixels: np.ndarray, metadata: np.ndarray | None) -> list[np.ndarray]:
    """Return the red value of the upper left pixel, and the metadata if there are any: stands for a network."""
    outputs = [pixels[:, 0, 0, 0]]
    return outputs if metadata is None else [*outputs, metadata]


def predict_shard(
    shard: Path, views: tuple[str, ...], batch_size: int, **options: object
) -> tuple[list[str], list[np.ndarray]]:
    names: list[str] = []
    parts = []
    for batch, outputs in predict_batches(corner, [shard], views, batch_size, lambda count: None, **options):
        names += batch
        parts.append(outputs)
    return names, [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def test_every_case_is_predicted_in_every_view_in_the_order_of_the_names(shard: Path) -> None:
    from level1_cnn.data.feed import picture_batches

    views = (*SYMMETRIES, "zoom:1.2", "shift:0.25:0")
    names, (outputs,) = predict_shard(shard, views, 32)
    assert names == NAMES
    assert outputs.shape == (7, 10)
    ((_, pictures),) = picture_batches([shard], 7)
    expected = np.stack([apply_view(pictures, view)[:, 0, 0, 0] for view in views], axis=1)
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("batch_size", [1, 8, 20, 1000])
def test_the_batch_size_changes_no_output_and_bounds_the_pictures_of_a_pass(shard: Path, batch_size: int) -> None:
    sizes = []

    def count_pixels(pixels: np.ndarray, metadata: np.ndarray | None) -> list[np.ndarray]:
        sizes.append(len(pixels))
        return corner(pixels, metadata)

    outputs = [
        output for _, (output,) in predict_batches(count_pixels, [shard], SYMMETRIES, batch_size, lambda count: None)
    ]
    np.testing.assert_array_equal(np.concatenate(outputs), predict_shard(shard, SYMMETRIES, 8)[1][0])
    assert max(sizes) <= max(batch_size, len(SYMMETRIES))


def test_only_the_named_cases_are_predicted_each_with_its_own_metadata_in_every_view(shard: Path) -> None:
    metadata = pd.DataFrame({"age": np.arange(7.0), "sex": 1.0}, index=name_index(NAMES[::-1]))
    requested_names = ["c5", "c1", "c2"]
    names, (_, outputs) = predict_shard(shard, SYMMETRIES, 16, names=requested_names, metadata=metadata)
    assert sorted(names) == sorted(requested_names)
    assert outputs.shape == (3, 8, 2)
    for name, rows in zip(names, outputs, strict=True):
        np.testing.assert_array_equal(rows, np.repeat([metadata.loc[name].to_numpy()], 8, axis=0))


def test_progress_counts_every_case_once(shard: Path) -> None:
    counts: list[int] = []
    for _ in predict_batches(corner, [shard], ("identity", "mirror"), 4, counts.append):
        pass
    assert counts == [2, 2, 2, 1]


def test_probability_and_spread_are_mean_and_deviation_over_the_views() -> None:
    predictions = ViewPredictions(["a"], log_odds([[0.2] * 4 + [0.4] * 4]), None, SYMMETRIES)
    assert predictions.table().loc["a"].tolist() == pytest.approx([0.3, 0.1])


def test_the_view_table_has_the_probability_by_each_view_under_its_name() -> None:
    views = ("identity", "zoom:1.2")
    table = ViewPredictions(["a", "b"], log_odds([[0.2, 0.4], [0.9, 0.5]]), None, views).view_table()
    assert list(table.columns) == list(views)
    assert table.loc["b"].tolist() == pytest.approx([0.9, 0.5])


def test_embeddings_are_a_table_of_float16_or_none() -> None:
    embeddings = np.array([[1.5, 2.0]])
    predictions = ViewPredictions(["a"], np.zeros((1, 1)), embeddings, ("identity",))
    expected = embedding_table(["a"], embeddings)
    pd.testing.assert_frame_equal(predictions.embedding_table(), expected)
    assert expected.columns.tolist() == ["e0000", "e0001"]
    assert set(expected.dtypes) == {np.dtype(np.float16)}
    assert ViewPredictions(["a"], np.zeros((1, 1)), None, ("identity",)).embedding_table() is None


def test_a_training_case_comes_from_its_fold_and_a_test_case_is_the_mean_per_view() -> None:
    cases = pd.DataFrame(
        {"role": ["train", "train", "test", "extra"], "fold": [0, 1, -1, -1]}, index=name_index([*"abte"])
    )
    views = ("identity", "mirror")
    folds = ({"a": [0.1, 0.2], "t": [0.5, 0.6]}, {"b": [0.3, 0.4], "t": [0.7, 0.2]})
    tables = [ViewPredictions(list(fold), log_odds(list(fold.values())), None, views).view_table() for fold in folds]
    table = merge_folds(cases, tables)
    assert table.index.tolist() == ["a", "b", "t"]
    np.testing.assert_allclose(table, [[0.1, 0.2], [0.3, 0.4], [0.6, 0.4]])


def test_a_case_without_a_prediction_by_its_fold_is_an_error_and_not_a_zero() -> None:
    cases = pd.DataFrame({"role": ["train", "train", "test"], "fold": [0, 1, -1]}, index=name_index([*"abt"]))
    tables = [ViewPredictions(names, np.zeros((2, 8)), None, SYMMETRIES).table() for names in (["a", "t"], ["x", "t"])]
    with pytest.raises(ValueError, match=r"1 case\(s\) have no prediction"):
        merge_folds(cases, tables)


def three_views(count: int = 400) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the probabilities of a good view, of a medium view with ties and of a view of noise, and the cases."""
    rng = np.random.default_rng(5)
    target = (rng.random(count) < 0.3).astype(float)
    index = name_index([f"c{number}" for number in range(count)])
    cases = pd.DataFrame({"role": "train", "fold": 0, "target": target}, index=index)
    cases.iloc[:20, 0], cases.iloc[:20, 2] = "test", np.nan
    noise = rng.normal(size=(count, 3))
    scores = {
        "identity": 0.5 + 0.1 * (target + noise[:, 0]),
        "mirror": np.round(0.5 + 0.1 * (target + 2 * noise[:, 1]), 1),
        "zoom:1.2": 0.5 + 0.1 * noise[:, 2],
    }
    return pd.DataFrame(scores, index=index), cases


def test_the_contribution_of_a_view_is_the_auc_with_it_minus_the_auc_without_it() -> None:
    views, cases = three_views()
    contributions = view_contributions(views, cases)
    train = cases.index[cases["role"] == "train"]
    target, scores = cases.loc[train, "target"], views.loc[train]
    mean = roc_auc_score(target, scores.mean(axis=1))
    assert contributions.index.tolist() == [*views.columns, ALL]
    for name in views:
        without = roc_auc_score(target, scores.drop(columns=name).mean(axis=1))
        expected = [roc_auc_score(target, scores[name]), without, mean - without]
        assert contributions.loc[name, ["alone", "without", "adds"]].tolist() == pytest.approx(expected)
    identity = roc_auc_score(target, scores["identity"])
    expected = pytest.approx([mean, identity, mean - identity])
    assert contributions.loc[ALL, ["alone", "without", "adds"]].tolist() == expected
    assert contributions["adds"].idxmax() == "identity"


def test_the_standard_error_of_a_contribution_agrees_with_the_bootstrap() -> None:
    views, cases = three_views()
    train = views[(cases["role"] == "train")]
    target = cases.loc[train.index, "target"].to_numpy()
    rng, gains = np.random.default_rng(2), []
    for _ in range(100):
        rows = rng.integers(0, len(train), len(train))
        mean = roc_auc_score(target[rows], train.iloc[rows].mean(axis=1))
        gains.append(mean - roc_auc_score(target[rows], train["identity"].iloc[rows]))
    assert view_contributions(views, cases).loc[ALL, "error"] == pytest.approx(np.std(gains), rel=0.25)


def test_a_single_view_has_an_auc_but_no_contribution() -> None:
    views, cases = three_views()
    contributions = view_contributions(views[["identity"]], cases)
    assert contributions.loc["identity", "alone"] > 0.6
    assert contributions.loc["identity", ["without", "adds", "error"]].isna().all()
    assert contributions.loc[ALL, "adds"] == 0


def test_the_contributions_of_a_finished_models_views_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    views, cases = three_views()
    run = Run(tmp_path)
    write_table(run.cases, cases)
    write_mark(run.cases_mark, {})
    write_table(run.level1 / "mine" / "views.parquet", views)
    print_view_contributions(run, "mine")
    output = capsys.readouterr().out
    assert all(name in output for name in (*views.columns, ALL))
    assert f"of the unchanged picture: {view_contributions(views, cases).loc[ALL, 'adds']:+.4f}" in output
