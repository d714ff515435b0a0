"""The built manual as a reader meets it: pictures, links, anchors, and the index of its search.

These tests look at what `make docs` wrote into docs/_build/html and are skipped where it has not been built.
"""

from __future__ import annotations

import functools
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"

pytestmark = pytest.mark.skipif(not (SITE / "search.html").exists(), reason="make docs builds the manual")


@functools.cache
def pages() -> dict[Path, str]:
    """The text of each page."""
    return {path: path.read_text(encoding="utf-8") for path in SITE.rglob("*.html")}


def test_pictures_links_and_anchors_lead_somewhere() -> None:
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in pages().items()}
    broken = []
    for path, text in pages().items():
        for target in re.findall(r'\b(?:src|href)="([^"]*)"', text):
            address, _, anchor = unescape(target).partition("#")
            if re.match(r"[a-z]+:|//", address):
                continue
            file = (path.parent / unquote(address.partition("?")[0])).resolve() if address else path
            if not file.exists() or (anchor and file in anchors and unquote(anchor) not in anchors[file]):
                broken.append(f"{path.relative_to(SITE)}: {target}")
    assert not broken, broken[:20]


def test_the_index_of_the_search_has_the_word() -> None:
    assert '"hallucin"' in (SITE / "searchindex.js").read_text(encoding="utf-8")
