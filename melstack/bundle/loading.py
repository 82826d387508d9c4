"""A loaded bundle: it predicts new cases from their pictures and their patients' metadata."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from features.cases.new_cases import check_new_cases
from features.pictures.scan import ScanResult
from features.ugly_ducklings import duckling_distance, ugly_ducklings
from level1_cnn.portable.network import PortableNetwork
from level2_stack.portable.stack import PortableStack, read_portable_stack
from level2_stack.thresholds.operating_point import FILE as THRESHOLDS
from level2_stack.thresholds.operating_point import OperatingPoint, read_operating_points
from melstack.bundle.case_rows import build_blocks, design_rows, match_training_columns, probability_table
from melstack.bundle.manifest import CARD, NETWORKS, STACK, Manifest, bundle_digest, read_manifest
from melstack.bundle.novelty import Novelty, describe_differences, read_novelty
from melstack.bundle.predictions import Predictions
from melstack.bundle.run_networks import PictureResults, attention_maps, run_networks, scan_cases, square_sizes
from melstack.report.column_words import ColumnWords
from runtime.errors import InputFault, list_names
from runtime.invocation import option


class Bundle:
    """The bundle that ``submission`` writes for a run, ready to predict; it may be used by several threads at once."""

    def __init__(self, folder: Path, manifest: Manifest, threads: int | None) -> None:
        self.folder, self.manifest = folder, manifest
        own = [entry.name for entry in manifest.networks if not entry.foreign]
        self._networks = {name: PortableNetwork(folder / NETWORKS / name, threads=threads) for name in own}
        self._stack: PortableStack = read_portable_stack(folder / STACK)

    @classmethod
    def load(cls, folder: Path, *, threads: int | None = None) -> "Bundle":
        """Return the bundle in ``folder`` after checking every file's digest; no file is executed or unpickled.

        Each network uses ``threads`` threads; None: one per core. Raises InputFault when ``folder`` is not a bundle or
        a file of the bundle is damaged.
        """
        folder = Path(folder)
        return cls(folder, read_manifest(folder), threads)

    @property
    def name(self) -> str:
        """The name of the run that the bundle comes from."""
        return self.manifest.run

    @cached_property
    def card(self) -> str:
        """The model card in Markdown."""
        return (self.folder / CARD).read_text(encoding="utf-8")

    @cached_property
    def facts(self) -> Mapping[str, object]:
        """Facts of the model: auc, auc_low, auc_high (out-of-fold), prevalence, networks, versions, digest."""
        networks = [entry.name for entry in self.manifest.networks]
        origin = {"run": self.manifest.run, "networks": networks, "versions": self.manifest.versions}
        return {**self.manifest.facts, **origin, "digest": bundle_digest(self.folder)}

    @cached_property
    def words(self) -> ColumnWords:
        """The words for its networks and columns."""
        return ColumnWords({entry.name: entry.words for entry in self.manifest.networks if entry.words})

    @cached_property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """The thresholds that were frozen when the stack was made; none in a bundle of an older version."""
        return read_operating_points(self.folder / THRESHOLDS)

    def check_networks(self) -> None:
        """Open every network, which ``predict`` does at its first call; raise InputFault for a damaged one."""
        for network in self._networks.values():
            network.open()

    @property
    def foreign_networks(self) -> list[str]:
        """The networks that the bundle lacks: the caller passes their predictions."""
        return [entry.name for entry in self.manifest.networks if entry.foreign]

    def predict(
        self,
        cases: pd.DataFrame,
        pictures: Mapping[str, Path],
        foreign: Mapping[str, pd.DataFrame] | None = None,
    ) -> Predictions:
        """Return the predictions for ``cases``; cases with the same patient_id are compared with each other.

        ``cases`` has the index image_name, the column patient_id (without it every case is a patient of its own) and,
        where known, the metadata of the training cases (sex, age_approx in years, anatom_site_general_challenge);
        ``pictures`` has one file per case. ``foreign`` has, for every network that the bundle lacks, a table with the
        column probability and optionally spread. The cases are checked and repaired as training cases are; the
        repairs are listed in ``notes`` of the result. Raises InputFault that lists every unreadable picture, every
        invalid value and every missing prediction.
        """
        notes = list[str]()
        valid = check_new_cases(cases, list(self.manifest.metadata), pictures, notes)
        return replace(self.predict_valid_cases(valid, pictures, foreign), notes=notes)

    def predict_valid_cases(
        self,
        cases: pd.DataFrame,
        pictures: Mapping[str, Path],
        foreign: Mapping[str, pd.DataFrame] | None = None,
    ) -> Predictions:
        """Return the predictions for cases that ``read_new_cases`` has checked; all else is as in ``predict``."""
        rows = match_training_columns(cases, self.manifest.metadata)
        foreign_tables = self._foreign_tables(rows, foreign or {})  # before any picture is decoded
        return self._predict(rows, scan_cases(self._networks, rows, pictures), foreign_tables)

    @property
    def square_sizes(self) -> list[int]:
        """The sides in px of the squares that the networks read."""
        return square_sizes(self._networks)

    def predict_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Predictions:
        """Return the predictions for ``cases``, whose pictures the caller decoded; all else is as in ``predict``.

        ``scan_results`` has one per case, in their order, with squares of ``square_sizes`` and statistics; ``cases``
        has the columns width, height and file_bytes of the pictures too.
        """
        notes = list[str]()
        valid = check_new_cases(cases, list(self.manifest.metadata), {}, notes)
        rows = match_training_columns(valid, self.manifest.metadata)
        return replace(self._predict(rows, iter(scan_results), self._foreign_tables(rows, {})), notes=notes)

    def _predict(
        self, rows: pd.DataFrame, scan_results: Iterator[ScanResult] | None, foreign_tables: dict[str, pd.DataFrame]
    ) -> Predictions:
        results = run_networks(self._networks, rows, scan_results)
        tables = results.mean_tables() | foreign_tables
        blocks = build_blocks(self.manifest.blocks, rows, results.statistics, results.embeddings)
        by_fold = [results.fold_tables(fold) | foreign_tables for fold in range(self._stack.folds)]
        X, *X_by_fold = self._designs(rows, [tables, *by_fold], blocks)
        probability, split, fold_probabilities = self._stack.explain(X, X_by_fold)
        table = _table(rows, probability, fold_probabilities)
        unusual = self._unusual(results, len(rows))
        table = table.assign(unusual=unusual, ugly_duckling=self._ugly_ducklings(rows, blocks))
        decisions = {
            point.column: point.is_malignant(table["probability"].to_numpy(np.float64))
            for point in self.operating_points
        }
        table = table.assign(**decisions)
        contributions = pd.DataFrame(split.parts, index=rows.index, columns=X.columns).assign(base=split.base)
        notices = describe_differences(rows, self.manifest.metadata, unusual.tolist())
        networks = {name: scores.loc[rows.index] for name, scores in tables.items()}
        nearest = pd.Series(self._nearest(results, len(rows)), index=rows.index)
        return Predictions(table, networks, contributions, notices, inputs=X, nearest=nearest)

    def attention(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Mapping[str, np.ndarray]:
        """Return image_name -> attention map, float32 (rows, columns), 0 to 1: high where the networks see melanoma.

        The map covers the square picture. The result is empty if the bundle has no network.
        """
        valid = check_new_cases(cases, list(self.manifest.metadata), pictures, [])
        rows = match_training_columns(valid, self.manifest.metadata)
        return attention_maps(
            self._networks, rows, list(scan_cases(self._networks, rows, pictures, measure=False) or ())
        )

    def attention_of_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Mapping[str, np.ndarray]:
        """Return the maps of ``attention`` for pictures that the caller decoded, as for ``predict_scans``."""
        valid = check_new_cases(cases, list(self.manifest.metadata), {}, [])
        return attention_maps(self._networks, match_training_columns(valid, self.manifest.metadata), list(scan_results))

    def _designs(
        self, rows: pd.DataFrame, tables: Sequence[Mapping[str, pd.DataFrame]], blocks: Mapping[str, pd.DataFrame]
    ) -> list[pd.DataFrame]:
        """Return a design of ``rows`` for each of ``tables``, the networks' predictions.

        They are made in one step, as the rows of different patients: most of the time of a step does not depend on the
        number of rows, and the page answers for one lesion.
        """
        numbers, cases = range(len(tables)), rows.index
        names, patients = (
            [f"{name} {number}" for number in numbers for name in each] for each in (cases, rows["patient_id"])
        )
        copies = pd.concat([rows] * len(tables)).set_axis(names).assign(patient_id=patients)
        networks = {name: pd.concat([each[name].loc[cases] for each in tables]).set_axis(names) for name in tables[0]}
        features = {name: pd.concat([block.loc[cases]] * len(tables)).set_axis(names) for name, block in blocks.items()}
        design = self._stack.design(design_rows(copies, networks, features, self.manifest.contrasts))
        starts = [number * len(rows) for number in numbers]
        return [design.iloc[start : start + len(rows)].set_axis(cases) for start in starts]

    def _unusual(self, results: PictureResults, count: int) -> np.ndarray:
        name = self.manifest.reference
        if name is None or self._novelty is None:
            return np.full(count, np.nan)
        return self._novelty.unusual(results.outputs[name].embeddings)

    @property
    def typical_distance(self) -> float:
        """The median distance of a training picture to the nearest one of another patient; NaN without a network."""
        return float("nan") if self._novelty is None else self._novelty.typical_distance

    def _nearest(self, results: PictureResults, count: int) -> np.ndarray:
        name = self.manifest.reference
        if name is None or self._novelty is None:
            return np.full(count, np.nan)
        return self._novelty.nearest(results.outputs[name].embeddings)

    def _ugly_ducklings(self, rows: pd.DataFrame, blocks: Mapping[str, pd.DataFrame]) -> pd.Series:
        if self.manifest.ugly_limit is None or "ugly_duckling" not in blocks:
            return pd.Series(False, index=rows.index)
        distance = duckling_distance(blocks["ugly_duckling"])
        return ugly_ducklings(distance, rows["patient_id"], self.manifest.ugly_limit)

    @cached_property
    def _novelty(self) -> Novelty | None:
        return None if self.manifest.reference is None else read_novelty(self.folder)

    def _foreign_tables(self, rows: pd.DataFrame, foreign: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
        missing = [name for name in self.foreign_networks if name not in foreign]
        if missing:
            raise InputFault(
                f"{self.folder}: the stack uses networks whose predictions were read from tables: "
                f"{list_names(missing)}; pass their predictions for the new cases as <network>/test.csv "
                f"({option('foreign', 'folder')})"
            )
        return {name: probability_table(name, foreign[name], rows.index) for name in self.foreign_networks}


def _table(rows: pd.DataFrame, probability: np.ndarray, by_fold: np.ndarray) -> pd.DataFrame:
    values = pd.Series(probability, index=rows.index)
    patients = values.groupby(rows["patient_id"])
    # Rounding may put the mean beyond the extremes in the last digit; low and high must enclose it.
    return pd.DataFrame(
        {
            "probability": values,
            "low": np.minimum(by_fold.min(axis=0), probability),
            "high": np.maximum(by_fold.max(axis=0), probability),
            "rank": patients.rank(method="min", ascending=False).astype(int),
            "pictures": patients.transform("size"),
        }
    )
