"""Pictures of convergence experiments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import samdyn as sd


def result(n_replicas: int = 3) -> sd.rates.Convergence:
    noise = sd.GaussianNoise(0.1)
    system = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.1), lr=0.2, noise=noise)
    return sd.convergence(system, [1.0], 100, n_replicas, parameters={"rho": [0.1, 0.2]})


def test_curves_are_the_means() -> None:
    one = result()
    ax = one.plot("distance", level=0.5)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    for i, line in enumerate(ax.lines):
        np.testing.assert_array_equal(line.get_xdata(), one.steps[1:])
        np.testing.assert_array_equal(line.get_ydata(), one.mean("distance", i)[1:])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["rho = 0.1", "rho = 0.2"]
    assert len(ax.collections) == 2


def test_bounds() -> None:
    one = result(1)
    ax = sd.plot.convergence(one, bound=lambda t: 1 / t, bound_label="theorem", labels=["a", "b"])
    np.testing.assert_allclose(ax.lines[2].get_ydata(), 1 / one.steps[1:])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "theorem"]
    assert not ax.collections
    ax = sd.plot.convergence(one, settings=[1], bound=[lambda t: 0.1])
    assert len(ax.lines) == 2


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"quantity": "loss"}, ValueError, "quantity must be"),
        ({"ax": 3}, TypeError, "ax must be"),
        ({"settings": []}, ValueError, "settings must name"),
        ({"settings": [5]}, ValueError, "settings must be an integer >= 0 and < 2"),
        ({"labels": ["a"]}, ValueError, "labels must be one for each"),
        ({"bound": [abs, abs, abs]}, ValueError, "bound must be one"),
        ({"bound": 3}, TypeError, "bound must be a function"),
        ({"bound": [3]}, TypeError, "bound must be a function"),
        ({"settings": "01"}, TypeError, "settings must be a sequence"),
        ({"settings": 1}, TypeError, "settings must be a sequence"),
    ],
    ids=[
        *("quantity", "axes", "none", "missing", "labels", "bounds"),
        *("no function", "no functions", "text", "number"),
    ],
)
def test_refusals(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        sd.plot.convergence(result(), **arguments)


def test_only_convergence() -> None:
    with pytest.raises(TypeError, match="result must be a Convergence"):
        sd.plot.convergence(3)  # type: ignore[arg-type]
