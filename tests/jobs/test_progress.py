"""Bars of verbs that can take long: all of them have one, it is cleared, and it changes no result."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import api_examples
import pytest

import samdyn as sd

LOSS = sd.landscapes.double_well()
FLOW = sd.Flow(LOSS, sd.GD())
SAMPLES = sd.FiniteSum(lambda w, s: s @ w**2 / 2, [[4.0, 0.0], [0.0, 2.0]], dim=2)
BATCHES = sd.Map(SAMPLES, sd.USAM(0.1), lr=0.1, momentum=0.5, noise=sd.Minibatch(batch_size=1))
VERBS: dict[str, Callable[[bool], Any]] = {
    "spectrum": lambda progress: (
        sd.spectrum(sd.landscapes.beale(), [0.0, 1.0], progress=progress).eigenvalues
    ),
    "refine": lambda progress: sd.refine(sd.Flow(LOSS, sd.SAM(1.5)), [-0.4], progress=progress).x,
    "diagnose": lambda progress: (
        sd.diagnose(sd.Map(LOSS, sd.SAM(1.5), lr=0.1), [-0.49], n_steps=8, progress=progress).verdict
    ),
    "critical_learning_rate": lambda progress: sd.critical_learning_rate(BATCHES, progress=progress),
    "mean_square_stability": lambda progress: sd.mean_square_stability(BATCHES, progress=progress),
    "batch_linearization": lambda progress: (
        sd.rates.batch_linearization(BATCHES, [0.1, 0.2], progress=progress).jacobian
    ),
    "phase_portrait": lambda progress: sd.plot.phase_portrait(
        sd.Flow(sd.landscapes.double_well(2), sd.GD()), resolution=8, progress=progress
    ).get_title(),
    "animate_results": lambda progress: len(
        sd.plot.animate_results([sd.linearize(FLOW, [0.0])] * 2, progress=progress).to_jshtml()
    ),
}
ANNOUNCING = {"announce", "announce_following", "announce_moments", "paced", "PacedBar", "path_bar"}
"""What says a cost, and is given the name of the verb for it."""


@pytest.mark.parametrize("verb", VERBS)
def test_a_bar_is_shown_and_changes_nothing(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = VERBS[verb](False)
    assert not capsys.readouterr().err
    assert str(VERBS[verb](True)) == str(quiet)
    shown = capsys.readouterr().err
    assert f"{verb}: " in shown
    assert shown.endswith("\r")  # the line is empty again


def texts_given_to_announcements() -> set[str]:
    """Texts in the calls of samdyn's sources that announce a cost: names of verbs among them."""
    found = set()
    for path in Path(sd.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") in ANNOUNCING:
                found |= {arg.value for arg in call.args if isinstance(arg, ast.Constant)}
    return {text for text in found if isinstance(text, str)}


def test_verbs_that_announce_a_cost_say_so_and_have_a_bar() -> None:
    given = texts_given_to_announcements()
    functions = {name: f for name, f in api_examples.public_names().items() if inspect.isfunction(f)}
    announcing = set()
    for name, verb in functions.items():
        own = not name.startswith("samdyn.plot.") or name.replace(".plot", "", 1) not in functions
        # a picture has the name of the verb whose result it shows
        if "CostWarning" in (verb.__doc__ or "") or (own and name.rpartition(".")[2] in given):
            announcing.add(name)
    assert len(announcing) > 40
    assert {"samdyn.rates.batch_linearization", "samdyn.plot.phase_portrait", "samdyn.basins"} <= announcing
    silent = [name for name in announcing if "CostWarning" not in (functions[name].__doc__ or "")]
    assert not silent, f"no Warns in the docstring of {sorted(silent)}"
    without = [name for name in announcing if "progress" not in inspect.signature(functions[name]).parameters]
    # a Jacobian, and its eigenvalues by one call of LAPACK
    assert without == ["samdyn.linearize"]
