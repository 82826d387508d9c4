"""The answer for one patient's lesions: the predictions as values for JSON and CSV."""

import base64
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from pydantic import BaseModel

from features.pictures.jpeg_png import Picture
from features.pictures.read import encode_jpeg, read_picture, shrink
from melstack.bundle.predictions import Predictions, Predictor
from melstack.bundle.serving.uploads import Lesions
from melstack.report.column_words import ColumnWords
from melstack.report.galleries.tiles import NO_NETWORK, blank_reason, overlay

DISCLAIMER = "Not a medical device. For research only: do not base decisions about a patient on these numbers."
MOST_PARTS = 5  # contributions that raise the probability, and as many that lower it
LONGEST = 360  # px of a thumbnail
QUALITY = 85  # of its JPEG
CSV_COLUMNS = ("name", "site", "probability", "low", "high", "rank", "pictures", "unusual")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet computes a text that begins with one of these


class Part(BaseModel):
    """The contribution of one column of level two to the log odds; ``words`` name the column on pages."""

    column: str
    words: str
    log_odds: float


class NetworkScore(BaseModel):
    """The prediction of one network: the mean over its views and folds, and the spread over the views."""

    name: str
    words: str
    probability: float | None
    spread: float | None


class Decision(BaseModel):
    """Whether a lesion is predicted malignant at an operating point: its probability is at or above the threshold."""

    name: str
    threshold: float
    malignant: bool


class LesionAnswer(BaseModel):
    """The prediction for one picture; ``picture`` is its position in the request, from 0.

    ``low`` and ``high``: minimum and maximum of the fold models' probabilities. ``raising``, ``lowering``: the largest
    contributions to the log odds; with ``rest`` and ``base`` they sum to the log odds of ``probability``. ``unusual``:
    the share of training pictures that have a nearer neighbour than this picture has. ``decisions``: one per operating
    point of the model. Images are data URIs (JPEG). ``no_attention``: why a heat map that was asked for is not there.
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
    decisions: list[Decision] = []
    networks: list[NetworkScore]
    base: float | None
    raising: list[Part]
    lowering: list[Part]
    rest: float
    notices: list[str]
    thumbnail: str | None = None
    attention: str | None = None
    no_attention: str | None = None


class Model(BaseModel):
    """The model that made the predictions."""

    name: str
    digest: str | None
    auc: float | None
    prevalence: float | None


class Answer(BaseModel):
    """The lesions of one patient, the highest probability of melanoma first."""

    disclaimer: str = DISCLAIMER
    model: Model
    age: float | None
    sex: str | None
    lesions: list[LesionAnswer]


def build_answer(predictor: Predictor, lesions: Lesions, predictions: Predictions) -> Answer:
    """Return the ``predictions`` for ``lesions``, the highest probability first, without images."""
    positions = {name: position for position, name in enumerate(lesions.pictures)}
    order = predictions.table["probability"].sort_values(ascending=False, kind="stable").index
    first = lesions.cases.iloc[0]
    return Answer(
        model=_model(predictor),
        age=_number(first["age_approx"]),
        sex=_text(first["sex"]),
        lesions=[_lesion(str(name), positions[str(name)], lesions, predictions, predictor) for name in order],
    )


def add_images(answer: Answer, lesions: Lesions, maps: Mapping[str, np.ndarray] | None, thumbnails: bool) -> Answer:
    """Return ``answer`` with ``thumbnails`` if wanted, and with a heat map per lesion, or the reason why it has none.

    ``maps`` (rows, columns), 0 to 1, cover the whole picture; None: no heat maps are wanted.
    """
    names, with_images = list(lesions.pictures), []
    for lesion in answer.lesions:
        name, images = names[lesion.picture], dict[str, str]()
        picture = _small_picture(lesions, name) if thumbnails or maps is not None else None
        if picture is not None and thumbnails:
            images["thumbnail"] = _data_uri(picture)
        if picture is not None and maps is not None:
            images |= _heat_map(picture, maps.get(name))
        with_images.append(lesion.model_copy(update=images))
    return answer.model_copy(update={"lesions": with_images})


def _heat_map(picture: Picture, heat: np.ndarray | None) -> dict[str, str]:
    reason = NO_NETWORK if heat is None else blank_reason(heat)
    if heat is None or reason:
        return {"no_attention": reason}
    return {"attention": _data_uri(overlay(picture, heat))}


def render_csv(answer: Answer) -> str:
    """Return the lesions of ``answer`` as CSV, one row each; no text is a formula to a spreadsheet."""
    rows = pd.DataFrame([lesion.model_dump(include={*CSV_COLUMNS}) for lesion in answer.lesions])[list(CSV_COLUMNS)]
    notices = ["; ".join(lesion.notices) for lesion in answer.lesions]
    for index, decision in enumerate(answer.lesions[0].decisions):
        malignant = [lesion.decisions[index].malignant for lesion in answer.lesions]
        rows = rows.assign(**{f"malignant at {decision.name}": malignant})
    rows = rows.assign(age=answer.age, sex=answer.sex, notices=notices, model=answer.model.name)
    rows = rows.assign(bundle=answer.model.digest, disclaimer=answer.disclaimer)
    return rows.map(lambda value: _escape_formula(value) if isinstance(value, str) else value).to_csv(index=False)


def _escape_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULAS) else text


def _model(predictor: Predictor) -> Model:
    facts, digest = predictor.facts, predictor.facts.get("digest")
    return Model(
        name=predictor.name,
        digest=None if digest is None else str(digest),
        auc=_number(facts.get("auc")),
        prevalence=_number(facts.get("prevalence")),
    )


def _lesion(name: str, position: int, lesions: Lesions, predictions: Predictions, predictor: Predictor) -> LesionAnswer:
    row, words = predictions.table.loc[name], predictor.words
    parts: pd.Series[float] = predictions.contributions.astype(float).T[name]
    columns = parts.drop("base", errors="ignore").dropna()
    raising = columns[columns > 0].sort_values(ascending=False, kind="stable")[:MOST_PARTS]
    lowering = columns[columns < 0].sort_values(kind="stable")[:MOST_PARTS]
    return LesionAnswer(
        picture=position,
        name=lesions.upload_names[name],
        site=_text(lesions.cases.loc[name, "anatom_site_general_challenge"]),
        probability=float(row["probability"]),
        low=float(row["low"]),
        high=float(row["high"]),
        rank=int(row["rank"]),
        pictures=int(row["pictures"]),
        unusual=_number(row["unusual"]),
        ugly_duckling=bool(row["ugly_duckling"]),
        decisions=[
            Decision(name=each.name, threshold=each.threshold, malignant=bool(row[each.column]))
            for each in predictor.operating_points
        ],
        networks=[_score(network, words, table.T[name]) for network, table in predictions.networks.items()],
        base=_number(parts.get("base")),
        raising=_parts(raising, words),
        lowering=_parts(lowering, words),
        rest=float(columns.sum() - raising.sum() - lowering.sum()),
        notices=list(predictions.notices.get(name, ())),
    )


def _score(name: str, words: ColumnWords, row: pd.Series) -> NetworkScore:
    return NetworkScore(
        name=name,
        words=words.network(name),
        probability=_number(row.get("probability")),
        spread=_number(row.get("spread")),
    )


def _parts(values: pd.Series, words: ColumnWords) -> list[Part]:
    return [
        Part(column=str(name), words=words.column(str(name)), log_odds=float(value)) for name, value in values.items()
    ]


def _number(value: object) -> float | None:
    """Return ``value`` as a finite number, else None: JSON has no NaN."""
    if not isinstance(value, int | float | np.number) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _small_picture(lesions: Lesions, name: str) -> Picture:
    return shrink(read_picture(lesions.pictures[name], shortest=LONGEST), LONGEST)


def _data_uri(picture: Picture) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture, QUALITY)).decode()
