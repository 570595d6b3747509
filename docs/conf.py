"""How Sphinx makes the pages: `make docs` writes them to out/docs. It needs tf_mavg installed."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "tf_mavg"
release = version = version_of("tf_mavg")
project_copyright = "the authors of tf_mavg, Apache License 2.0"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "contents",
    "docstrings",
    "messages",
]
exclude_patterns = ["_ext"]
smartquotes = False  # Names of arguments and their values are to be copied as they are.

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # The anchors that GitHub gives.

default_role = "code"  # The docstrings write names between single backticks.
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # The docstrings say what arguments are.
autodoc_preserve_defaults = True
autoclass_content = "both"  # The arguments stand in the docstring of `__init__`.
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"tf_mavg {release}"
html_static_path = ["_static"]
html_css_files = ["tf_mavg.css"]
html_copy_source = False
html_show_sphinx = False
