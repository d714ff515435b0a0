"""Every tabulated exit problem through the public interface: solved, and sampled beside its own oracle.

Rows are named as in `problems`. One-dimensional ones are solved to 1e-8 and sampled against the exact mean of
the chain that is simulated; two-dimensional ones are solved to 1e-4 and sampled against the diffusion, from
which the step of 0.02 leads them by up to 2 %. Exits too rare to sample are split.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import problems as p
import pytest

import samdyn as sd

WELL = sd.landscapes.double_well()
BOWL = sd.landscapes.quadratic([[1.0]])
SADDLE = p.line_saddle()
COUPLED = sd.Landscape(
    lambda w: (w[0] ** 2 - 1) ** 2 / 4 + (1 + w[0] ** 2) * w[1] ** 2 / 2,
    dim=2, box=[(-2, 2), (-1.5, 1.5)], name="coupled double well",
)  # fmt: skip
EDGE, FAR = sd.HalfSpace([1.0], 0.0), sd.HalfSpace([1.0], 1.0)
UNIT, DISC, SQUARE = sd.Ball([0.0], 1.0), sd.Ball([0.0, 0.0], 1.0), sd.Box([-1, -1], [1, 1])
HALF_PLANE = sd.HalfSpace([1.0, 0.0], 0.0)


class Row(NamedTuple):
    """An exit problem with its mean exit time, and a step and t_max at which it is sampled."""

    system: sd.Diffusion
    x0: list[float]
    region: Any
    mean: float
    dt: float = 0.1
    t_max: float = 2000.0


def _well(rule: sd.Rule, D: float, mean: float, region: Any = EDGE, **how: float) -> Row:
    return Row(p.diffusion(WELL, rule, D), [-1.0], region, mean, **how)


def _line(loss: sd.Landscape, rule: sd.Rule, D: float, region: Any, mean: float, dt: float = 0.05) -> Row:
    return Row(p.diffusion(loss, rule, D), [0.0], region, mean, dt)


def _plane(loss: Any, rule: sd.Rule, D: float, x0: list[float], region: Any, mean: float) -> Row:
    if isinstance(loss, list):
        loss = sd.landscapes.quadratic(np.diag(loss))
    return Row(p.diffusion(loss, rule, D), x0, region, mean, 0.02)


GD, RARE = sd.GD(), {"t_max": 100.0}  # sampled for a part of the mean exit time
LINES: dict[str, Row] = {
    **{
        f"{name} to {end}": _well(GD, D, table[f"to_{end}"], region, **how)
        for name, D, table, how in (
            ("C1", 0.2, p.C1, {}), ("C2", 0.1, p.C2, {}), ("C3", 0.05, p.C3, RARE),
        )
        for end, region in ((0, EDGE), (1, FAR))
    },
    **{
        f"{name} to {end}": _well(rule, 0.1, table[f"to_{end}"], region)
        for name, rule, table in (
            ("C7", sd.USAM(0.1), p.C7), ("C8", sd.USAM(0.2), p.C8),
            ("C10", sd.SAM(0.1), p.C10), ("C11", sd.SAM(0.2), p.C11),
        )
        for end, region in ((0, EDGE), (1, FAR))
    },
    "C9 rho=0.5": _well(sd.USAM(0.5), 0.1, p.C9["rho_0.5"]),
    "C9 rho=0.2": _well(sd.USAM(0.2), 0.05, p.C9["rho_0.2_D_0.05"], **RARE),
    "C12": _well(sd.SAM(0.2), 0.03, p.C12["to_0"], dt=0.05, t_max=150.0),
    "C11 trap": _line(WELL, sd.SAM(0.2), 0.1, UNIT, p.C11["from_0"]),
    "C12 trap": _line(WELL, sd.SAM(0.2), 0.03, UNIT, p.C12["from_0"]),
    **{
        f"C13 a={a}": _line(BOWL, GD, 1.0, sd.HalfSpace([1.0], a), mean)._replace(t_max=200.0)
        for a, mean in p.C13.items()
    },
    **{f"C14 a={a}": _line(BOWL, GD, 1.0, sd.Ball([0.0], a), mean) for a, mean in p.C14.items()},
    **{
        f"C15 {name}": _line(BOWL, rule, 1.0, FAR, p.C15[name])
        for name, rule in (
            ("USAM_0.1", sd.USAM(0.1)), ("USAM_0.5", sd.USAM(0.5)),
            ("SAM_0.1", sd.SAM(0.1)), ("SAM_0.5", sd.SAM(0.5)),
        )
    },
    **{f"C16 D={D:g}": _line(SADDLE, GD, D, UNIT, mean) for D, mean in p.C16.items()},
    **{f"C18 rho={rho}": _line(SADDLE, sd.USAM(rho), 0.01, UNIT, mean) for rho, mean in p.C18.items()},
    **{f"C19 rho={rho}": _line(SADDLE, sd.SAM(rho), 0.01, UNIT, mean) for rho, mean in p.C19.items()},
}  # fmt: skip
RARE_LINES = {
    f"{name} to {end}": _well(GD, D, table[f"to_{end}"], region)
    for name, D, table in (("C4", 0.03, p.C4), ("C5", 0.02, p.C5))
    for end, region in ((0, EDGE), (1, FAR))
}
PLANES: dict[str, Row] = {
    **{
        f"C20 {key}": _plane([-key[0], key[1]], GD, key[2], [0.0, 0.0], SQUARE, mean)
        for key, mean in p.C20.items()
    },
    "C20 narrow": _plane([-1, 1], GD, 0.1, [0.0, 0.0], sd.Box([-1, -0.5], [1, 0.5]), p.C20_NARROW),
    "C21": _plane([-1, 1], sd.USAM(0.2), 0.1, [0.0, 0.0], SQUARE, p.C21),
    **{
        f"C22 {name}": _plane([sign, sign], GD, float(name.split("_")[1]), [0.0, 0.0], DISC, mean)
        for name, mean in p.C22.items()
        for sign in ([-1.0] if name.startswith("source") else [1.0])
    },
    "C23 D=0.1": _plane(COUPLED, GD, 0.1, [-1.0, 0.0], HALF_PLANE, p.C23[0.1]),
    "C24 rho=0.1": _plane(COUPLED, sd.USAM(0.1), 0.1, [-1.0, 0.0], HALF_PLANE, p.C24["rho_0.1"]),
    "C24 rho=0.2": _plane(COUPLED, sd.USAM(0.2), 0.1, [-1.0, 0.0], HALF_PLANE, p.C24["rho_0.2"]),
}
RARE_PLANES: dict[str, Row] = {
    "C23 D=0.05": _plane(COUPLED, GD, 0.05, [-1.0, 0.0], HALF_PLANE, p.C23[0.05]),
    "C23 D=0.025": _plane(COUPLED, GD, 0.025, [-1.0, 0.0], HALF_PLANE, p.C23[0.025]),
    "C24 D=0.05": _plane(COUPLED, sd.USAM(0.2), 0.05, [-1.0, 0.0], HALF_PLANE, p.C24["rho_0.2_D_0.05"]),
}


# ---------------------------------------------------------------------- without sampling


@pytest.mark.parametrize("name", [*LINES, *RARE_LINES])
def test_solved_on_a_line(name: str) -> None:
    row = {**LINES, **RARE_LINES}[name]
    assert sd.mean_exit_time(row.system, row.region)(row.x0) == pytest.approx(row.mean, rel=1e-8)


@pytest.mark.parametrize("name", [*PLANES, *RARE_PLANES])
def test_solved_in_the_plane(name: str) -> None:
    row = {**PLANES, **RARE_PLANES}[name]
    field = sd.mean_exit_time(row.system, row.region, resolution=256 if row.region is DISC else 128)
    assert field(row.x0) == pytest.approx(row.mean, rel=1e-4)


@pytest.mark.parametrize("D", p.C25)
def test_committor(D: float) -> None:
    q = sd.committor(p.diffusion(WELL, GD, D), sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], 0.0))
    assert q([-0.9]) == pytest.approx(p.C25[D], rel=1e-8)


# ---------------------------------------------------------------------- by sampling


@pytest.mark.parametrize("name", LINES)
def test_sampled_on_a_line(name: str) -> None:
    row = LINES[name]
    steps = min(row.mean, row.t_max) / row.dt
    exiting = min(1.0, row.t_max / row.mean)  # about this share leaves in time
    n = int(np.clip(400_000 / steps, 150 / exiting, 4000))
    exits = sd.exit_times(row.system, row.x0, row.region, n, t_max=row.t_max, dt=row.dt, seed=21)
    check = exits.compare_exact()
    chain = sd.chain_exit_time(row.system, row.x0, row.region, dt=row.dt, correction="bridge").mean
    assert check.exact == pytest.approx(float(chain), rel=1e-12)
    # the sample is large enough to mean something, and the bias of so long a step stays within a fifth
    assert exits.standard_error < 0.12 * exits.mean
    assert check.exact == pytest.approx(row.mean, rel=0.35 if name.startswith(("C16", "C19")) else 0.2)
    assert abs(check.z) < 4


@pytest.mark.parametrize("name", ["C1 to 0", "C8 to 0", "C11 trap", "C13 a=1", "C14 a=2", "C19 rho=0.1"])
def test_sampled_at_whole_steps(name: str) -> None:
    row = LINES[name]
    exits = sd.exit_times(
        row.system, row.x0, row.region, 2000, t_max=2000.0, dt=row.dt, seed=22, correction=None
    )
    assert abs(exits.compare_exact().z) < 4


@pytest.mark.parametrize("name", PLANES)
def test_sampled_in_the_plane(name: str) -> None:
    row = PLANES[name]
    n = int(np.clip(300_000 * row.dt / row.mean, 300, 4000))
    exits = sd.exit_times(row.system, row.x0, row.region, n, t_max=2000.0, dt=row.dt, seed=23)
    assert exits.exited.all()
    assert abs(exits.mean - row.mean) < 4 * exits.standard_error + 0.02 * row.mean


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE_LINES)
def test_split_on_a_line(name: str) -> None:
    row = RARE_LINES[name]
    chain = sd.chain_exit_time(row.system, row.x0, row.region, dt=0.05, correction="bridge").mean
    origin = sd.Ball([-1.0], 0.11)
    found = sd.rare_exit_time(row.system, row.x0, row.region, origin, dt=0.05, n_repeats=100, seed=24)
    assert found.relative_error < 0.06
    assert abs(found.mean - float(chain)) < 4 * found.standard_error


@pytest.mark.slow
@pytest.mark.parametrize("name", RARE_PLANES)
def test_split_in_the_plane(name: str) -> None:
    row = RARE_PLANES[name]
    origin = sd.Ball([-1.0, 0.0], 0.15)
    found = sd.rare_exit_time(row.system, row.x0, row.region, origin, n_repeats=60, dt=row.dt, seed=25)
    assert found.relative_error < 0.08
    assert abs(found.mean - row.mean) < 4 * found.standard_error + 0.03 * row.mean


MAPS = {
    "GD": GD, "USAM_0.1": sd.USAM(0.1), "USAM_0.2": sd.USAM(0.2),
    "SAM_0.1": sd.SAM(0.1), "SAM_0.2": sd.SAM(0.2),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPS)
def test_steps_of_maps(name: str) -> None:
    """Sampled for 1500 steps, so that most paths are censored, beside the exact limit of such a sample."""
    system = sd.Map(WELL, MAPS[name], lr=0.1, noise=sd.GaussianNoise(std=1.0))
    exact = float(sd.chain_exit_time(system, [-1.0], EDGE).mean)
    assert exact == pytest.approx(p.STEPS_TO_LEAVE[name], rel=1e-8)
    exits = sd.exit_times(system, [-1.0], EDGE, 1000, t_max=1500, seed=26)
    check = exits.compare_exact()
    assert check.exact == pytest.approx(exact, rel=1e-12)
    assert exits.standard_error < 0.08 * exits.mean
    assert abs(check.z) < 4


# ---------------------------------------------------------------------- rates and spreads


@pytest.mark.parametrize(
    ("system", "x0", "region", "t_max", "rate", "spread"),
    [
        (p.diffusion(WELL, GD, 0.1), [-1.0], EDGE, 2000.0, p.C6["rate_C2"], p.C6["std_C2"]),
        (p.diffusion(SADDLE, GD, 0.01), [0.0], UNIT, 50.0, p.C17["rate"], p.C17["std"]),
    ],
    ids=["C6", "C17"],
)
def test_slowest_rate_and_spread(
    system: sd.Diffusion, x0: list[float], region: Any, t_max: float, rate: float, spread: float
) -> None:
    assert float(sd.exit_rate(system, region)) == pytest.approx(rate, rel=1e-8)
    mean, square = (sd.mean_exit_time(system, region, moment=k)(x0) for k in (1, 2))
    assert float(square - mean**2) ** 0.5 == pytest.approx(spread, rel=1e-8)
    exits = sd.exit_times(system, x0, region, 4000, t_max=t_max, dt=0.01 if t_max < 100 else 0.05, seed=27)
    tail = exits.slowest_rate(0.5)
    assert tail.p_value > 1e-3
    # the step of the scheme shifts the rate by up to 2.5 %
    assert abs(tail.rate - rate) < 4 * tail.standard_error + 0.025 * rate
    assert np.std(exits.times) == pytest.approx(spread, rel=0.1)
