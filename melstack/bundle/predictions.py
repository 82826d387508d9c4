"""The predictions of a bundle, and what the page and the commands require of a loaded bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.pictures.scan import ScanResult
from level2_stack.thresholds.operating_point import OperatingPoint
from melstack.report.column_words import ColumnWords


@dataclass(frozen=True)
class Predictions:
    """The predictions of a bundle for n cases; every table is indexed by image_name, in the order of the cases.

    ``table`` has the columns probability; low and high (minimum and maximum of the fold models' own probabilities);
    rank (1: the highest of the patient) and pictures (number of the patient's pictures among these cases); unusual
    (0 to 1: share of the training pictures that have a nearer neighbour of another patient than this picture has; NaN
    if the bundle has no network); ugly_duckling (whether the distance to the patient's other pictures among these cases
    exceeds that of 95 % of the run's lesions); and a column per operating point of the bundle, ``malignant_at_...``:
    whether the probability is at or above its threshold.
    ``networks``: per network, probability and spread over its views.
    ``contributions``: what each column of level two, and base, adds to the log odds; a row sums to those of the case.
    ``notices``: per case, sentences that say how it differs from the training cases; empty for most cases.
    ``notes``: one sentence per repair of the cases' values, and per column that is missing.
    ``inputs``: the columns of level two for the cases, as the stack's models read them.
    ``nearest``: the distance of every picture to the nearest training picture; NaN if the bundle has no network.
    """

    table: pd.DataFrame
    networks: Mapping[str, pd.DataFrame]
    contributions: pd.DataFrame
    notices: Mapping[str, Sequence[str]]
    notes: Sequence[str] = ()
    inputs: pd.DataFrame = field(default_factory=pd.DataFrame)
    nearest: pd.Series = field(default_factory=lambda: pd.Series(dtype=float))

    def of_rows(self, rows: NDArray[np.bool_]) -> "Predictions":
        """Return the predictions of the cases where ``rows`` (n,) is True."""
        return replace(
            self,
            table=self.table[rows],
            networks={name: table[rows] for name, table in self.networks.items()},
            contributions=self.contributions[rows],
            notices={str(name): self.notices[str(name)] for name in self.table.index[rows]},
            inputs=self.inputs[rows],
            nearest=self.nearest[rows],
        )


class Predictor(Protocol):
    """The part of a loaded bundle that the page and the commands use."""

    @property
    def name(self) -> str:
        """The name of the run that the bundle comes from."""

    @property
    def card(self) -> str:
        """The model card in Markdown."""

    @property
    def facts(self) -> Mapping[str, object]:
        """Facts of the model: auc, auc_low, auc_high (out-of-fold), prevalence, networks, versions, digest."""

    @property
    def words(self) -> ColumnWords:
        """The words for its networks and columns."""

    @property
    def operating_points(self) -> Sequence[OperatingPoint]:
        """The thresholds that were frozen when the stack was made; none in a bundle of an older version."""

    @property
    def square_sizes(self) -> Sequence[int]:
        """The sides in px of the squares that it needs of every picture."""

    def predict_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Predictions:
        """Return the predictions for ``cases``; cases with the same patient_id are compared with each other.

        ``cases`` has the index image_name and the columns patient_id, width, height, file_bytes and, where known, sex
        ("male", "female"), age_approx (years) and anatom_site_general_challenge; ``scan_results`` has one per case, in
        their order, with squares of ``square_sizes`` px and statistics. Raises InputFault that lists every invalid
        value.
        """

    def attention_of_scans(self, cases: pd.DataFrame, scan_results: Sequence[ScanResult]) -> Mapping[str, np.ndarray]:
        """Return image_name -> attention map, float32 (rows, columns), 0 to 1: high where the networks see melanoma.

        The map covers the square picture; ``scan_results`` as in ``predict_scans``, without statistics.
        """
