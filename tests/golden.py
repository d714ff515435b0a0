"""What public calls returned when they were recorded, so that a change of the engine is seen as one.

    python tests/golden.py --write [name ...]

records the results anew: all of them, or those whose name begins with one of the words given. They are in
tests/golden/*.json, one file for each group of calls and one line for each call. `tests/test_golden.py`
compares.

How a result is described
-------------------------
1. A number, a text, None, a tuple, a list, a dict and a set are written as they are. Floats have 15 digits.
2. An array is its shape and its values, if there are at most `MOST_VALUES` of them. Of a longer one the sum,
   the sum of the sizes, the extremes and `SAMPLES` values at even distances are kept: a change of one value
   changes the sums by as much.
3. A result is its class, its fields and its text with every number replaced by "#": its numbers are compared
   as fields, to a relative 1e-9. A system, a loss or a rule is its text.
4. Fields that depend on the speed of the machine or on rounding alone are left out by name (`LEFT_OUT`), and
   so are functions.

How descriptions are compared
-----------------------------
Texts and whole numbers must be equal. Floats of one array, and single floats, may differ by `RELATIVE` times
the largest of them, and by `ROUNDING`, which a value that is zero but for rounding differs by.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch

FOLDER = Path(__file__).parent / "golden"
MOST_VALUES, SAMPLES = 200, 50
RELATIVE = 1e-9
ROUNDING = 1e-13  # some hundred times the spacing of numbers near 1
LEFT_OUT = frozenset(
    {
        "course",  # how paths are followed, with a key that is another one every time
        "residual",  # the size of a rounding error
        "seconds",
        "cost",
    }
)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|\b(nan|inf)\b")


def describe(value: Any) -> Any:
    """A result as numbers, texts, lists and dicts that JSON can hold."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return ADDRESS.sub("", value)
    if isinstance(value, np.bool_ | np.integer):
        return value.item()
    if isinstance(value, float | np.floating):
        return _float(float(value))
    if isinstance(value, complex | np.complexfloating):
        return {"complex": [_float(value.real), _float(value.imag)]}
    if isinstance(value, torch.Tensor):
        return _array(value.detach().cpu().numpy())
    if isinstance(value, np.ndarray):
        return _array(value)
    if isinstance(value, nx.Graph):
        nodes, edges = sorted(value.nodes(data=True), key=_order), sorted(value.edges(data=True), key=_order)
        return {"nodes": describe(nodes), "edges": describe(edges)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return _fields(type(value).__name__, zip(value._fields, value, strict=True))
    if hasattr(value, "tocoo"):
        entries = value.tocoo()
        return {"shape": list(entries.shape), "entries": describe([*entries.coords, entries.data])}
    if isinstance(value, Mapping):
        return {"dict": [[describe(key), describe(part)] for key, part in sorted(value.items(), key=_order)]}
    if isinstance(value, set | frozenset):
        return [describe(part) for part in sorted(value, key=_order)]
    module = type(value).__module__.split(".")
    if dataclasses.is_dataclass(value) and module[1:2] not in (["systems"], ["rules"], ["landscapes"]):
        found = _fields(
            type(value).__name__, ((e.name, getattr(value, e.name)) for e in dataclasses.fields(value))
        )
        return {**found, "text": _words(value)}
    if isinstance(value, Iterable) and isinstance(value, Sequence):
        return [describe(part) for part in value]
    if module[0] == "samdyn" and type(value).__repr__ is not object.__repr__:
        return _words(value)
    return f"<{type(value).__name__}>"


def differences(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """Where two descriptions differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        if "of" in old and "of" in new and old["of"] == new["of"] == "float":
            yield from _arrays_differ(old, new, place)
            return
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                yield f"{place}.{key} is {'gone' if key in old else 'new'}"
            else:
                yield from differences(old[key], new[key], f"{place}.{key}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{place} has {len(new)} entries, not {len(old)}"
            return
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from differences(a, b, f"{place}[{i}]")
    elif isinstance(old, float) and isinstance(new, float):
        if not _same([old], [new]):
            yield f"{place} is {new!r}, not {old!r}"
    elif old != new:
        yield f"{place} is {new!r:.300}, not {old!r:.300}"


@functools.cache
def calls() -> dict[str, dict[str, Callable[[], Any]]]:
    """All calls by group and name."""
    from public_calls import calls as public
    from sampling_calls import sampling

    groups: dict[str, dict[str, Callable[[], Any]]] = {
        "public": {call.name: (lambda call=call: call.function(**call.arguments)) for call in public()}
    }
    for name, call in sampling().items():
        groups.setdefault(name.split(":")[0].replace(" ", "_"), {})[name] = call
    return groups


def run(call: Callable[[], Any]) -> Any:
    """The description of what a call returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning is no part of the result
        return describe(call())


@functools.cache
def recorded(group: str) -> dict[str, Any]:
    """What was recorded of a group of calls."""
    path = FOLDER / f"{group}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def write(words: Sequence[str]) -> None:
    """Record calls anew, all of them or those whose name begins with one of the words."""
    FOLDER.mkdir(exist_ok=True)
    for group, entries in calls().items():
        old = recorded(group)
        chosen = {
            name: run(call)
            for name, call in entries.items()
            if name not in old or not words or any(name.startswith(word) for word in words)
        }
        found = {name: chosen.get(name, old.get(name)) for name in entries}
        lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
        text = "{\n" + ",\n".join(lines) + "\n}\n"
        (FOLDER / f"{group}.json").write_text(text, encoding="utf-8")
        print(f"{group}: {len(chosen)} of {len(entries)} recorded")


def _float(value: float) -> float | str:
    return float(f"{value:.15g}") if math.isfinite(value) else str(value)


def _array(array: np.ndarray[Any, Any]) -> dict[str, Any]:
    kind = {"b": "bool", "i": "int", "u": "int", "f": "float", "c": "complex"}.get(array.dtype.kind, "text")
    if kind == "complex":
        array, kind = np.stack([array.real, array.imag], axis=-1), "float"
    found: dict[str, Any] = {"shape": list(array.shape), "of": kind}
    flat = array.ravel()
    if len(flat) <= MOST_VALUES or kind == "text":
        return {**found, "values": [describe(v) for v in flat.tolist()]}
    finite = flat[np.isfinite(flat)]
    sums = [finite.sum(), np.abs(finite).sum(), finite.min(initial=0), finite.max(initial=0), len(finite)]
    if kind != "float":
        sums = [int(v) for v in sums]
    at = np.unique(np.linspace(0, len(flat) - 1, SAMPLES).astype(int))
    return {**found, "sums": describe(sums), "sample": [describe(v) for v in flat[at].tolist()]}


def _fields(name: str, fields: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    kept = ((key, value) for key, value in fields if key not in LEFT_OUT)
    return {
        "class": name,
        **{key: describe(value) for key, value in kept if not callable(value) or hasattr(value, "dim")},
    }


def _words(value: Any) -> str:
    text = ADDRESS.sub("", repr(value))
    return re.sub(r"[\s-]+", " ", NUMBER.sub("#", text))


def _order(entry: Any) -> str:
    return repr(entry[0] if isinstance(entry, tuple) else entry)


def _arrays_differ(old: dict[str, Any], new: dict[str, Any], place: str) -> Iterator[str]:
    if old["shape"] != new["shape"]:
        yield f"{place} has shape {new['shape']}, not {old['shape']}"
        return
    for key in old.keys() & new.keys() - {"shape", "of"}:
        a, b = _numbers(old[key]), _numbers(new[key])
        if key == "sums":  # each has a size of its own
            wrong = [i for i in range(len(a)) if not _same([a[i]], [b[i]], len_of_sum=old["shape"])]
        else:
            wrong = [] if _same(a, b) else [i for i in range(len(a)) if not _same([a[i]], [b[i]])]
        if wrong:
            i = wrong[0]
            yield f"{place}.{key} differs at {len(wrong)} of {len(a)}, first [{i}] {b[i]!r}, not {a[i]!r}"


def _numbers(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values]


def _same(a: Sequence[float], b: Sequence[float], len_of_sum: Sequence[int] = ()) -> bool:
    x, y = np.array(a), np.array(b)
    if len(x) != len(y):
        return False
    finite = np.isfinite(x)
    if (finite != np.isfinite(y)).any() or not np.array_equal(x[~finite], y[~finite], equal_nan=True):
        return False
    sizes = np.abs(x[finite])
    rounding = ROUNDING * max(1, math.prod(len_of_sum))
    return bool((np.abs(x[finite] - y[finite]) <= RELATIVE * sizes.max(initial=0.0) + rounding).all())


if __name__ == "__main__":
    if sys.argv[1:2] != ["--write"]:
        sys.exit(__doc__)
    write(sys.argv[2:])
