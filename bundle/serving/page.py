"""The pages: one patient's lesions, and the interface that programs use; each complete in itself."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2

from bundle.predicted import Predictor
from bundle.serving.answers import DISCLAIMER
from bundle.serving.limits import Limits
from bundle.serving.plain_values import plain

TEMPLATES = Path(__file__).parent / "templates"
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
    """Return the style of both pages: the report's, and what these add."""
    report = files("level2_stack").joinpath("report", "templates", "style.css")
    return report.read_text(encoding="utf-8") + _text("patient.css")


@cache
def script() -> str:
    """Return what the patient's page does."""
    return _text("patient.js")


def _of(facts: object, key: str) -> object:
    return facts.get(key) if isinstance(facts, dict) else None


def _rendered(template: str, **context: object) -> str:
    surroundings = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return surroundings.get_template(template).render(disclaimer=DISCLAIMER, style=style(), **context)


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
