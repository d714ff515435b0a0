"""The continuous-time limit: dx/dt = -grad f(x + e(x))."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.landscapes.landscape import Landscape
from samdyn.rules.rule import Rule
from samdyn.systems.system import FromFunction, System, check_flow, check_ingredients, split_parameters

FORMS = ("perturbed", "first-order")


def velocity(
    gradient: Callable[[Tensor], Tensor], rule: Rule, form: str, **coefficients: Any
) -> Callable[[Tensor], Tensor]:
    """The field of a rule as a torch function of one point, from the gradient of the loss.

    "perturbed" is -grad f(x + e(x)); "first-order" is -(grad f(x) + H(x) e(x)), its expansion to first
    order in the perturbation.
    """
    if form == "perturbed":
        return lambda x: -rule.descent(x, gradient, gradient, **coefficients)

    def expanded(x: Tensor) -> Tensor:
        g = gradient(x)
        e = rule.perturbation(x, g, **coefficients)
        # the Hessian is symmetric: a product from the left, in reverse mode, is the one from the right
        curvature_along_e = torch.func.vjp(gradient, x)[1](e)[0]
        return -rule.combine(g, g + curvature_along_e, **coefficients)

    return expanded


class Flow(System):
    """The flow dx/dt = -grad f(x + e(x)) of a rule.

    Parameters
    ----------
    loss : Landscape
        What is minimised.
    rule : Rule
        How the weights are perturbed; its coefficients must be numbers, since a flow has no steps for a
        schedule to count.
    form : {"perturbed", "first-order"}
        "perturbed": the gradient at the perturbed point (Kim et al.). "first-order": -(g + H e), whose
        field for USAM is the gradient flow of f + rho/2 |g|^2 and for SAM the gradient flow of f + rho |g|
        (Monzio Compagnoni et al.). They agree on quadratics and can differ in sign elsewhere.

    Notes
    -----
    Time equals lr times the number of steps of the map. The field of a normalised rule jumps where g = 0;
    at such a point the velocity is taken with e = 0, and is 0.

    References
    ----------
    Kim et al. (arXiv 2301.06308); Monzio Compagnoni et al. (arXiv 2301.08203) [the form is second-hand, its
    algebra is tested here].

    Examples
    --------
    >>> import samdyn as sd
    >>> sd.Flow(sd.landscapes.saddle(1.0, 1.0), sd.USAM(2.0))([0.0, 0.1]).round(12)
    array([ 0. , -0.1])
    """

    @checked
    def __init__(self, loss: Landscape, rule: Rule, form: str = "perturbed") -> None:
        rule = check_ingredients(loss, rule)
        check_flow("a Flow", rule)
        checks.choice("form", form, FORMS)
        if rule.scheduled:
            raise ValueError(
                f"rule must have constant coefficients in a Flow, which has no steps, got {rule!r}"
            )
        self.landscape: Landscape | None = loss
        self.rule: Rule | None = rule
        self.form = form
        self.dim, self.box = loss.dim, loss.box
        self.name = f"{type(rule).__name__} flow on {loss.name}"
        self._function: FromFunction | None = None

    @classmethod
    @checked
    def from_function(
        cls,
        field: Callable[..., Tensor],
        dim: int,
        parameters: Mapping[str, Any] | None = None,
        box: Sequence[Sequence[float]] | None = None,
        name: str | None = None,
    ) -> Flow:
        """Any other smooth field dx/dt = ``field(x, **parameters)``, written with torch for one point.

        Examples
        --------
        >>> import torch
        >>> import samdyn as sd
        >>> spiral = sd.Flow.from_function(lambda w, c: torch.stack([-c * w[0] - w[1], w[0] - c * w[1]]),
        ...     dim=2,
        ...                                parameters={"c": 0.1})
        >>> spiral([1.0, 0.0])
        array([-0.1,  1. ])
        """
        self = cls.__new__(cls)
        self.dim = checks.integer("dim", dim, at_least=1)
        self.box = None if box is None else checks.box("box", box, self.dim)
        for key, value in (parameters or {}).items():
            if callable(value):
                raise ValueError(f"parameters must be constant in a Flow, got a schedule for {key!r}")
        self._function = FromFunction(field, self.dim, parameters, "field")
        self.name = name or str(getattr(field, "__name__", "flow"))
        self.landscape, self.rule, self.form = None, None, "perturbed"
        return self

    def point_function(self, step: int = 0) -> Callable[[Tensor], Tensor]:
        """The velocity as a torch function of one point."""
        if self._function is not None:
            return self._function.point_function(step)
        assert self.landscape is not None and self.rule is not None
        return velocity(self.landscape.oracle, self.rule, self.form, **self.rule.coefficients())

    def field_of_direction(self, step: int = 0) -> tuple[float, float, float | None] | None:
        """-d(x) in the perturbed form; see `System.field_of_direction`."""
        return None if self.rule is None or self.form != "perturbed" else (0.0, -1.0, None)

    def __call__(self, x: checks.PointLike) -> Array:
        """The velocity at points (..., dim)."""
        return self.evaluate(x)

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of the loss and the rule, or of the function."""
        if self._function is not None:
            return dict(self._function.parameters)
        assert self.landscape is not None and self.rule is not None
        rule = self.rule.parameters
        return {**self.landscape.parameters, **rule}

    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed."""
        of_loss, of_rule, _ = split_parameters(self, parameters)
        if self._function is not None:
            result = type(self).__new__(type(self))
            result.__dict__.update(self.__dict__)
            result._function = self._function.with_parameters(**parameters)
            return result
        assert self.landscape is not None and self.rule is not None
        loss = self.landscape.with_parameters(**of_loss) if of_loss else self.landscape
        rule = self.rule.with_parameters(**of_rule) if of_rule else self.rule
        return type(self)(loss, rule, form=self.form)

    def __repr__(self) -> str:
        if self._function is not None:
            return f"Flow.from_function({self.name}, dim={self.dim})"
        assert self.landscape is not None
        form = "" if self.form == "perturbed" else f", form={self.form!r}"
        return f"Flow({self.landscape.name}, {self.rule}{form})"
