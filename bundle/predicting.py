"""A data folder through a bundle: its cases read, predicted, and written as tables."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from bundle.loading import Bundle
from bundle.predicted import Predicted
from features.faults import InputFault
from features.files import write_json, write_text
from features.layout import id_column, read_csv
from features.new_cases import read_new_cases
from features.progress import say
from features.tables import write_table


def predict_folder(
    folder: Path, data: Path, out: Path, mapping: Path | None, foreign: Path | None, *, threads: int | None = None
) -> None:
    """Predict the cases of ``data`` with the bundle in ``folder`` and write what it says to ``out``.

    * submission.csv: image_name, target;
    * predictions.parquet (and .csv): what ``Predicted.table`` holds; networks/<name>.parquet: each network's table;
    * contributions.parquet; notices.json: the cases that are not like the training cases, and why.
    Raises InputFault as ``Bundle.load``, ``read_new_cases`` and ``Bundle.predict`` do; nothing is written then.
    """
    bundle, notes = Bundle.load(folder, threads=threads), list[str]()
    cases = read_new_cases(data, mapping, notes)
    for note in notes:
        say(note)
    predicted = bundle.predict(cases, _pictures(cases, data), _foreign(foreign, bundle.foreign))
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


def _foreign(folder: Path | None, names: list[str]) -> Mapping[str, pd.DataFrame]:
    if folder is None:
        return {}
    tables = {}
    for name in names:
        table = read_csv(folder / name / "test.csv", "image_name")
        table = table.rename(columns={id_column(table.columns): "image_name"})
        lacking = [column for column in ("image_name", "pred") if column not in table]
        if lacking:
            raise InputFault(f"{folder / name / 'test.csv'}: no column {', '.join(lacking)}")
        tables[name] = table.set_index("image_name").rename(columns={"pred": "probability"})
    return tables
