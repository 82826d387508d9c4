"""A data folder through a bundle: its cases read, predicted, and written as tables."""

from pathlib import Path

import pandas as pd

from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from level2_stack.foreign.read import read_foreign_predictions
from melstack.bundle.loading import Bundle
from melstack.bundle.predicted import Predicted
from runtime.errors import InputFault
from runtime.files import write_json, write_text
from runtime.progress import say
from runtime.tables import write_table


def predict_folder(
    folder: Path, data: Path, out: Path, mapping: Path | None, foreign: Path | None, *, threads: int | None = None
) -> None:
    """Predict the cases of ``data`` with the bundle in ``folder`` and write what it says to ``out``.

    ``foreign`` holds <network>/test.csv of the networks that the bundle does not hold. What is written:

    * submission.csv: image_name, target;
    * predictions.parquet (and .csv): what ``Predicted.table`` holds; networks/<name>.parquet: each network's table;
    * contributions.parquet; notices.json: the cases that are not like the training cases, and why.
    Raises InputFault as ``Bundle.load``, ``read_new_cases``, ``read_foreign_predictions`` and ``Bundle.predict`` do,
    and writes nothing then.
    """
    if out.exists() and not out.is_dir():
        raise InputFault(f"{out}: a file; give a folder for the tables")
    if foreign is not None and not foreign.is_dir():
        raise InputFault(f"{foreign}: no such folder of other networks' predictions")
    bundle, opened = Bundle.load(folder, threads=threads), DataFolder.open(data, mapping)
    cases = read_new_cases(opened)
    brought = {} if foreign is None else read_foreign_predictions(foreign, bundle.foreign, cases, opened.notes)
    for note in opened.notes:
        say(note)
    predicted = bundle.predict_checked(cases, _pictures(cases, data), brought)
    write_predicted(predicted, out)
    noticed = sum(bool(sentences) for sentences in predicted.notices.values())
    say(f"predicted: {len(cases)} cases of {cases['patient_id'].nunique()} patients, {out / 'submission.csv'}")
    if noticed:
        say(f"  {noticed} of them are unlike the training cases: {out / 'notices.json'}")


def write_predicted(predicted: Predicted, out: Path) -> None:
    """Write what a bundle said as tables into ``out``."""
    target = predicted.table["probability"].rename("target")
    write_text(out / "submission.csv", target.to_csv())
    write_text(out / "predictions.csv", predicted.table.to_csv())
    write_table(out / "predictions.parquet", predicted.table)
    for name, table in predicted.networks.items():
        write_table(out / "networks" / f"{name}.parquet", table)
    write_table(out / "contributions.parquet", predicted.contributions)
    write_json(out / "notices.json", {name: list(told) for name, told in predicted.notices.items() if told})


def _pictures(cases: pd.DataFrame, data: Path) -> dict[str, Path]:
    if "picture" not in cases:
        return {}
    return {str(name): data / str(picture) for name, picture in cases["picture"].items()}
