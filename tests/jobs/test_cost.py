"""What long verbs say before they start."""

from __future__ import annotations

import warnings

import pytest

import samdyn as sd
from samdyn.jobs.cost import announce, seconds_of


def test_short_work_is_not_announced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        announce("basins", 9.0, "pass a smaller resolution")


def test_long_work_names_verb_time_and_what_is_cheaper() -> None:
    with pytest.warns(sd.CostWarning, match=r"basins will take about 20 min; pass a smaller resolution"):
        announce("basins", 1200.0, "pass a smaller resolution")


def test_the_warning_can_be_silenced() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sd.CostWarning)
        announce("basins", 1e9, "pass a smaller resolution")


def test_a_call_is_timed_in_seconds() -> None:
    assert 0 <= seconds_of(lambda: None) < 1.0
