"""Fill the templates of all pages, with the style sheet, head, macros, charts and filters that they share."""

from pathlib import Path
from typing import Any

import jinja2

from melstack.report.formats import FILTERS

REPORT_FOLDER = Path(__file__).parent  # style sheet, head, foot, macros and the script of the charts


def render(template: str, values: dict[str, Any], folder: Path) -> str:
    """Return the page of ``template`` in ``folder`` for ``values``, the names that it uses; all texts are escaped."""
    return _environment(folder).get_template(template).render(values)


def shared_text(*names: str, folder: Path = REPORT_FOLDER) -> str:
    """Return the text of shared files, or of files in ``folder``, as the pages include them."""
    return "\n".join(_environment(folder).get_template(name).render() for name in names)


def _environment(folder: Path) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, REPORT_FOLDER]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment
