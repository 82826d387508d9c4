"""The uploaded form of one patient: its fields checked."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile

from features.cases.metadata.value_rules import SEXES
from features.words.ages import OLDEST
from melstack.bundle.serving.limits import BYTES, Limits
from melstack.bundle.serving.multipart import FormLimits, parse_form
from melstack.bundle.serving.refusals import RefusedError
from runtime.errors import did_you_mean

PICTURES, AGE, SEX, SITE, PATIENT_ID, REFERENCE = "pictures", "age", "sex", "site", "patient_id", "reference"
SINGLE_FIELDS = (AGE, SEX, PATIENT_ID, REFERENCE)
MAX_CHARACTERS = 80  # of a site, an id, a reference, or of a file name in an answer
NUMBER = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?", re.ASCII)


@dataclass(frozen=True)
class Patient:
    """The patient's metadata: age in years, sex, and one site per picture; None: not known.

    ``patient_id`` and ``reference`` are the sender's own; they come back with the answer.
    """

    age: float | None
    sex: str | None
    sites: Sequence[str | None]
    patient_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Form:
    """The uploaded pictures of one patient, their content not yet checked, and the patient's metadata."""

    pictures: Sequence[UploadFile]
    patient: Patient


@asynccontextmanager
async def receive_form(request: Request, limits: Limits) -> AsyncIterator[Form]:
    """Yield the form in the body of ``request``; its temporary files are deleted when the ``with`` block ends.

    Raises RefusedError as ``parse_form`` does, and 422 for fields that are unknown, repeated or invalid.
    """
    form_limits = FormLimits(
        files=limits.pictures,
        fields=limits.pictures + len(SINGLE_FIELDS),  # a site per picture
        megabytes=limits.total_mb,
        seconds=limits.seconds,
    )
    parts = await parse_form(request, form_limits)
    try:
        yield _check_form(parts, limits, form_limits)
    finally:
        await parts.close()


def _check_form(parts: FormData, limits: Limits, form_limits: FormLimits) -> Form:
    check_parts(parts, (PICTURES,), (*SINGLE_FIELDS, SITE))
    pictures = uploads(parts, PICTURES)
    if not pictures:
        raise RefusedError(422, f"the form has no picture; add a file as field {PICTURES}", PICTURES)
    check_sizes(pictures, limits, form_limits)
    single = {name: read_single([str(value) for value in parts.getlist(name)], name) for name in SINGLE_FIELDS}
    sites = [str(value) for value in parts.getlist(SITE)]
    return Form(pictures, read_patient(single, sites, len(pictures)))


def check_parts(parts: FormData, files: Sequence[str], texts: Sequence[str]) -> None:
    """Raise RefusedError (422) for a part that is neither among the ``files`` nor the ``texts``, or not of its kind."""
    for name, value in parts.multi_items():
        if name not in (*files, *texts):
            hint = did_you_mean(name[:40], (*files, *texts))
            raise RefusedError(422, f"unknown field {name[:40]!r}; {hint}", "form")
        if isinstance(value, UploadFile) != (name in files):
            kind = "a file with a file name" if name in files else "text, not a file"
            raise RefusedError(422, f"{name} must be {kind}", name)


def uploads(parts: FormData, name: str) -> list[UploadFile]:
    """Return the files of the field ``name``."""
    return [value for value in parts.getlist(name) if isinstance(value, UploadFile)]


def check_sizes(pictures: Sequence[UploadFile], limits: Limits, form_limits: FormLimits) -> None:
    """Raise RefusedError (413) for a picture that is too large, or for too many bytes in all."""
    for number, picture in enumerate(pictures):
        if (picture.size or 0) > limits.picture_bytes:
            name = display_name(picture.filename, number)
            sentence = f"{name}: more than {limits.picture_mb:g} MB; send a smaller picture"
            raise RefusedError(413, sentence, name, [number])
    if sum(picture.size or 0 for picture in pictures) > form_limits.megabytes * BYTES:
        raise form_limits.too_large()


def read_patient(single: dict[str, str | None], sites: Sequence[str], count: int) -> Patient:
    """Return the metadata in the fields of a patient with ``count`` pictures.

    ``single``: text of age, sex, patient_id and reference. ``sites`` has no element, one for all pictures, or one per
    picture. Raises RefusedError for an invalid age or sex, unprintable text, or another number of sites.
    """
    if len(sites) not in (0, 1, count):
        raise RefusedError(422, f"{len(sites)} sites for {count} pictures; send one for all, or one per picture", SITE)
    texts = [read_text(site, SITE) for site in sites]
    by_picture = texts * count if len(texts) == 1 else texts or [None] * count
    age, sex = read_age(single[AGE]), read_sex(single[SEX])
    return Patient(age, sex, by_picture, single[PATIENT_ID], single[REFERENCE])


def display_name(name: str | None, number: int) -> str:
    """Return the file name of an upload for display: without folders and unprintable characters, and shortened."""
    file_name = (name or "").replace("\\", "/").split("/")[-1]
    printable = "".join(character for character in file_name if character.isprintable())
    return printable.strip()[:MAX_CHARACTERS] or f"picture {number + 1}"


def read_single(values: Sequence[str], name: str) -> str | None:
    """Return the text of a field that is sent once at most; raise RefusedError otherwise, or for unprintable text."""
    if len(values) > 1:
        raise RefusedError(422, f"{name} is sent {len(values)} times; send it once", name)
    return read_text(values[0], name) if values else None


def read_age(text: str | None) -> float | None:
    """Return an age in years, None for an empty one; raise RefusedError for another text."""
    if text is None:
        return None
    if not NUMBER.fullmatch(text) or float(text) > OLDEST:
        sentence = f"age {text[:20]!r}: it must be a number of years from 0 to {OLDEST:g}, or empty"
        raise RefusedError(422, sentence, AGE)
    return float(text)


def read_sex(text: str | None) -> str | None:
    """Return "female" or "male", None for an empty text; raise RefusedError for another one."""
    sex = None if text is None else SEXES.get(text.casefold().rstrip("."))
    if text is not None and sex is None:
        raise RefusedError(422, f"sex {text[:20]!r}: it must be female, male, or empty", SEX)
    return sex


def read_text(text: str, where: str) -> str | None:
    """Return ``text`` stripped, None for an empty one; raise RefusedError for a long or unprintable one."""
    stripped_text = text.strip()
    if len(stripped_text) > MAX_CHARACTERS or not stripped_text.isprintable():
        sentence = f"{where}: the text must have at most {MAX_CHARACTERS} characters, all of them printable"
        raise RefusedError(422, sentence, where)
    return stripped_text or None
