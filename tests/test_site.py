"""The built manual as a reader meets it: links and pictures, and in a browser search, width and sliders.

These tests look at what `make docs` wrote into docs/_build/html and are skipped where it has not been built;
those in a browser also need `chromium` on the path (Debian's package of that name).
"""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
BROWSER = shutil.which("chromium")
WIDTH = 400
"""Of a narrow window, in pixels: a telephone held upright."""
LOOKED_AT = (
    *("index", "algorithms", "made/algorithms/orbit", "made/algorithms/theory", "api", "validation"),
    *("made/gallery/index", "made/gallery/basins/who_goes_where", "made/gallery/portraits/across_the_radius"),
    *("made/getting_started/1_two_parameters", "reproductions", "how-to-choose", "results", "family"),
)
CHECK = """
const pages = %s, found = {};
const wait = ms => new Promise(done => setTimeout(done, ms));
async function load(address, ready) {
  const frame = document.createElement("iframe");
  frame.width = %d; frame.height = 800;
  const loaded = new Promise(done => { frame.onload = done; });
  frame.src = address;
  document.body.append(frame);
  await loaded;
  for (let i = 0; i < 100 && !ready(frame.contentDocument); i++) await wait(50);
  return frame;
}
async function run() {
  for (const page of pages) {
    const frame = await load("/" + page + ".html", whole => [...whole.images].every(i => i.complete));
    const whole = frame.contentDocument;
    for (const image of whole.images) { image.loading = "eager"; }
    await Promise.all([...whole.images].map(image => image.decode().catch(() => {})));
    found[page] = {
      broken: [...whole.images].filter(i => !i.naturalWidth).map(i => i.src),
      width: whole.documentElement.scrollWidth,
    };
    const slider = whole.querySelector("input[type=range]");
    if (slider) {
      const picture = whole.querySelector(".animation img"), before = picture.src;
      slider.value = slider.max;
      slider.dispatchEvent(new Event("input", {bubbles: true}));
      await wait(100);
      found[page].moved = picture.src !== before;
    }
    frame.remove();
  }
  const results = "#search-results li a";
  const search = await load("/search.html?q=hallucinated", whole => whole.querySelector(results));
  found.hits = [...search.contentDocument.querySelectorAll(results)].length;
  const answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify(found);
  document.body.append(answer);
}
run();
"""

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


@pytest.fixture
def address() -> Iterator[str]:
    """The site, served to this machine alone, with a page that looks at the others."""
    script = CHECK % (json.dumps(LOOKED_AT), WIDTH)
    harness = f"<!doctype html><body><script>{script}</script></body>".encode()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/check":
                super().do_GET()
                return
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(harness)

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=SITE)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/check"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs chromium")
def test_in_a_browser(address: str, tmp_path: Path) -> None:
    """No picture is broken, nothing scrolls sideways, sliders move, and the search finds the word."""
    assert BROWSER is not None
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    command = [BROWSER, *options, "--virtual-time-budget=120000", "--dump-dom", address]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True).stdout
    answer = re.search(r'<pre id="answer">(.*?)</pre>', shown, re.DOTALL)
    assert answer is not None, shown[-2000:]
    found = json.loads(unescape(answer[1]))
    assert found.pop("hits") > 0
    assert set(found) == set(LOOKED_AT)
    assert not {page: seen["broken"] for page, seen in found.items() if seen["broken"]}
    assert not {page: seen["width"] for page, seen in found.items() if seen["width"] > WIDTH}
    moved = [seen["moved"] for seen in found.values() if "moved" in seen]
    assert moved
    assert all(moved)
