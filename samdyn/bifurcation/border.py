r"""Border collisions: where a branch of fixed points meets the set {grad f = 0} where a rule's field jumps.

A hallucinated fixed point has a gradient g = s u, s > 0, |u| = 1. As the branch nears a critical point z of
the loss, s goes to 0 while u tends to a limit, so that the Jacobian grows like 1/s and Newton on the field
itself breaks down. In the variables (x, u, p) the end of the branch is a regular zero of

.. math::

    \nabla f(x) = 0, \qquad (|u|^2 - 1) / 2 = 0, \qquad D(x, u) = 0,

D the rule's descent direction just beside x for a gradient along u: for SAM grad f(x + rho u). How small a
gradient counts as just beside is the rule's business (`samdyn.systems.jump.beside`): a rule that adds a small
number to the norm is smooth on smaller ones. Newton on that, started where a straight line through the last
points of the branch has s = 0, gives the collision to rounding. It is accepted if it lies within one step of
that start.

References
----------
di Bernardo, Budd, Champneys & Kowalczyk, Piecewise-smooth Dynamical Systems (Springer, 2008), for border
collisions. The blow-up of a point discontinuity: own derivation, tested on the double well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.bifurcation.arclength import SMALLEST, Point, scaled_rows
from samdyn.bifurcation.bifurcations import Bifurcation, Curve
from samdyn.dynamics.parametric import Parametric, ingredients, with_jacobian
from samdyn.numerics.scales import ROUNDING, length_scale
from samdyn.rules.family import GD
from samdyn.rules.oracle import Oracle
from samdyn.systems.flow import Flow
from samdyn.systems.jump import beside
from samdyn.systems.system import System
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.tracing import traced_or_batched


class BorderEquations:
    """The equations of a border collision, traced once for a system and one parameter."""

    def __init__(self, system: System, name: str) -> None:
        self.dim, self.box = system.dim, system.box
        size = 2 * system.dim + 1
        outputs = numpy_form(traced_or_batched(with_jacobian(_border_function(system, name)), size))
        self._outputs: Callable[..., Sequence[Any]] = outputs

    def __call__(self, x: Array, u: Array, p: float) -> tuple[Array, Array]:
        """The residual (2 dim + 1,) and its Jacobian in (x, u, p)."""
        columns = np.concatenate([x, u, [p]])[:, None]
        flat = np.array([float(np.ravel(v)[0]) for v in self._outputs(*columns)])
        table = flat.reshape(2 * self.dim, -1)
        norm_row = np.concatenate([np.zeros(self.dim), u, [0.0]])
        value = np.append(table[:, 0], (u @ u - 1) / 2)
        return value, np.vstack([table[:, 1:], norm_row])

    def _at(self, x: Array, u: Array, p: float, s: float) -> tuple[Array, Array]:
        value, jacobian = self(x, u, p)
        value[: self.dim] -= s * u
        jacobian[: self.dim, self.dim : 2 * self.dim] -= s * np.eye(self.dim)
        return value, jacobian

    def solve(
        self, x: Array, u: Array, p: float, width: float, size_of_gradient: float = 0.0
    ) -> tuple[Array, Array, float, float] | None:
        """Newton from (x, u, p): position, direction, parameter, and the parameter's last correction.

        With a positive `size_of_gradient` s the first equation is grad f(x) = s u: a hallucinated point
        beside the border.
        """
        # corrections count next to the problem's length, to 1 (the direction) and to the parameter's size
        length, scope = float(length_scale(self.box, x)), max(abs(p), width) or 1.0
        last = np.inf
        for _ in range(20):
            value, jacobian = self._at(x, u, p, size_of_gradient)
            if not (np.isfinite(value).all() and np.isfinite(jacobian).all()):
                return None
            value, jacobian = scaled_rows(value, jacobian)
            # on the line the border is met with |u| = 1 whatever the position: square, but it may be singular
            correction = np.linalg.lstsq(jacobian, -value, rcond=1e-13)[0]
            units = np.concatenate([np.full(self.dim, 1 / length), np.ones(self.dim), [1 / scope]])
            size = float(np.linalg.norm(correction * units))
            x = x + correction[: self.dim]
            u = u + correction[self.dim : 2 * self.dim]
            p = p + float(correction[-1])
            rounding = ROUNDING * (10 + float(np.linalg.norm(x)) / length)
            if size <= rounding or (size < 1e-10 + rounding and size > last / 2):
                residual = np.abs(scaled_rows(*self._at(x, u, p, size_of_gradient))[0]).max()
                return (x, u, p, abs(float(correction[-1])) + 1e-16 * width) if residual < 1e-9 else None
            last = size
        return None


def _border_function(system: System, name: str) -> Callable[[Tensor], Tensor]:
    dim, rule = system.dim, system.rule
    assert rule is not None
    size = beside(rule)
    form = system.form if isinstance(system, Flow) else "perturbed"

    def function(y: Tensor) -> Tensor:
        x, u = y[:dim], y[dim : 2 * dim]
        loss, coefficients, _, _ = ingredients(system, {name: y[2 * dim]})
        gradient = Oracle(torch.func.grad(loss), loss)
        g = gradient(x)
        if form == "perturbed":
            return torch.cat([g, rule.descent(x, lambda _: size * u, gradient, **coefficients)])
        e = rule.perturbation(x, size * u, **coefficients)
        curvature_along_e = torch.func.vjp(gradient, x)[1](e)[0]
        return torch.cat([g, rule.combine(size * u, curvature_along_e, **coefficients)])

    return function


def border_point(
    name: str, solved: tuple[Array, Array, float, float], state: Array | None = None
) -> Bifurcation:
    """A border collision as a `Bifurcation`."""
    x, u, value, error = solved
    nothing = complex(np.nan)
    return Bifurcation(
        kind="border",
        parameter=name,
        value=value,
        x=x,
        eigenvalue=nothing,
        coefficient=nothing,
        speed=nothing,
        error=error,
        at_end=False,
        state=x if state is None else state,
        tangent=np.full(len(x) + 1, np.nan),
        direction=u,
    )


class Borders:
    """What a branch under a jumping rule needs to know of the gradient along its orbit."""

    def __init__(self, system: System, name: str, curve: Curve) -> None:
        assert system.landscape is not None
        self.system, self.name, self.curve = system, name, curve
        names = (name,) if name in system.landscape.parameters else ()
        self._gradient = Parametric(Flow(system.landscape, GD()), names)
        self._equations: BorderEquations | None = None

    def gradients(self, u: Array) -> Array:
        """The gradients of the loss at the points of the orbit: (period, dim)."""
        z, p = self.curve.split(u)
        orbit = self.curve.field.orbit(z, p)[:, : self.system.dim]
        return np.array([-self._gradient.step(w, p[: self._gradient.m])[0] for w in orbit])

    def hessian(self, u: Array) -> Array:
        """The Hessian of the loss at the first point of the orbit."""
        z, p = self.curve.split(u)
        return -self._gradient.step(z[: self.system.dim], p[: self._gradient.m])[1]

    def sizes(self, u: Array) -> Array:
        """|gradient| at the points of the orbit."""
        return np.linalg.norm(self.gradients(u), axis=1)

    def allowed(self, old: Point, new: Point) -> bool:
        """Whether no gradient has turned by more than 60 degrees."""
        a, b = self.gradients(old.u), self.gradients(new.u)
        return bool(((a * b).sum(axis=1) > 0.5 * np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)).all())

    def collision(self, old: Point, new: Point, ds: float, next_ds: float) -> Bifurcation | None:
        """The border that the branch meets within about the next step, if it does."""
        before, now = self.sizes(old.u), self.sizes(new.u)
        i = int(np.argmin(now / before))
        if not now[i] < before[i]:
            return None
        left = float(now[i] * ds / (before[i] - now[i]))  # arclength to where the gradient vanishes
        if left > 2 * max(next_ds, SMALLEST):
            return None
        guess = new.u + left * new.tangent
        z, p = self.curve.split(guess)
        if self.curve.field.period > 1:
            if left > 1e2 * SMALLEST:
                return None
            width = float(self.curve.scale.width[0])
            return border_point(
                self.name,
                (z[: self.system.dim], np.full(self.system.dim, np.nan), float(p[0]), left * width),
                z,
            )
        if self._equations is None:
            self._equations = BorderEquations(self.system, self.name)
        dim = self.system.dim
        direction = self.gradients(new.u)[0] / now[0]
        solved = self._equations.solve(z[:dim], direction, float(p[0]), float(self.curve.scale.width[0]))
        if solved is None:
            return None
        state = z.copy()
        state[:dim] = solved[0]
        met = self.curve.scale.join(state, np.array([solved[2]]))
        near = float(np.linalg.norm(met - guess)) <= max(left, 1e-9) and float(solved[1] @ direction) > 0.5
        return border_point(self.name, solved, state) if near else None
