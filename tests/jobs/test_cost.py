"""What long verbs say before they start."""

from __future__ import annotations

import itertools
import warnings

import pytest

import samdyn as sd
from samdyn.equilibria.search_watch import SearchWatch
from samdyn.jobs.cost import Stopwatch, announce, seconds_of


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


def clocks(monkeypatch: pytest.MonkeyPatch, clock: float, queue: float) -> None:
    """Let so many seconds pass by the clock, and of these for other programs, from one look to the next."""
    monkeypatch.setattr("samdyn.jobs.cost.time.perf_counter", itertools.count(0.0, clock).__next__)
    monkeypatch.setattr("samdyn.jobs.cost.seconds_in_queue", itertools.count(0.0, queue).__next__)


def test_work_is_what_other_programs_did_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks(monkeypatch, 10.0, 6.0)
    assert Stopwatch().seconds() == 4.0


def watched(monkeypatch: pytest.MonkeyPatch, n_searches: int) -> SearchWatch:
    """The watch of a search that has taken nothing yet."""
    clocks(monkeypatch, 0.0, 0.0)
    return SearchWatch(False, "fixed_points", n_searches, "fewer starts", "a smaller box")


def test_a_search_is_announced_by_what_is_left_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search takes about five times as long as its first batch; a second field takes as long again, until
    its own first batch is done. Measured: 2 to 5 times.
    """
    with pytest.warns(sd.CostWarning, match="fixed_points will take about 18 s; fewer starts"):
        watched(monkeypatch, 2).batch(2.0)  # 8 s of its own, 10 s of the second field
    watch = watched(monkeypatch, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        watch.batch(0.1)
        for _ in range(20):
            watch.step(0.05)  # a first batch in the making: 1 s of 5 s
        watch.batch(1.0)
        watch.level(1.0, 3, 34)  # too early to tell
    with pytest.warns(sd.CostWarning, match="fixed_points will take about 15 s"):
        watch.level(2.0, 4, 34)
