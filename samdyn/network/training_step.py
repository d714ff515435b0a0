"""What the step of a torch optimiser does, as a monitor has to know it: perturbation, edge, coefficients.

An optimiser made by `samdyn.optim.as_optimizer` perturbs by its rule, a wrapper whose group says ``adaptive``
by ASAM, and any other by SAM with the radius of its group. The edge is the curvature h at which a step turns
a direction round without shrinking it. For SGD with momentum gamma, dampening tau and weight decay w,

    lr (h + w) = 2 (1 + gamma)/(1 - tau),   in Nesterov's form   lr (h + w) = 2 (1 + gamma)/(1 + 2 gamma),

with h + c h^2 in place of h for a perturbation c g [own derivation, checked on torch's steps].
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.landscapes.landscape import Landscape
from samdyn.orbit.stability_edge import perturbation_at, sam_edge
from samdyn.rules import ASAM, SAM
from samdyn.rules.rule import Rule
from samdyn.systems.map import Map


def perturbation(optimizer: Any, loss: Landscape, x: Array, g: Array, rho: float) -> Array:
    """e(x) of the optimiser's rule; of an optimiser without one, of SAM or of ASAM."""
    if not np.isfinite(g).all() or not np.any(g):
        return np.zeros_like(x)
    rule = rule_now(optimizer)
    if rule is None:
        # a wrapper's ASAM measures by the weights alone, of biases as well
        adaptive = bool((group_of(optimizer) or {}).get("adaptive"))
        return np.asarray(perturbation_at(ASAM(rho, eta=0.0) if adaptive else SAM(rho), x, g))
    if "rho" in rule.coefficient_names:
        rule = rule.with_parameters(rho=rho)
    return Map(loss, rule, lr=1.0).perturbation(x)


def rule_now(optimizer: Any) -> Rule | None:
    """The rule of an optimiser of `samdyn.optim.as_optimizer`, with its coefficients of this step."""
    rule = getattr(optimizer, "rule", None)
    if not isinstance(rule, Rule):
        return None
    step = int(getattr(optimizer, "t", 0))
    now = {name: float(value) for name, value in rule.coefficients(step).items()}
    return rule.with_parameters(**now)


def edge(optimizer: Any, lr: float, momentum: float, gradient_norm: float, length: float) -> float:
    """The curvature at which the optimiser's step turns a direction round without shrinking it."""
    if rescales(optimizer):
        return math.nan
    if lr == 0:
        return math.inf
    group = group_of(optimizer) or {}
    below = 1 + 2 * momentum if group.get("nesterov") else 1 - float(group.get("dampening", 0.0))
    factor = (1 + momentum) / below
    top = 2 * factor / lr - float(group.get("weight_decay", 0.0))
    if top <= 0:
        return 0.0
    if not math.isfinite(length):
        return math.nan
    # with e along g, of whatever length: SAM's edge for a length of that length
    return float(sam_edge(2 / top, length, gradient_norm if length > 0 else None))


def rescales(optimizer: Any) -> str:
    """What of an optimiser does not step along gradients g(x + c g) and their sums, by name; else nothing."""
    rule = getattr(optimizer, "rule", None)
    if isinstance(rule, Rule) and not (rule.plain and rule.parts() is not None):
        return type(rule).__name__
    for holder in (getattr(optimizer, "base_optimizer", None), getattr(optimizer, "base", None), optimizer):
        group = group_of(holder) if getattr(holder, "param_groups", None) else {}
        of_torch = type(holder).__module__.startswith("torch.optim")
        plain = isinstance(holder, torch.optim.SGD)
        if (of_torch and not plain) or (group and ("betas" in group or group.get("adaptive"))):
            return type(holder).__name__
    return ""


def check_trains(optimizer: Any, model: torch.nn.Module) -> None:
    """Refuse an optimiser of tensors none of which is a parameter of the model."""
    groups = getattr(optimizer, "param_groups", None) or []
    held = {id(p) for group in groups if isinstance(group, dict) for p in group.get("params", ())}
    if held and held.isdisjoint(id(p) for p in model.parameters()):
        raise ValueError(
            f"optimizer must train the model, got a {type(optimizer).__name__} that holds none of its "
            "parameters: make it from model.parameters(), or pass lr=... and rho=... without it"
        )


def group_of(optimizer: Any) -> dict[str, Any] | None:
    """The first group of parameters of an optimiser, with what its base optimiser adds."""
    if optimizer is None:
        return None
    merged: dict[str, Any] = {}
    for holder in (getattr(optimizer, "base_optimizer", None), optimizer):
        groups = getattr(holder, "param_groups", None)
        if isinstance(groups, list | tuple) and groups and isinstance(groups[0], dict):
            merged |= groups[0]
    if not merged:
        raise TypeError(
            f"optimizer must have param_groups from which lr can be read, got {checks.shown(optimizer)}: "
            "pass lr=... and rho=... instead"
        )
    return merged
