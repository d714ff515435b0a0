"""The words of pictures: titles that name the system, and labels that tell curves apart."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from samdyn.results import Absent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SYMBOLS = {"rho": r"\rho", "lam": r"\lambda", "lr": r"\eta", "momentum": r"\gamma"}

WORDS = {
    "rho": "perturbation radius",
    "lr": "learning rate",
    "momentum": "momentum",
    "std": "standard deviation of the noise",
    "batch_size": "batch size",
}


def symbol_of(name: str) -> str:
    r"""A parameter in mathematical notation: its Greek letter, or its name.

    Examples
    --------
    >>> symbol_of("lr"), symbol_of("batch_size")
    ('\\eta', '\\mathrm{batch\\_size}')
    """
    return SYMBOLS.get(name, rf"\mathrm{{{name}}}".replace("_", r"\_"))


def parameter_label(name: str, rule: Any = None) -> str:
    r"""A parameter as the label of an axis: in words, with its letter and, where the rule tells it, its unit.

    Examples
    --------
    >>> import samdyn as sd
    >>> parameter_label("rho", sd.SAM(0.1)), parameter_label("std")
    ('perturbation radius $\\rho$ (units of the weights)', 'standard deviation of the noise')
    """
    if name not in WORDS:
        return name
    label = f"{WORDS[name]} ${SYMBOLS[name]}$" if name in SYMBOLS else WORDS[name]
    parts = rule.parts() if name == "rho" and rule is not None else None
    if parts is not None and (parts[0] == 0) != (parts[1] == 0):  # all linear or all normalised
        label += " (units of the weights)" if parts[0] == 0 else " (1 / curvature)"
    return label


def title_of(system: Any, but: str | None = None) -> str:
    r"""The system's name and the coefficients of its rule, which the name leaves out.

    Parameters
    ----------
    system : Map, Flow or Diffusion
    but : str, optional
        A coefficient that is on an axis of the picture and is left out.

    Examples
    --------
    >>> import samdyn as sd
    >>> title_of(sd.Flow(sd.landscapes.saddle(), sd.SAM(0.3)))
    'SAM flow on saddle, $\\rho = 0.3$'
    """
    if isinstance(system, Absent):  # of a result that was read from a file
        return readable(repr(system))
    rule, name = getattr(system, "rule", None), readable(str(system.name))
    if rule is None:
        return name
    parts = [name]
    for coefficient in rule.coefficient_names:
        if coefficient == but:
            continue
        value = getattr(rule, coefficient)
        symbol = symbol_of(coefficient)
        parts.append(f"${symbol}$ on a schedule" if callable(value) else f"${symbol} = {float(value):.4g}$")
    return ", ".join(parts)


def readable(text: str) -> str:
    r"""The text with its dollars as dollars, if what stands between them is no formula that can be drawn.

    A user may give a loss any name.

    Examples
    --------
    >>> readable(r"loss $\alpha^2$"), readable("loss $x^$")
    ('loss $\\alpha^2$', 'loss \\$x^\\$')
    """
    if "$" not in text:
        return text
    from matplotlib.mathtext import MathTextParser

    try:
        MathTextParser("path").parse(text)
    except ValueError:
        return re.sub(r"(?<!\\)\$", r"\\$", text)
    return text


def wrapped(ax: Axes, text: str) -> str:
    """A title broken at its spaces, but in no formula, into lines about as long as the axes are wide."""
    figure: Any = ax.figure
    inches = ax.get_window_extent().width / figure.dpi
    # a letter is about half as wide as the font is high, and there are 72 points in an inch
    letters = int(inches * 72 / (0.5 * float(ax.title.get_fontsize())))
    held = re.sub(r"\$[^$]*\$", lambda formula: formula[0].replace(" ", "\0"), readable(text))
    lines = textwrap.wrap(held, max(letters, 12), break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")


def in_common(texts: Sequence[str]) -> str:
    """The words that texts begin and end with, and an ellipsis for what differs.

    Examples
    --------
    >>> in_common(["Map(w, SAM(rho=0.1), lr=0.1)", "Map(w, SAM(rho=0.3), lr=0.1)"])
    'Map(w, SAM(rho=…), lr=0.1)'
    >>> in_common(["Map(w, GD(), lr=0.1)", "Map(w, SAM(rho=0.3), lr=0.1)"])
    'Map(w, …, lr=0.1)'
    """
    if len(set(texts)) == 1:
        return texts[0]
    words = [re.findall(r"[^\s,()]+\([^()]*\)|[^\s,()]+\(?|[(),]|\s+", text) for text in texts]
    if _same_calls(words):  # one rule in every text, of which some arguments are the same
        words = [re.findall(r"[^\s,()=]+|[(),=]|\s+", text) for text in texts]
    shortest = min(map(len, words))
    same = [len({part[i] for part in words}) == 1 for i in range(shortest)]
    from_end = [len({part[-1 - i] for part in words}) == 1 for i in range(shortest)]
    begin = same.index(False) if False in same else shortest
    end = min(from_end.index(False) if False in from_end else shortest, shortest - begin)
    first = words[0]
    return "".join(first[:begin]) + "…" + "".join(first[len(first) - end :])


def labels_by_difference(texts: Sequence[str]) -> list[str]:
    """What tells texts apart: each without the words that all of them begin and end with.

    Parameters
    ----------
    texts : sequence of str
        Descriptions such as ``SAM(rho=0.1), lr=0.1``.

    Returns
    -------
    list of str
        The texts themselves where nothing is left of one of them, or where there is only one.

    Examples
    --------
    >>> labels_by_difference(["Map(w, SAM(rho=0.1), lr=0.1)", "Map(w, SAM(rho=0.3), lr=0.1)"])
    ['rho=0.1', 'rho=0.3']
    >>> labels_by_difference(["Map(w, GD(), lr=0.1)", "Map(w, SAM(rho=0.3), lr=0.1)"])
    ['GD()', 'SAM(rho=0.3)']
    """
    words = [re.findall(r"[^\s,()]+\([^()]*\)|[^\s,()]+\(?|[(),]|\s+", text) for text in texts]
    whole = [list(part) for part in words]
    if len(texts) > 1 and _same_calls(words):  # one rule in every text: its arguments tell them apart
        words = [re.findall(r"[^\s,()]+\(?|[(),]|\s+", text) for text in texts]
        whole = [list(part) for part in words]
    while len(texts) > 1 and all(whole) and len({part[0] for part in whole}) == 1:
        whole = [part[1:] for part in whole]
    while len(texts) > 1 and all(whole) and len({part[-1] for part in whole}) == 1:
        whole = [part[:-1] for part in whole]
    short = ["".join(part).strip(" ,") for part in whole]
    return [readable(text) for text in (short if all(short) and len(texts) > 1 else texts)]


def _same_calls(words: Sequence[Sequence[str]]) -> bool:
    """Whether the texts call the same functions in the same order."""
    names = [[word.split("(")[0] for word in part if "(" in word] for part in words]
    return all(part == names[0] for part in names)
