"""A bundle, loaded: it predicts new cases from their pictures and what is known of the patients."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.new_cases import check_new_cases
from features.ugly_ducklings import duckling_distance, ugly_ducklings
from level1_cnn.portable.network import PortableNetwork
from level2_stack.portable.stack import PortableStack, read_portable_stack
from melstack.bundle.case_rows import blocks_of, match_training_columns, rows_of
from melstack.bundle.manifest import CARD, NETWORKS, STACK, Manifest, bundle_digest, read_manifest
from melstack.bundle.novelty import Novelty, notices, read_novelty
from melstack.bundle.predicted import Predicted
from melstack.bundle.run_networks import Seen, heat, see
from runtime.errors import InputFault, list_names


class Bundle:
    """The folder that a run's ``make submission`` leaves, ready to predict; safe to use from several threads."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None) -> None:
        self.folder, self.manifest = folder, manifest
        own = [entry.name for entry in manifest.networks if not entry.foreign]
        self._networks = {name: PortableNetwork(folder / NETWORKS / name, threads=threads) for name in own}
        self._stack: PortableStack = read_portable_stack(folder / STACK)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> "Bundle":
        """Return the bundle in ``folder`` after checking every file's digest; nothing in it is executed or unpickled.

        ``threads`` per network; None uses every core. Raises InputFault for a folder that is no bundle, or a damaged
        one.
        """
        folder = Path(folder)
        return cls(folder, read_manifest(folder), threads)

    @property
    def name(self) -> str:
        """The name of the run that the bundle was made of."""
        return self.manifest.run

    @cached_property
    def card(self) -> str:
        """The model card, Markdown."""
        return (self.folder / CARD).read_text(encoding="utf-8")

    @cached_property
    def facts(self) -> Mapping[str, object]:
        """What is known of the model: auc, auc_low, auc_high out of fold, prevalence, networks, versions, digest."""
        networks = [entry.name for entry in self.manifest.networks]
        told = {"run": self.manifest.run, "networks": networks, "versions": self.manifest.versions}
        return {**self.manifest.facts, **told, "digest": bundle_digest(self.folder)}

    @property
    def foreign(self) -> list[str]:
        """The networks whose predictions must be brought along."""
        return [entry.name for entry in self.manifest.networks if entry.foreign]

    def predict(
        self,
        cases: pd.DataFrame,
        pictures: Mapping[str, Path],
        foreign: Mapping[str, pd.DataFrame] | None = None,
    ) -> Predicted:
        """Return what the bundle says of ``cases``, which are compared within their column patient_id.

        Index image_name; columns patient_id (without it every case is a patient of its own) and, as far as known, the
        metadata of the training cases (sex, age_approx in years, anatom_site_general_challenge); ``pictures`` has a
        file per case. They are checked as training cases are; what was repaired is told in the answer's ``notes``.
        ``foreign`` has a table with the column probability, and spread if it is known, for every network that the
        bundle does not hold. Raises InputFault that names every picture that cannot be read, every value that cannot
        be used and every prediction that is missing.
        """
        notes = list[str]()
        checked = check_new_cases(cases, list(self.manifest.metadata), pictures, notes)
        return replace(self.predict_checked(checked, pictures, foreign), notes=notes)

    def predict_checked(
        self,
        cases: pd.DataFrame,
        pictures: Mapping[str, Path],
        foreign: Mapping[str, pd.DataFrame] | None = None,
    ) -> Predicted:
        """Return what ``predict`` does of cases that ``read_new_cases`` has read, and so checked; raise as it does."""
        rows = match_training_columns(cases, self.manifest.metadata)
        given = self._foreign_tables(rows, foreign or {})
        seen = see(self._networks, rows, pictures)
        tables = seen.mean_tables() | given
        features = blocks_of(self.manifest.blocks, rows, seen.statistics, seen.embeddings)
        X = self._design(rows, tables, features)
        by_fold, split = self._stack.explain(X)
        table = _table(rows, by_fold.mean(axis=0), self._alone(rows, seen, given, features))
        table = table.assign(unusual=self._unusual(seen, len(rows)), ugly_duckling=self._ugly(rows, features))
        parts = pd.DataFrame(split.parts, index=rows.index, columns=X.columns).assign(base=split.base)
        told = notices(rows, self.manifest.metadata, table["unusual"].tolist())
        return Predicted(table, {name: one.loc[rows.index] for name, one in tables.items()}, parts, told)

    def attention(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Mapping[str, np.ndarray]:
        """Return per case where the networks see melanoma, float32 (rows, columns), 0 to 1, over the square picture.

        It is empty where the bundle holds no network.
        """
        checked = check_new_cases(cases, list(self.manifest.metadata), pictures, [])
        return heat(self._networks, match_training_columns(checked, self.manifest.metadata), pictures)

    def _design(
        self, rows: pd.DataFrame, tables: Mapping[str, pd.DataFrame], features: Mapping[str, pd.DataFrame]
    ) -> pd.DataFrame:
        return self._stack.design(rows_of(rows, tables, features, self.manifest.contrasts))

    def _alone(
        self, rows: pd.DataFrame, seen: Seen, given: Mapping[str, pd.DataFrame], features: Mapping[str, pd.DataFrame]
    ) -> np.ndarray:
        """Return the probability by each fold's networks and models alone, (folds, n)."""
        found = []
        for fold in range(self._stack.folds):
            X = self._design(rows, seen.fold_tables(fold) | dict(given), features)
            found.append(self._stack.probability_of_fold(X, fold))
        return np.stack(found)

    def _unusual(self, seen: Seen, count: int) -> np.ndarray:
        name = self.manifest.reference
        if name is None or self._novelty is None:
            return np.full(count, np.nan)
        return self._novelty.unusual(seen.outputs[name].embeddings)

    def _ugly(self, rows: pd.DataFrame, features: Mapping[str, pd.DataFrame]) -> pd.Series:
        if self.manifest.ugly_limit is None or "ugly_duckling" not in features:
            return pd.Series(False, index=rows.index)
        distance = duckling_distance(features["ugly_duckling"])
        return ugly_ducklings(distance, rows["patient_id"], self.manifest.ugly_limit)

    @cached_property
    def _novelty(self) -> Novelty | None:
        return None if self.manifest.reference is None else read_novelty(self.folder)

    def _foreign_tables(self, rows: pd.DataFrame, given: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        lacking = [name for name in self.foreign if name not in given]
        if lacking:
            raise InputFault(
                f"{self.folder}: the stack was made with foreign networks: their predictions are needed as well: "
                f"{list_names(lacking)} (FOREIGN=folder with <network>/test.csv)"
            )
        tables = {}
        for name in self.foreign:
            absent = rows.index.difference(given[name].index)
            if len(absent):
                raise InputFault(f"foreign network {name}: no prediction for {list_names(absent)} of {len(rows)} cases")
            table = given[name].reindex(rows.index).reindex(columns=["probability", "spread"])
            tables[name] = table.apply(pd.to_numeric, errors="coerce").astype(np.float64)
            wrong = rows.index[~tables[name]["probability"].between(0, 1)]
            if len(wrong):
                raise InputFault(f"foreign network {name}: no probability from 0 to 1 for {list_names(wrong)}")
        return tables


def _table(rows: pd.DataFrame, probability: np.ndarray, by_fold: np.ndarray) -> pd.DataFrame:
    value = pd.Series(probability, index=rows.index)
    patients = value.groupby(rows["patient_id"])
    # By clipping the mean lies within its own limits, whatever the last digit.
    return pd.DataFrame(
        {
            "probability": value,
            "low": np.minimum(by_fold.min(axis=0), probability),
            "high": np.maximum(by_fold.max(axis=0), probability),
            "rank": patients.rank(method="min", ascending=False).astype(int),
            "pictures": patients.transform("size"),
        }
    )
