"""Predict a data folder with a bundle: read its cases, predict them, write the tables."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from features.cases.attach_pictures import picture_paths
from features.cases.new_cases import read_new_cases
from features.folder.data_folder import DataFolder
from level2_stack.foreign.read import read_foreign_predictions
from melstack.bundle.loading import Bundle
from melstack.bundle.predictions import Predictions
from runtime.errors import InputFault
from runtime.files import check_writable, write_json, write_text
from runtime.invocation import command
from runtime.plural import number_of
from runtime.progress import say
from runtime.tables import write_table


def predict_folder(
    folder: Path, data: Path, out: Path, mapping: Path | None, foreign: Path | None, *, threads: int | None = None
) -> None:
    """Predict the cases of ``data`` with the bundle in ``folder`` and write the tables into ``out``.

    ``foreign`` holds <network>/test.csv of the networks that the bundle lacks. The tables:

    * submission.csv: image_name, target;
    * predictions.parquet (and .csv): ``Predictions.table``; networks/<name>.parquet: the scores of each network;
    * contributions.parquet; notices.json: the cases that are unlike the training cases, and why.

    Raises InputFault, before it writes anything, as ``Bundle.load``, ``read_new_cases``, ``read_foreign_predictions``
    and ``Bundle.predict`` do.
    """
    check_writable(out)
    check_foreign_folder(foreign)
    data_folder, bundle = DataFolder.open(data, mapping), Bundle.load(folder, threads=threads)
    cases = read_new_cases(data_folder, list(bundle.manifest.metadata))
    foreign_tables = {}
    if foreign is not None:
        foreign_tables = read_foreign_predictions(foreign, bundle.foreign_networks, cases, data_folder.notes)
    for note in data_folder.notes:
        say(note)
    predictions = bundle.predict_valid_cases(cases, picture_paths(cases, data), foreign_tables)
    write_predictions(predictions, out, data_folder.spellings)
    patients = number_of(cases["patient_id"].nunique(), "patient")
    say(f"predicted: {number_of(len(cases), 'case')} of {patients}, {out / 'submission.csv'}")
    for sentence in _decision_sentences(bundle, predictions.table):
        say(f"  {sentence}")
    unlike = sum(bool(sentences) for sentences in predictions.notices.values())
    if unlike:
        say(f"  {unlike} of them differ from the training cases: {out / 'notices.json'} says how")


def check_foreign_folder(foreign: Path | None) -> None:
    """Raise InputFault if ``foreign``, the folder of the networks that a bundle lacks, is named and is not there."""
    if foreign is not None and not foreign.is_dir():
        raise InputFault(f"{foreign}: no such folder; give the folder with <network>/test.csv of the other networks")


def write_predictions(predictions: Predictions, out: Path, spellings: Mapping[str, str] | None = None) -> None:
    """Write the predictions of a bundle as tables into ``out``.

    ``spellings``: image_name -> id in the user's table where it differs; submission.csv has the ids of the table.
    """
    target = predictions.table["probability"].rename("target").rename(index=dict(spellings or {}))
    write_text(out / "submission.csv", target.to_csv())
    write_text(out / "predictions.csv", predictions.table.to_csv())
    write_table(out / "predictions.parquet", predictions.table)
    for name, table in predictions.networks.items():
        write_table(out / "networks" / f"{name}.parquet", table)
    write_table(out / "contributions.parquet", predictions.contributions)
    notices = {name: list(sentences) for name, sentences in predictions.notices.items() if sentences}
    write_json(out / "notices.json", notices)


def _decision_sentences(bundle: Bundle, table: pd.DataFrame) -> Iterator[str]:
    """Yield a sentence per operating point: how many cases are predicted malignant."""
    if not bundle.operating_points:
        yield f"the bundle is of a version that froze no thresholds; {command('submission')} writes one with them"
    for point in bundle.operating_points:
        count = int(table[point.column].sum())
        yield f"{point.column}: {count} of {number_of(len(table), 'case')} at or above {point.threshold:.4g}"
