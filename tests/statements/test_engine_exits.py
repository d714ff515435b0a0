"""First exits: level functions that are no distances, times that t_max cuts, the bias of a step, Ctrl-C."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.escape.exit import runs as exit_run

BROWN = sd.Diffusion.from_function(lambda w: 0 * w, np.eye(2), 2)


@pytest.mark.parametrize(
    "level",
    [lambda w: w @ w - 1, lambda w: 10 * ((w @ w) ** 1.5 - 1), lambda w: torch.exp(2 * (w @ w - 1)) - 1],
    ids=["square", "cube", "exponential"],
)
def test_a_level_function_is_as_good_as_a_distance(level: object) -> None:
    """Wrong places: exit points left the boundary, means were 8 % off, where the gradient is not of length 1.
    Right: Brownian motion in the unit disc from (.6, 0) leaves after (1 - .36) / 2, on the circle.
    """
    exits = sd.exit_times(BROWN, [0.6, 0.0], sd.Region(level), 3000, t_max=50.0, dt=0.01, compile=False)
    assert np.abs(np.linalg.norm(exits.exit_points, axis=1) - 1).max() < 1e-9
    assert abs(exits.mean - 0.32) < 4 * exits.standard_error


@pytest.mark.parametrize("correction", ["bridge", None])
def test_no_path_is_followed_beyond_t_max(correction: str | None) -> None:
    """Times that claim more than was asked: t_max = 1 with dt = .7 followed paths until 1.4."""
    ball = sd.Ball([0.0, 0.0], 1.0)
    exits = sd.exit_times(
        BROWN, [0.0, 0.0], ball, 400, t_max=1.0, dt=0.7, correction=correction, compile=False
    )
    assert exits.t_max <= 1.0
    assert exits.watched.max() <= 1.0
    assert np.nanmax(exits.times) <= 1.0
    step = sd.Map(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1, noise=sd.GaussianNoise(std=8.0))
    assert sd.exit_times(step, [0.0], sd.Ball([0.0], 1.0), 100, t_max=2.5).watched.max() == 2.0


def test_a_trajectory_ends_at_t_max() -> None:
    """The last step of a diffusion is shortened: without noise the last point is that of steps .7 and .3."""
    decay = sd.Diffusion.from_function(lambda w: -w, [[0.0]], 1)
    path = sd.trajectory(decay, [1.0], t_max=1.0, dt=0.7)
    np.testing.assert_allclose(path[:, 0], [1.0, 0.3, 0.3 * 0.7])


@pytest.mark.slow
def test_a_long_step_is_said_and_extrapolated() -> None:
    """An accuracy claimed everywhere that holds at one place: at lr = .1, over a barrier of 2.5 noise levels,
    the mean is some 15 % short. Right: the solver's, from two steps by Richardson.
    """
    noise = sd.GaussianNoise(std=(0.4 / 0.1) ** 0.5)
    sde = sd.Diffusion(sd.landscapes.quadratic([[1.0]]), sd.GD(), lr=0.1, noise=noise)
    ball = sd.Ball([0.0], 1.0)
    exits = sd.exit_times(sde, [0.0], ball, 1500, t_max=400.0, seed=5, compile=False)
    assert 0.05 < exits.step_bias < 0.3
    assert "which is not small" in repr(exits)
    exact = float(sd.mean_exit_time(sde, ball)([[0.0]])[0])
    refined = exits.refine(compile=False)
    assert abs(refined.mean - exact) < 4 * refined.standard_error
    short = sd.exit_times(sde, [0.0], ball, 200, t_max=20.0, dt=0.004, compile=False)
    assert short.step_bias < 0.01
    assert "not small" not in repr(short)


def test_what_a_long_step_does_beside_a_jump_is_judged_over_a_step() -> None:
    """Kind (a): within 1e-6 of SAM's jump the drift's Jacobian is 2e5, and the mean was said to be too short
    by 100 %. The mean of the equation, by the solver, is within 4 standard errors and 4 % of the sampled one.
    """
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.1, noise=sd.GaussianNoise(1.0))
    exits = sd.exit_times(sde, [-1 + 1e-6], sd.HalfSpace([1.0], 0.0), 1000, t_max=4000, dt=0.0025, seed=1)
    exact = float(sd.mean_exit_time(sde, sd.Box([-3], [0.0]))([-1 + 1e-6]))
    error = exits.times.std() / len(exits) ** 0.5
    assert abs(exits.mean - exact) < 4 * error + 0.04 * exact
    assert exits.step_bias < 0.04


@pytest.mark.parametrize(("rho", "std", "dt"), [(0.2, 1.5, 0.1), (0.3, 1.0, 0.1), (0.3, 1.5, 0.05)])
def test_what_a_long_step_of_sam_does_is_said(rho: float, std: float, dt: float) -> None:
    """Kind (a): means too short by 9, 24 and 10 % were printed without a word, since the Jacobian was taken
    for the scale of the drift where it jumps. What is said covers what the solver shows, and is at most four
    times as much.
    """
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(rho), lr=dt, noise=sd.GaussianNoise(std))
    exits = sd.exit_times(sde, [1.0], sd.HalfSpace([-1.0], 0.0), 20_000, t_max=4000, dt=dt, seed=1)
    exact = float(sd.mean_exit_time(sde, sd.Box([0.0], [4.0]))([1.0]))
    short, error = 1 - exits.mean / exact, exits.times.std() / len(exits) ** 0.5 / exact
    assert short - 4 * error < exits.step_bias < 4 * (short + 4 * error)
    assert "may be too short" in repr(exits)


def test_an_interrupted_result_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that looks whole: after Ctrl-C only a smaller t_max showed."""

    class Interrupting(exit_run.CostWatch):
        def sweep(self, step: int, inside: int) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(exit_run, "CostWatch", Interrupting)
    ball = sd.Ball([0.0, 0.0], 5.0)
    exits = sd.exit_times(BROWN, [0.0, 0.0], ball, 100, t_max=100.0, dt=0.1, compile=False)
    assert exits.interrupted
    assert "interrupted by Ctrl-C" in repr(exits)
    monkeypatch.undo()
    whole = sd.exit_times(BROWN, [0.0, 0.0], ball, 100, t_max=100.0, dt=0.1, compile=False)
    assert not whole.interrupted


def test_a_long_job_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cost that nobody is told: a job none of whose paths leaves, seen in its first steps."""
    monkeypatch.setattr("samdyn.escape.exit.cost.PATIENCE", 0.0)
    hold = sd.Diffusion.from_function(lambda w: -w, [[0.01]], 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", sd.CostWarning)
        with pytest.raises(sd.CostWarning, match="exit_times will take"):
            sd.exit_times(hold, [0.0], sd.Ball([0.0], 5.0), 2000, t_max=1e6, dt=0.01, compile=False)


def test_a_copy_says_what_a_long_step_does() -> None:
    """Kind (a): copies and pickled results lost the line that says by how much the mean is too short."""
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.1, noise=sd.GaussianNoise(1.5))
    exits = sd.exit_times(sde, [1.0], sd.HalfSpace([-1.0], 0.0), 50, t_max=100, dt=0.1, seed=1)
    for again in (copy.deepcopy(exits), pickle.loads(pickle.dumps(exits))):
        assert again.step_bias == exits.step_bias > 0
        assert repr(again) == repr(exits)


def test_a_file_says_what_a_long_step_does(tmp_path: Path) -> None:
    """A file of exits under a user's own loss lost that line, said nothing of it, and took no system."""
    well = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, dim=1, box=[(-2, 2)], name="well")
    deeper = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 3, dim=1, box=[(-2, 2)], name="well")
    own, other = (sd.Diffusion(f, sd.SAM(0.3), lr=0.1, noise=sd.GaussianNoise(1.5)) for f in (well, deeper))
    exits = sd.exit_times(own, [1.0], sd.HalfSpace([-1.0], 0.0), 50, t_max=100, dt=0.1, seed=1)
    exits.save(tmp_path / "exits")
    alone = sd.escape.ExitTimes.load(tmp_path / "exits")
    assert (alone.step_bias, repr(alone)) == (exits.step_bias, repr(exits))
    assert alone.absent == (repr(own),)
    for asked in (alone.refine, alone.compare_exact):
        with pytest.raises(ValueError, match=r"ExitTimes\.load\(path, system=\.\.\.\)"):
            asked()
    alone.save(tmp_path / "again")
    for path in ("exits", "again"):
        assert sd.escape.ExitTimes.load(tmp_path / path, own).refine(10).equals(exits.refine(10))
        with pytest.raises(ValueError, match="has its text and takes points elsewhere"):
            sd.escape.ExitTimes.load(tmp_path / path, other)
