"""The table of the family as Markdown, and its picture, from the stored measurements alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from members import GROUPS

from samdyn.plot.appearance.style import OKABE_ITO

DOCS = Path(__file__).parents[2] / "docs"
ENDS = {
    "minimum": ("green", ""),
    "saddle or maximum": ("orange", "//"),
    "elsewhere": ("vermilion", "xx"),
    "away": ("grey", ""),
}
"""Where starts end: colour and hatching."""
COLORS = {**OKABE_ITO, "grey": "#bbbbbb"}

SLUGS = {
    "metric or part": "metric",
    "combination": "combination",
    "memory": "memory",
    "schedule or several ascents": "schedule",
    "base step": "base",
    "curvature": "curvature",
    "random points": "random",
    "samples or outputs": "samples",
}
"""Groups of members, by the page of the manual that they are on; those of one formula have none."""

CLOSED_RADII = {
    "GD": "none",
    "USAM": "$1/\\lvert\\lambda\\rvert = 1$",
    "UnifiedSAM": "0",
    "SAM": "0",
}
"""Critical radii in closed form, as `sd.critical_rho` gives them at eigenvalues 1 and -1."""
CLOSED_RATES = {
    "GD": "$2/h = 0.5$",
    "USAM": "$2/(h(1+\\rho h)) = 0.167$",
    "UnifiedSAM": "$2/(h(1+\\rho h/2)) = 0.25$",
    "SAM": "$2/h = 0.5$",
}
"""Largest learning rates in closed form, h = 4 and rho = 1/2."""


def number(value: float | str, digits: int = 3) -> str:
    """A number to some significant digits, or the text that stands for one."""
    return value if isinstance(value, str) else f"{value:.{digits}g}"


def counts(found: Mapping[str, Any] | str) -> str:
    """Attracting of all hallucinated points; ? where attraction is not known, + families."""
    if isinstance(found, str):
        return found
    text = f"{found['attracting']} of {found['all']}"
    if found["stability not known"]:
        text += f", {found['stability not known']} ?"
    return text + (", families" if found["families"] else "")


def window(found: list[list[float]] | str) -> str:
    """Intervals of radii."""
    if isinstance(found, str):
        return found
    parts = [f"{low:.2f} to {'6 or more' if high >= 6 else f'{high:.2f}'}" for low, high in found]
    return "; ".join(parts) or "none"


def ratio(found: Mapping[str, Any] | str) -> str:
    """A ratio of mean exit times with its interval."""
    if isinstance(found, str):
        return found
    middle, low, high = found["ratio"]
    if middle is None:
        return f"> {low:.3g}"
    return f"{middle:.3g} [{low:.3g}, {'' if high is None else f'{high:.3g}'}]"


def shares(found: Mapping[str, float] | str) -> str:
    """Percent at minima, at other critical points, elsewhere, away."""
    return found if isinstance(found, str) else " / ".join(f"{100 * found[name]:.0f}" for name in ENDS)


def flat(found: Mapping[str, Any] | str) -> str:
    """A share in percent with its interval."""
    if isinstance(found, str):
        return found
    low, high = found["interval"]
    return f"{100 * found['share']:.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def rows_of_points(members: Mapping[str, Any]) -> list[list[str]]:
    """Where it can rest: fixed points, window, where starts end."""
    rows = []
    for name, found in members.items():
        points = found["fixed points"]
        rows.append(
            [
                f"`{name}`",
                *(counts(points[place]) for place in points),
                window(found["window"]),
                shares(found["tilted hat"]),
                shares(found["network"]),
            ]
        )
    return rows


def rows_of_motion(members: Mapping[str, Any]) -> list[list[str]]:
    """How it moves: saddle, cycle, edge, escape, flat minima, cost."""
    rows = []
    for name, found in members.items():
        radius, edge = number(found["critical radius"]), number(found["largest lr"])
        closed_radius, closed_edge = CLOSED_RADII.get(name), CLOSED_RATES.get(name)
        rows.append(
            [
                f"`{name}`",
                radius + (f" ({closed_radius})" if closed_radius else ""),
                number(found["amplitude"]),
                edge + (f" ({closed_edge})" if closed_edge else ""),
                ratio(found["escape"]),
                flat(found["flattest"]),
                number(found["gradients"]),
            ]
        )
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def points_table(results: Mapping[str, Any]) -> str:
    """Where members rest."""
    head = [
        "rule",
        "double well",
        "tilted hat",
        "Himmelblau",
        "two wells",
        "window",
        "ends, hat",
        "ends, XOR",
    ]
    return table(head, rows_of_points(results["members"]))


def motion_table(results: Mapping[str, Any]) -> str:
    """How members move."""
    head = [
        "rule",
        "critical radius",
        "cycle",
        "largest lr",
        "escape time / SGD",
        "flat minimum, %",
        "gradients",
    ]
    return table(head, rows_of_motion(results["members"]))


def picture(results: Mapping[str, Any]) -> Figure:
    """Members by properties: where starts end, how long they stay in a well, which minimum they find."""
    members = results["members"]
    names = [name for group in GROUPS.values() for name in group if name in members]
    figure, axes = plt.subplots(
        1, 4, figsize=(13.5, 2.2 + 0.27 * len(names)), sharey=True, layout="constrained",
        gridspec_kw={"width_ratios": [1.1, 1.1, 1.2, 1.0]},
    )  # fmt: skip
    at = {name: -i for i, name in enumerate(names)}
    titles = {"tilted hat": r"tilted hat, $\rho = 1.5$", "network": r"XOR network, $\rho = 1$"}
    for axis, (key, title) in zip(axes[:2], titles.items(), strict=True):
        for name in names:
            found, left = members[name][key], 0.0
            if isinstance(found, str):
                axis.text(0.02, at[name], "not measured", va="center", color="#777777", fontsize=8)
                continue
            for end, (color, hatch) in ENDS.items():
                look = {"color": COLORS[color], "hatch": hatch, "edgecolor": "white", "linewidth": 0.3}
                axis.barh(at[name], found[end], left=left, height=0.8, **look)
                left += found[end]
        axis.set(title=f"where starts end\n{title}", xlim=(0, 1), xlabel="share of starts")
    for end, (color, hatch) in ENDS.items():
        axes[0].barh(0, 0, color=COLORS[color], hatch=hatch, edgecolor="white", label=end)
    for name in names:
        found = members[name]["escape"]
        if isinstance(found, str):
            continue
        middle, low, high = found["ratio"]
        if middle is None:
            axes[2].plot(low, at[name], ">", color="black", markersize=6)
        else:
            axes[2].plot([low, high or low], [at[name]] * 2, color="black", linewidth=1.2)
            axes[2].plot(middle, at[name], "o", color=COLORS["blue"], markersize=5)
        flat_share = members[name]["flattest"]
        if not isinstance(flat_share, str):
            axes[3].plot(flat_share["interval"], [at[name]] * 2, color="black", linewidth=1.2)
            axes[3].plot(flat_share["share"], at[name], "s", color=COLORS["purple"], markersize=5)
    axes[2].set(xscale="log", title="time to leave a well\nover that of SGD", xlabel="ratio, 95 % interval")
    axes[2].xaxis.set_major_locator(LogLocator(numticks=8))
    axes[2].xaxis.set_major_formatter("{x:g}")
    axes[2].xaxis.set_minor_formatter(NullFormatter())
    axes[2].axvline(1, color="#777777", linewidth=1, zorder=0)
    axes[3].set(title="two wells: ends at\nthe flat minimum", xlim=(0, 1), xlabel="share, 95 % interval")
    axes[0].set_yticks(list(at.values()), list(at))
    axes[0].set_ylim(-len(names) + 0.4, 0.6)
    for axis in axes:
        axis.grid(axis="x", color="#e3e3e3")
        axis.set_axisbelow(True)
        edge = 0.5
        for group in list(GROUPS.values())[:-1]:
            edge -= len([name for name in group if name in at])
            axis.axhline(edge, color="#999999", linewidth=0.8)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return figure


def page_texts(results: Mapping[str, Any]) -> dict[str, str]:
    """The tables that pages of the manual include, by path: all members, and those of every group."""
    parts = {slug: list(GROUPS[title]) for title, slug in SLUGS.items()}
    texts = {}
    for slug, names in {"": [name for group in GROUPS.values() for name in group], **parts}.items():
        members = {name: results["members"][name] for name in names if name in results["members"]}
        missing = ", ".join(f"`{name}`" for name in names if name not in members)
        note = f"\nNot measured yet: {missing}; `make family` goes on with them.\n" if missing else ""
        for kind, make in (("rest", points_table), ("motion", motion_table)):
            text = make({"members": members}) if members else ""
            texts[f"family/measured/{slug}{'-' if slug else ''}{kind}.md"] = (text + note).lstrip("\n")
    return texts


def write_pages(results: Mapping[str, Any], docs: Path) -> None:
    """The tables and the picture of the manual."""
    for path, text in page_texts(results).items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text, encoding="utf-8")
    figure = picture(results)
    figure.savefig(docs / "pictures" / "family.png", dpi=100)
    plt.close(figure)
