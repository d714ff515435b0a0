"""The manual: gallery pages have their parts, every public name has a page, and the text is spelt."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import algorithm_pages
import api_examples
import notebook_pages
import pytest

import samdyn as sd
from samdyn.plot import registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = sorted((DOCS / "gallery").glob("*/*.py"))
PARTS = ("**What to read off.**", "**The wrong reading.**", "**Cost.**", "**Swap this.**")
MOST_LINES = 28
"""Lines of code of an example, without empty ones: what one reads at a glance."""


def test_the_gallery_is_large_enough() -> None:
    assert len(EXAMPLES) >= 30


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_has_its_parts(example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(text))
    assert docstring is not None
    title, underline = docstring.splitlines()[:2]
    assert title.endswith("?"), "the title is a question"
    assert len(underline) >= len(title)
    places = [text.find(part) for part in PARTS]
    assert places == sorted(places)
    assert min(places) > 0, [part for part, place in zip(PARTS, places, strict=True) if place < 0]
    assert re.search(r"\*\*Cost\.\*\* [\d.]+ s\.", text), "the cost is a number of seconds"
    body = text.split('"""', 2)[2]
    code = [line for line in body.splitlines() if line.strip() and not line.startswith("#")]
    assert len(code) <= MOST_LINES


def names_on_no_page(names: Iterable[str]) -> list[str]:
    """Those on no page besides the list of the API, which is written from the names themselves."""
    written = {"_build", "made", "generated"}
    pages = [path for path in DOCS.rglob("*.md") if path.name != "api.md" and not written & {*path.parts}]
    texts = [
        path.read_text(encoding="utf-8") for path in [*pages, *EXAMPLES, *DOCS.glob("getting_started/*.py")]
    ]
    words = set(re.findall(r"\w+", "\n".join(texts)))
    return sorted(name for name in names if name not in words)


def test_every_public_name_is_on_a_page() -> None:
    missing = names_on_no_page(sd.__all__)
    assert not missing, f"{len(missing)} of {len(sd.__all__)} public names are on no page: {missing}"
    assert names_on_no_page(["SAM", "no_such_verb"]) == ["no_such_verb"]


def test_every_public_name_has_an_example() -> None:
    """Its own, or that of the verb that makes it; tests/test_doctests.py runs them."""
    names = api_examples.public_names()
    without = [name for name in names if api_examples.place_of_example(name) is None]
    assert not without
    assert api_examples.place_of_example("samdyn.basins") == "samdyn.basins"
    assert api_examples.place_of_example("samdyn.basin.Basins") == "samdyn.basins"
    assert api_examples.place_of_example("samdyn.basin.Kick") == "samdyn.basin.smallest_kick"


def test_what_draws_has_its_picture() -> None:
    """Each result that has a picture, and each picture, is in an example of the gallery or a chapter."""
    called = set()
    for page in [*EXAMPLES, *DOCS.glob("getting_started/*.py")]:
        tree = ast.parse(page.read_text(encoding="utf-8"))
        called |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names = api_examples.public_names()
    drawn = [name for name, value in names.items() if value in registry.PICTURES]
    pictures = [name for name in names if name.startswith("samdyn.plot.")]
    assert len(drawn) > 25
    without = [
        name
        for name in [*drawn, *pictures]
        if not called & {used.rpartition(".")[2] for used in api_examples.used_names(name)}
    ]
    # the first draws whatever a result is; sliders need a kernel that answers, which a page has not
    assert without == ["samdyn.plot.draw", "samdyn.plot.interactive"]


def test_the_text_of_every_module_is_on_a_page(tmp_path: Path) -> None:
    """Each folder has a page that algorithms.md names, and each module a section with its whole text."""
    algorithm_pages.write(tmp_path)
    written = {path.stem: path.read_text(encoding="utf-8") for path in tmp_path.glob("*.rst")}
    named = re.findall(r"^made/algorithms/(.+)$", (DOCS / "algorithms.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(written)
    sections = re.findall(r"^\.\. py:module:: (.+)$", "\n".join(written.values()), re.MULTILINE)
    package = Path(sd.__file__).parent
    modules = {algorithm_pages.name_of(path) for path in package.rglob("*.py")} - {"samdyn"}
    assert sorted(sections) == sorted(modules)
    assert "mean_j |g_j|" not in algorithm_pages.with_plain_bars("mean_j |g_j| of ``|x|``")
    assert "``|x|``" in algorithm_pages.with_plain_bars("mean_j |g_j| of ``|x|``")


def test_every_notebook_has_a_page_and_a_card() -> None:
    """Names of notebooks are names of pages, and each folder of notebooks has its cards on notebooks.md."""
    sources = notebook_pages.sources()
    assert len({path.stem for path in sources}) == len(sources) >= 15
    text = (DOCS / "notebooks.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\.\. include:: /made/notebooks/(\w+)\.txt$", text, re.MULTILINE)
    assert sorted(shown) == sorted({path.parent.name for path in sources})
    for path in sources:
        title, intro = notebook_pages.title_and_intro(path)
        assert title
        assert intro


def test_links_between_pages_lead_somewhere() -> None:
    """Links to pages that sphinx-gallery writes are links to its sources."""
    broken = []
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" in target:
                continue
            path = (page.parent / target).resolve()
            if "made" in path.parts:
                source = Path(str(path).replace("/made/", "/"))
                path = (
                    source.with_name("GALLERY_HEADER.rst")
                    if path.stem == "index"
                    else source.with_suffix(".py")
                )
            if not path.exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken, broken
