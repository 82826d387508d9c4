"""What a bundle says of some cases, and what it takes to say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Predicted:
    """What a bundle says of n cases; every table is indexed by image_name, in the order of the cases.

    ``table``: probability; low and high (the least and the largest of the fold models' own probabilities); rank (1 is
    the patient's highest) and pictures (how many the patient has here); unusual (0 to 1: the share of training pictures
    that are nearer to other patients' pictures than this one is to any; NaN where no network of the bundle tells);
    ugly_duckling (whether it stands farther from the patient's other pictures here than 95 % of the run's lesions do).
    ``networks``: per network probability and spread over its views.
    ``contributions``: what each column of level two adds to the log odds of the probability, and base; they add up.
    ``notices``: per case the sentences that say why it is not like the training cases; empty for most.
    ``notes``: what was repaired in the cases, or taken as not known.
    """

    table: pd.DataFrame
    networks: Mapping[str, pd.DataFrame]
    contributions: pd.DataFrame
    notices: Mapping[str, Sequence[str]]
    notes: Sequence[str] = ()


class Predictor(Protocol):
    """What the page and the commands need of a loaded bundle."""

    @property
    def name(self) -> str:
        """The name of the run that the bundle was made of."""

    @property
    def card(self) -> str:
        """The model card, Markdown."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What is known of the model: auc, auc_low, auc_high (out of fold), prevalence, networks, versions, digest."""

    def predict(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Predicted:
        """Return what the bundle says of ``cases``, which are compared within their column patient_id.

        Index image_name; columns patient_id, and as far as known sex ("male", "female"), age_approx (years) and
        anatom_site_general_challenge; ``pictures`` has a file per case. Raises InputFault that names every picture that
        cannot be read and every value that cannot be used.
        """

    def attention(self, cases: pd.DataFrame, pictures: Mapping[str, Path]) -> Mapping[str, np.ndarray]:
        """Return per case where the networks see melanoma, float32 (rows, columns), 0 to 1, over the square picture."""
