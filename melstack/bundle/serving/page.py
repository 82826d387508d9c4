"""The two pages, for one patient and about the interface for programs; neither loads anything from other servers."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from melstack.bundle.predictions import Predictor
from melstack.bundle.serving.answer_models import DISCLAIMER
from melstack.bundle.serving.limits import Limits
from melstack.report.rendering import render, shared_text

TEMPLATES = Path(__file__).parent / "templates"
SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")


def patient_page(predictor: Predictor, limits: Limits, *, needs_token: bool = False) -> str:
    """Return the page on which the user drops the pictures of one patient."""
    facts = json_value(dict(predictor.facts))
    prevalence = facts.get("prevalence") if isinstance(facts, dict) else None
    data = {"limits": limits.model_dump(), "sites": SITES, "prevalence": prevalence, "needs_token": needs_token}
    points = [point.model_dump() for point in predictor.operating_points]
    return _render(
        "patient.html",
        title=f"One patient · {predictor.name}",
        name=predictor.name,
        facts=facts,
        card=predictor.card,
        points=points,
        data=data,
        script=script(),
    )


def interface_page(openapi: Mapping[str, Any]) -> str:
    """Return the page about the interface for programs, from its OpenAPI description."""
    address = openapi["servers"][0]["url"]
    token = ' -H "Authorization: Bearer $TOKEN"' if openapi.get("security") else ""
    return _render("interface.html", title="Interface", openapi=openapi, address=address, token=token)


@cache
def style() -> str:
    """Return the style sheet of all pages, as they include it."""
    return shared_text("style.css")


@cache
def script() -> str:
    """Return the JavaScript of the patient's page: the charts of all pages, and its own."""
    return shared_text("charts.js", "patient.js", folder=TEMPLATES)


def _render(template: str, **values: object) -> str:
    return render(template, {"disclaimer": DISCLAIMER, **values}, TEMPLATES)


def json_value(value: object) -> object:
    """Return ``value`` in the types of JSON: NumPy numbers as Python's, NaN and infinity as None, others as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return json_value(value.item())
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset | np.ndarray):
        return [json_value(each) for each in value]
    return str(value)
