"""The uploaded form of one patient: read in parts, refused as soon as it is too large, its fields checked."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from features.cases.metadata.value_rules import SEXES
from features.words.ages import OLDEST
from melstack.bundle.serving.limits import BYTES, Limits
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import did_you_mean

PICTURES, AGE, SEX, SITE = "pictures", "age", "sex", "site"
FIELD_BYTES = 2000  # of a field that is not a picture
MAX_CHARACTERS = 80  # of a site, or of a file name in an answer
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)
# The OpenAPI description of the body. If FastAPI made it, FastAPI would read the whole body before any check.
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [PICTURES],
                    "properties": {
                        PICTURES: {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "all pictures of one patient: JPEG, PNG or DICOM",
                        },
                        AGE: {"type": "string", "description": f"years, 0 to {OLDEST:g}; empty: not known"},
                        SEX: {"type": "string", "enum": ["", "female", "male"], "description": "empty: not known"},
                        SITE: {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "site of the lesions: none, one for all pictures, or one per picture",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class Patient:
    """The patient's metadata: age in years, sex, and one site per picture; None: not known."""

    age: float | None
    sex: str | None
    sites: Sequence[str | None]


@dataclass(frozen=True)
class Form:
    """The uploaded pictures of one patient, their content not yet checked, and the patient's metadata."""

    pictures: Sequence[UploadFile]
    patient: Patient


@asynccontextmanager
async def receive_form(request: Request, limits: Limits) -> AsyncIterator[Form]:
    """Yield the form in the body of ``request``; its temporary files are deleted when the ``with`` block ends.

    Raises RefusedError: 413 when the body is too large, as soon as the limit is passed; 415 when it is not a form; 408
    when it is not complete in time; 422 for fields that are unknown, repeated or invalid.
    """
    parts = await _parse(request, limits)
    try:
        yield _check_form(parts, limits)
    finally:
        await parts.close()


async def _parse(request: Request, limits: Limits) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusedError(415, "the body is not a form; send the pictures as multipart/form-data", "Content-Type")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body_bytes:
        raise _too_large(limits)
    parser = MultiPartParser(
        request.headers,
        _stream_body(request, limits),
        max_files=limits.pictures,
        max_fields=limits.pictures + 2,  # a site per picture, age and sex
        max_part_size=FIELD_BYTES,
    )
    try:
        async with asyncio.timeout(limits.seconds):
            return await parser.parse()
    except TimeoutError:
        sentence = f"the request was not complete after {limits.seconds:g} seconds; send fewer or smaller pictures"
        raise RefusedError(408, sentence) from None
    except MultiPartException as error:
        raise _parser_refusal(error.message, limits) from error
    except ValueError as error:  # a charset that is a Python codec, but not one that decodes to text
        raise RefusedError(422, f"the form cannot be read: {error}", "Content-Type") from error


async def _stream_body(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.body_bytes:
            raise _too_large(limits)
        yield chunk


def _too_large(limits: Limits) -> RefusedError:
    sentence = f"the request has more than {limits.total_mb:g} MB; send fewer or smaller pictures"
    return RefusedError(413, sentence, PICTURES)


def _parser_refusal(message: str, limits: Limits) -> RefusedError:
    """Return the refusal for an error of the parser; only its ``message`` shows whether the form is too large."""
    if message.startswith("Too many files"):
        return RefusedError(413, f"more than {limits.pictures} pictures; send them in several requests", PICTURES)
    if message.startswith("Too many fields"):
        return RefusedError(413, f"too many fields: {AGE}, {SEX} and at most {limits.pictures} {SITE} are allowed")
    if message.startswith("Part exceeded"):
        return RefusedError(413, f"a field has more than {FIELD_BYTES} bytes; send pictures as files with a file name")
    return RefusedError(422, f"the form cannot be read: {message}")


def _check_form(parts: FormData, limits: Limits) -> Form:
    for name, value in parts.multi_items():
        _check_part(name, value)
    pictures = [value for value in parts.getlist(PICTURES) if isinstance(value, UploadFile)]
    if not pictures:
        raise RefusedError(422, f"the form has no picture; add a file as field {PICTURES}", PICTURES)
    for number, picture in enumerate(pictures):
        if (picture.size or 0) > limits.picture_bytes:
            name = display_name(picture.filename, number)
            sentence = f"{name}: more than {limits.picture_mb:g} MB; send a smaller picture"
            raise RefusedError(413, sentence, name, [number])
    if sum(picture.size or 0 for picture in pictures) > limits.total_mb * BYTES:
        raise _too_large(limits)
    fields = {name: [str(value) for value in parts.getlist(name)] for name in (AGE, SEX, SITE)}
    return Form(pictures, read_patient(fields[AGE], fields[SEX], fields[SITE], len(pictures)))


def _check_part(name: str, value: str | UploadFile) -> None:
    fields = (PICTURES, AGE, SEX, SITE)
    if name not in fields:
        raise RefusedError(422, f"unknown field {name[:40]!r}; {did_you_mean(name[:40], fields)}", "form")
    if isinstance(value, UploadFile) != (name == PICTURES):
        kind = "a file with a file name" if name == PICTURES else "text, not a file"
        raise RefusedError(422, f"{name} must be {kind}", name)


def read_patient(ages: Sequence[str], sexes: Sequence[str], sites: Sequence[str], count: int) -> Patient:
    """Return the metadata in the fields of a patient with ``count`` pictures.

    ``sites`` has no element, one for all pictures, or one per picture. Raises RefusedError for an invalid age or sex, a
    repeated field, unprintable text, or another number of sites.
    """
    if len(sites) not in (0, 1, count):
        raise RefusedError(422, f"{len(sites)} sites for {count} pictures; send one for all, or one per picture", SITE)
    texts = [_text(site, SITE) for site in sites]
    by_picture = texts * count if len(texts) == 1 else texts or [None] * count
    return Patient(_age(_single(ages, AGE)), _sex(_single(sexes, SEX)), by_picture)


def display_name(name: str | None, number: int) -> str:
    """Return the file name of an upload for display: without folders and unprintable characters, and shortened."""
    file_name = (name or "").replace("\\", "/").split("/")[-1]
    printable = "".join(character for character in file_name if character.isprintable())
    return printable.strip()[:MAX_CHARACTERS] or f"picture {number + 1}"


def _single(values: Sequence[str], name: str) -> str | None:
    if len(values) > 1:
        raise RefusedError(422, f"{name} is sent {len(values)} times; send it once", name)
    return _text(values[0], name) if values else None


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or float(text) > OLDEST:
        sentence = f"age {text[:20]!r}: it must be a number of years from 0 to {OLDEST:g}, or empty"
        raise RefusedError(422, sentence, AGE)
    return float(text)


def _sex(text: str | None) -> str | None:
    sex = None if text is None else SEXES.get(text.casefold().rstrip("."))
    if text is not None and sex is None:
        raise RefusedError(422, f"sex {text[:20]!r}: it must be female, male, or empty", SEX)
    return sex


def _text(text: str, where: str) -> str | None:
    stripped_text = text.strip()
    if len(stripped_text) > MAX_CHARACTERS or not stripped_text.isprintable():
        sentence = f"{where}: the text must have at most {MAX_CHARACTERS} characters, all of them printable"
        raise RefusedError(422, sentence, where)
    return stripped_text or None
