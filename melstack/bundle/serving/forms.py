"""The form of one patient as it comes in: read in parts, cut off when it is too much, its fields checked."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from features.cases.metadata_values import OLDEST
from melstack.bundle.serving.limits import BYTES, Limits
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import did_you_mean

PICTURES, AGE, SEX, SITE = "pictures", "age", "sex", "site"
FIELD_BYTES = 2000  # of a field that is not a picture
MOST_LETTERS = 80  # of a site
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)
# What OpenAPI tells of the body, which is not read through FastAPI: that would read all of it before any check.
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
                        AGE: {"type": "string", "description": f"years, 0 to {OLDEST:g}; empty when not known"},
                        SEX: {"type": "string", "enum": ["", "female", "male"], "description": "empty when not known"},
                        SITE: {
                            "type": "array",
                            "items": {"type": "string"},
                            "description": "where the lesions are: none, one for all, or one per picture in order",
                        },
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class Patient:
    """What is known of the patient: age in years, sex, and a site per picture; None where it is not known."""

    age: float | None
    sex: str | None
    sites: Sequence[str | None]


@dataclass(frozen=True)
class Form:
    """The pictures of one patient, not yet looked at, and what is known of the patient."""

    pictures: Sequence[UploadFile]
    patient: Patient


@asynccontextmanager
async def received(request: Request, limits: Limits) -> AsyncIterator[Form]:
    """Yield the form that ``request`` brings; its files are gone when the block ends.

    Raises RefusedError: 413 for too much, noticed while it comes; 415 for a body that is no form; 408 for one that
    does not come to its end; 422 for fields that are unknown, given twice, or cannot be used.
    """
    parts = await _parsed(request, limits)
    try:
        yield _checked(parts, limits)
    finally:
        await parts.close()


async def _parsed(request: Request, limits: Limits) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise RefusedError(415, "the body is no form: multipart/form-data with pictures is needed", "Content-Type")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limits.body_bytes:
        raise _too_much(limits)
    parser = MultiPartParser(
        request.headers,
        _counted(request, limits),
        max_files=limits.pictures,
        max_fields=limits.pictures + 2,  # a site for each, age and sex
        max_part_size=FIELD_BYTES,
    )
    try:
        async with asyncio.timeout(limits.seconds):
            return await parser.parse()
    except TimeoutError:
        raise RefusedError(408, f"the form did not come within {limits.seconds:g} seconds") from None
    except MultiPartException as error:
        raise _unfit(error.message, limits) from error
    except ValueError as error:  # a character set that Python knows, but not as one of text
        raise RefusedError(422, f"not a form that can be read: {error}", "Content-Type") from error


async def _counted(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    seen = 0
    async for chunk in request.stream():
        seen += len(chunk)
        if seen > limits.body_bytes:
            raise _too_much(limits)
        yield chunk


def _too_much(limits: Limits) -> RefusedError:
    sentence = f"more than {limits.total_mb:g} MB at once; send fewer or smaller pictures"
    return RefusedError(413, sentence, PICTURES)


def _unfit(message: str, limits: Limits) -> RefusedError:
    """Return the refusal for what the parser says; only its words tell too much from malformed."""
    if message.startswith("Too many files"):
        return RefusedError(413, f"more than {limits.pictures} pictures at once", PICTURES)
    if message.startswith("Too many fields"):
        return RefusedError(413, f"more fields than {AGE}, {SEX} and a {SITE} for each of {limits.pictures} pictures")
    if message.startswith("Part exceeded"):
        return RefusedError(413, f"a field of more than {FIELD_BYTES} bytes; pictures must come as files with a name")
    return RefusedError(422, f"not a form that can be read: {message}")


def _checked(parts: FormData, limits: Limits) -> Form:
    for name, value in parts.multi_items():
        _check_part(name, value)
    pictures = [value for value in parts.getlist(PICTURES) if isinstance(value, UploadFile)]
    if not pictures:
        raise RefusedError(422, "there is no picture", PICTURES)
    for number, picture in enumerate(pictures):
        if (picture.size or 0) > limits.picture_bytes:
            shown = shown_name(picture.filename, number)
            raise RefusedError(413, f"{shown}: more than {limits.picture_mb:g} MB", shown, [number])
    if sum(picture.size or 0 for picture in pictures) > limits.total_mb * BYTES:
        raise _too_much(limits)
    fields = {name: [str(value) for value in parts.getlist(name)] for name in (AGE, SEX, SITE)}
    return Form(pictures, read_patient(fields[AGE], fields[SEX], fields[SITE], len(pictures)))


def _check_part(name: str, value: str | UploadFile) -> None:
    known = (PICTURES, AGE, SEX, SITE)
    if name not in known:
        raise RefusedError(422, f"unknown field {name[:40]!r}; {did_you_mean(name[:40], known)}", "form")
    if isinstance(value, UploadFile) != (name == PICTURES):
        kind = "a file with a name" if name == PICTURES else "text, not a file"
        raise RefusedError(422, f"{name} must be {kind}", name)


def read_patient(ages: Sequence[str], sexes: Sequence[str], sites: Sequence[str], count: int) -> Patient:
    """Return what the fields say of a patient with ``count`` pictures; ``sites``: none, one for all, or one for each.

    Raises RefusedError for an age that is no number of years, a strange sex, a field given twice, unprintable text, or
    another number of sites.
    """
    if len(sites) not in (0, 1, count):
        raise RefusedError(422, f"{len(sites)} sites for {count} pictures; give one for all, or one each", SITE)
    given = [_text(site, SITE) for site in sites]
    known = given * count if len(given) == 1 else given or [None] * count
    return Patient(_age(_only(ages, AGE)), _sex(_only(sexes, SEX)), known)


def shown_name(name: str | None, number: int) -> str:
    """Return the name that a picture came with as it may be shown: no folders, nothing unprintable, not too long."""
    kept = "".join(letter for letter in (name or "").replace("\\", "/").split("/")[-1] if letter.isprintable())
    return kept.strip()[:MOST_LETTERS] or f"picture {number + 1}"


def _only(values: Sequence[str], name: str) -> str | None:
    if len(values) > 1:
        raise RefusedError(422, f"{name} is given {len(values)} times", name)
    return _text(values[0], name) if values else None


def _age(text: str | None) -> float | None:
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or float(text) > OLDEST:
        raise RefusedError(422, f"age {text[:20]!r}: a number of years from 0 to {OLDEST:g}, or nothing", AGE)
    return float(text)


def _sex(text: str | None) -> str | None:
    if text not in (None, "female", "male"):
        raise RefusedError(422, f"sex {text[:20]!r}: must be female, male, or nothing", SEX)
    return text


def _text(text: str, where: str) -> str | None:
    stripped = text.strip()
    if len(stripped) > MOST_LETTERS or not stripped.isprintable():
        raise RefusedError(
            422, f"{where}: longer than {MOST_LETTERS} letters, or with some that cannot be shown", where
        )
    return stripped or None
