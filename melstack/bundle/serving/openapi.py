"""The OpenAPI description of the interface: bodies, refusals, examples, and the address of the server."""

from typing import Any

from fastapi import FastAPI

from features.words.ages import OLDEST
from melstack.bundle.serving.batch_table import COLUMNS, TABLE
from melstack.bundle.serving.forms import AGE, PATIENT_ID, PICTURES, REFERENCE, SEX, SITE
from melstack.bundle.serving.refusals import Refusal

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Refusal, "description": "the form is damaged or cut off"},
    401: {"model": Refusal, "description": "the token is missing or wrong"},
    408: {"model": Refusal, "description": "the request was not complete in time"},
    413: {"model": Refusal, "description": "too many pictures, bytes, pixels or scans, or too costly to decode"},
    415: {"model": Refusal, "description": "not a form, or a file that is neither JPEG nor PNG nor DICOM"},
    422: {"model": Refusal, "description": "a damaged picture, or an invalid field"},
    503: {"model": Refusal, "description": "too many requests are waiting, or the server is being stopped"},
}
EXAMPLE_LINES = (
    '{"picture": "a1.jpg", "patient_id": "A", "age": 55, "sex": "female", "site": "torso", "reference": "visit 17"}\n'
    '{"picture": "b1.jpg", "patient_id": "B", "age": 38, "sex": "male", "site": null, "reference": "visit 18"}\n'
)


def _text(description: str, example: str) -> dict[str, object]:
    return {"type": "string", "description": description, "example": example}


def _files(description: str) -> dict[str, object]:
    return {"type": "array", "items": {"type": "string", "format": "binary"}, "description": description}


def _body(properties: dict[str, object], necessary: list[str]) -> dict[str, Any]:
    schema = {"type": "object", "required": necessary, "properties": properties}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


# The bodies. If FastAPI made their description, it would read a whole body before any check.
PATIENT_BODY = _body(
    {
        PICTURES: _files("all pictures of one patient: JPEG, PNG or DICOM"),
        AGE: _text(f"years, 0 to {OLDEST:g}; empty: not known", "55"),
        SEX: {"type": "string", "enum": ["", "female", "male"], "description": "empty: not known", "example": "female"},
        SITE: {
            "type": "array",
            "items": {"type": "string"},
            "description": "site of the lesions: none, one for all pictures, or one per picture",
            "example": ["torso", "head/neck"],
        },
        PATIENT_ID: _text("your id of the patient, at most 80 characters; it comes back", "A"),
        REFERENCE: _text("any text of yours, at most 80 characters; it comes back", "visit 17"),
    },
    [PICTURES],
)
BATCH_BODY = _body(
    {
        PICTURES: _files("the pictures of all patients; every file has a name of its own"),
        TABLE: {
            "type": "string",
            "format": "binary",
            "description": f"CSV or JSON lines, one row per picture: {', '.join(COLUMNS)}",
            "example": EXAMPLE_LINES,
        },
    },
    [PICTURES, TABLE],
)


def describe_interface(application: FastAPI, address: str, needs_token: bool) -> None:
    """Make ``application`` describe itself as the server at ``address``, in plain sentences."""
    make = application.openapi

    def openapi() -> dict[str, Any]:
        """Return the description, made once."""
        if application.openapi_schema is None:
            plain: dict[str, Any] = _without_marks(make())
            plain["servers"] = [{"url": address}]
            if needs_token:
                plain["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                plain["security"] = [{"token": []}]
            application.openapi_schema = plain
        return application.openapi_schema

    application.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way


def _without_marks(value: Any) -> Any:  # noqa: ANN401  any value of JSON
    """Return ``value`` without the double backticks of docstrings."""
    if isinstance(value, dict):
        return {key: _without_marks(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_marks(each) for each in value]
    return value.replace("``", "") if isinstance(value, str) else value
