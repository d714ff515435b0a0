"""One word has one meaning in all public signatures, and the first arguments stand in one order."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import samdyn as sd

VERBS = {
    name: inspect.signature(getattr(sd, name)) for name in sd.__all__ if inspect.isfunction(getattr(sd, name))
}
# what is asked, where, and from where: these come first, in this order
SUBJECT = ("system", "loss", "model", "basins", "graph", "results", "rule")
POINT = ("x0", "x")
PLACE = ("region", "box", "origin", "target")
RUN = ("seed", "device", "workers", "executor", "checkpoint", "progress")
COMMON = {
    *SUBJECT, *POINT, *PLACE, *RUN,
    "t_max", "n_steps", "dt", "save_every", "n_paths", "n_starts", "resolution", "parameters", "parameter",
    "bounds", "period", "tolerance", "max_step", "max_points", "max_rounds", "max_steps", "correction",
    "crossing", "which",
}  # fmt: skip
# a word of one verb or of a family of verbs, for what no common word says
OWN = {
    *("attractors", "far", "radius", "recurrence", "drift", "n_probes", "probe_steps"),  # basins
    *("method", "features", "tail", "distance", "threshold", "action", "core", "options"),
    *("adaptive", "discard", "discard_below", "duration", "image", "iterates"),  # Morse graphs
    *("precision", "compile", "direction", "t", "y", "initial", "n_points", "moment", "interval"),  # escape
    *("standard_deviation_per_step", "margin", "n_loops", "reaction_coordinate", "levels", "n_clones"),
    *("n_kill", "n_repeats"),
    *("record", "minimum", "times", "criterion"),  # rates
    *("certify", "kreiss", "horizon", "matrix", "discrete", "eigenvalues", "mode"),  # equilibria
    *("lr", "rho", "lam", "momentum", "reference"),
    *("length", "max_distance", "max_angle", "strong", "n_exponents", "transient", "trajectory"),  # orbits
    *("n_transient", "n_keep", "radii", "steps", "decaying"),  # bifurcation, hallucination
    *("history", "k", "block", "start", "reach", "deflate", "layer", "unit", "share"),  # networks
    *("curvature", "inputs"),
    *("objective", "data", "chunk", "dtype", "weight_decay", "name", "directions", "points"),
}
# words that were used for what a common word says, and the one to take
INSTEAD = {
    "n": "n_paths", "replicas": "n_paths", "n_replicas": "n_paths", "every": "save_every",
    "sweep": "parameters", "values": "parameters", "region_a": "origin", "region_b": "target",
    "diffusion": "system", "fixed_point": "x", "centre": "x", "end": "y", "verbose": "progress",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_words_of_a_signature(verb: str) -> None:
    words = list(VERBS[verb].parameters)
    assert not {word: INSTEAD[word] for word in words if word in INSTEAD}
    unknown = set(words) - COMMON - OWN
    assert not unknown, f"a word of its own needs a line in OWN: {sorted(unknown)}"


@pytest.mark.parametrize("verb", VERBS)
def test_signatures_say_what_comes_and_what_goes(verb: str) -> None:
    """No `Any`: a type checker, and a reader, learn from the signature what a verb takes."""
    assert not re.search(r"\bAny\b", str(VERBS[verb]))


def test_no_word_is_listed_in_vain() -> None:
    used = {word for signature in VERBS.values() for word in signature.parameters}
    assert used >= OWN | COMMON
    assert not used & set(INSTEAD)


@pytest.mark.parametrize("verb", VERBS)
def test_order_of_a_signature(verb: str) -> None:
    """(system, x0 | x, region | box, ...), and the run group at the end, in its order, by name alone."""
    words = list(VERBS[verb].parameters)
    places = [words.index(group[0]) for group in (_in(words, SUBJECT), _in(words, POINT)) if group]
    places += [words.index(word) for word in _in(words, ("region", "origin"))]
    assert places == sorted(places)
    subject = _in(words, SUBJECT)
    assert not subject or words[0] in SUBJECT
    run = [word for word in words if word in RUN]
    if verb not in {"from_module"}:  # its device is where data lie, not where work is done
        assert run == _in(words, tuple(word for word in RUN if word in run))
        assert all(_kind(verb, word) is inspect.Parameter.KEYWORD_ONLY for word in run)


def _in(words: list[str], group: tuple[str, ...]) -> list[str]:
    return [word for word in group if word in words]


def _kind(verb: str, word: str) -> Any:
    return VERBS[verb].parameters[word].kind


def test_the_flat_namespace_holds_nouns_and_verbs() -> None:
    """Classes of results live in their folders: `sd.basin.Basins`."""
    results = {name for name in sd.__all__ if name[0].isupper() and _is_result(getattr(sd, name))}
    assert not results


def _is_result(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, sd.results.Result)


ROOT = Path(__file__).parent.parent
DOCSTRING = r'(?:\A|(?::|type: ignore\[[\w-]+\])\n +)r?"""'
HEADLESS = re.compile(rf"{DOCSTRING}(?:that|those|of|likewise)\b[^\n]*", re.IGNORECASE)


def test_no_docstring_begins_without_its_noun() -> None:
    """A docstring stands alone in a manual or a tooltip: "That of the whole." says nothing there."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "samdyn").rglob("*.py")]
    assert sum(len(re.findall(DOCSTRING, text)) for text in texts) > 1000  # docstrings are found at all
    assert not [found for text in texts for found in HEADLESS.findall(text)]


def test_nothing_is_said_likewise() -> None:
    """The word sends a reader back for the noun; sentences name it instead."""
    files = [*(ROOT / "samdyn").rglob("*.py"), *(ROOT / "README.md", ROOT / "CONTRIBUTING.md")]
    docs = [path for kind in ("md", "rst", "py") for path in (ROOT / "docs").rglob(f"*.{kind}")]
    files += [path for path in docs if not {"_build", "generated"} & set(path.parts)]
    word = re.compile(r"\blikewise\b", re.IGNORECASE)
    assert not [path.name for path in files if word.search(path.read_text(encoding="utf-8"))]
