"""Sphinx settings of the manual, and the listing of the public names that api.md shows."""

from __future__ import annotations

import os
import re
import shutil
import sys
import warnings
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

# One thread for the small matrices of the examples: several mostly wait for each other, and the path of least
# action took 3.5 minutes on two busy cores in place of 12 seconds. Set before numpy is imported.
for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

import samdyn

sys.path.insert(0, str(Path(__file__).parent))
import algorithm_pages
import api_examples
import notebook_pages
import studies_page
import validation_page

logger = logging.getLogger(__name__)

project = "samdyn"
author = "the samdyn developers"
copyright = f"2026, {author}"
version = release = samdyn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # equations are set without a network too
    "numpydoc",
    "myst_nb",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
# parts that pages include, and the sources of what sphinx-gallery writes into made/
exclude_patterns = [
    "_build",
    "api-*.rst",
    "calibration/*",
    "family/measured/*",
    "gallery",
    "getting_started",
    "made/gallery/**.ipynb",
    "made/getting_started/*.ipynb",
    "made/validation.md",
]
nb_execution_mode = "off"  # notebook_pages runs them
templates_path = ["_templates"]
autosummary_context = {"used_names": api_examples.used_names}
default_role = "py:obj"  # `samdyn.orbit` in a docstring is a link where the manual has a place for it
# a reference that stands at the end of a docstring to be read is not cited in its text
suppress_warnings = ["ref.citation"]

html_theme = "furo"
html_title = f"samdyn {release}"
html_static_path = ["_static"]
html_css_files = ["pictures.css"]

# estimates of cost depend on how busy the machine is, and are no part of an example's output
warnings.filterwarnings("ignore", category=samdyn.CostWarning)

SECTIONS = ["portraits", "parameters", "noise", "basins", "batches", "networks", "notebooks"]
# Examples run when their text has changed, and the build fails where one of them does.
sphinx_gallery_conf = {
    "examples_dirs": ["gallery", "getting_started"],
    "gallery_dirs": ["made/gallery", "made/getting_started"],
    "filename_pattern": r"\.py$",
    "subsection_order": [f"gallery/{part}" for part in SECTIONS],
    "within_subsection_order": "FileNameSortKey",
    "capture_repr": ("__repr__",),
    "matplotlib_animations": (True, "jshtml"),  # frames with a slider
    "reset_modules": ("matplotlib",),
    "doc_module": ("samdyn",),
    "backreferences_dir": "made/backreferences",  # the page of a name shows the examples that use it
    "inspect_global_variables": False,  # the class of a variable is no use of its name
    "reference_url": {"samdyn": None},
    "only_warn_on_example_error": False,
    "plot_gallery": "True",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "min_reported_time": 60,
    "write_computation_times": False,  # pages of times, which load scripts from other sites
}

autodoc_typehints = "none"  # numpydoc's Parameters give the types in words
# the page of a class documents its members itself: _templates/autosummary/class.rst
numpydoc_show_class_members = False


def write_listings(app: Sphinx, config: Config) -> None:
    """Write a table for each group that api.md includes; autosummary reads it and makes a page of each name.

    A group is a folder of samdyn; a public name belongs to the one that defines it.
    """
    source = Path(app.srcdir)
    groups = re.findall(
        r"^\.\. include:: api-(\w+)\.rst$", (source / "api.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    names: dict[str, list[str]] = {group: [] for group in groups}
    for name, value in api_examples.public_names().items():
        group = value.__module__.split(".")[1]
        if group not in names:
            logger.warning("%s is public, but api.md has no group for samdyn.%s", name, group)
            continue
        names[group].append(name)
    shutil.rmtree(
        source / "generated", ignore_errors=True
    )  # a page of a name that is gone would stand outside the manual
    config.autosummary_generate = [f"api-{group}.rst" for group in groups]
    for group, found in names.items():
        entries = sorted(found, key=lambda name: name.rpartition(".")[2].lower())
        table = [
            ".. autosummary::",
            "   :toctree: generated",
            "   :nosignatures:",
            "",
            *(f"   {name}" for name in entries),
        ]
        text = "\n".join(table if entries else ["Nothing public yet."])
        (source / f"api-{group}.rst").write_text(text + "\n", encoding="utf-8")


class KeepVerticalBars(SphinxTransform):
    """Leave |g| as it is: a norm in our docstrings, the name of a substitution to reStructuredText."""

    default_priority = 215  # after Sphinx fills in |version| and the like, before docutils reports the rest

    def apply(self, **kwargs: Any) -> None:
        """Turn what has no definition back into text."""
        for reference in list(self.document.findall(nodes.substitution_reference)):
            if reference["refname"] not in self.document.substitution_defs:
                reference.replace_self(nodes.Text(f"|{reference.astext()}|"))


def page_of_the_manual(app: Sphinx, page: str) -> str:
    """The page that index.md names and below which `page` stands; `page` itself where there is none."""
    parents = {child: parent for parent, children in app.env.toctree_includes.items() for child in children}
    seen = {page}
    while (parent := parents.get(page)) not in {None, app.config.root_doc} | seen:
        assert parent is not None
        page = parent
        seen.add(page)
    return page


def list_pages_of_the_manual(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let the sidebar have the pages that index.md names, and not all that api.md does.

    The theme makes the tree of all pages anew for each. What it shows is the same for all pages of a folder
    that stand below the same page of the manual: for some hundred names that saves minutes.
    """
    tree = context["toctree"]
    above = page_of_the_manual(app, page)
    place = (page.rpartition("/")[0], above) if above != page else page

    def shown(**options: Any) -> str:
        key = (place, *sorted(options.items()))
        if key not in SIDEBARS:
            SIDEBARS[key] = tree(**options | {"maxdepth": 1})
        return SIDEBARS[key]

    context["toctree"] = shown


SIDEBARS: dict[Any, str] = {}


def write_algorithms(app: Sphinx, config: Config) -> None:
    """Write the texts of all modules as pages, which algorithms.md names."""
    algorithm_pages.write(Path(app.srcdir) / "made" / "algorithms")


def write_validation(app: Sphinx, config: Config) -> None:
    """Compute the numbers that validation.md includes."""
    validation_page.write(Path(app.srcdir) / "made" / "validation.md")


def write_studies(app: Sphinx, config: Config) -> None:
    """Write what reproductions.md includes of the stored results of studies."""
    studies_page.write(Path(app.srcdir) / "made" / "studies.md")


RUNS: list[Future[None]] = []


def start_notebooks(app: Sphinx, config: Config) -> None:
    """Have notebooks run beside the examples of the gallery."""
    RUNS.extend(notebook_pages.start())


def finish_notebooks(app: Sphinx) -> None:
    """Wait for the notebooks; the build fails where one does."""
    for run in RUNS:
        run.result()
    notebook_pages.write_cards()


def setup(app: Sphinx) -> None:
    """Have pages and listings written before Sphinx looks for its sources, and the sidebar kept short."""
    app.connect("config-inited", start_notebooks)
    app.connect("config-inited", write_listings)
    app.connect("config-inited", write_algorithms)
    app.connect("config-inited", write_validation)
    app.connect("config-inited", write_studies)
    app.connect("builder-inited", finish_notebooks, priority=600)  # after the gallery's examples
    app.connect("autodoc-process-docstring", api_examples.add_example, priority=400)  # before numpydoc's
    app.connect("html-page-context", list_pages_of_the_manual, priority=100)  # before the theme's
    app.add_transform(KeepVerticalBars)
