"""The answer for one patient's lesions: the predictions as values for JSON and CSV."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from features.pictures.read import encode_jpeg, picture_of_bytes
from melstack.bundle.predictions import Predictions, Predictor
from melstack.bundle.serving.answer_models import (
    Answer,
    Decision,
    EmptyField,
    HeatMap,
    LesionAnswer,
    Model,
    NetworkScore,
    Part,
)
from melstack.bundle.serving.uploads import Lesions
from melstack.report.column_words import ColumnWords
from melstack.report.galleries.tiles import NO_NETWORK, blank_reason, overlay

MOST_PARTS = 5  # contributions that raise the probability, and as many that lower it
QUALITY = 85  # of the JPEG of a heat map
CSV_COLUMNS = ("name", "site", "probability", "low", "high", "rank", "pictures", "unusual")
# A spreadsheet computes a text that begins with one of these; East Asian ones take the wide forms for the plain ones.
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Field of the form -> the columns of level two that it fills, by family; all are without information when it is empty.
FIELD_COLUMNS = {
    "age": re.compile(r"(metadata|patient|measured)\.(age|years_before)_"),
    "sex": re.compile(r"metadata\.sex$"),
    "site": re.compile(r"(metadata|patient)\.(anatom_site|n_sites|site_)"),
}


def build_answer(predictor: Predictor, lesions: Lesions, predictions: Predictions) -> Answer:
    """Return the ``predictions`` for ``lesions``, the highest probability first, without images."""
    positions = {name: position for position, name in enumerate(lesions.by_name)}
    order = predictions.table["probability"].sort_values(ascending=False, kind="stable").index
    first = lesions.cases.iloc[0]
    return Answer(
        model=_model(predictor),
        time=datetime.now(UTC).isoformat(timespec="seconds"),
        patient_id=lesions.patient.patient_id,
        reference=lesions.patient.reference,
        age=_number(first["age_approx"]),
        sex=_text(first["sex"]),
        lesions=[_lesion(str(name), positions[str(name)], lesions, predictions, predictor) for name in order],
    )


def add_thumbnails(answer: Answer, lesions: Lesions) -> Answer:
    """Return ``answer`` with a small picture of every lesion."""
    thumbnails = [picture.thumbnail for picture in lesions.by_name.values()]
    lesions_with_images = [
        lesion.model_copy(update={"thumbnail": _data_uri(thumbnails[lesion.picture] or b"")})
        for lesion in answer.lesions
    ]
    return answer.model_copy(update={"lesions": lesions_with_images})


def add_heat_maps(answer: Answer, heat_maps: Sequence[HeatMap]) -> Answer:
    """Return ``answer`` with the ``heat_maps`` of its pictures, in the order of the form."""
    lesions_with_images = [
        lesion.model_copy(
            update={"heat_map": heat_maps[lesion.picture].image, "no_heat_map": heat_maps[lesion.picture].reason}
        )
        for lesion in answer.lesions
    ]
    return answer.model_copy(update={"lesions": lesions_with_images})


def draw_heat_maps(lesions: Lesions, maps: Mapping[str, np.ndarray]) -> list[HeatMap]:
    """Return a heat map for every picture, in the order of the form; ``maps`` (rows, columns), 0 to 1, cover it."""
    return [
        HeatMap(picture=number, name=lesions.upload_names[name], **_heat_map(picture.thumbnail or b"", maps.get(name)))
        for number, (name, picture) in enumerate(lesions.by_name.items())
    ]


def _heat_map(thumbnail: bytes, heat: np.ndarray | None) -> dict[str, str]:
    reason = NO_NETWORK if heat is None else blank_reason(heat)
    if heat is None or reason:
        return {"reason": reason}
    return {"image": _data_uri(encode_jpeg(overlay(picture_of_bytes(thumbnail), heat), QUALITY))}


def render_csv(answer: Answer) -> str:
    """Return the lesions of ``answer`` as CSV, one row each; no text is a formula to a spreadsheet."""
    rows = pd.DataFrame([lesion.model_dump(include={*CSV_COLUMNS}) for lesion in answer.lesions])[list(CSV_COLUMNS)]
    notices = ["; ".join(lesion.notices) for lesion in answer.lesions]
    for index, decision in enumerate(answer.lesions[0].decisions):
        malignant = [lesion.decisions[index].malignant for lesion in answer.lesions]
        rows = rows.assign(**{f"malignant at {decision.name}": malignant})
    rows = rows.assign(patient_id=answer.patient_id, reference=answer.reference)
    rows = rows.assign(age=answer.age, sex=answer.sex, notices=notices, model=answer.model.name)
    rows = rows.assign(bundle=answer.model.digest, time=answer.time, disclaimer=answer.disclaimer)
    return safe_csv(rows)


def safe_csv(rows: pd.DataFrame, *, header: bool = True) -> str:
    """Return ``rows`` as CSV in which no text is a formula to a spreadsheet."""
    texts = rows.map(lambda value: escape_formula(value) if isinstance(value, str) else value)
    return texts.to_csv(index=False, header=header)


def escape_formula(text: str) -> str:
    """Return ``text`` with an apostrophe before it if a spreadsheet would compute it."""
    return f"'{text}" if text.lstrip(" \u3000").startswith(FORMULAS) else text


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
    all_columns = parts.drop("base", errors="ignore").dropna()
    empty = _empty_columns(pd.Series(lesions.cases.loc[name]), all_columns.index)
    columns = all_columns.drop([column for own in empty.values() for column in own])
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
        left_empty=[EmptyField(field=field, log_odds=float(all_columns[own].sum())) for field, own in empty.items()],
        rest=float(columns.sum() - raising.sum() - lowering.sum()),
        notices=list(predictions.notices.get(name, ())),
    )


def _empty_columns(case: pd.Series, columns: pd.Index) -> dict[str, list[str]]:
    """Return field of the form -> the columns that it would fill, for the fields of ``case`` that were left empty."""
    values = {"age": case["age_approx"], "sex": case["sex"], "site": case["anatom_site_general_challenge"]}
    empty = [field for field, value in values.items() if pd.isna(value)]
    own = {field: [str(name) for name in columns if FIELD_COLUMNS[field].match(str(name))] for field in empty}
    return {field: names for field, names in own.items() if names}


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


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
