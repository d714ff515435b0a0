"""Exit times over a grid: each point is the run by itself, whatever the way it is computed; bad input."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

import samdyn as sd
from samdyn.escape.kernel.sweep_choice import can_compile

mpl.use("Agg")

LOSS = sd.Landscape(
    lambda w, a: a * (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, dim=2, parameters={"a": 1.0}, name="well"
)
SDE = sd.Diffusion(LOSS, sd.SAM(0.1), lr=0.05, noise=sd.GaussianNoise(std=3.0))
LEFT = sd.HalfSpace([1.0, 0.0], 0.0)
START = [-1.0, 0.0]


def sweep(parameters: Any, system: Any = SDE, **more: Any) -> sd.escape.ExitTimeSweep:
    options = {"n_paths": 150, "t_max": 20.0, "seed": 4, "device": "cpu", **more}
    return sd.exit_time_sweep(system, options.pop("x0", START), LEFT, parameters, **options)


def assert_same(a: sd.escape.ExitTimes, b: sd.escape.ExitTimes, rounding: bool = False) -> None:
    for name in ("exited", "diverged", "faces"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("times", "exit_points", "watched"):
        if rounding:
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), 1e-9, 1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("t_max", "dt", "seed", "correction", "discrete", "system", "region"):
        assert getattr(a, name) == getattr(b, name)


def assert_points_are_single_runs(result: sd.escape.ExitTimeSweep, system: Any = SDE, **more: Any) -> None:
    options = {"n_paths": 150, "t_max": 20.0, "seed": 4, "device": "cpu", **more}
    x0 = options.pop("x0", START)
    points = list(itertools.product(*result.parameters.values()))
    assert len(points) == len(result)
    for values, found in zip(points, result, strict=True):
        changes = {k: float(v) for k, v in zip(result.parameters, values, strict=True)}
        alone = sd.exit_times(system.with_parameters(**changes), x0, LEFT, **options)
        # a number of the loss or the noise is folded into the step of a run by itself
        assert_same(found, alone, rounding=not {"rho", "lr"}.issuperset(result.parameters))


GRIDS = [
    {"rho": [0.0, 0.1, 0.3]},
    {"std": [2.0, 4.0]},
    {"a": [0.5, 1.5], "rho": [0.0, 0.2]},
    {"lr": [0.03, 0.05]},  # steps of different length, and different step limits
    {"lr": [0.05, 0.02], "std": [3.0, 4.0], "rho": [0.1, 0.2]},
]


@pytest.mark.parametrize("parameters", GRIDS, ids=lambda p: "-".join(p))
@pytest.mark.parametrize("correction", ["bridge", None])
def test_each_point_is_the_run_by_itself(parameters: dict[str, list[float]], correction: str | None) -> None:
    result = sweep(parameters, correction=correction)
    assert sum(r.n_exited for r in result) > 50
    assert_points_are_single_runs(result, correction=correction)


def test_points_of_a_map() -> None:
    step = sd.Map(LOSS, sd.SAM(0.1), lr=0.05, momentum=0.3, noise=sd.GaussianNoise(std=6.0))
    parameters = {"lr": [0.05, 0.1], "rho": [0.0, 0.2]}
    result = sweep(parameters, step, t_max=200)
    assert result[1, 1].n_exited > 20
    assert_points_are_single_runs(result, step, t_max=200)


def test_points_of_a_function() -> None:
    step = sd.Map.from_function(lambda w, a: a * w, dim=2, parameters={"a": 1.1})
    result = sd.exit_time_sweep(step, [0.1, 0.0], sd.Ball([0.0, 0.0], 1.0), {"a": [1.1, 2.0]}, t_max=100)
    assert [float(r.times[0]) for r in result] == [25.0, 4.0]  # 1.1^25 > 10, 2^4 > 10


def test_points_with_a_schedule() -> None:
    system = sd.Diffusion(LOSS, sd.SAM(sd.schedules.PowerDecay(0.5)), lr=0.05, noise=sd.GaussianNoise(3.0))
    parameters = {"std": [3.0, 5.0]}
    assert_points_are_single_runs(sweep(parameters, system), system)


def test_points_with_a_start_for_each_path() -> None:
    x0 = np.random.default_rng(0).uniform(-1.2, -0.8, (40, 2))
    more = {"x0": x0, "n_paths": None}
    assert_points_are_single_runs(sweep({"rho": [0.0, 0.2]}, **more), **more)


def test_a_step_limit_is_each_points_own() -> None:
    result = sweep({"lr": [0.05, 0.02]}, t_max=1.0)
    assert [r.t_max for r in result] == pytest.approx([1.0, 1.0])
    assert [r.dt for r in result] == [0.05, 0.02]
    assert all(r.watched.max() <= 1.0 + 1e-9 for r in result)


def test_checkpoint(tmp_path: Path) -> None:
    whole = sweep(GRIDS[4])
    for _ in range(2):
        again = sweep(GRIDS[4], checkpoint=tmp_path / "sweep.npz")
        for a, b in zip(again, whole, strict=True):
            assert_same(a, b)
    with pytest.raises(ValueError, match="must belong to this job, got one of another"):
        sweep({**GRIDS[4], "rho": [0.1, 0.3]}, checkpoint=tmp_path / "sweep.npz")


def test_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sweep(GRIDS[4])
    monkeypatch.setattr("samdyn.escape.exit.job.ExitJob.pointwise", False)
    for a, b in zip(sweep(GRIDS[4]), whole, strict=True):
        assert_same(a, b)


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(__import__("torch").device("cpu")), reason="no C++ compiler")
def test_compiled() -> None:
    parameters = {"rho": [0.0, 0.2], "std": [3.0, 4.0]}
    compiled, eager = (sweep(parameters, precision="double", compile=c) for c in (True, False))
    for a, b in zip(compiled, eager, strict=True):
        np.testing.assert_array_equal(a.exited, b.exited)
        np.testing.assert_allclose(a.times, b.times, rtol=1e-6)
    assert_points_are_single_runs(compiled, precision="double", compile=True)


def test_result() -> None:
    result = sweep({"rho": [0.0, 0.3], "std": [3.0, 4.0, 5.0]})
    assert result.shape == (2, 3)
    assert len(result) == 6
    assert result[1, 2] is result[5] is list(result)[5]
    assert result.mean[1, 2] == result[5].mean
    assert result.standard_error[0, 1] == result[1].standard_error
    np.testing.assert_array_equal(result.grid["std"][1], [3, 4, 5])
    interval = result.confidence_interval(0.9)
    assert interval.shape == (2, 3, 2)
    assert (interval[..., 0] < result.mean).all()
    assert (interval[..., 1] > result.mean).all()
    assert (np.diff(result.mean, axis=1) < 0).all()  # more noise, sooner out
    text = repr(result)
    assert text.startswith("ExitTimeSweep: 6 points, 150 paths each")
    assert f"{result.mean[0, 0]:.5g}" in text
    assert result._repr_html_().count("<tr>") == 7


def test_picture() -> None:
    result = sweep({"rho": [0.3, 0.0], "std": [1.0, 5.0]}, t_max=5.0)
    assert not result[0, 0].n_exited
    ax = result.plot("std")
    assert ax.get_xlabel() == "standard deviation of the noise"
    assert ax.get_yscale() == "log"
    labels = {text.get_text() for text in ax.get_legend().get_texts()}
    assert labels == {"rho = 0.3", "rho = 0"}
    with pytest.raises(ValueError, match="parameter must be one of rho, std, got 'lr'"):
        result.plot("lr")
    mpl.pyplot.close("all")


def needs_a_number(w: Any, a: float) -> Any:
    return math.sqrt(a) * w @ w


@pytest.mark.parametrize(
    ("system", "parameters", "error", "match"),
    [
        (SDE, [0.1, 0.2], TypeError, "parameters must be a dict such as"),
        (SDE, {}, ValueError, "parameters must name at least one parameter, got none"),
        (SDE, {"momentum": [0.1]}, ValueError, "parameters must be among a, rho, lr, std, got 'momentum'"),
        (SDE, {"rho": []}, ValueError, r"parameters\['rho'\] must hold at least one value, got \[\]"),
        (SDE, {"rho": 0.1}, ValueError, r"parameters\['rho'\] must hold at least one value, got 0.1"),
        (SDE, {"rho": ["big"]}, TypeError, r"parameters\['rho'\] must be a finite number, got 'big'"),
        (SDE, {"rho": [0.1, math.nan]}, ValueError, r"parameters\['rho'\] must be a finite number, got nan"),
        (SDE, {"rho": [0.1, -1.0]}, ValueError, "rho must be .* got -1.0"),
        (SDE, {"lr": [0.1, 0.0]}, ValueError, "lr must be .* got 0.0"),
        (SDE, {"lr": [0.1, 50.0]}, ValueError, "dt must be at most t_max, got dt=50.0"),
        (
            sd.Diffusion(LOSS, sd.GD(), lr=0.1, noise=sd.GaussianNoise((1.0, 2.0))),
            {"std": [1.0]},
            ValueError,
            "parameters must be numbers other than momentum .* got 'std'",
        ),
        (
            sd.Map(LOSS, sd.GD(), lr=0.1, momentum=0.5),
            {"momentum": [0.5]},
            ValueError,
            "parameters must be numbers other than momentum",
        ),
        (
            sd.Map(LOSS, sd.SAM(sd.schedules.PowerDecay(0.5)), lr=0.1),
            {"rho": [0.5]},
            ValueError,
            "parameters must be numbers other than momentum",
        ),
        (
            sd.Map(sd.Landscape(needs_a_number, dim=2, parameters={"a": 1.0}), sd.GD(), lr=0.1),
            {"a": [1.0, 2.0]},
            ValueError,
            "parameters must be numbers that the loss uses in torch operations only, got a",
        ),
        (sd.Flow(LOSS, sd.GD()), {"a": [1.0]}, TypeError, "system must be a Diffusion or a Map, got Flow"),
    ],
)
def test_bad_input(system: Any, parameters: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        sweep(parameters, system)
