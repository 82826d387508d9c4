"""A batch: the pictures of many patients in one request, answered line by line while the next ones are decoded."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

import numpy as np
import pandas as pd
from fastapi import Request
from starlette.datastructures import UploadFile

from melstack.bundle.predictions import Predictions
from melstack.bundle.serving.answer_models import DISCLAIMER
from melstack.bundle.serving.answers import safe_csv
from melstack.bundle.serving.batch_table import TABLE, BatchRow, read_table
from melstack.bundle.serving.decoding.cheap_checks import Fault
from melstack.bundle.serving.decoding.decoders import DecodedPicture, Order
from melstack.bundle.serving.forms import PICTURES, check_parts, check_sizes, display_name, uploads
from melstack.bundle.serving.limits import Limits
from melstack.bundle.serving.multipart import FormLimits, parse_form
from melstack.bundle.serving.refusals import SERVER_FAULT, RefusedError
from melstack.bundle.serving.request_queue import RequestQueue
from melstack.bundle.serving.uploads import case_row, case_table
from runtime.errors import InputFault

LOG = logging.getLogger(__name__)
CHUNK = 128  # pictures that are predicted together; most of the work of level two does not depend on their number
KEPT_BYTES = 100_000  # of each picture in memory while the request is received
TABLE_BYTES = 5_000_000
OTHER_FAULT = "not predicted, because another picture of this patient has a fault"

DecodingResults = list[DecodedPicture | Fault]
Line = dict[str, object]


@dataclass(frozen=True)
class Batch:
    """The pictures of many patients: one row and one upload per picture, the rows of a patient one after the other."""

    rows: Sequence[BatchRow]
    files: Mapping[str, UploadFile]

    def chunks(self) -> list[list[BatchRow]]:
        """Return the rows in chunks of whole patients, of CHUNK pictures if no patient has more."""
        chunks: list[list[BatchRow]] = [[]]
        for _, own in groupby(self.rows, lambda row: row.patient_id):
            patient = list(own)
            if chunks[-1] and len(chunks[-1]) + len(patient) > CHUNK:
                chunks.append([])
            chunks[-1] += patient
        return chunks


@asynccontextmanager
async def receive_batch(request: Request, limits: Limits) -> AsyncIterator[Batch]:
    """Yield the batch in the body of ``request``; its temporary files are deleted when the ``with`` block ends.

    Raises RefusedError as ``parse_form`` and ``read_table`` do.
    """
    form_limits = FormLimits(
        files=limits.batch_pictures + 1,
        fields=0,
        megabytes=limits.batch_mb,
        seconds=limits.seconds,
        kept_bytes=KEPT_BYTES,
    )
    parts = await parse_form(request, form_limits)
    try:
        check_parts(parts, (PICTURES, TABLE), ())
        pictures, tables = uploads(parts, PICTURES), uploads(parts, TABLE)
        check_sizes(pictures, limits, form_limits)
        if len(tables) != 1 or (tables[0].size or 0) > TABLE_BYTES:
            raise RefusedError(422, f"{len(tables)} files as {TABLE}; send one, of CSV or JSON lines", TABLE)
        names = [display_name(picture.filename, number) for number, picture in enumerate(pictures)]
        rows = read_table(await tables[0].read(), names)
        order = {row.patient_id: number for number, row in reversed([*enumerate(rows)])}
        yield Batch(sorted(rows, key=lambda row: order[row.patient_id]), dict(zip(names, pictures, strict=True)))
    finally:
        await parts.close()


async def answer_batch(batch: Batch, queue: RequestQueue) -> AsyncIterator[list[Line]]:
    """Yield the lines of the answer, chunk by chunk; while a chunk is predicted, the next one is decoded."""
    chunks = batch.chunks()
    decoding = [_decode(chunks[0], batch, queue)]
    for number, rows in enumerate(chunks):
        results = await decoding.pop()
        if number + 1 < len(chunks):
            decoding.append(_decode(chunks[number + 1], batch, queue))
        yield await queue.compute(partial(_lines, rows, results, queue))


def render_lines(lines: Sequence[Line], form: str, *, first: bool) -> str:
    """Return ``lines`` as JSON lines, or as CSV (with its header before the ``first``)."""
    if form == "csv":
        flat = [line | {"notices": "; ".join(map(str, line["notices"]))} for line in lines]  # type: ignore[call-overload]  # a list
        return safe_csv(pd.DataFrame(flat), header=first)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def _decode(rows: Sequence[BatchRow], batch: Batch, queue: RequestQueue) -> "asyncio.Future[DecodingResults]":
    """Start to decode the pictures of ``rows``."""
    reads: list[Callable[[], bytes]] = [batch.files[row.picture].file.read for row in rows]
    futures = queue.decoders.decode_all(reads, Order(queue.predictor.square_sizes))
    return asyncio.gather(*map(asyncio.wrap_future, futures))


def _lines(rows: Sequence[BatchRow], results: DecodingResults, queue: RequestQueue) -> list[Line]:
    """Return a line per row: the prediction, or the fault of the patient's pictures."""
    faults = {row.picture: result[1] for row, result in zip(rows, results, strict=True) if isinstance(result, tuple)}
    refused = {row.patient_id for row in rows if row.picture in faults}
    sound = [
        (row, result)
        for row, result in zip(rows, results, strict=True)
        if isinstance(result, DecodedPicture) and row.patient_id not in refused
    ]
    values = _predict(sound, queue) if sound else {}
    queue.measurements.pictures.inc(len(sound))
    point_columns = {point.column: None for point in queue.predictor.operating_points}
    nothing = (
        dict.fromkeys(("probability", "low", "high", "rank", "pictures", "unusual", "ugly_duckling")) | point_columns
    )
    model = {"bundle": queue.predictor.facts.get("digest"), "disclaimer": DISCLAIMER}
    return [
        {
            "picture": row.picture,
            "patient_id": row.patient_id,
            "reference": row.reference,
            **nothing,
            "notices": [],
            "error": None,
        }
        | values.get(row.picture, {"error": faults.get(row.picture, OTHER_FAULT)})
        | model
        for row in rows
    ]


def _predict(sound: Sequence[tuple[BatchRow, DecodedPicture]], queue: RequestQueue) -> dict[str, Line]:
    """Return file name -> values of the line, of pictures that could be decoded."""
    names = [f"lesion_{number:06d}" for number in range(len(sound))]
    scans = [replace(picture.scan, name=name) for name, (_, picture) in zip(names, sound, strict=True)]
    try:
        predictions = queue.predictor.predict_scans(_cases(names, sound), scans)
    except InputFault as fault:
        return {row.picture: {"error": str(fault)} for row, _ in sound}
    except Exception:
        LOG.exception("a batch failed")
        return {row.picture: {"error": SERVER_FAULT} for row, _ in sound}
    return {row.picture: _values(predictions, name) for name, (row, _) in zip(names, sound, strict=True)}


def _cases(names: Sequence[str], sound: Sequence[tuple[BatchRow, DecodedPicture]]) -> pd.DataFrame:
    numbers = {row.patient_id: number for number, (row, _) in enumerate(sound)}
    # Numbers, so that no id is the spelling of another.
    rows = [
        case_row(f"patient {numbers[row.patient_id]}", row.sex, row.age, row.site, picture) for row, picture in sound
    ]
    return case_table(names, rows)


def _values(predictions: Predictions, name: str) -> Line:
    row = predictions.table.loc[name]
    values = {str(key): _plain(value) for key, value in row.items()}
    return {**values, "notices": list(predictions.notices.get(name, ())), "error": None}


def _plain(value: object) -> object:
    """Return a value of a table in the types of JSON; NaN is None."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and np.isnan(plain) else plain
