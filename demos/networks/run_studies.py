"""The notebooks beside this file in their full setting: `make studies`.

Each writes its numbers to `results/`, next to the processor time that it took. Numbers are a function of the
seeds in the notebooks; docs/reproductions.md quotes them.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent


def main() -> None:
    os.environ["SAMDYN_STUDIES"] = "full"
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    for path in sorted(HERE.glob("*.ipynb")):
        began, before = time.perf_counter(), os.times()
        contents = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(HERE)}}
        NotebookClient(contents, timeout=3600, kernel_name="python3", resources=resources).execute()
        after = os.times()
        cpu = after.children_user + after.children_system - before.children_user - before.children_system
        target = HERE / "results" / f"{path.stem}.json"
        results = json.loads(target.read_text())
        results["processor seconds"] = round(cpu)
        target.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{path.stem}: {time.perf_counter() - began:.0f} s, of processors {cpu:.0f} s", flush=True)


if __name__ == "__main__":
    main()
