"""What the bundle said of one patient's lesions, as values for JSON and as CSV."""

import base64
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import BaseModel

from features.pictures.jpeg_png import Picture
from features.pictures.read import encode_jpeg, read_picture, shrink
from melstack.bundle.predicted import Predicted, Predictor
from melstack.bundle.serving.uploads import Lesions
from melstack.report.galleries.tiles import overlay

DISCLAIMER = "Not a medical device. For research: no number here may decide about a patient."
MOST_PARTS = 5  # columns for, and as many against
LONGEST = 360  # px of a picture that is shown
QUALITY = 85
CSV_COLUMNS = ("name", "site", "probability", "low", "high", "rank", "pictures", "unusual")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes what begins so


class Part(BaseModel):
    """What a column of level two adds to the log odds."""

    column: str
    log_odds: float


class NetworkScore(BaseModel):
    """What one network says: the mean over its views and folds, and the spread of the views."""

    name: str
    probability: float | None
    spread: float | None


class LesionAnswer(BaseModel):
    """What is said of one picture; ``picture`` is its place in the request, from 0.

    ``low`` and ``high``: the least and the largest of the fold models' probabilities. ``raising``, ``lowering``: the
    largest contributions to the log odds, which with ``rest`` and ``base`` add up to those of the probability.
    ``unusual``: the share of training pictures that are less strange than this one. Pictures are data URIs (JPEG).
    """

    picture: int
    name: str
    site: str | None
    probability: float
    low: float
    high: float
    rank: int
    pictures: int
    unusual: float | None
    ugly_duckling: bool
    networks: list[NetworkScore]
    base: float | None
    raising: list[Part]
    lowering: list[Part]
    rest: float
    notices: list[str]
    thumbnail: str | None = None
    attention: str | None = None


class Model(BaseModel):
    """Which model answered."""

    name: str
    digest: str | None
    auc: float | None
    prevalence: float | None


class Answer(BaseModel):
    """The lesions of one patient, the most probable melanoma first."""

    disclaimer: str = DISCLAIMER
    model: Model
    age: float | None
    sex: str | None
    lesions: list[LesionAnswer]


def answer(predictor: Predictor, lesions: Lesions, predicted: Predicted) -> Answer:
    """Return what was ``predicted`` of ``lesions``, by falling probability, without pictures."""
    places = {name: place for place, name in enumerate(lesions.pictures)}
    order = predicted.table["probability"].sort_values(ascending=False, kind="stable").index
    first = lesions.cases.iloc[0]
    return Answer(
        model=_model(predictor),
        age=_number(first["age_approx"]),
        sex=_text(first["sex"]),
        lesions=[_lesion(str(name), places[str(name)], lesions, predicted) for name in order],
    )


def with_pictures(answered: Answer, lesions: Lesions, heat: Mapping[str, np.ndarray], thumbnails: bool) -> Answer:
    """Return ``answered`` with ``thumbnails``, if they are wanted, and an overlay wherever there is ``heat``.

    ``heat`` (rows, columns), 0 to 1, lies over the whole picture.
    """
    names, shown = list(lesions.pictures), []
    for lesion in answered.lesions:
        name, found = names[lesion.picture], dict[str, str]()
        picture = _small(lesions, name) if thumbnails or name in heat else None
        if picture is not None and thumbnails:
            found["thumbnail"] = _data_uri(picture)
        if picture is not None and name in heat:
            found["attention"] = _data_uri(overlay(picture, heat[name]))
        shown.append(lesion.model_copy(update=found))
    return answered.model_copy(update={"lesions": shown})


def csv_of(answered: Answer) -> str:
    """Return the lesions of an ``answer`` as CSV, one row each; no text of it is a formula to a spreadsheet."""
    rows = pd.DataFrame([lesion.model_dump(include={*CSV_COLUMNS}) for lesion in answered.lesions])[list(CSV_COLUMNS)]
    notices = ["; ".join(lesion.notices) for lesion in answered.lesions]
    rows = rows.assign(age=answered.age, sex=answered.sex, notices=notices, model=answered.model.name)
    rows = rows.assign(bundle=answered.model.digest, disclaimer=answered.disclaimer)
    return rows.map(lambda value: _harmless(value) if isinstance(value, str) else value).to_csv(index=False)


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULAS) else text


def _model(predictor: Predictor) -> Model:
    facts, digest = predictor.facts, predictor.facts.get("digest")
    return Model(
        name=predictor.name,
        digest=None if digest is None else str(digest),
        auc=_number(facts.get("auc")),
        prevalence=_number(facts.get("prevalence")),
    )


def _lesion(name: str, place: int, lesions: Lesions, predicted: Predicted) -> LesionAnswer:
    row = predicted.table.loc[name]
    parts: pd.Series[float] = predicted.contributions.astype(float).T[name]
    columns = parts.drop("base", errors="ignore").dropna()
    raising = columns[columns > 0].sort_values(ascending=False, kind="stable")[:MOST_PARTS]
    lowering = columns[columns < 0].sort_values(kind="stable")[:MOST_PARTS]
    notices = list(predicted.notices.get(name, ()))
    return LesionAnswer(
        picture=place,
        name=lesions.shown[name],
        site=_text(lesions.cases.loc[name, "anatom_site_general_challenge"]),
        probability=float(row["probability"]),
        low=float(row["low"]),
        high=float(row["high"]),
        rank=int(row["rank"]),
        pictures=int(row["pictures"]),
        unusual=_number(row["unusual"]),
        ugly_duckling=bool(row["ugly_duckling"]),
        networks=[_score(key, table.T[name]) for key, table in predicted.networks.items()],
        base=_number(parts.get("base")),
        raising=_parts(raising),
        lowering=_parts(lowering),
        rest=float(columns.sum() - raising.sum() - lowering.sum()),
        notices=notices,
    )


def _score(name: str, row: pd.Series) -> NetworkScore:
    return NetworkScore(name=name, probability=_number(row.get("probability")), spread=_number(row.get("spread")))


def _parts(values: pd.Series) -> list[Part]:
    return [Part(column=str(name), log_odds=float(value)) for name, value in values.items()]


def _number(value: object) -> float | None:
    """Return ``value`` as a number, None where it is not one: JSON has no NaN."""
    if not isinstance(value, int | float | np.number) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _small(lesions: Lesions, name: str) -> Picture:
    return shrink(read_picture(lesions.pictures[name], shortest=LONGEST), LONGEST)


def _data_uri(picture: Picture) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, QUALITY)).decode()
