"""Bars of the verbs on networks: they are shown where asked for, are cleared, and change no result."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import samdyn as sd

LOSS = sd.landscapes.double_well()
VERBS: dict[str, Callable[[bool], Any]] = {
    "spectrum": lambda progress: (
        sd.spectrum(sd.landscapes.beale(), [0.0, 1.0], progress=progress).eigenvalues
    ),
    "refine": lambda progress: sd.refine(sd.Flow(LOSS, sd.SAM(1.5)), [-0.4], progress=progress).x,
    "diagnose": lambda progress: (
        sd.diagnose(sd.Map(LOSS, sd.SAM(1.5), lr=0.1), [-0.49], n_steps=8, progress=progress).verdict
    ),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_bar_is_shown_and_changes_nothing(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = VERBS[verb](False)
    assert not capsys.readouterr().err
    assert str(VERBS[verb](True)) == str(quiet)
    shown = capsys.readouterr().err
    assert f"{verb}: " in shown
    assert shown.endswith("\r")  # the line is empty again


def test_verbs_that_announce_a_cost_have_a_bar() -> None:
    verbs = {name: getattr(sd, name) for name in sd.__all__ if inspect.isfunction(getattr(sd, name))}
    announcing = [name for name, verb in verbs.items() if "CostWarning" in (verb.__doc__ or "")]
    assert len(announcing) > 15
    without = [name for name in announcing if "progress" not in inspect.signature(verbs[name]).parameters]
    # one eigenvalue problem each, which says beforehand how long it takes
    assert without == ["critical_learning_rate", "mean_square_stability"]
