"""Orbits in the loop of Python floats: equal to repeated calls of the torch function."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx
from traced_functions import ZOO

from samdyn.numerics.vector import unit
from samdyn.trace.iterate import iterate_scalar
from samdyn.trace.printed.printing import printed_form
from samdyn.trace.tracing import batched_form, coordinate_form


def sam_on_beale(z: Tensor) -> Tensor:
    """One step of normalised SAM; z = (x, y, learning rate, perturbation radius)."""
    w, lr, rho = z[:2], z[2], z[3]
    gradient = torch.func.grad(ZOO["beale"][0])
    return w - lr * gradient(w + rho * unit(gradient(w)))


@functools.cache
def sam_module() -> fx.GraphModule:
    return coordinate_form(sam_on_beale, 4)


def descent(z: Tensor) -> Tensor:
    """Gradient descent on x^2 / 2; z = (x, learning rate)."""
    return z[:1] - z[1] * z[:1]


def orbit(
    step: Callable[[Tensor], Tensor], state: list[float], constants: list[float], n_steps: int
) -> np.ndarray:
    states = [torch.tensor(state, dtype=torch.float64)]
    for _ in range(n_steps):
        states.append(step(torch.cat([states[-1], torch.tensor(constants, dtype=torch.float64)])))
    return torch.stack(states).numpy()


def test_sam_on_the_beale_function_equals_torch() -> None:
    module = sam_module()
    state, constants = [1.0, 1.2], [1e-3, 0.1]
    expected = orbit(sam_on_beale, state, constants, 200)
    np.testing.assert_allclose(iterate_scalar(module, state, constants, n_steps=200), expected, rtol=1e-11)
    # one step is the printed form, to the last bit
    assert tuple(iterate_scalar(module, state, constants, n_steps=1)[1]) == printed_form(module).scalar(
        *state, *constants
    )


@settings(max_examples=60)
@given(
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.floats(0, 0.02),
    st.floats(0, 0.5),
    st.integers(0, 12),
    st.integers(1, 15),
)
def test_stored_states(x: float, y: float, lr: float, rho: float, n_steps: int, every: int) -> None:
    module = sam_module()
    every_state = iterate_scalar(module, [x, y], [lr, rho], n_steps=n_steps)
    assert every_state.shape == (n_steps + 1, 2)
    expected = [(x, y)]
    for _ in range(n_steps):
        expected.append(printed_form(module).scalar(*expected[-1], lr, rho))
    np.testing.assert_array_equal(every_state, expected)
    steps = sorted({*range(0, n_steps + 1, every), n_steps})
    stored = iterate_scalar(module, [x, y], [lr, rho], n_steps=n_steps, every=every)
    np.testing.assert_array_equal(stored, every_state[steps])


def test_a_two_cycle_of_a_quadratic() -> None:
    """Normalised SAM on x^2 / 2: x - lr (x + rho sign x) has the 2-cycle +-c with c = lr rho / (2 - lr)."""

    def step(z: Tensor) -> Tensor:
        return z[:1] - z[1] * (z[:1] + z[2] * torch.sign(z[:1]))

    lr, rho = 0.4, 0.3
    c = lr * rho / (2 - lr)
    module = coordinate_form(step, 3)
    states = iterate_scalar(module, [c], [lr, rho], n_steps=7).ravel()
    np.testing.assert_allclose(states, c * (-1.0) ** np.arange(8), rtol=1e-13)
    # it attracts: |x| - c shrinks by 1 - lr per step near the cycle
    end = iterate_scalar(module, [1.7 * c], [lr, rho], n_steps=200, every=200)
    np.testing.assert_allclose(np.abs(end[-1]), c, rtol=1e-12)
    # and at the learning rate 2 every start of gradient descent is one
    states = iterate_scalar(coordinate_form(descent, 2), [0.7], [2.0], n_steps=4).ravel()
    assert states.tolist() == [0.7, -0.7, 0.7, -0.7, 0.7]


def test_coordinates_are_assigned_together() -> None:
    swap = coordinate_form(lambda z: torch.stack([z[1], z[2], z[0]]), 3)
    assert iterate_scalar(swap, [1, 2, 3], n_steps=2).tolist() == [[1, 2, 3], [2, 3, 1], [3, 1, 2]]


def test_a_diverging_orbit_goes_on() -> None:
    states = iterate_scalar(coordinate_form(descent, 2), [1.0], [1e200], n_steps=4).ravel()
    assert states[1] == -1e200
    assert states[2] == math.inf
    assert np.isnan(states[3:]).all()


def test_a_division_by_zero_in_the_middle_of_an_orbit() -> None:
    step = coordinate_form(lambda z: torch.stack([1 / (z[0] - 1), z[1] + z[0].exp()]), 2)
    states = iterate_scalar(step, [1.0, 0.0], n_steps=5)
    assert states[:, 0].tolist() == [1.0, math.inf, 0.0, -1.0, -0.5, -2 / 3]
    assert states[1, 1] == math.e
    assert (states[2:, 1] == math.inf).all()


def test_the_result_can_be_written_to() -> None:
    states = iterate_scalar(coordinate_form(descent, 2), [1.0], [0.5], n_steps=2)
    states += 1
    assert states.ravel().tolist() == [2.0, 1.5, 1.25]


def test_what_does_not_fit_is_refused() -> None:
    module = coordinate_form(descent, 2)
    with pytest.raises(ValueError, match=r"2 \+ 1 numbers.* got one of 2 inputs and 1 outputs"):
        iterate_scalar(module, [1.0, 2.0], [0.5], n_steps=1)
    with pytest.raises(ValueError, match=r"1 \+ 0 numbers"):
        iterate_scalar(module, [1.0], n_steps=1)
    with pytest.raises(ValueError, match="n_steps must be an integer >= 0, got -1"):
        iterate_scalar(module, [1.0], [0.5], n_steps=-1)
    with pytest.raises(ValueError, match="every must be an integer >= 1, got 0"):
        iterate_scalar(module, [1.0], [0.5], n_steps=1, every=0)
    with pytest.raises(TypeError, match="traced coordinate_form"):
        iterate_scalar(batched_form(descent, 2), [1.0], [0.5], n_steps=1)
