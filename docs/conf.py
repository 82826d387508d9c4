"""Settings of the documentation site, built by `make docs` with Sphinx and MyST."""

import sys
from importlib import metadata
from pathlib import Path

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS))

project = "melstack"
author = "the authors of melstack"
project_copyright = "2026, the authors of melstack"
release = metadata.version("melstack")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = "melstack"
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["site.css"]
highlight_language = "none"  # blocks without a language are commands and what they print
myst_heading_anchors = 4
autodoc_typehints = "description"


def setup(application: Sphinx) -> None:
    """Write the reference pages before Sphinx reads its sources."""
    from reference_pages import write_pages

    application.connect("builder-inited", lambda _: write_pages(DOCS / "reference"))
