"""The table of known numbers and of what samdyn gives for them, computed when the manual is built."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]


def row(checked: object) -> str:
    """A line of the table."""
    reference = checked.reference
    sampled = reference.tolerance is None
    cells = (
        reference.name,
        reference.source,
        f"{reference.value:.10g}",
        f"{checked.figure:.10g}",
        f"{abs(checked.figure - reference.value):.1e}",
        f"{checked.allowed:.1e}" + " (sampled: 4 standard errors)" * sampled,
        "PASS" if checked.passed else "**FAIL**",
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def text() -> str:
    """The tables of all areas, with a count in front."""
    sys.path.insert(0, str(ROOT / "tests"))
    from reference_values import REFERENCES

    everything = [reference.check() for reference in REFERENCES]
    passed = sum(checked.passed for checked in everything)
    lines = [f"**{passed} of {len(everything)} PASS.**", ""]
    for area, entries in groupby(everything, key=lambda checked: checked.reference.area):
        lines += [
            f"## {area}",
            "",
            "| what | where the reference comes from | reference | samdyn | difference | allowed | verdict |",
            "|---|---|---|---|---|---|---|",
            *map(row, entries),
            "",
        ]
    return "\n".join(lines)


def write(target: Path) -> None:
    """Compute all of it and write it to `target`, unless that is younger than all that it depends on."""
    tests = [ROOT / "tests" / name for name in ("reference_values.py", "problems.py")]
    sources = [*tests, Path(__file__), *(ROOT / "samdyn").rglob("*.[ph]*")]
    if target.exists() and target.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text(), encoding="utf-8")
