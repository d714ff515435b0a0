"""The longest time of a rare path is a time, not a number of blocks of steps."""

from __future__ import annotations

import pytest

import samdyn as sd

AHEAD = sd.Landscape(lambda w: -w[0], dim=1, box=[(-5, 5)])
NOISE = sd.GaussianNoise(std=1e-6)
A, B = sd.HalfSpace([1.0], -4.0), sd.HalfSpace([-1.0], -2.0)


def moving(lr: float) -> sd.Diffusion:
    """A path from 0 moves to the right by 1 in a unit of time, with hardly any noise."""
    return sd.Diffusion(AHEAD, sd.GD(), lr=lr, noise=NOISE)


@pytest.mark.parametrize(("t_max", "dt", "arrives"), [(2.0, 0.7, False), (2.1, 0.7, True), (1.0, 0.7, False)])
def test_no_step_ends_after_t_max(t_max: float, dt: float, arrives: bool) -> None:
    """Kind: a limit counted in blocks of four steps. Right: the third step of 0.7 ends at 2.1, so that 2.0 is
    reached by no path (it was followed to 2.8).
    """

    def run() -> sd.escape.RareProbability:
        return sd.rare_committor(
            moving(0.1), [0.0], A, B, t_max=t_max, dt=dt, n_clones=4, n_repeats=2, levels=3, correction=None
        )

    if arrives:
        found = run()
        assert found.estimates.min() == 1.0
        assert found.steps_per_path == 3.0
    else:
        with pytest.raises(RuntimeError, match="t_max was reached by 8 paths"):
            run()


def test_a_map_takes_t_max_steps() -> None:
    """Kind: the same, of a map: 2.0 lies four steps of 0.6 ahead, so that three must not do."""
    step = sd.Map(AHEAD, sd.GD(), lr=0.6, noise=NOISE)
    options = {"n_clones": 4, "n_repeats": 2, "levels": 3}
    assert sd.rare_committor(step, [0.0], A, B, t_max=4, **options).estimates.min() == 1.0
    with pytest.raises(RuntimeError, match="t_max was reached"):
        sd.rare_committor(step, [0.0], A, B, t_max=3, **options)


def test_less_than_one_step_is_refused() -> None:
    """Kind: the same. A time in which no step fits was rounded up to four steps."""
    with pytest.raises(ValueError, match=r"t_max must be at least one step of 0\.7"):
        sd.rare_committor(moving(0.1), [0.0], A, B, t_max=0.5, dt=0.7)


def test_a_branch_is_as_old_as_its_parent() -> None:
    """Kind: the same, after a branching, where the count began anew. Right: the whole path's time.

    Every path that gets from -1.5 to 1.5 in the double well takes at least 40 steps of 0.05; most take
    hundreds, so that a limit of 60 steps is met by some path of every pool, in whatever branch it is.
    """
    sgd = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=2.0))
    options = {"dt": 0.05, "n_clones": 20, "n_repeats": 2, "seed": 3}
    home, far = sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], -0.5)
    whole = sd.rare_committor(sgd, [-0.9], home, far, **options)
    assert whole.estimates.max() > 0
    with pytest.raises(RuntimeError, match="t_max was reached"):
        sd.rare_committor(sgd, [-0.9], home, far, t_max=1.0, **options)


def test_legs_of_loops_are_limited_too() -> None:
    """Kind: the same, in rare_exit_time: a leg of two steps of 0.7 does not fit into a time of 1."""
    well = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.0))
    with pytest.raises(RuntimeError, match="t_max was reached"):
        sd.rare_exit_time(
            well, [-1.0], sd.HalfSpace([1.0], 0.0), sd.Ball([-1.0], 0.1), t_max=1.0, dt=0.7, n_repeats=2
        )
