"""Sphinx: the documentation of robust_jax.

    make docs  # out/docs/index.html

The source folder is the repository, so that one link between README.md, BUILD.md and
docs/ is right in a checkout, where the repository is shown, and on the site.
"""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]  # `tests`, and `_ext`.

# Kernels of notebooks leave nothing in the home folder.
os.environ.setdefault("JUPYTER_RUNTIME_DIR", str(ROOT / "out" / "jupyter"))
os.environ.setdefault("IPYTHONDIR", str(ROOT / "out" / "ipython"))

project, author = "robust_jax", "The robust_jax authors"
html_title = "robust_jax"
root_doc = "docs/index"
html_additional_pages = {"index": "front.html"}
templates_path = ["_templates"]
include_patterns = ["*.md", "docs/**.md"]
exclude_patterns = [".*", "out", "docs/_*"]
html_theme = "furo"
pygments_dark_style = "github-dark"
html_copy_source = html_show_sourcelink = html_show_copyright = False

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_nb",
    "_ext.public_names",
    "_ext.outward",
]
nitpicky = True
add_module_names = False
autodoc_typehints = "none"
# `_ext.public_names` calls napoleon's parser itself, on what it makes of a docstring.
napoleon_google_docstring = napoleon_numpy_docstring = False
napoleon_attr_annotations = False

myst_heading_anchors = 3
nb_execution_mode = os.environ.get("ROBUST_JAX_NOTEBOOKS", "force")
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
