"""Any rule around any optimiser of torch: the rule makes the direction, the base optimiser takes the step.

A step in two calls, for rules that ask for one gradient at one perturbed point:

1. The gradient g at x lies in ``p.grad``. `first_step` runs the rule's update with it up to the point y at
   which it asks for the other gradient, keeps x, and moves the weights to y.
2. The gradient at y lies in ``p.grad``. `second_step` runs the same update again, now to its end, puts the
   weights back to x, the direction into ``p.grad``, and calls the base optimiser's `step`; the memory of the
   rule becomes the memory of the next step.

With a closure the rule's update runs once and may ask for gradients and values at as many points as it likes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments import checks
from samdyn.numerics.random import standard_normal
from samdyn.optim.weights import Gradients, Weights
from samdyn.rules.oracle import Oracle
from samdyn.rules.rule import Rule, Update

Closure = Callable[[], Any]


class _Asked(Exception):
    """Raised where an update asks for the gradient at the perturbed point, which is not known yet."""

    def __init__(self, point: Tensor) -> None:
        super().__init__()
        self.point = point


class RuleOptimizer(torch.optim.Optimizer):
    """A rule around a base optimiser; see `as_optimizer`, which makes it."""

    def __init__(
        self, rule: Rule, base: torch.optim.Optimizer, model: torch.nn.Module | None, seed: int
    ) -> None:
        self.base = base
        self.weights = Weights(base.param_groups, model)
        self.rule = rule.bound(self.weights)
        self.seed, self.t = seed, 0
        self._origin: Tensor | None = None
        self._ascent: Tensor | None = None
        self._kept, self._asked = Gradients([]), False
        self._step_supports_amp_scaling = True  # a GradScaler leaves it to `step` what to do with infinities
        super().__init__([{"params": p} for p in self.weights.parameters], dict(base.defaults))
        # one set of groups and states for both: schedulers, clippers and scalers find what they expect
        self.param_groups, self.defaults, self.state = base.param_groups, base.defaults, base.state
        self.memory: dict[str, Tensor] = {}
        for name in (*self.rule.vectors, *self.rule.numbers):
            size = self.weights.dim if name in self.rule.vectors else 1
            value = self.rule.initial.get(name, 0.0)
            self.memory[name] = self.weights.like.new_full((size,), value)

    def _given(self) -> dict[str, Any]:
        """Coefficients of this step, and what else the rule asks for."""
        given: dict[str, Any] = dict(self.rule.coefficients(self.t))
        if _has_radii(self.base):
            radii = [float(group.get("rho", given["rho"])) for group in self.param_groups]
            given["rho"] = self.weights.of_groups(radii, self.param_groups)
        if self.rule.uses_lr:
            given["lr"] = self._lr()
        n = self.rule.n_normals(self.weights.dim)
        if n:
            numbers = standard_normal(self.seed, np.int64(0), np.int64(self.t), n).reshape(-1)
            given["normals"] = torch.from_numpy(np.asarray(numbers)).to(self.weights.like)
        return given

    def _lr(self) -> Any:
        """The learning rate, or one for each weight where groups differ."""
        return self.weights.of_groups([float(group["lr"]) for group in self.param_groups], self.param_groups)

    def _update(self, x: Tensor, ascent: Tensor, descent: Callable[[Tensor], Tensor]) -> Update:
        def at_x(point: Tensor) -> Tensor:
            if point is not x and not torch.equal(point, x):
                raise ValueError(
                    f"{type(self.rule).__name__} asks for gradients at more than one perturbed point: call "
                    "step(closure)"
                )
            return ascent

        return self.rule.update(x, self.memory, at_x, descent, **self._given())

    @torch.no_grad()
    def first_step(self, zero_grad: bool = False, scale: float = 1.0) -> None:
        """Move the weights to the perturbed point; ``p.grad`` holds the gradient at x.

        Parameters
        ----------
        zero_grad : bool
            Whether gradients are set to none afterwards.
        scale : float
            What gradients are divided by first: a `GradScaler`'s ``get_scale()``.

        Raises
        ------
        RuntimeError
            Without a backward pass before it, or after a `first_step` that no `second_step` has followed.
        """
        if self.rule.needs:
            raise ValueError(
                f"{self.rule!r} needs {' and '.join(self.rule.needs)} of the loss, got gradients alone: call "
                "step(closure)"
            )
        if self._origin is not None:
            raise RuntimeError(
                "first_step needs a second_step after the one before it, got two in turn, and the second "
                "would take the perturbed point for the weights: call second_step"
            )
        self.weights.require_gradients("before first_step")
        x, g = self.weights.point(), self.weights.gradient(scale)

        def ask(point: Tensor) -> Tensor:
            raise _Asked(point)

        self._origin, self._ascent, self._asked = x, g, False
        try:
            self._update(x, g, ask)
        except _Asked as asked:
            self._asked = asked.point is not x
            if asked.point is not x and torch.isfinite(asked.point).all():
                self.weights.move_to(asked.point)
        if zero_grad:
            self.zero_grad()
        self._kept = Gradients(self.weights.parameters)

    @torch.no_grad()
    def second_step(self, zero_grad: bool = False, scale: float = 1.0) -> None:
        """Put the weights back and take the step; ``p.grad`` holds the gradient at the perturbed point.

        Where a gradient is not finite the weights are put back and no step is taken.

        Raises
        ------
        RuntimeError
            Without a `first_step`, or without a backward pass since it where the rule asks for a gradient
            there; the weights are put back first.
        """
        if self._origin is None or self._ascent is None:
            raise RuntimeError("second_step needs a first_step before it")
        x, g = self._origin, self._ascent
        self._origin = self._ascent = None
        self.weights.move_to(x)
        if self._asked:
            self.weights.require_gradients("once more, after first_step and before second_step")
        p = self.weights.gradient(scale)
        if self._asked and self._kept.are_untouched() and torch.equal(p, g):
            raise RuntimeError(
                "gradients are the same tensors as before first_step, written to by nobody since: call "
                "backward on the loss once more, after first_step and before second_step"
            )
        if torch.isfinite(g).all() and torch.isfinite(p).all():
            asked: list[Tensor] = []

            def given(point: Tensor) -> Tensor:
                if asked and not torch.equal(asked[0], point):
                    raise ValueError(
                        f"{type(self.rule).__name__} asks for gradients at more than one perturbed point: "
                        "call step(closure)"
                    )
                asked.append(point)
                return p

            self._take(self._update(x, g, given))
        if zero_grad:
            self.zero_grad()

    def _take(self, update: Update) -> None:
        self.weights.set_gradient(update.direction)
        self.base.step()
        if update.apart is not None:
            self.weights.move_to(self.weights.point() - self._lr() * update.apart)
        self.memory = {name: value.detach() for name, value in update.memory.items()}
        self.t += 1
        self._opt_called = True  # what learning rate schedulers look at

    @torch.no_grad()
    def step(self, closure: Closure | None = None) -> Any:
        """One step with a closure that evaluates the loss and its gradients, as often as the rule asks.

        Parameters
        ----------
        closure : callable
            Sets gradients to none, evaluates the loss, calls `backward` and returns the loss. After a
            `first_step` it may be left out: the call is then a `second_step`, with the scale of the
            `GradScaler` that calls it.

        Returns
        -------
        Tensor or None
            The loss at the weights before the step. Where a direction is not finite, as at a loss of nan, no
            step is taken.

        Raises
        ------
        RuntimeError
            A call of the closure that leaves no parameter a gradient. Whatever a call raises, the weights are
            put back.
        """
        if closure is None and self._origin is not None:
            scale = getattr(self, "grad_scale", None)
            self.second_step(scale=1.0 if scale is None else float(scale))
            return None
        if closure is None:
            raise ValueError(
                "closure must be given: a rule looks at the loss at more than one point; or call "
                "first_step and second_step around two backward passes"
            )
        if not callable(closure):
            raise TypeError(f"closure must be callable, got {checks.shown(closure)}")
        evaluate = torch.enable_grad()(closure)
        x = self.weights.point()
        kept: list[tuple[Tensor, Tensor, Any]] = []

        def at(point: Tensor) -> tuple[Tensor, Any]:
            for known, gradient, value in kept:
                if torch.equal(known, point):
                    return gradient, value
            self.weights.move_to(point)
            self.zero_grad()  # what an earlier call left is no gradient at this point
            loss = evaluate()
            self.weights.require_gradients("inside the closure, whenever it is called")
            kept.append((point.clone(), self.weights.gradient(), loss))
            return kept[-1][1], loss

        def value(point: Tensor) -> Tensor:
            loss = at(point)[1]
            if not isinstance(loss, Tensor | float | int):
                raise TypeError(f"closure must return the loss, which {self.rule!r} needs, got {loss!r}")
            return torch.as_tensor(loss).detach().to(x)

        oracle = Oracle(lambda point: at(point)[0], value)
        missing = [need for need in self.rule.needs if need != "values"]
        if missing:
            raise ValueError(f"{self.rule!r} needs {missing[0]} of the loss, which a closure does not give")
        try:
            loss = at(x)[1]
            update = self.rule.update(x, self.memory, oracle, oracle, **self._given())
        finally:  # also where the closure fails at a perturbed point
            self.weights.move_to(x)
        if torch.isfinite(update.direction).all():
            self._take(update)
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The state of the base optimiser, the rule's memory and the number of steps.

        Raises
        ------
        RuntimeError
            Between `first_step` and `second_step`, where the weights belong to no step.
        """
        if self._origin is not None:
            raise RuntimeError(
                "state_dict must be taken between steps, got a call after first_step and before second_step, "
                "while the weights are perturbed"
            )
        return {"base": self.base.state_dict(), "memory": dict(self.memory), "t": self.t, "seed": self.seed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        if not isinstance(state_dict, dict):
            raise TypeError(f"state_dict must be a dict, got {checks.shown(state_dict)}")
        wanted = set(self.memory)
        if set(state_dict.get("memory", {})) != wanted or "base" not in state_dict:
            raise ValueError(
                f"state_dict must come from {type(self.rule).__name__} with memory {sorted(wanted)}, got "
                f"{sorted(state_dict)}"
            )
        for name, own in self.memory.items():
            if tuple(state_dict["memory"][name].shape) != tuple(own.shape):
                raise ValueError(
                    f"state_dict must be of weights of the same shapes, got {name!r} with shape "
                    f"{tuple(state_dict['memory'][name].shape)} for {tuple(own.shape)}"
                )
        self.base.load_state_dict(state_dict["base"])
        self.param_groups, self.state = self.base.param_groups, self.base.state
        self.memory = {name: value.to(self.memory[name]) for name, value in state_dict["memory"].items()}
        self.t, self.seed = int(state_dict["t"]), int(state_dict["seed"])
        self._origin = self._ascent = None

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Refused after the start: the rule's memory has the length of the weights."""
        if hasattr(self, "memory"):
            raise ValueError("groups must be given when the optimiser is made: memory has a fixed length")
        super().add_param_group(param_group)

    def __getstate__(self) -> dict[str, Any]:
        """What a copy needs: torch's own optimisers leave out what they do not know of."""
        hooks = {name for name in self.__dict__ if name.endswith("_hooks")}
        return {name: value for name, value in self.__dict__.items() if name not in hooks}

    def __repr__(self) -> str:
        return f"RuleOptimizer({self.rule!r}, {self.base!r})"


def _parameters_in(params: Any) -> list[torch.Tensor]:
    """The tensors among parameters or groups of them, as far as they are what torch takes."""
    found: list[torch.Tensor] = []
    for part in params if isinstance(params, list) else []:
        group = part.get("params") if isinstance(part, dict) else part
        some = group if isinstance(group, list | tuple) else (group,)
        found += [p for p in some if isinstance(p, torch.Tensor)]
    return found


def _has_radii(base: torch.optim.Optimizer) -> bool:
    """Whether groups have radii of their own. The ``rho`` of Adadelta, a default of it, is none."""
    return "rho" not in base.defaults and any("rho" in group for group in base.param_groups)


def as_optimizer(
    rule: Rule,
    params: Iterable[Any],
    base: Callable[..., torch.optim.Optimizer] = torch.optim.SGD,
    *,
    model: torch.nn.Module | None = None,
    seed: int = 0,
    **options: Any,
) -> RuleOptimizer:
    """A rule as an optimiser of torch.

    Parameters
    ----------
    rule : Rule
        Any rule that asks for gradients, and with a closure for values; its coefficients hold for all
        groups, but for the radius of groups that have a ``rho`` of their own.
    params : iterable of Parameter, or of dict
        Parameters or groups, as any optimiser of torch takes them; a group may have a ``rho`` of its own.
    base : callable
        The class of the base optimiser, which steps along the rule's direction; `torch.optim.SGD` by default.
    model : Module, optional
        Whose parameters they are: rules that treat layers differently need their names.
    seed : int
        Of the random numbers of a rule that draws some.
    **options
        Of the base optimiser: ``lr``, ``momentum``, ...

    Returns
    -------
    RuleOptimizer
        With ``first_step`` and ``second_step``, or ``step(closure)``.

    Raises
    ------
    TypeError, ValueError
        No rule; a rule that needs samples, outputs or products; blocks that are not there; a group's ``rho``
        that is no number >= 0, or means nothing to the rule; a base optimiser that evaluates a closure
        itself, as LBFGS; a parameter that is not the model's. Sparse gradients, when they come.
    RuntimeError
        In a call of `step`, `first_step` or `second_step` to which no backward pass belongs.

    Notes
    -----
    With ``step(closure)`` every gradient that the rule asks for is one call of the closure, the one at x
    included. Gradients that several backward passes add up count together, before each of the two calls.
    With a `torch.amp.GradScaler` call ``optimizer.first_step(zero_grad=True, scale=scaler.get_scale())``, and
    ``scaler.step(optimizer)`` in place of `second_step`: where a gradient is not finite no step is taken, and
    ``scaler.update()`` lowers the scale. Layers that update statistics in every forward pass (batch
    normalisation) do so in each of them. A group's key ``rho`` is the radius of its weights, which scales
    their share of the perturbation; the norm remains the norm of all gradients. Of a base optimiser that has
    a ``rho`` itself, as Adadelta, the key belongs to the base.

    Examples
    --------
    >>> import torch
    >>> import samdyn as sd
    >>> w = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    >>> optimizer = sd.optim.as_optimizer(sd.SAM(0.5), [w], lr=0.1)
    >>> (w**2).sum().backward()
    >>> optimizer.first_step(zero_grad=True)
    >>> (w**2).sum().backward()
    >>> optimizer.second_step(zero_grad=True)
    >>> round(w.item(), 12)
    0.7
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a samdyn rule such as sd.SAM(0.1), got {checks.shown(rule)}")
    for need in rule.needs:
        if need != "values":
            raise ValueError(
                f"rule must need gradients and values alone to train a module, got {rule!r}, which needs "
                f"{need}"
            )
    if not callable(base):
        raise TypeError(
            f"base must be a class of optimisers such as torch.optim.SGD, got {checks.shown(base)}: pass its "
            "learning rate and other options to as_optimizer itself"
        )
    if model is not None and not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {checks.shown(model)}")
    if isinstance(params, torch.nn.Module):
        got = type(params).__name__
        raise TypeError(f"params must be the parameters of a module, got {got}: give its .parameters()")
    if "lr" in options and not isinstance(options["lr"], torch.Tensor):
        checks.number("lr", options["lr"], at_least=0)
    params = list(params) if isinstance(params, Iterable) and not isinstance(params, torch.Tensor) else params
    held = [id(p) for p in _parameters_in(params)]
    if len(set(held)) < len(held):
        raise ValueError("params must hold each parameter once, got some of them twice")
    try:
        optimizer = base(params, **options)
    except (KeyError, TypeError, ValueError) as error:
        given = "".join(f", {name}={checks.shown(value)}" for name, value in options.items())
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"params and the options of {getattr(base, '__name__', base)} must be as torch takes them, got "
            f"{checks.shown(params)}{given}: {error}"
        ) from error
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"base must make a torch.optim.Optimizer, got {checks.shown(optimizer)}")
    for group in optimizer.param_groups:
        if not all(p.is_floating_point() for p in group["params"]):
            raise TypeError("params must be real floating-point tensors, got integers or complex numbers")
        if group.get("lr") is not None:  # of nan torch only asks whether it is below zero
            checks.number("lr", group["lr"], at_least=0)
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"base must step along a gradient that it is given, got {type(optimizer).__name__}, which "
            "evaluates a closure itself, at points where the rule has no direction: take torch.optim.SGD or "
            "another first-order optimiser"
        )
    if model is not None:
        own = {id(p) for p in model.parameters()}
        foreign = sum(id(p) not in own for group in optimizer.param_groups for p in group["params"])
        if foreign:
            raise ValueError(
                f"model must have the parameters that are trained, got {type(model).__name__}, to which "
                f"{foreign} of them do not belong: pass the module that params are taken from"
            )
    for group in optimizer.param_groups if _has_radii(optimizer) else ():
        if "rho" in group:
            if "rho" not in rule.coefficient_names or rule.needs:
                raise ValueError(
                    f"params must have no rho of their own for {rule!r}, whose perturbation it would not "
                    f"scale, got a group with rho {group['rho']!r}"
                )
            checks.number("rho", group["rho"], at_least=0)
    return RuleOptimizer(rule, optimizer, model, checks.seed("seed", seed))
