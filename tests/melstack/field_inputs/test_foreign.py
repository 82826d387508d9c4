"""Tests of the section "Predictions of other networks" of docs/field_inputs.md."""

from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from shutil import copytree

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from features.folder.layout import Request
from features.freeze_cases import freeze_cases
from level2_stack.foreign.bring import check_files, import_into_run
from runtime.errors import InputFault
from runtime.progress import forget_warnings, logging_to
from runtime.run_folder import Run
from tests.command_line import Output
from tests.features.small_clinic import small_clinic
from tests.melstack.field_inputs.foreign_inputs import (
    FOLDS,
    TRAIN,
    clinic,
    files,
    map_ids,
    map_scores,
    network,
    on_test,
    oof,
    rename,
    write,
    write_clinic,
)
from tests.melstack.field_inputs.situation import Situation, check, compare

Write = Callable[[Path], object]


def all_of(*writers: Write) -> Write:
    return lambda folder: [writer(folder) for writer in writers]


def array(values: np.ndarray, name: str = "oof.npy") -> Write:
    """Return a writer of a network whose out-of-fold file is an array."""
    return all_of(files("net/test.csv"), lambda folder: np.save(folder / "net" / name, values))


def logit(scores: pd.Series) -> pd.Series:
    return pd.Series(np.log(scores / (1 - scores)))


def with_folds(name: Callable[[int], str | float]) -> Write:
    """Return a writer of a network with a column fold; ``name`` makes a fold's name of its number."""
    return network(lambda table: table.assign(fold=[name(row // 2 % 4) for row in range(len(table))]), rename())


def file_per_fold(folder: Path) -> None:
    """Write a network with a file per fold; a patient's two rows are in the same fold."""
    for fold in range(FOLDS):
        table = oof()
        write(folder / "net" / f"oof_fold{fold}.csv", table[table.index // 2 % FOLDS == fold])
        write(folder / "net" / f"test_fold{fold}.csv", on_test())


def several(*names: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return a change of the column pred into several, each with a little noise."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        noise = np.random.default_rng(6).uniform(0.9, 1, (len(names), len(table)))
        columns = {name: table["pred"] * part for name, part in zip(names, noise, strict=True)}
        return table.drop(columns="pred").assign(**columns)

    return change


def edit_sample(text: str) -> Write:
    """Return a writer of the small clinic with another sample submission."""

    def write_sample(data: Path) -> None:
        small_clinic(data)
        (data / "sample_submission.csv").write_text(text)

    return write_sample


def cases(data: Path, run: Path) -> list[object]:
    return ["cases", "--data", data, "--run", run, "--folds", 2]


def stack(data: Path, run: Path) -> list[object]:
    return ["stack", "--data", write_clinic(run.parent / "clinic"), "--run", run, "--foreign", data, "--folds", FOLDS]


WRITERS: dict[str, Write] = {
    "flat_numbers": files("oof_1.csv", "sub_1.csv", "oof_2.csv", "sub_2.csv"),
    "flat_names": files("oof_b5.csv", "test_b5.csv"),
    "flat_name_first": files("b5_oof.csv", "b5_submission.csv"),
    "flat_train_preds": files("train_preds.csv", "test_preds.csv"),
    "flat_one_submission": files("oof_b5.csv", "submission.csv"),
    "flat_without_partner": files("oof_b5.csv", "oof_b6.csv", "submission.csv"),
    "file_submission": files("net/oof.csv", "net/submission.csv"),
    "file_sub": files("net/oof.csv", "net/sub.csv"),
    "file_preds": files("net/oof.csv", "net/preds.csv"),
    "file_two_submissions": files("net/oof.csv", "net/submission_v1.csv", "net/submission_v2.csv"),
    "file_other_name": files("net/oof.csv", "net/final_blend.csv"),
    "file_per_fold": file_per_fold,
    "format_parquet": files("net/oof.parquet", "net/test.parquet"),
    "format_feather": files("net/oof.feather", "net/test.feather"),
    "format_gz": files("net/oof.csv.gz", "net/test.csv.gz"),
    "format_mixed": files("net/oof.csv", "net/test.parquet"),
    "format_npy": files("net/oof.npy", "net/test.npy"),
    "format_npz": files("net/oof.npz", "net/test.csv"),
    "npy_other_length": array(np.full(TRAIN - 1, 0.5)),
    "npy_two_columns": array(np.full((TRAIN, 2), 0.5)),
    "npy_nine_columns": array(np.full((TRAIN, 9), 0.1)),
    "npy_objects": array(np.array([0.5, None] * (TRAIN // 2), dtype=object)),
    "npy_shuffled": array(np.random.default_rng(1).permutation(oof()["pred"])),
    "pickle": files("net/oof.pkl", "net/test.csv"),
    "pickle_flat": files("oof.pkl", "test.pkl"),
    "hidden_folders": all_of(
        files("net/oof.csv", "net/test.csv", "__MACOSX/net/._oof.csv", ".ipynb_checkpoints/oof.csv"),
        lambda folder: (folder / "weights").mkdir(),
    ),
    "one_folder_deeper": files("preds/net/oof.csv", "preds/net/test.csv"),
    "name_dashes": files("tf-efficientnet-b5-384/oof.csv", "tf-efficientnet-b5-384/test.csv"),
    "name_digit": files("01_b3/oof.csv", "01_b3/test.csv"),
    "name_blank": files("model 2/oof.csv", "model 2/test.csv"),
    "name_twice": files("b5-384/oof.csv", "b5-384/test.csv", "b5.384/oof.csv", "b5.384/test.csv"),
    "ids_jpg": network(map_ids("{}.jpg".format)),
    "ids_path": network(map_ids("jpeg/train/{}.JPG".format)),
    "ids_lower_case": network(map_ids(str.lower)),
    "ids_blanks": network(map_ids(" {} ".format)),
    "ids_other_column": network(rename(image_name="isic")),
    "ids_first_column": network(rename(image_name="")),
    "ids_row_numbers": network(lambda table: table.assign(image_name=range(len(table))), beside=False),
    "ids_row_numbers_only": network(lambda table: table[["pred"]].reset_index(), beside=False),
    "ids_row_numbers_from_1": network(lambda table: table.assign(image_name=range(1, len(table) + 1)), beside=False),
    "ids_external": network(
        lambda table: pd.concat(
            [table, table[:40].assign(image_name=[f"ISIC_{row}_downsampled" for row in range(40)])]
        ),
        rename(),
    ),
    "ids_of_other_cases": network(map_ids("ISIC_9{}".format), beside=False),
    "column_target_oof": network(
        lambda table: table.rename(columns={"pred": "target_oof"}).assign(target=targets(table)), rename(pred="target")
    ),
    "column_other": network(rename(pred="b5_384")),
    "column_malignant": network(rename(pred="malignant")),
    "column_of_nine": network(lambda table: several("NV", "BCC", "MEL")(table)),
    "columns_two": network(several("b5", "b6"), beside=False),
    "columns_of_folds": network(rename(), several("fold_0", "fold_1", "fold_2")),
    "columns_of_models": network(rename(), several("pred_0", "pred_1")),
    "columns_of_views": network(several("tta_0", "tta_1")),
    "columns_of_folds_in_oof": network(several("fold_0", "fold_1"), rename(), beside=False),
    "folds_named": with_folds("fold{}".format),
    "folds_letters": with_folds("abcd".__getitem__),
    "folds_from_1": with_folds(lambda fold: float(fold + 1)),
    "cells_list": network(map_scores(lambda scores: scores.map("[{}]".format))),
    "cells_tensor": network(map_scores(lambda scores: scores.map("tensor({:.4f}, device='cuda:0')".format))),
    "cells_percent_sign": network(map_scores(lambda scores: (100 * scores).map("{:.2f}%".format))),
    "cells_decimal_comma": network(map_scores(lambda scores: scores.map("{:.5f}".format).str.replace(".", ","))),
    "cells_two_numbers": network(map_scores(lambda scores: scores.map("[0.5, {}]".format)), beside=False),
    "scale_float16": network(map_scores(lambda scores: scores.astype(np.float16))),
    "scale_logits": network(map_scores(logit)),
    "scale_percent": network(map_scores(lambda scores: 100 * scores)),
    "scale_ranks_whole": network(map_scores(lambda scores: scores.rank())),
    "scale_ranks": network(map_scores(lambda scores: scores.rank(pct=True))),
    "scale_sum_of_folds": network(rename(), map_scores(lambda scores: 5 * scores)),
    "scale_standard": network(map_scores(lambda scores: (scores - scores.mean()) / scores.std()), beside=False),
    "scale_logits_in_oof": network(map_scores(logit), rename(), beside=False),
    "scale_benign": network(map_scores(lambda scores: 1 - scores), beside=False),
    "rows_of_two_folds": network(
        lambda table: table[~table["image_name"].isin(fold_ids(0, 1))], rename(), beside=False
    ),
    "rows_half": network(lambda table: table[::2], rename(), beside=False),
    "rows_shuffled": network(
        rename(), map_scores(lambda scores: np.random.default_rng(3).permutation(scores)), beside=False
    ),
    "rows_shuffled_alike": all_of(
        lambda folder: write(folder / "a" / "oof.csv", oof()),
        lambda folder: write(folder / "b" / "oof.csv", oof(2)),
        lambda folder: write(folder / "a" / "test.csv", shuffle(on_test())),
        lambda folder: write(folder / "b" / "test.csv", shuffle(on_test(2))),
    ),
    "rows_without_hard_cases": network(
        lambda table: table.drop(table.loc[targets(table) == 1, "pred"].nsmallest(12).index), rename()
    ),
    "network_twice": files("a/oof.csv", "a/test.csv", "b/oof.csv", "b/test.csv"),
    "test_of_another_network": network(rename(), lambda table: on_test(2)),
    "views_with_diagnosis": network(
        lambda table: table.assign(tta0=0.9 * table["pred"], tta1=table["pred"] * np.where(targets(table), 1.5, 1.1)),
        rename(),
        beside=False,
    ),
    "rows_of_training": network(
        lambda table: table.assign(pred=expit(3.5 * targets(table) - 3 + np.random.default_rng(6).normal(size=TRAIN))),
        rename(),
    ),
}


def shuffle(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(pred=np.random.default_rng(3).permutation(table["pred"]))


SAMPLES = {
    "sample_subset": Situation(edit_sample("image_name,target\nt2,0\n"), cases),
    "sample_subset_first": Situation(edit_sample("image_name,target\nt1,0\n"), cases),
    "sample_subset_isic_id": Situation(edit_sample("isic_id,target\nt1,0\n"), cases),
}


def targets(table: pd.DataFrame) -> np.ndarray:
    return clinic().set_index("image_name")["target"].reindex(table["image_name"]).to_numpy()


def fold_ids(*folds: int) -> list[str]:
    """Return the train cases in ``folds`` of the run."""
    cases = RUN["run"].read_cases()
    return list(cases.index[cases["fold"].isin(folds)])


SITUATIONS = {name: Situation(writer, stack) for name, writer in WRITERS.items()} | SAMPLES
RUN: dict[str, Run] = {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run with the clinic's cases."""
    folder = tmp_path_factory.mktemp("clinic")
    RUN["run"] = run = Run(folder / "run")
    freeze_cases(run, Request(write_clinic(folder / "data"), folds=FOLDS))
    return run


def run_import(writer: Write, run: Run, folder: Path) -> Output:
    """Return what `stack` prints of the folder's first check and of its import; details are in the log only."""
    writer(folder / "data")
    copy, out = Run(copytree(run.folder, folder / "run")), StringIO()
    forget_warnings()
    with redirect_stdout(out), logging_to(copy.folder, "test"):
        try:
            check_files(folder / "data", [])
            import_into_run(copy, folder / "data", [])
        except InputFault as fault:
            return Output(2, out.getvalue(), str(fault))
    return Output(0, out.getvalue(), "")


@pytest.mark.parametrize("name", WRITERS)
def test_predictions_are_read_as_they_were_meant(name: str, run: Run, tmp_path: Path) -> None:
    compare(name, run_import(WRITERS[name], run, tmp_path))


@pytest.mark.parametrize("name", [*SAMPLES, "one_folder_deeper", "columns_two", "pickle_flat"])
def test_the_command_itself_says_it(name: str, tmp_path: Path) -> None:
    check(name, SITUATIONS, tmp_path)


def test_a_row_order_that_nothing_confirms_is_the_last_warning_of_the_command(tmp_path: Path) -> None:
    (tmp_path / "quick.toml").write_text('seeds = 1\nlearners = ["logistic", "rank_mean"]\nblend = ["logistic"]\n')
    words = lambda data, run: [*stack(data, run), "--recipe", tmp_path / "quick.toml"]  # noqa: E731
    output = check("rows_shuffled", {"rows_shuffled": Situation(WRITERS["rows_shuffled"], words)}, tmp_path)
    assert output.out.count("warning: net: [row-order-unconfirmed] the row order of test.csv cannot be confirmed") == 2
    assert "cannot be confirmed" in output.out.partition("AUC to quote")[2]
