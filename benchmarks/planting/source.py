"""The tables in which a leak is planted: cases, and honest predictions of networks, from a folder or drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.stacking.networks import STEADY, draw_cases, train_level_one
from runtime.files import write_text

TABLE_COLUMNS = ("patient_id", "sex", "age_approx", "anatom_site_general_challenge")
DRAWN_TRAIN, DRAWN_TEST = 3000, 1000  # cases of the drawn clinic
PATIENTS = 700, 230  # training and test patients of a sample; the contest has 2,056 and 690


@dataclass(frozen=True)
class NetworkTables:
    """Predictions of a network: ``oof`` with the columns fold and pred, ``test`` with pred; indices: image_name."""

    oof: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Source:
    """A data folder and a folder of predictions, as tables.

    ``train`` and ``test`` have the index image_name and the columns of the contest, ``train`` also target (0/1).
    """

    train: pd.DataFrame
    test: pd.DataFrame
    networks: Mapping[str, NetworkTables]

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Write the tables under ``folder``; return the data folder and the folder of predictions."""
        data, predictions = folder / "data", folder / "predictions"
        data.mkdir(parents=True)
        names = [str(name) for name in self.train if name not in ("patient_id", "target")]
        write_text(
            data / "cases.toml", f"[columns]\nmetadata = {json.dumps(names)}\n"
        )  # every column, as if the user meant it
        self.train.to_csv(data / "train.csv", index_label="image_name")
        self.test.to_csv(data / "test.csv", index_label="image_name")
        for name, tables in self.networks.items():
            (predictions / name).mkdir(parents=True)
            tables.oof.to_csv(predictions / name / "oof.csv", index_label="image_name")
            tables.test.to_csv(predictions / name / "test.csv", index_label="image_name")
        return data, predictions


def draw_source(seed: int) -> Source:
    """Return a drawn clinic with the out-of-fold predictions of three models that generalise."""
    cohort, cases = draw_cases(DRAWN_TRAIN, DRAWN_TEST, seed)
    level_one = train_level_one(cohort, cases, STEADY, seed).out_of_fold()
    is_train = cases["role"] == "train"
    train = cases.loc[is_train, [*TABLE_COLUMNS, "target"]].astype({"target": int})
    test = cases.loc[~is_train, list(TABLE_COLUMNS)]
    networks = {}
    for name, table in level_one.items():
        oof = pd.DataFrame({"fold": cases.loc[is_train, "fold"], "pred": table.loc[is_train, "probability"]})
        networks[name] = NetworkTables(oof, table.loc[~is_train, ["probability"]].set_axis(["pred"], axis=1))
    return Source(train, test, networks)


def read_source(data: Path, predictions: Path, networks: list[str], seed: int) -> Source:
    """Return a random sample of the patients of the folder ``data``, with the predictions of ``networks``."""
    random = np.random.default_rng(seed)
    train, test = (pd.read_csv(data / f"{role}.csv", index_col="image_name") for role in ("train", "test"))
    train = _sample(train[[*TABLE_COLUMNS, "target"]], PATIENTS[0], random)
    test = _sample(test[list(TABLE_COLUMNS)], PATIENTS[1], random)
    tables = {}
    for name in networks:
        oof, on_test = (
            pd.read_csv(predictions / name / file, index_col="image_name") for file in ("oof.csv", "test.csv")
        )
        rows = train.index[train.index.isin(oof.index)]
        tables[name] = NetworkTables(oof.loc[rows, ["fold", "pred"]], on_test.loc[test.index, ["pred"]])
    return Source(train, test, tables)


def _sample(table: pd.DataFrame, count: int, random: np.random.Generator) -> pd.DataFrame:
    patients = table["patient_id"].unique()
    sample = random.choice(patients, min(count, len(patients)), replace=False)
    return table[table["patient_id"].isin(sample)]
