"""Public calls return what they returned when they were recorded: see tests/golden.py."""

from __future__ import annotations

import numpy as np
import pytest
from golden import FOLDER, calls, describe, differences, recorded, run

# by name from the files: the calls themselves are made by systems that take seconds to set up
RECORDED = [(path.stem, name) for path in sorted(FOLDER.glob("*.json")) for name in recorded(path.stem)]


def test_every_call_is_recorded_and_no_other() -> None:
    made = sorted((group, name) for group, entries in calls().items() for name in entries)
    assert sorted(RECORDED) == made, "python tests/golden.py --write records new calls"


@pytest.mark.parametrize(("group", "name"), RECORDED)
def test_a_call_returns_what_was_recorded(group: str, name: str) -> None:
    assert not list(differences(recorded(group)[name], run(calls()[group][name]), name))


def test_differences_are_seen() -> None:
    long = np.linspace(0.0, 1.0, 1000)
    changed = long.copy()
    changed[517] += 1e-6
    for a, b in [
        (1.0, 1.0 + 1e-8),
        (1, 2),
        ("a", "b"),
        ([1.0], [1.0, 2.0]),
        ({"a": 1}, {"b": 1}),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (long, changed),
        (long, long[:-1]),
        (1.0, float("inf")),
    ]:
        assert list(differences(describe(a), describe(b)))
        assert not list(differences(describe(a), describe(a)))
    assert not list(differences(describe(1.0), describe(1.0 + 1e-10)))
