"""The manual: gallery pages have their parts, every public name has a page, and the text is spelt."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import samdyn as sd

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


def test_every_public_name_is_on_a_page() -> None:
    """Besides the list of the API, which is written from the names themselves."""
    pages = [path for path in DOCS.rglob("*.md") if path.name != "api.md" and "_build" not in path.parts]
    texts = [
        path.read_text(encoding="utf-8") for path in [*pages, *EXAMPLES, *DOCS.glob("getting_started/*.py")]
    ]
    words = set(re.findall(r"\w+", "\n".join(texts)))
    missing = sorted(name for name in sd.__all__ if name not in words)
    assert not missing, f"{len(missing)} of {len(sd.__all__)} public names are on no page: {missing}"


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
