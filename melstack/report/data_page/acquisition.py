"""Test whether the way in which a picture was taken says whether it is malignant: shortcuts that a model may learn."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from features.blocks.metadata import ACQUISITION
from level2_stack.evaluation.intervals import wilson
from melstack.report.column_words import bare_words
from melstack.report.data_page.distances import weighted_auc
from melstack.report.data_page.tables import MIN_PICTURES, MISSING
from runtime.plural import number_of

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

MAX_VALUES = 8  # of one quantity; rarer ones are the value "other"
BANDS = 5  # of the file size: fifths of the pictures
SIGNIFICANCE = 0.01  # of all quantities together (Bonferroni)
MIN_AUC = 0.6  # of the quantity alone; below it a shortcut is of little use to a model
PLACES = "hospital|clinic|centre|center|institution|camera|device|scanner|manufacturer|dermatoscope"
PLACE = re.compile(rf"(^|_)({PLACES})s?(_|$)", re.IGNORECASE)  # name of a column that says where and with what
BITS = {"1": 1, "L": 8, "P": 8, "RGB": 24, "YCbCr": 24, "CMYK": 32, "RGBA": 32, "LA": 16, "I;16": 16}  # of Pillow
MAX_HEADERS = 2000  # pictures whose colour depth is read, which opens the file


@dataclass(frozen=True)
class Value:
    """One value of a quantity: ``count`` training pictures, ``rate`` of them malignant, with 95 % limits."""

    name: str
    count: int
    rate: float
    low: float
    high: float

    def words(self) -> str:
        """Return the rate with its limits: "25 % [20, 31]"."""
        return f"{100 * self.rate:.0f} % [{100 * self.low:.0f}, {100 * self.high:.0f}]"


@dataclass(frozen=True)
class Quantity:
    """How a picture was taken, and what that alone says of its target; ``p`` is of all quantities together."""

    name: str
    values: list[Value]
    auc: float
    p: float

    def rows(self) -> list[dict[str, Any]]:
        """Return the values as rows of a table of rates, the most frequent first."""
        total = sum(value.count for value in self.values)
        return [
            {**asdict(value), "share": value.count / total, "malignant": round(value.rate * value.count), "test": None}
            for value in sorted(self.values, key=lambda value: -value.count)
        ]

    @property
    def is_shortcut(self) -> bool:
        """Whether the quantity alone separates the classes, beyond chance."""
        return self.p < SIGNIFICANCE and self.auc >= MIN_AUC

    def sentence(self) -> str:
        """Return the figures of the two values that differ most, by the pictures that they have."""
        low, high = _extremes(self.values)
        p = "< 0.001" if self.p < 0.001 else f"= {self.p:.3f}"
        return (
            f"A shortcut that a model can learn instead of the lesion: {low.words()} of the "
            f"{number_of(low.count, 'picture')} with {self.name} {low.name} are malignant, but {high.words()} of "
            f"{high.count:,} with {high.name}; alone it has an AUC of {self.auc:.2f} (p {p}, by patients)."
        )


def acquisition_quantities(cases: pd.DataFrame, data: Path | None = None) -> list[Quantity]:
    """Return what every quantity of the acquisition says of the target in the training cases, the strongest first.

    Quantities: width × height, file size in fifths, colour depth (of at most `MAX_HEADERS` pictures below the folder
    ``data``), and the columns of camera, device or hospital. The limits and the test treat the pictures of a patient
    as dependent; ``p`` is corrected for the number of quantities (Bonferroni).
    """
    train = cases[(cases["role"] == "train") & cases["target"].notna()]
    columns = [column for column in _columns(train, data) if column.nunique() > 1]
    quantities = [_measure(column, train.loc[column.index], len(columns)) for column in columns]
    return sorted(quantities, key=lambda quantity: (not quantity.is_shortcut, -quantity.auc))


def _columns(train: pd.DataFrame, data: Path | None) -> Iterator[pd.Series]:
    """Yield the value of each training picture as text, a column per quantity, with rare values as "other"."""
    if {"width", "height"} <= set(train) and train["width"].notna().any():
        size = train[["width", "height"]].dropna().astype(int).astype(str)
        yield _common((size["width"] + " × " + size["height"] + " px").rename("size"))
    if "file_bytes" in train and train["file_bytes"].nunique() > 1:
        yield _bands(train["file_bytes"].dropna()).rename(bare_words("file_bytes"))
    if data is not None and "picture" in train:
        yield _colour_depths(train["picture"].dropna(), data)
    for name in train:
        if str(name) in ACQUISITION or PLACE.search(str(name)):
            values = train[name].astype("object").where(train[name].notna(), MISSING)
            yield _common(values.astype(str).rename(bare_words(str(name))))


def _common(values: pd.Series) -> pd.Series:
    frequent = values.value_counts().index[:MAX_VALUES]
    return values.where(values.isin(frequent), "other")


def _bands(sizes: pd.Series) -> pd.Series:
    """Return the fifth of each file size, "41 to 52 kB"."""
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, BANDS + 1)))
    names = [f"{low / 1000:,.3g} to {high / 1000:,.3g} kB" for low, high in pairwise(edges)]
    band = np.clip(np.searchsorted(edges, sizes, side="right") - 1, 0, len(names) - 1)
    return pd.Series(np.array(names, dtype=object)[band], index=sizes.index)


def _colour_depths(pictures: pd.Series, data: Path) -> pd.Series:
    sample = pictures.iloc[np.unique(np.linspace(0, len(pictures) - 1, min(len(pictures), MAX_HEADERS)).astype(int))]
    return sample.map(lambda name: _colour_depth(data / str(name))).dropna().rename("colour depth")


def _colour_depth(path: Path) -> str | None:
    """Return the colour depth in the header of a picture, "24 bit"; None if Pillow cannot read it."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return f"{BITS[picture.mode]} bit" if picture.mode in BITS else picture.mode
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


def _measure(column: pd.Series, train: pd.DataFrame, tests: int) -> Quantity:
    codes, names = pd.factorize(column)
    y = train["target"].to_numpy(dtype=np.float64)
    patients = pd.factorize(train["patient_id"], use_na_sentinel=False)[0]
    p = min(1.0, tests * patient_score_test(codes, y, patients))
    values = _values(codes, [str(name) for name in names], y, patients)
    rates = np.array([value.rate for value in values])
    ranks = np.unique(rates[codes], return_inverse=True)[1]
    return Quantity(str(column.name), values, weighted_auc(ranks, y, np.ones_like(y)), p)


def patient_score_test(codes: Codes, y: Floats, patients: Codes) -> float:
    """Return the p value for no association of ``codes`` (n,) with ``y`` (n,) in 0/1; a patient's rows are dependent.

    The score test of a logistic model with one column per code; the variance of the scores is that over ``patients``
    (n,), as in generalised estimating equations (Rotnitzky & Jewell 1990). Only codes with `MIN_PICTURES` rows count.
    """
    is_frequent = np.bincount(codes)[codes] >= MIN_PICTURES
    if not is_frequent.any() or len(np.unique(codes[is_frequent])) < 2:
        return 1.0
    codes = np.unique(codes[is_frequent], return_inverse=True)[1]
    indicators = np.eye(codes.max() + 1)[codes]
    scores = (y[is_frequent] - y[is_frequent].mean())[:, np.newaxis] * (indicators - indicators.mean(axis=0))
    by_patient = pd.DataFrame(scores).groupby(patients[is_frequent]).sum().to_numpy()
    total, variance = by_patient.sum(axis=0), by_patient.T @ by_patient
    statistic = float(total @ np.linalg.pinv(variance, rcond=1e-9, hermitian=True) @ total)
    return float(chi2.sf(statistic, np.linalg.matrix_rank(variance, tol=1e-9 * max(np.trace(variance), 1e-300))))


def _values(codes: Codes, names: list[str], y: Floats, patients: Codes) -> list[Value]:
    """Return every value with its rate; the limits are those of Wilson for the effective number of pictures."""
    counts = np.bincount(codes).astype(np.float64)
    rates = np.bincount(codes, weights=y) / counts
    table = pd.DataFrame({"code": codes, "patient": patients, "residual": y - rates[codes]})
    by_patient = table.groupby(["code", "patient"])["residual"].sum().pow(2).groupby("code").sum().to_numpy()
    patient_counts = table.drop_duplicates(["code", "patient"]).groupby("code").size().to_numpy()
    spread = rates * (1 - rates)
    independent = np.divide(spread * counts**2, by_patient, out=patient_counts.astype(np.float64), where=by_patient > 0)
    low, high = wilson(rates, np.minimum(counts, independent))
    return [
        Value(name, int(count), float(rate), float(lower), float(upper))
        for name, count, rate, lower, upper in zip(names, counts, rates, low, high, strict=True)
    ]


def _extremes(values: list[Value]) -> tuple[Value, Value]:
    """Return the two values with the clearest difference of their rates, the lower rate first."""
    pairs = [(low, high) for low in values for high in values if low.rate < high.rate]
    return max(pairs, key=lambda pair: (pair[1].rate - pair[0].rate) * _root_of_pair(pair[0].count, pair[1].count))


def _root_of_pair(first: int, second: int) -> float:
    return float(np.sqrt(first * second / (first + second)))
