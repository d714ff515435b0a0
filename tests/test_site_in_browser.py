"""The built manual in a browser: what a reader sees, where the static checks of test_site.py do not reach.

Headless Chromium opens pages of docs/_build/html, served on this machine, since a search does not work on
files. Skipped where the manual has not been built, or where selenium, Chromium or its driver is not installed
(Debian's packages chromium and chromium-driver).
"""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[1] / "docs" / "_build" / "html"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (SITE / "search.html").exists(), reason="make docs builds the manual"),
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="Chromium and chromedriver are not installed"),
]

NARROW = (400, 800)
"""Width and height of a phone in pixels."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    options.page_load_strategy = "eager"  # nothing waits for what is not on this machine
    for option in (
        "--headless=new",
        "--no-sandbox",  # Chromium refuses to run as root with one
        "--disable-gpu",
        "--disable-dev-shm-usage",  # a container's shared memory is small
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # nothing from elsewhere
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):
        options.add_argument(option)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


def resize(browser: Any, size: tuple[int, int]) -> None:
    """The size of the page, which a window cannot be made as small as."""
    width, height = size
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def addresses() -> list[str]:
    """Every page that is written by hand or by a run; of those of single names one of each kind."""
    pages = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
    written = [
        page for page in pages if not page.startswith(("_", "generated/")) and "execution_times" not in page
    ]
    return [*written, "generated/samdyn.basins.html", "generated/samdyn.SAM.html"]


BROKEN = """
const images = [...document.images];
images.forEach(image => image.loading = "eager");
const done = arguments[arguments.length - 1];
const wait = images.map(image => image.complete ? null : new Promise(ready => {
    image.addEventListener("load", ready); image.addEventListener("error", ready); }));
Promise.all(wait).then(() => done(images.filter(image => !image.naturalWidth).map(image => image.src)));
"""

TYPESET = """
const done = arguments[arguments.length - 1];
const formulas = document.querySelectorAll(".math").length;
const set = () => document.querySelectorAll("mjx-container").length;
const wait = () => {
    if (!formulas) return done([0, 0]);
    if (!window.MathJax || !MathJax.startup || !MathJax.startup.promise) return setTimeout(wait, 50);
    MathJax.startup.promise.then(() => done([formulas, set()]));
};
wait();
"""

TOO_WIDE = """
const page = document.scrollingElement;
return page.scrollWidth <= window.innerWidth ? null : page.scrollWidth;
"""


def test_no_picture_is_broken_no_formula_raw_and_no_page_scrolls_sideways(browser: Any, address: str) -> None:
    resize(browser, NARROW)
    pages = addresses()
    broken, wide, formulas = [], [], []
    for page in pages:
        browser.get(f"{address}/{page}")
        formulas.append(browser.execute_async_script(TYPESET))
        broken += [f"{page}: {image}" for image in browser.execute_async_script(BROKEN)]
        width = browser.execute_script(TOO_WIDE)
        if width is not None:
            wide.append(f"{page}: {width} pixels")
    assert len(pages) > 60
    assert not broken, broken
    assert not wide, wide
    assert sum(written for written, _ in formulas) > 100
    assert all(typeset == written for written, typeset in formulas), dict(zip(pages, formulas, strict=True))
    # what finds nothing wrong has to be able to
    browser.execute_script("document.body.innerHTML += '<img src=none.png><div style=width:500px>_</div>'")
    assert browser.execute_async_script(BROKEN)
    assert browser.execute_script(TOO_WIDE) >= 500


def wait_for(browser: Any, condition: str, seconds: float = 20.0) -> Any:
    """The value of a JavaScript expression, as soon as it is true."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, seconds).until(lambda _: browser.execute_script(f"return {condition}"))


def test_the_search_finds_a_word(browser: Any, address: str) -> None:
    resize(browser, (1200, 900))
    browser.get(f"{address}/search.html?q=hallucinated")
    wait_for(browser, "document.querySelectorAll('#search-results li a').length > 3")
    wait_for(browser, "/finished|found/.test(document.querySelector('#search-results').textContent)")
    found = browser.execute_script(
        "return [...document.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'))"
    )
    assert any("hallucinated-checkpoint" in link for link in found), found
    browser.get(f"{address}/search.html?q=nosuchwordatall")
    wait_for(browser, "/did not match/.test(document.querySelector('#search-results').textContent)")
    assert not browser.execute_script("return document.querySelectorAll('#search-results li a').length")


def test_sliders_move_pictures(browser: Any, address: str) -> None:
    """The frames of an animation follow its slider, on each page that has one."""
    pages = [page for page in addresses() if 'type="range"' in (SITE / page).read_text(encoding="utf-8")]
    assert pages, "no page has a slider"
    for page in pages:
        browser.get(f"{address}/{page}")
        moved = browser.execute_script("""
            const slider = document.querySelector("input[type=range]");
            const picture = slider.closest(".animation").querySelector("img");
            const before = picture.src;
            slider.value = slider.max;
            for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, {bubbles: true}));
            return [before != picture.src, Number(slider.max)];
        """)
        assert moved[0], page
        assert moved[1] >= 1, page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_legible_in_both_themes(browser: Any, address: str, theme: str) -> None:
    """Text has the contrast of 4.5 that WCAG 2 asks for with what it stands on, in tables of results too."""
    resize(browser, (1200, 900))
    for page in (
        "index.html",
        "how-to-choose.html",
        "made/notebooks/when_does_sam_get_stuck_at_a_saddle.html",
    ):
        browser.get(f"{address}/{page}")
        browser.execute_script(f"document.body.dataset.theme = '{theme}'")
        faint = browser.execute_script(CONTRAST)
        assert faint["looked"] > 30, page
        assert not faint["faint"], f"{page}: {faint['faint'][:10]}"
        grounds = browser.execute_script("""
            const pictures = [...document.querySelectorAll("article img")];
            return pictures.map(picture => getComputedStyle(picture).backgroundColor);
        """)
        # black text of pictures that may be transparent
        assert set(grounds) <= {"rgb(255, 255, 255)"}, f"{page}: {grounds}"


CONTRAST = """
const parse = text => { const m = text.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
const linear = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
const luminance = c => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
const over = (top, under) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * under[i]);
const ground = element => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
        const colour = parse(getComputedStyle(e).backgroundColor);
        layers.push(colour);
        if (colour[3] == 1) break;
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
};
const faint = [];
let looked = 0;
const places = "article p, article td, article th, article li, article pre span, article pre";
for (const element of document.querySelectorAll(places)) {
    if (!element.innerText?.trim() || element.closest(".headerlink, [hidden]")) continue;
    looked += 1;
    const below = ground(element), colour = over(parse(getComputedStyle(element).color), below);
    const [a, b] = [luminance(below), luminance(colour)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push(`${ratio.toFixed(1)} ${element.tagName} ${element.innerText.slice(0, 40)}`);
}
return {looked, faint};
"""
