"""The notebooks beside this file in their full setting: `make studies`.

    python demos/networks/run_studies.py [name ...]

Each notebook writes its numbers and seeds to `results/`; beside them stand the processor time that it took,
the day, and the revision of the code, with a mark where files differed from it. Numbers are a function of the
seeds. Without names all notebooks are run, one after the other.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def revision() -> str:
    """The commit that is checked out, and whether files other than results differ from it."""
    git = ["git", "-C", str(HERE.parents[1])]
    found = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        return "unknown"
    other = [*git, "diff", "--quiet", "HEAD", "--", ".", ":!demos/networks/results"]
    changed = subprocess.run(other, check=False).returncode != 0
    return found.stdout.strip() + (", with changes" if changed else "")


def study(path: Path) -> None:
    """Run one notebook, and add to its results how they came about."""
    began, before, code = time.perf_counter(), os.times(), revision()
    contents = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(HERE)}}
    NotebookClient(contents, timeout=7200, kernel_name="python3", resources=resources).execute()
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    target = HERE / "results" / f"{path.stem}.json"
    results = json.loads(target.read_text())
    results |= {
        "processor seconds": round(cpu),
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "revision": code,
    }
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{path.stem}: {time.perf_counter() - began:.0f} s, of processors {cpu:.0f} s", flush=True)


def main() -> None:
    known = {path.stem: path for path in sorted(HERE.glob("*.ipynb"))}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="name", help="notebooks, without .ipynb; all by default")
    names = parser.parse_args().names
    for name in names:
        if name not in known:
            parser.error(f"no notebook {name!r} in {HERE}; there are: {', '.join(known)}")
    os.environ["SAMDYN_STUDIES"] = "full"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    for name in names or known:
        study(known[name])


if __name__ == "__main__":
    main()
