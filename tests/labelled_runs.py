"""Ends of runs whose verdict is known from elsewhere: lists of fixed points, simulations, dense matrices.

Each is a system, a point, and the verdict that is right there. The truth never comes from what
`diagnose` uses: in one and two coordinates it is the list of `fixed_points` and what the next thousands of
steps do; for networks dense Jacobians, and the test of the theory, |g(y)| < 0.1 |g| over 200 steps together
with a Newton step of dense least squares that closes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import problems

import samdyn as sd

LATER = 3000
"""Steps that are looked ahead."""


class LabelledRun(NamedTuple):
    """A system, where its run ended, and what is true there."""

    system: sd.Map
    x: np.ndarray
    truth: str


def runs(per_case: int, n_networks: int) -> Iterator[LabelledRun]:
    """Labelled ends: of `per_case` starts of each planar case and length, `n_networks` of each network."""
    for loss, rule, lr, box in planar_cases():
        system = sd.Map(loss, rule, lr=lr)
        known = sd.fixed_points(system, box)
        rng = np.random.default_rng(len(known) + int(1000 * lr))
        low, high = np.array(box).T
        x0 = low + (high - low) * rng.random((per_case, loss.dim))
        for n_steps in (20, 4000):
            ends = sd.trajectory(system, x0, n_steps=n_steps, save_every=n_steps)[-1]
            for end in ends:
                truth = planar_truth(system, known, end)
                if truth:
                    yield LabelledRun(system, end, truth)
    for width, decay, rho in ((2, 0.03, 4.0), (2, 0.03, 3.0), (3, 0.0, 4.0), (2, 0.0, 1.0), (3, 0.0, 0.5)):
        traced = problems.xor_network(width, decay)
        system = sd.Map(traced, sd.SAM(rho), lr=0.02)
        x0 = np.random.default_rng(7).normal(size=(n_networks, traced.dim))
        ends = sd.trajectory(system, x0, n_steps=20_000, save_every=20_000)[-1]
        for end in ends:
            truth = network_truth(system, end)
            if truth:
                yield LabelledRun(system, end, truth)


def planar_cases() -> list[tuple[sd.Landscape, sd.Rule, float, list[tuple[float, float]]]]:
    """Losses of one and two coordinates with rules that do different things on them."""
    well, square = [(-1.9, 1.9)], [(-1.5, 1.5)] * 2
    hat, plane = sd.landscapes.tilted_hat(tilt=0.1), [(-4.5, 4.5)] * 2
    himmelblau = sd.landscapes.himmelblau()
    return [
        (sd.landscapes.double_well(), sd.SAM(1.5), 0.05, well),
        (sd.landscapes.double_well(), sd.SAM(0.3), 0.05, well),
        (sd.landscapes.double_well(), sd.USAM(5.0), 0.02, well),
        (sd.landscapes.double_well(), sd.GD(), 0.05, well),
        (sd.landscapes.double_well(), sd.GD(), 1.5, well),
        (sd.landscapes.tilted_double_well(), sd.SAM(1.0), 0.02, well),
        (hat, sd.SAM(1.5), 0.05, square),
        (hat, sd.SAM(0.4), 0.05, square),
        (hat, sd.USAM(0.3), 0.05, square),
        (himmelblau, sd.SAM(0.5), 0.002, plane),
        (himmelblau, sd.SAM(3.0), 0.001, plane),
        (himmelblau, sd.SAM(5.0), 0.001, plane),
        (himmelblau, sd.GD(), 0.005, plane),
        (himmelblau, sd.USAM(0.01), 0.005, plane),
    ]


def planar_truth(system: sd.Map, known: sd.equilibria.FixedPoints, x: np.ndarray) -> str:
    """What a point of the plane is, by the list of fixed points and by what comes; "" where it is between."""
    loss = system.landscape
    assert loss is not None
    if not np.isfinite(x).all():
        return "diverged"
    path = sd.trajectory(system, x, n_steps=LATER)
    if not np.isfinite(path).all() or np.linalg.norm(path[-1]) > 1e6:
        return ""
    nearest = min(known, key=lambda p: float(np.linalg.norm(p.x - x)))
    away = np.linalg.norm(path - nearest.x, axis=1)
    length = float(np.linalg.norm(system.perturbation(x)))
    if nearest.kind == "hallucinated" and away[0] < 1e-4 * length and away[-1] <= away[0] + 1e-9:
        return f"hallucinated, {'attracting' if nearest.stability == 'attracting' else 'not attracting'}"
    jumps = system.rule is not None and system.rule.jumps
    if nearest.kind in ("minimum", "saddle", "maximum"):
        if not jumps and away[0] < 1e-9:
            return f"at rest: {nearest.kind}"
        # it stays where it is: near, without coming nearer
        if jumps and away.max() < 0.3 * length and away[-200:].max() > 0.5 * away[:200].max():
            return "hovers about a minimum" if nearest.kind == "minimum" else f"trapped at a {nearest.kind}"
    limit = min(known, key=lambda p: float(np.linalg.norm(p.x - path[-1])))
    if limit.kind == "hallucinated" and np.linalg.norm(path[-1] - path[60]) < 0.1 * length:
        return ""  # within the steps that are looked at it arrives
    # it goes on: the next hundred steps lead a long way along one path, far from where it will end
    first = path[:61]
    moved = np.linalg.norm(first[-1] - first[0])
    straight = moved > 0.8 * np.linalg.norm(np.diff(first, axis=0), axis=1).sum()
    rest = np.linalg.norm(path[-1] - x)
    if straight and moved > 1e-3 * (1 + np.linalg.norm(x)) and rest > 0.5 * moved:
        return "still descending"
    return ""


def network_truth(system: sd.Map, x: np.ndarray) -> str:
    """What the end of a run of an XOR network is, by dense matrices and the next 200 steps."""
    loss, rule = system.landscape, system.rule
    assert loss is not None
    assert rule is not None
    path = sd.trajectory(system, x, n_steps=200)
    g = loss.gradient(path)
    size = np.linalg.norm(g, axis=1)
    y = path + rule.coefficients()["rho"] * g / size[:, None]
    beyond = np.linalg.norm(loss.gradient(y), axis=1)
    if beyond.max() < 0.1 * size.min():
        flow = sd.Flow(loss, rule)
        end = path[-1]
        for _ in range(20):  # Newton's method with a dense pseudo-inverse
            end = end - np.linalg.lstsq(flow.jacobian(end), flow(end), rcond=1e-9)[0]
        if (
            np.linalg.norm(flow(end)) < 1e-10
            and np.linalg.norm(end - path[-1]) < 0.05 * rule.coefficients()["rho"]
        ):
            values = np.linalg.eigvals(system.jacobian(end))
            moving = np.abs(values - 1) > 1e-6 * np.abs(values - 1).max()
            attracts = (np.abs(values[moving]) < 1).all()
            return f"hallucinated, {'attracting' if attracts else 'not attracting'}"
        return ""
    middle = (path[-1] + 2 * path[-2] + path[-3]) / 4
    if np.linalg.norm(loss.gradient(middle)) < 0.01 * size[-1]:  # chatter with period 2
        lowest, *_, highest = np.linalg.eigvalsh(loss.hessian(middle))
        if lowest < -1e-2 * highest:
            return "trapped at a saddle"
        if lowest > -1e-4 * highest:
            return "hovers about a minimum"
    return ""


if __name__ == "__main__":  # the table of docs/networks.md
    from collections import Counter

    counts = Counter((run.truth, sd.diagnose(run.system, run.x).verdict) for run in runs(7, 22))
    for (truth, verdict), number in sorted(counts.items()):
        print(f"{number:4d}  true: {truth:30s} verdict: {verdict}")
