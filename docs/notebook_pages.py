"""The notebooks of demos/ as pages of the manual with their outputs, and their last pictures for the gallery.

A notebook is run in a fresh kernel and an empty folder, and the copy with its outputs is written to
made/notebooks. It is run again when its text has changed, as sphinx-gallery does with examples; `make clean`
forgets all. The copy says of which text and of which samdyn it is the output: where both are those of the
checkout, the tests need not run it once more. Where they do, they run it in a small setting, one notebook
after the other in the same kernel: the metadata of a cell may say under "small" which texts stand for which
(a coarser grid, fewer paths). Every assertion holds there too.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import os
import re
import shutil
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[1]
DEMOS = ROOT / "demos"
WRITTEN = Path(__file__).parent / "made" / "notebooks"
THUMBNAIL = (400, 280)
"""Pixels of a thumbnail at most: those of sphinx-gallery's examples."""

CARD = """.. raw:: html

    <div class="sphx-glr-thumbcontainer" tooltip="{intro}">

.. only:: html

  .. image:: /made/notebooks/images/{name}.png
    :alt: the last picture of the notebook

  :doc:`/made/notebooks/{name}`

.. raw:: html

      <div class="sphx-glr-thumbnail-title">{title}</div>
    </div>

"""


def sources() -> list[Path]:
    """The notebooks, by folder and name."""
    found = (path for path in DEMOS.rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
    return sorted(found, key=lambda path: (path.parent, path.name))


@cache
def library() -> str:
    """A hash of the sources of samdyn and of the versions that it is run with."""
    code = (path for path in (ROOT / "samdyn").rglob("*.*") if path.suffix in (".py", ".hpp"))
    files = [*sorted(code), ROOT / "constraints.txt"]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def key(source: Path) -> dict[str, str]:
    """What the outputs depend on: the text of the notebook's cells, and samdyn."""
    cells = nbformat.read(source, as_version=4)["cells"]
    numbers = [path.read_text(encoding="utf-8") for path in sorted(stored_of(source).glob("*.json"))]
    text = "\0".join([*(cell["source"] for cell in cells), *numbers]).encode()
    return {"text": hashlib.sha256(text).hexdigest(), "samdyn": library()}


def stored_of(source: Path) -> Path:
    """Where numbers are that a notebook reads: those which it wrote when it was run in full."""
    return source.parent / "results"


def copy_of(source: Path) -> Path:
    """Where the copy with outputs is."""
    return WRITTEN / source.name


def key_of_copy(source: Path) -> dict[str, str]:
    """The key under which the copy was run; empty where there is none."""
    path = copy_of(source)
    if not path.exists() or not picture_of(source).exists():
        return {}
    return dict(nbformat.read(path, as_version=4)["metadata"].get("run", {}))


def picture_of(source: Path) -> Path:
    """Where the thumbnail is."""
    return WRITTEN / "images" / f"{source.stem}.png"


def title_and_intro(source: Path) -> tuple[str, str]:
    """The first heading of a notebook, and the first sentence below it."""
    text = str(nbformat.read(source, as_version=4)["cells"][0]["source"])
    title, _, rest = text.partition("\n")
    return title.removeprefix("# ").strip(), re.split(r"(?<=[.?!])\s", rest.strip())[0]


def in_small(notebook: nbformat.NotebookNode) -> None:
    """Put the small setting of each cell in the place of the full one."""
    for cell in notebook["cells"]:
        for full, small in cell["metadata"].get("small", {}).items():
            if cell["source"].count(full) != 1:
                raise ValueError(f"{full!r} must stand once in the cell that has a small setting for it")
            cell["source"] = cell["source"].replace(full, small)


FORGET = """import os
os.chdir({folder!r})  # the folder of the notebook before is gone
%reset -f
import matplotlib.pyplot
matplotlib.pyplot.close("all")
matplotlib.rcdefaults()
%matplotlib inline
%reset -f"""
"""What makes a kernel ready for the next notebook."""


def executed(source: Path, kernel: AsyncKernelManager | None = None) -> nbformat.NotebookNode:
    """The notebook with its outputs, run in a folder that holds its stored numbers alone.

    In a fresh kernel; or in the small setting and a kernel that is kept, whose names and settings of pictures
    are forgotten first.
    """
    notebook = nbformat.read(source, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        if stored_of(source).exists():
            shutil.copytree(stored_of(source), Path(folder) / "results")
        # the kernel imports this checkout and picks its own inline backend, as in front of a reader
        changed = {
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", "")))),
            "IPYTHONDIR": str(Path(folder) / "ipython"),
        }
        environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"} | changed
        place = {"metadata": {"path": folder}}
        if kernel is not None:
            in_small(notebook)
            notebook["cells"].insert(0, nbformat.v4.new_code_cell(FORGET.format(folder=folder)))
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=place, km=kernel)
        try:
            client.execute(env=environment)
        finally:
            if kernel is not None and client.kc is not None:
                client.kc.stop_channels()
    return notebook


def pictures(notebook: nbformat.NotebookNode) -> list[str]:
    """The pictures among the outputs, as PNG in base64."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]


COST = re.compile(r"^\S.*CostWarning: .*\n(?:[ \t]+.*\n?)?", re.MULTILINE)
"""A printed CostWarning: its line, and the line of code below it."""


def without_costs(output: dict[str, Any]) -> dict[str, Any] | None:
    """An output without its estimates of cost, which depend on how busy the machine is; None for one."""
    if "CostWarning" not in output.get("text", ""):
        return output
    text = COST.sub("", output["text"])
    return nbformat.from_dict({**output, "text": text}) if text.strip() else None


def run(source: Path) -> None:
    """Run a notebook and write the copy with its outputs, and its last picture as a thumbnail."""
    notebook = executed(source)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [kept for output in cell["outputs"] if (kept := without_costs(output))]
    picture_of(source).parent.mkdir(parents=True, exist_ok=True)
    with Image.open(io.BytesIO(base64.b64decode(pictures(notebook)[-1]))) as picture:
        small = picture.convert("RGB")
        small.thumbnail(THUMBNAIL)
        small.save(picture_of(source))
    place = os.path.relpath(source, WRITTEN).replace(os.sep, "/")
    link = f"{{download}}`This notebook <{place}>` was run when the manual was built."
    notebook["cells"].insert(1, nbformat.v4.new_markdown_cell(link))
    notebook["metadata"]["run"] = key(source)
    nbformat.write(notebook, copy_of(source))


def start() -> list[Future[None]]:
    """Begin to run the notebooks whose text has changed, beside whatever else is done."""
    WRITTEN.mkdir(parents=True, exist_ok=True)
    names = {source.name for source in sources()}
    for old in WRITTEN.glob("*.ipynb"):
        if old.name not in names:
            old.unlink()
    stale = [source for source in sources() if key_of_copy(source).get("text") != key(source)["text"]]
    pool = ThreadPoolExecutor(max_workers=os.cpu_count())
    futures = [pool.submit(run, source) for source in stale]
    pool.shutdown(wait=False)
    return futures


def write_cards() -> None:
    """Write the thumbnails with their links: a file for each folder of notebooks, and one for all."""
    cards: dict[str, str] = {}
    for source in sources():
        title, intro = title_and_intro(source)
        card = CARD.format(name=source.stem, title=html.escape(title), intro=html.escape(intro))
        for group in (source.parent.name, "all"):
            cards[group] = cards.get(group, "") + card
    for group, text in cards.items():
        around = (
            '.. raw:: html\n\n    <div class="sphx-glr-thumbnails">\n\n',
            "\n.. raw:: html\n\n    </div>\n",
        )
        path = WRITTEN / f"{group}.txt"
        whole = text.join(around)
        if not path.exists() or path.read_text(encoding="utf-8") != whole:
            path.write_text(whole, encoding="utf-8")
