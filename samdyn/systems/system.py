"""What the three views share: a function of one state, batched and differentiated, and named parameters.

A system is a torch function of ONE state: the next state for a map, the velocity for a flow, the drift for
a diffusion. Everything else (evaluation on batches, Jacobians, traced and compiled steps) is derived from
that function.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import LARGE, Landscape
from samdyn.numerics.scales import ROUNDING, length_scale
from samdyn.rules.oracle import WORDS, Oracle
from samdyn.rules.rule import Rule
from samdyn.rules.schedules import value_at
from samdyn.systems.jump import jumps_at
from samdyn.systems.tangent import Tangent, check_rule, tangent_at
from samdyn.trace import batch
from samdyn.trace.advice import USUAL, advice_on, told
from samdyn.trace.product_operator import ProductOperator
from samdyn.trace.surroundings import own_surroundings


class System(ABC):
    """A dynamical system on R^dim.

    Attributes
    ----------
    dim : int
        Number of coordinates of a point.
    box : ndarray, shape (dim, 2), or None
        The part of space that analyses look at by default.
    name : str
        The name of the system, for titles.
    landscape : Landscape or None
        The loss, for systems made from one.
    rule : Rule or None
        The perturbation rule, for systems made from one.
    """

    dim: int
    box: Array | None
    name: str
    landscape: Landscape | None
    rule: Rule | None

    @abstractmethod
    def point_function(self, step: int = 0) -> Callable[[Tensor], Tensor]:
        """The system as a torch function of one state, with its coefficients at `step`."""

    @property
    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """The parameters by name: of the loss, of the rule, and of the view."""

    @abstractmethod
    def with_parameters(self, **parameters: Any) -> Self:
        """A copy with some parameters changed."""

    @property
    def state_dim(self) -> int:
        """Length of a state: dim, or more where the system carries memory (momentum)."""
        return self.dim

    @property
    def discrete(self) -> bool:
        """Whether time is the step of an algorithm (Map), or runs on between steps."""
        return False

    @property
    def noisy(self) -> bool:
        """Whether steps have random inputs."""
        return False

    @property
    def silent(self) -> bool:
        """Whether nothing random moves a path: there is no noise, or it is 0 everywhere."""
        return not self.noisy

    @property
    def scheduled(self) -> bool:
        """Whether any coefficient depends on the step."""
        return False

    def at_rest(self, x: Array) -> Array:
        """States (..., state_dim) before a first step from points (..., dim): memory is what it begins with,
        0 for the velocity of momentum.
        """
        return x

    def settled(self, x: Array) -> Array:
        """States (..., state_dim) of a system that has stood still at points (..., dim) for ever: what a
        fixed point's state is. The velocity of momentum is 0.
        """
        return self.at_rest(x)

    @property
    def step_length(self) -> float | None:
        """Time of one step where the system has steps of its own: 1 for a map, lr(0) for a diffusion."""
        return None

    def evaluate(self, x: checks.PointLike, step: int = 0) -> Array:
        """The system's function at points (..., dim)."""
        return batch.evaluate(self.point_function(step), checks.points("x", x, self.state_dim, finite=False))

    def jacobian(self, x: checks.PointLike) -> Array:
        """Jacobian of the map, the velocity or the drift at points (..., dim): shape (..., dim, dim).

        Notes
        -----
        Reverse-mode automatic differentiation, exact to rounding. It includes the derivative of g/|g|.
        Where the perturbation jumps (g = 0 under a normalised rule) no Jacobian exists and the entries are
        nan.
        """
        states = checks.points("x", x, self.state_dim, finite=False)
        result = batch.evaluate(torch.func.jacrev(self.point_function()), states)
        result[self.on_jump(states)] = np.nan
        return result

    def field_of_direction(self, step: int = 0) -> tuple[float, float, float | None] | None:
        """How the function follows from the descent direction d of the rule, where it does.

        Parameters
        ----------
        step : int
            At which the coefficients are read.

        Returns
        -------
        tuple or None
            (i, c, None) where the function is i x + c d(x); (1, c, momentum) where it is the step of a state
            (x, v), with v' = momentum v + d(x) and x' = x + c v'; None for any other function.
        """
        return None

    def jvp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products J(x) v of the Jacobian with vectors; the matrix is not made.

        Parameters
        ----------
        x : array_like, shape (..., dim)
            Points, or states (..., state_dim); with momentum a point stands for the state at rest.
        v : array_like, shape (..., state_dim)
            Vectors; leading axes broadcast against the leading axes of `x`.

        Returns
        -------
        ndarray, shape (..., state_dim)
            nan where the perturbation jumps and no Jacobian exists.

        Examples
        --------
        >>> import samdyn as sd
        >>> sd.Map(sd.landscapes.quadratic([[2.0]]), sd.USAM(0.5), lr=0.1).jvp([1.0], [1.0])
        array([0.6])
        """
        return self._products(x, v, lambda tangent: tangent.forward)

    def vjp(self, x: checks.PointLike, v: npt.ArrayLike) -> Array:
        """Products J(x)^T v of the transposed Jacobian with vectors; see `jvp`."""
        return self._products(x, v, lambda tangent: tangent.transposed)

    def _products(
        self, x: checks.PointLike, v: npt.ArrayLike, of: Callable[[Tangent], Callable[[Tensor], Tensor]]
    ) -> Array:
        states, n = self.states(x), self.state_dim
        vectors = checks.points("v", v, n, finite=False)
        result = batch.evaluate_pairs(lambda s, u: of(tangent_at(self, s))(u), states, vectors)
        result[np.broadcast_to(self.on_jump(states), result.shape[:-1])] = np.nan
        return result

    def operator(self, x: checks.PointLike) -> ProductOperator:
        """The Jacobian at one point as a `scipy.sparse.linalg.LinearOperator` that never makes the matrix.

        Parameters
        ----------
        x : array_like, shape (dim,) or (state_dim,)
            The point, or a FixedPoint; with momentum a point stands for the state at rest.

        Returns
        -------
        ProductOperator
            Of shape (state_dim, state_dim), with its transpose (`rmatvec`); it counts its products
            (`n_products`) and times them (`seconds`).

        Raises
        ------
        ValueError
            No Jacobian exists there, because the perturbation jumps (g = 0 under a normalised rule); or a
            rule of your own is not differentiable by torch, which differences of its steps tell.

        Examples
        --------
        >>> import samdyn as sd
        >>> from scipy.sparse.linalg import eigs
        >>> step = sd.Map(sd.landscapes.quadratic([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]]),
        ...               sd.GD(), lr=0.5)
        >>> eigs(step.operator([1.0, 1.0, 1.0]), k=1)[0].real.round(6)
        array([0.75])
        """
        state = self.states(x)
        if state.ndim != 1:
            raise ValueError(f"x must be one point of shape ({self.dim},), got shape {state.shape}")
        if not np.isfinite(state).all():
            raise ValueError(f"x must be finite, got {checks.shown(x)}")
        if bool(self.on_jump(state)):
            raise ValueError(
                f"x must be a point where the Jacobian exists, got {checks.shown(state)}, where the gradient "
                f"vanishes and the perturbation of {self.rule!r} jumps"
            )
        with own_surroundings(), torch.no_grad(), batch.derivatives_by_name():
            tangent = tangent_at(self, torch.from_numpy(np.array(state)), repeated=True)
            check_rule(self, torch.from_numpy(np.array(state)), tangent)
        together = 1 if self.landscape is None else self.landscape.points_together
        return ProductOperator(self.state_dim, tangent.forward, tangent.transposed, together)

    def perturbation(self, x: checks.PointLike, step: int = 0) -> Array:
        """The rule's perturbation e(x) at points (..., dim): shape (..., dim).

        Of a rule with memory it is the one of settled memory; of a rule that looks at several points, the way
        to the first. Of a rule that is no function of the point (`Rule.without_limit`) it is the perturbation
        without its random numbers, or of the steps that perturb.

        Examples
        --------
        >>> import samdyn as sd
        >>> sd.Flow(sd.landscapes.quadratic([[1.0]]), sd.SAM(0.5)).perturbation([2.0])
        array([0.5])
        """
        points = checks.points("x", x, self.dim, finite=False)
        if self.landscape is None or self.rule is None:
            raise ValueError(f"a perturbation belongs to a rule, got {self!r}, which is made from a function")
        rule, coefficients = self.rule, self.rule.coefficients(step)
        if rule.own_steps and rule.without_limit is None and "outputs" not in rule.needs:
            if rule.uses_lr and "lr" in self.parameters:
                coefficients["lr"] = value_at(self.parameters["lr"], step)
            oracle = self.landscape.oracle
            return batch.evaluate(lambda w: _first_look(rule, w, oracle, coefficients), points)
        gradient = self.landscape.gradient(points)
        return batch.evaluate_pairs(lambda w, g: rule.perturbation(w, g, **coefficients), points, gradient)

    def states(self, x: checks.PointLike) -> Array:
        """States (..., state_dim); points (..., dim) of a system with memory have settled memory."""
        if self.state_dim != self.dim and np.shape(checks.point_of(x))[-1:] == (self.dim,):
            return self.settled(checks.points("x", x, self.dim, finite=False))
        return checks.points("x", x, self.state_dim, finite=False)

    def on_jump(self, states: Array) -> npt.NDArray[np.bool_]:
        """Whether states (..., state_dim) lie on a critical point, to rounding, where the rule jumps."""
        if self.landscape is None or self.rule is None or not self.rule.jumps:
            return np.zeros(states.shape[:-1], dtype=bool)
        x = states[..., : self.dim]
        with np.errstate(all="ignore"):
            size = np.linalg.norm(self.landscape.gradient(x), axis=-1)
            steepness = steepness_of(self.landscape, x)
            # what rounding leaves of the gradient at the float nearest to a critical point
            length = length_scale(self.landscape.box, x) + np.linalg.norm(x, axis=-1)
            critical = size <= ROUNDING * (1e-100 + steepness * length)
        return np.asarray(critical & jumps_at(self.rule, steepness))


def _first_look(rule: Rule, x: Tensor, oracle: Oracle, coefficients: Mapping[str, Any]) -> Tensor:
    """The way from x to the first other point at which a rule asks for the descent gradient; 0 without."""
    asked: list[Tensor] = []

    def gradient(point: Tensor) -> Tensor:
        asked.append(point)
        return oracle(point)

    rule.descent(x, oracle, oracle.with_gradient(gradient), **coefficients)
    others = [point for point in asked if point is not x]
    return others[0] - x if others else torch.zeros_like(x)


PROBES = 4
"""Random vectors from which the norm of a large Hessian is estimated."""


def steepness_of(loss: Landscape, x: Array) -> Array:
    """Frobenius norm of the Hessian at points (..., dim); shape (...).

    In more than `LARGE` dimensions, and for networks, it is estimated from products with `PROBES` random
    vectors z of independent normal numbers, E |H z|^2 = |H|^2: to a factor of about two.
    """
    if loss.dim <= LARGE and loss.traceable:
        return np.asarray(np.linalg.norm(loss.hessian(x), axis=(-1, -2)))
    z = np.random.default_rng(0).standard_normal((PROBES, loss.dim))
    products = np.stack([np.linalg.norm(loss.hvp(x, row), axis=-1) for row in z])
    return np.asarray(np.sqrt((products**2).mean(axis=0)))


class FromFunction:
    """Mixin data of a system given by a plain torch function instead of a loss and a rule."""

    def __init__(
        self, function: Callable[..., Tensor], dim: int, parameters: Mapping[str, Any] | None, name: str
    ) -> None:
        checks.function(name, function)
        self.function = function
        self.parameters = {} if parameters is None else dict(checks.mapping("parameters", parameters))
        if not all(isinstance(key, str) for key in self.parameters):
            raise TypeError(f"parameters must have names, got {parameters!r}")
        trial = batch.tensor_of(np.linspace(0.1, 0.7, dim))
        try:
            with own_surroundings():
                value = torch.func.vmap(torch.func.jacrev(self.point_function(0)))(trial[None])
        except Exception as error:
            raise TypeError(
                f"{name} must take one point, a torch tensor of shape ({dim},), and return "
                f"a differentiable tensor "
                f"of the same shape; on {trial.tolist()} it raised {told(error)}{advice_on(error, function)}"
            ) from error
        with own_surroundings(gradients=True):
            result = self.point_function(0)(trial.clone().requires_grad_(True))
        if not isinstance(result, Tensor) or not result.is_floating_point() or not result.requires_grad:
            raise TypeError(
                f"{name} must return a floating-point tensor made from w by torch, got {result!r}"
            )
        if value.shape != (1, dim, dim):
            got = tuple(result.shape)
            raise ValueError(f"{name} must return a tensor of shape ({dim},), got shape {got}")

    def point_function(self, step: int) -> Callable[[Tensor], Tensor]:
        values = {
            name: value_at(value, step, name) if callable(value) else value
            for name, value in self.parameters.items()
        }
        function = self.function

        def at(x: Tensor) -> Tensor:
            return function(x, **values)

        return at

    def with_parameters(self, **parameters: Any) -> FromFunction:
        result = copy.copy(self)
        result.parameters = {**self.parameters, **parameters}
        return result


def check_ingredients(loss: Any, rule: Any) -> Rule:
    """The rule bound to the loss; refuse what is not a loss and a rule, or does not go together."""
    if not isinstance(loss, Landscape):
        raise TypeError(
            f"loss must be a samdyn Landscape, got {loss!r}: wrap a function as sd.Landscape(f, dim)"
        )
    if isinstance(rule, type) and issubclass(rule, Rule):
        raise TypeError(f"rule must be a rule, got the class {rule.__name__}: write {rule.__name__}(...)")
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a samdyn rule such as sd.GD() or sd.SAM(0.1), got {rule!r}")
    _check_rule(rule, loss.dim)
    shared = sorted(set(loss.parameters) & {*rule.coefficient_names, "lr", "momentum"})
    if shared:
        raise ValueError(
            f"loss must not share parameter names with its rule or view, got {shared[0]!r} in both"
        )
    for what in rule.needs:
        if what in ("samples", "outputs") and loss.oracle.of[what] is None:
            raise ValueError(f"loss must have what {rule!r} needs, {WORDS[what]}, got {loss!r}")
    return rule.bound(loss)


def check_limit(verb: str, rule: Rule | None) -> None:
    """Refuse a rule that is no function of the point alone: random, or one that counts its steps."""
    if rule is not None and rule.without_limit is not None:
        raise ValueError(
            f"rule must be a function of the point for {verb}, got {rule!r}, which {rule.without_limit}: "
            "follow its paths instead (sd.trajectory, sd.exit_times, sd.convergence)"
        )


def check_plain(verb: str, rule: Rule) -> None:
    """Refuse a rule whose direction is not the gradient at x + e(x), where an analysis takes it for that."""
    if not rule.plain:
        raise ValueError(f"rule must step along the gradient at x + e(x) for {verb}, got {rule!r}")


def check_flow(view: str, rule: Rule) -> None:
    """Refuse a rule whose steps have no limit for small learning rates, in a view that is that limit."""
    if rule.without_flow is not None:
        raise ValueError(
            f"rule must have a limit for small learning rates in {view}, got {rule!r}, which "
            f"{rule.without_flow}: take a Map"
        )


STEP_PARTS = ("perturbation", "combine", "descent", "update", "perturbed_gradient", "parts")
"""Methods of a rule of which one at least makes its step differ from gradient descent's."""


def _check_rule(rule: Rule, dim: int) -> None:
    """Refuse a rule that does nothing, is random, or has no value where the gradient is 0."""
    kind = type(rule)
    if kind.__module__.split(".")[0] == "samdyn":
        return
    if rule.coefficient_names and all(getattr(kind, part) is getattr(Rule, part) for part in STEP_PARTS):
        raise TypeError(
            f"rule must define perturbation(self, x, gradient, ...), or {', '.join(STEP_PARTS[1:])}, "
            f"got {rule!r}, which defines none of them and would be gradient descent: is a name misspelt?"
        )
    x, coefficients = batch.tensor_of(np.linspace(0.1, 0.7, dim)), rule.coefficients()
    if rule.uses_full_gradient:
        coefficients = {**coefficients, "full_gradient": x}  # type: ignore[dict-item]
    with own_surroundings(), torch.random.fork_rng(devices=[]):
        try:
            first, second = (rule.perturbation(x, x.flip(0), **coefficients) for _ in range(2))
            resting = rule.perturbation(x, torch.zeros_like(x), **coefficients)
        except Exception as error:
            raise TypeError(
                f"rule must give its perturbation as a torch tensor from x and gradient of shape ({dim},), "
                f"got {rule!r}, which raised {told(error)}{advice_on(error, type(rule).perturbation)}"
            ) from error
    if not all(isinstance(e, Tensor) and e.shape == x.shape for e in (first, second, resting)):
        raise TypeError(
            f"rule must give its perturbation as a torch tensor of shape ({dim},), got {rule!r}, which gives "
            f"{tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__}"
        )
    with own_surroundings():
        try:
            torch.func.vmap(lambda x, g: rule.perturbation(x, g, **coefficients))(x[None], x.flip(0)[None])
        except Exception as error:
            if isinstance(error, RuntimeError) and "randomness" in str(error):
                pass  # random numbers are refused by name below
            else:
                raise TypeError(
                    f"rule must have a perturbation that torch.func batches, got {rule!r}, which raised "
                    f"{told(error)}{advice_on(error, type(rule).perturbation) or USUAL}"
                ) from error
    if not torch.equal(first, second) and first.isfinite().all():
        raise ValueError(
            f"rule must be a function of x and gradient alone, got {rule!r}, whose perturbation is random "
            "(randn_like and the like): gradient noise is the `noise` of a Map or a Diffusion"
        )
    if not resting.isfinite().all() and first.isfinite().all():
        raise ValueError(
            f"rule must have a finite perturbation where the gradient is 0, got {rule!r}, which gives "
            f"{resting.tolist()[:3]} there: write samdyn.numerics.vector.unit(g) for g / g.norm(), which "
            "is 0 at g = 0"
        )


def split_parameters(
    system: System, parameters: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Sort new parameter values into parameters of the loss, of the rule, and of the view.

    Raises
    ------
    ValueError
        A name that the system does not have.
    """
    known = system.parameters
    for name in parameters:
        if name not in known:
            raise ValueError(f"{system!r} has no parameter {name!r}; it has: {', '.join(known) or 'none'}")
    of_loss = {k: v for k, v in parameters.items() if system.landscape and k in system.landscape.parameters}
    of_rule = {k: v for k, v in parameters.items() if system.rule and k in system.rule.coefficient_names}
    rest = {k: v for k, v in parameters.items() if k not in of_loss and k not in of_rule}
    return of_loss, of_rule, rest
