r"""Products with the Jacobian of a system and with its transpose, without the matrix.

With g = grad f(x), e = e(x, g), y = x + e, P = grad f(y) and the descent direction d = d(g, P), which is P
for SAM, the derivative along v is

.. math:: dg = H(x) v, \quad de = e_x v + e_g\, dg, \quad dP = H(y) (v + de), \quad dd = d_g\, dg + d_P\, dP,

and the transpose goes the other way: with (a, b) = (d_g^T w, d_P^T w) and c = H(y) b it is
c + e_x^T c + H(x) (a + e_g^T c). That is two products with Hessians each, for SAM

.. math:: A v = H(y) \bigl(v + \tfrac{\rho}{|g|} (I - u u^T) H(x) v\bigr), \qquad u = g / |g|.

e and d are pointwise and are differentiated by torch. Rules that take their steps in another way, fields that
are not of this form, and systems from functions are differentiated as a whole: forwards for the product, in
reverse mode for the transpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from samdyn.landscapes.landscape import Landscape
from samdyn.rules.rule import Rule

if TYPE_CHECKING:
    from samdyn.systems.system import System

Product = Callable[[Tensor], Tensor]


class Tangent(NamedTuple):
    """The Jacobian at one state as two torch functions of one vector.

    Attributes
    ----------
    forward : callable
        J v.
    transposed : callable
        J^T w.
    """

    forward: Product
    transposed: Product


def pushed(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """A torch function at x and its derivative along v.

    In forward mode, or, where an operation has no forward rule (the derivative of `mse_loss` has none in
    torch 2.13), in reverse mode twice: w to J^T w is linear, and its own transposed is J.
    """
    try:
        both = torch.func.jvp(function, (x,), (v,))
    except (RuntimeError, NotImplementedError):
        back = torch.func.vjp(function, x)
        both = back[0], torch.func.vjp(lambda w: back[1](w)[0], torch.zeros_like(back[0]))[1](v)[0]
    return both[0], both[1]


def differentiated(function: Callable[[Tensor], Tensor], x: Tensor) -> Tangent:
    """The tangent of any torch function at x, by automatic differentiation of the whole."""
    return Tangent(
        lambda v: pushed(function, x, v)[1],
        lambda w: torch.func.vjp(function, x)[1](w)[0],
    )


def direction_tangent(
    loss: Landscape,
    rule: Rule,
    x: Tensor,
    coefficients: dict[str, Any],
    product_at: Callable[[Tensor], Product] | None = None,
) -> Tangent | None:
    """The tangent of the descent direction of a rule at x; None for rules of another form.

    `product_at` gives v to H(x) v at a point x: `loss.product_at` for many products, which keeps what they
    share; by default nothing is kept.
    """
    gradient = loss.gradient_function
    if product_at is None:
        product_at = _nothing_kept(loss)
    if rule.parts(coefficients) == (0.0, 0.0):  # gradient descent, or a radius of 0
        product = product_at(x)
        return Tangent(product, product)
    if type(rule).descent is not Rule.descent or rule.memory:
        return None

    def perturbation(point: Tensor, g: Tensor) -> Tensor:
        return rule.perturbation(point, g, **coefficients)

    def combine(g: Tensor, perturbed: Tensor) -> Tensor:
        return rule.combine(g, perturbed, **coefficients)

    plain = type(rule).combine is Rule.combine
    g = gradient(x)
    y = x + perturbation(x, g)
    at_y = g if plain else gradient(y)  # a plain descent does not need its value
    at_x, moved_by = product_at(x), product_at(y)

    def forward(v: Tensor) -> Tensor:
        dg = at_x(v)
        moved = moved_by(v + torch.func.jvp(perturbation, (x, g), (v, dg))[1])
        return moved if plain else torch.func.jvp(combine, (g, at_y), (dg, moved))[1]

    def transposed(w: Tensor) -> Tensor:
        by_gradient, by_moved = (None, w) if plain else torch.func.vjp(combine, g, at_y)[1](w)
        pulled = moved_by(by_moved)
        by_x, by_g = torch.func.vjp(perturbation, x, g)[1](pulled)
        return pulled + by_x + at_x(by_g if by_gradient is None else by_g + by_gradient)

    return Tangent(forward, transposed)


def _nothing_kept(loss: Landscape) -> Callable[[Tensor], Product]:
    product = loss.product_function
    return lambda x: lambda v: product(x, v)


def tangent_at(system: System, state: Tensor, step: int = 0, *, repeated: bool = False) -> Tangent:
    """The Jacobian of a system's function at one state: of a map's step, a flow's velocity, a drift.

    Parameters
    ----------
    system : System
    state : Tensor, shape (state_dim,)
    step : int
        At which the coefficients are read.
    repeated : bool
        Whether many products will be asked for: then what they share is kept, `Landscape.product_at`.
    """
    loss, rule, dim = system.landscape, system.rule, system.dim
    field = system.field_of_direction(step)
    if loss is None or rule is None or field is None:
        return differentiated(system.point_function(step), state)
    x = state[:dim]
    products = loss.product_at if repeated else None
    direction = direction_tangent(loss, rule, x, rule.coefficients(step), products)
    if direction is None:
        return differentiated(system.point_function(step), state)
    identity, factor, momentum = field

    def forward(v: Tensor) -> Tensor:
        along = direction.forward(v[:dim])
        if momentum is None:
            return identity * v + factor * along
        velocity = along + momentum * v[dim:]
        return torch.cat([v[:dim] + factor * velocity, velocity])

    def transposed(w: Tensor) -> Tensor:
        if momentum is None:
            return identity * w + factor * direction.transposed(w)
        back = factor * w[:dim] + w[dim:]
        return torch.cat([w[:dim] + direction.transposed(back), momentum * back])

    return Tangent(forward, transposed)


ODDS = 1e-3
"""Relative difference between a product and differences of the function that these do not explain."""
LENGTHS = (1e-4, 1e-6)
"""Of 1 + the state's length: the steps of the differences. A kink between two points spoils one of them."""


def check_rule(system: System, state: Tensor, tangent: Tangent) -> None:
    """Refuse a rule of a user's own whose derivative torch does not see.

    A rule that takes numbers out of the graph (``.detach()``, ``.item()``, numpy) gives products that lack a
    part of the Jacobian, without a word. One product is compared with central differences of the system's
    function at two lengths: four steps, for rules that are not samdyn's and losses in double precision.

    Raises
    ------
    ValueError
    """
    loss, rule = system.landscape, system.rule
    own = rule is None or type(rule).__module__.startswith("samdyn.")
    if own or loss is None or getattr(loss, "dtype", torch.float64) != torch.float64:
        return
    function = system.point_function(0)
    v = torch.randn(len(state), generator=torch.Generator().manual_seed(0), dtype=state.dtype)
    v = v / v.norm()
    try:
        product = tangent.forward(v).detach()
    except RuntimeError as error:
        raise ValueError(
            f"rule must be differentiable by torch, got {rule!r}, whose derivative fails with: "
            f"{next(iter(str(error).splitlines()), '')}: write it with torch functions alone"
        ) from error
    # of a map the identity is left out, beside which the rest may be small
    kept = v if system.discrete and not system.state_dim > system.dim else torch.zeros_like(v)
    scale = float((product - kept).norm())
    for length in LENGTHS:
        h = length * (1 + float(state.norm()))
        change = (function(state + h * v).detach() - function(state - h * v).detach()) / (2 * h)
        size = max(scale, float((change - kept).norm()))
        if float((change - product).norm()) <= ODDS * size + 1e-8 * (1 + float(state.norm())):
            return
    raise ValueError(
        f"rule must be differentiable by torch, got {rule!r}, whose products with the Jacobian differ from "
        "differences of its steps: write it without .detach(), .item() and numpy"
    )
