"""What a rule may ask of a loss: gradients, and where it needs more, values, products, samples and outputs.

A rule is handed two oracles: one for the perturbation, one for the descent. They are the same unless the two
see different noise (`probe`). An oracle is called for the gradient at one point; most rules do nothing else,
and take any function for an oracle. What a rule asks for besides it names in `Rule.needs`:

- "values": f(x), the loss on the batch;
- "products": H(x) v;
- "samples": values f_i(x) and gradients of the samples of the batch, shapes (B,) and (B, dim);
- "outputs": J_F(y)^T grad l(F(x)) of a loss f = l(F), the gradient with the loss's derivative kept at x.

Additive gradient noise adds to gradients alone: values and products come from the loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

PointFunction = Callable[[Tensor], Tensor]
WORDS = {
    "values": "the loss's values",
    "products": "products with the Hessian",
    "samples": "the samples of a batch (an sd.FiniteSum under sd.Minibatch noise)",
    "outputs": "the loss as an objective of outputs (sd.from_module, or sd.Landscape.composed)",
}
"""What `Rule.needs` asks for, in the words of an error."""


class Oracle:
    """The gradient of a loss as a torch function of one point, and what else is known of the loss.

    Parameters
    ----------
    gradient : callable
        The gradient at one point.
    value : callable, optional
        The loss at one point.
    product : callable, optional
        H(x) v from x and v; by default from the gradient, by reverse-mode differentiation.
    samples : callable, optional
        The values (B,) and gradients (B, dim) of a batch's samples at one point.
    outputs : callable, optional
        J_F(y)^T grad l(F(x)) from y and x.
    """

    def __init__(
        self,
        gradient: PointFunction,
        value: PointFunction | None = None,
        product: Callable[[Tensor, Tensor], Tensor] | None = None,
        samples: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None,
        outputs: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        self.gradient = gradient
        self.of: dict[str, Callable[..., Any] | None] = {
            "values": value,
            "products": product,
            "samples": samples,
            "outputs": outputs,
        }

    def __call__(self, x: Tensor) -> Tensor:
        """The gradient at x."""
        return self.gradient(x)

    def with_gradient(self, gradient: PointFunction) -> Oracle:
        """The oracle of the same loss with another gradient: one that carries noise."""
        products = self.of["products"] or _product_of(self.gradient)
        return Oracle(gradient, self.of["values"], products, self.of["samples"], self.of["outputs"])


def loss_value(oracle: PointFunction, x: Tensor) -> Tensor:
    """The loss at x (..., dim): shape (..., 1), as of `samdyn.numerics.vector.dot`."""
    value: Tensor = _asked(oracle, "values")(x)
    return value.reshape((*x.shape[:-1], 1))


def curvature_product(oracle: PointFunction, x: Tensor, v: Tensor) -> Tensor:
    """H(x) v."""
    known = getattr(oracle, "of", {}).get("products")
    product: Tensor = (known or _product_of(oracle))(x, v)
    return product


def sample_terms(oracle: PointFunction, x: Tensor) -> tuple[Tensor, Tensor]:
    """The values (B,) and gradients (B, dim) of the batch's samples at x."""
    values, gradients = _asked(oracle, "samples")(x)
    return values, gradients


def functional_gradient(oracle: PointFunction, y: Tensor, x: Tensor) -> Tensor:
    """J_F(y)^T grad l(F(x)): the gradient at y with the derivative of the objective kept at x."""
    result: Tensor = _asked(oracle, "outputs")(y, x)
    return result


def _product_of(gradient: PointFunction) -> Callable[[Tensor, Tensor], Tensor]:
    # reverse over reverse: the Hessian is symmetric, see `samdyn.landscapes.landscape.hessian_of`
    return lambda x, v: torch.func.vjp(gradient, x)[1](v)[0]


def _asked(oracle: PointFunction, what: str) -> Callable[..., Any]:
    known: Callable[..., Any] | None = getattr(oracle, "of", {}).get(what)
    if known is None:
        raise ValueError(f"the rule needs {WORDS[what]}, which are not known here")
    return known
