"""Settings of the site. `tools/make_site.py` lays out its pages in `build/site/source` first."""

import os

import deepfake_lab

# The API pages import the modules that build models; no page needs TensorFlow, which takes seconds.
os.environ.setdefault("KERAS_BACKEND", "numpy")

project = "Deepfake Lab"
author = "The Deepfake Lab contributors"
release = version = deepfake_lab.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
templates_path: list[str] = []

# Notebooks are shown as they are stored. A widget needs a kernel: a reader without one gets the
# figure that is stored beside it.
nb_execution_mode = "off"
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
myst_heading_anchors = 4
suppress_warnings = [
    "myst.header",  # a notebook may begin a part with a small heading
    "misc.highlighting_failure",  # `%magic` and shell lines
]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = "Deepfake Lab"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# The front page of the site lies where its source lies; who opens the folder is sent there.
html_extra_path = ["front"]
