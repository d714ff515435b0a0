"""The block of four steps: which step a path leaves in, from one uniform, and special values."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.steppers import build_stepper
from samdyn.escape.kernel.crossing import exit_probability, projected_variance
from samdyn.escape.kernel.exit_test import ExitTest, advance_block
from samdyn.escape.region import OpenSet
from samdyn.numerics.vector import Coordinates

SDE = sd.Diffusion(sd.landscapes.double_well(2), sd.SAM(0.1), lr=0.05, noise=sd.GaussianNoise(std=2.0))
REGIONS = {
    "half-space": sd.HalfSpace([1.0, 0.0], 0.3),
    "ball": sd.Ball([0.0, 0.0], 0.4),
    "box": sd.Box([-0.3, -0.4], [0.3, 0.3]),
    "function": sd.Region(lambda w: (w @ w) ** 0.5 - 0.4, dim=2),
}


def case(region: OpenSet) -> ExitTest:
    return ExitTest(region.faces, True, exit_probability, projected_variance)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", REGIONS)
def test_law_of_the_step_of_the_exit(name: str, dtype: torch.dtype) -> None:
    n, test, stepper = 200_000, case(REGIONS[name]), build_stepper(SDE)
    # one and the same path, whose last step ends outside, for every value of the uniform
    draws = torch.tensor([[0.5, -0.4], [-0.9, 0.8], [0.9, -0.2], [4.0, 0.3]], dtype=dtype)
    normals = [tuple(z.expand(n) for z in row) for row in draws]
    uniform = ((torch.arange(n, dtype=torch.float64) + 0.5) / n).to(dtype)
    coefficients = [torch.tensor(v, dtype=dtype) for v in SDE.coefficients().values()]
    dt = torch.tensor(0.05, dtype=dtype)
    start = (torch.full((n,), 0.2, dtype=dtype), torch.full((n,), 0.1, dtype=dtype))
    end, code = advance_block(stepper, test, start, normals, uniform, [coefficients] * 4, dt)
    inside, shares, x = 1.0, [], Coordinates(v[:1].double() for v in start)
    for row in draws.double():
        drift, columns = stepper.local(x, [c.double() for c in coefficients])
        y = Coordinates(
            u + 0.05 * b + 0.05**0.5 * columns[i][i] * row[i]
            for i, (u, b) in enumerate(zip(x, drift, strict=True))
        )
        a, variance = test.geometry(x, columns, 0.05)
        q = float(exit_probability(a, [-face.distance(y) for face in test.faces], variance))
        shares.append(inside * q)
        inside, x = inside * (1 - q), y
    found = [float((code == j + 1).sum()) / n for j in range(4)]
    assert min(shares[:3]) > 1e-3
    np.testing.assert_allclose(found, shares, atol=1.5 / n + 4e-7)
    assert (code > 0).all()  # it ends outside
    np.testing.assert_allclose([float(v[0]) for v in end], [float(v) for v in x], rtol=1e-5)


def test_outside_is_left_whatever_the_uniform() -> None:
    test, stepper = case(REGIONS["half-space"]), build_stepper(SDE)
    n = 1001
    past = torch.linspace(0.0, 1e-3, n) + 0.3  # from the face to a little beyond it
    normals: list[tuple[torch.Tensor, ...]] = [((past + 0.3) / (2.0 * 0.05), torch.zeros(n))]
    normals += [(torch.zeros(n), torch.zeros(n))] * 3
    still = sd.Diffusion(
        sd.Landscape(lambda w: 0 * w.sum(), dim=2), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=2.0)
    )
    stepper = build_stepper(still)
    uniform = torch.full((n,), 1 - 2.0**-22)
    values = [torch.tensor(v, dtype=torch.float32) for v in still.coefficients().values()]
    start = (torch.full((n,), -0.3), torch.zeros(n))
    _, code = advance_block(stepper, test, start, normals, uniform, [values] * 4, torch.tensor(0.05))
    assert (code[past > 0.3001] == 1).all()
