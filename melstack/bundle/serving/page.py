"""The pages: one patient's lesions, and the interface that programs use; each complete in itself."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from melstack.bundle.predicted import Predictor
from melstack.bundle.serving.answers import DISCLAIMER
from melstack.bundle.serving.limits import Limits

TEMPLATES = Path(__file__).parent / "templates"
PAGES = Path(__file__).parents[2] / "report"  # what all pages share
SITES = ("head/neck", "upper extremity", "lower extremity", "torso", "palms/soles", "oral/genital")


def patient_page(predictor: Predictor, limits: Limits) -> str:
    """Return the page on which pictures are dropped."""
    facts = plain(dict(predictor.facts))
    told = {"limits": limits.model_dump(), "sites": SITES, "prevalence": _of(facts, "prevalence")}
    return _rendered("patient.html", name=predictor.name, facts=facts, card=predictor.card, told=told, script=script())


def interface_page(described: Mapping[str, Any]) -> str:
    """Return a page about the interface, from its OpenAPI description."""
    return _rendered("interface.html", described=described)


@cache
def style() -> str:
    """Return the style sheet of all pages."""
    return (PAGES / "style.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return what the patient's page does."""
    return (TEMPLATES / "patient.js").read_text(encoding="utf-8")


def _of(facts: object, key: str) -> object:
    return facts.get(key) if isinstance(facts, dict) else None


def _rendered(template: str, **context: object) -> str:
    surroundings = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, PAGES]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return surroundings.get_template(template).render(disclaimer=DISCLAIMER, style=style(), **context)


def plain(value: object) -> object:
    """Return ``value`` as JSON knows it: NumPy's numbers as Python's, what is not finite as None, the rest as text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int | float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, Sequence | set | frozenset | np.ndarray):
        return [plain(each) for each in value]
    return str(value)
