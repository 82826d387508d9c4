"""The table of a batch: one row per picture, as CSV or JSON lines, with what is known of its patient."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from melstack.bundle.serving.forms import AGE, PATIENT_ID, REFERENCE, SEX, SITE, read_age, read_sex, read_text
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import did_you_mean

TABLE, PICTURE = "table", "picture"
COLUMNS = (PICTURE, PATIENT_ID, AGE, SEX, SITE, REFERENCE)
MAX_NAMES = 5  # rows that a refusal names


@dataclass(frozen=True)
class BatchRow:
    """One picture of a batch: its file name in the form, its patient, and what is known of them; None: not known."""

    picture: str
    patient_id: str
    age: float | None
    sex: str | None
    site: str | None
    reference: str | None


def read_table(content: bytes, pictures: Sequence[str]) -> list[BatchRow]:
    """Return the rows of a table in CSV or JSON lines (a JSON object per line; it begins with "{").

    ``pictures`` are the file names in the form. Without patient_id every picture is a patient of its own. Raises
    RefusedError (422) for unknown columns, invalid values, pictures without a row, twice, or not in the form.
    """
    text = _decode(content)
    records = _json_lines(text) if text.lstrip().startswith("{") else _csv(text)
    rows = [_row(number, record) for number, record in enumerate(records, 1)]
    _check_pictures([row.picture for row in rows], pictures)
    return rows


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(422, f"the table is not UTF-8 text ({error.reason} at byte {error.start})", TABLE) from error


def _json_lines(text: str) -> list[dict[str, str]]:
    records = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            records.append(_json_line(number, line))
    return records


def _json_line(number: int, line: str) -> dict[str, str]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RefusedError(422, f"line {number} of the table is not JSON: {str(error)[:80]}", TABLE) from error
    if not isinstance(record, dict) or any(isinstance(value, dict | list | bool) for value in record.values()):
        raise RefusedError(422, f"line {number} of the table must be an object of texts and numbers", TABLE)
    return {str(key): "" if value is None else str(value) for key, value in record.items()}


def _csv(text: str) -> list[dict[str, str]]:
    try:
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        raise RefusedError(422, f"the table cannot be read as CSV: {str(error)[:120]}", TABLE) from error
    return [{str(name): str(value) for name, value in record.items()} for record in table.to_dict("records")]


def _row(number: int, record: dict[str, str]) -> BatchRow:
    if unknown := [name for name in record if name not in COLUMNS]:
        raise RefusedError(422, f"unknown column {unknown[0][:40]!r}; {did_you_mean(unknown[0][:40], COLUMNS)}", TABLE)
    try:
        texts = {name: read_text(str(record.get(name, "")), name) for name in COLUMNS}
        age, sex = read_age(texts[AGE]), read_sex(texts[SEX])
    except RefusedError as error:
        raise RefusedError(422, f"row {number} of the table: {error.refusal.error}", TABLE) from error
    picture = texts[PICTURE]
    if picture is None:
        raise RefusedError(422, f"row {number} of the table has no {PICTURE}; give the file name in the form", TABLE)
    patient = texts[PATIENT_ID] or f"picture {picture}"
    return BatchRow(picture, patient, age, sex, texts[SITE], texts[REFERENCE])


def _check_pictures(of_table: Sequence[str], of_form: Sequence[str]) -> None:
    faults = {
        "named twice in the table": sorted({name for name in of_table if of_table.count(name) > 1}) if of_table else [],
        "sent twice": sorted({name for name in of_form if of_form.count(name) > 1}),
        "in the table but not in the form": sorted({*of_table} - {*of_form}),
        "in the form but not in the table": sorted({*of_form} - {*of_table}),
    }
    sentences = [f"pictures {fault}: {_list(names)}" for fault, names in faults.items() if names]
    if sentences or not of_table:
        raise RefusedError(422, "; ".join(sentences) or "the table has no rows", TABLE)


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
