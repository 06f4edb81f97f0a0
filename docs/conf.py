"""How Sphinx builds this documentation: `make docs`. See README.md beside this file."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))

project = "xmlsocket"
author = "The xmlsocket authors"
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "commandline",
    "outside",
    "signatures",
]
nitpicky = False  # the types of asyncio and lxml have no page here
templates_path: list[str] = []
exclude_patterns = ["_build", "README.md"]
# Docstrings write `Connection` for a name of the package and ``None`` for code.
default_role = "py:obj"

# Pages read well in the repository too, where headings have such anchors.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "fieldlist"]

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Cost", "notes"), ("Source", "notes")]
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "github-dark"  # the default underlines what is imported
html_title = "xmlsocket"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False

# `make linkcheck`, by hand: it asks servers of others.
linkcheck_timeout = 15
linkcheck_workers = 4
