"""Measure every member of the family on the same landscapes, and write the table of docs/family.md.

``make family`` runs everything and stores it in results/family.json beside this file, going on from what is
there for the same settings and versions; the table and the picture
are made from that file alone (``python demos/family/run_family.py --table``).
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import measurements as measure
import numpy as np
import scipy
import torch
from measurements import Settings
from members import MEMBERS
from tables import DOCS, page_texts, write_pages

import samdyn as sd

RESULTS = Path(__file__).parent / "results" / "family.json"


def run(names: list[str], settings: Settings, target: Path) -> None:
    """Measure members and store each in `target` when it is done; those that are there already are kept."""
    results = empty(settings)
    if target.exists():
        stored = json.loads(target.read_text(encoding="utf-8"))
        if all(stored[key] == results[key] for key in ("settings", "versions")):
            results = stored
    rules = {name: repr(MEMBERS[name](1.0)) for name in names}
    missing = [name for name in names if results["members"].get(name, {}).get("rule") != rules[name]]
    reference = measure.escape(MEMBERS["GD"], settings)[0] if missing else None
    for name in missing:
        began = time.process_time()
        found = {"rule": rules[name], **measured(name, settings, reference)}
        found["processor seconds"] = round(time.process_time() - began, 1)
        results["members"][name] = found
        ordered = {key: results["members"][key] for key in MEMBERS if key in results["members"]}
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(results | {"members": ordered}, indent=1) + "\n", encoding="utf-8")
        print(f"{name}: {found['processor seconds']:.1f} s", flush=True)


def empty(settings: Settings) -> dict[str, Any]:
    """Results without members: the settings, and the versions of what computes."""
    return {
        "settings": asdict(settings),
        "versions": {
            "samdyn": sd.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__.split("+")[0],
        },
        "members": {},
    }


def measured(name: str, settings: Settings, reference: Any) -> dict[str, Any]:
    """What is measured of one member."""
    make = MEMBERS[name]
    hat = measure.ends_on(measure.TILTED_HAT, 1.5, 0.05, make, settings)
    gradients = make(1.0).gradients_per_step
    return {
        "gradients": float(gradients),
        "fixed points": measure.fixed_points(make, settings),
        "critical radius": measure.critical_radius(make, settings),
        "window": measure.hallucination_window(make, settings),
        "amplitude": measure.cycle_amplitude(make, settings),
        "largest lr": measure.largest_lr(make, settings),
        "escape": measure.escape(make, settings, reference)[1],
        "flattest": measure.flattest(make, settings),
        "tilted hat": hat if isinstance(hat, str) else hat[1],
        "network": measure.ends_on_network(make, settings),
    }


def main() -> None:
    warnings.simplefilter("ignore", sd.CostWarning)
    warnings.simplefilter("ignore", UserWarning)  # no path left: the ratio then has a lower bound alone
    if "--table" not in sys.argv:
        run(list(MEMBERS), Settings(), RESULTS)
    write_pages(json.loads(RESULTS.read_text(encoding="utf-8")), DOCS)


__all__ = ["MEMBERS", "RESULTS", "Settings", "page_texts", "run"]

if __name__ == "__main__":
    main()
