"""Steppers: the step of a system traced to pointwise operations, with its coefficients as inputs.

One trace, and one compiled kernel, serves every value of lr and rho, and coefficients may differ from path to
path or from step to step. A loss that cannot be traced goes through torch.vmap, which is slower and gives the
same numbers to rounding.

For a Diffusion what is traced is the drift b and the columns of the noise root B together, since they share
most of their subexpressions; B also gives the variance of the step along a direction. Entries of B that are
zero everywhere are known as such and cost nothing. Where B has too many entries for a trace, the drift alone
is mapped over points, and B is known by products with it (`samdyn.dynamics.wide_root`).

The step of a Map on batches of a finite sum is in `samdyn.dynamics.batch_step`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from samdyn.dynamics.batch_step import build_batch_stepper
from samdyn.dynamics.draws import NormalDraws
from samdyn.dynamics.step import Stepper
from samdyn.dynamics.step_cache import kept_stepper
from samdyn.jobs.cost import announce, seconds_of
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.systems.batch_gaussian import listed_terms
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.matrix_root import MOST_ROTATED, absolute_root
from samdyn.systems.minibatch import Minibatch
from samdyn.systems.noise import CurvatureNoise
from samdyn.trace.scalar_graph import MAX_NODES
from samdyn.trace.tracing import batched_form, traced_or_batched

MAX_ENTRIES = 5000
"""Entries of drift and noise root above which these are not listed: a trace of 70 coordinates."""


CLOSED_FORM = 3  # dimensions up to which the root of the Hessian has a formula
TRACED = 700.0  # by which tracing the rotations takes longer than they do: 600 to 1000, measured


def build_stepper(system: Map | Diffusion, varied: Sequence[str] = ()) -> Stepper:
    """Trace the step of a system, or take the trace of an earlier call (`samdyn.dynamics.step_cache`).

    Parameters
    ----------
    system : Map or Diffusion
    varied : sequence of str
        Numbers of the loss or the noise that become inputs of the step, after the rule's coefficients and
        lr, which always are.

    Examples
    --------
    >>> import samdyn as sd
    >>> step = sd.Map(sd.landscapes.beale(), sd.SAM(0.5), lr=0.01, noise=sd.GaussianNoise(std=1.0))
    >>> build_stepper(step).names, build_stepper(step, varied=["std"]).names
    (('rho', 'lr'), ('rho', 'lr', 'std'))
    """
    if isinstance(system, Map) and isinstance(system.noise, Minibatch):
        return build_batch_stepper(system, varied)
    dim, state_dim, k = system.dim, system.state_dim, system.n_normals
    own = tuple(system.coefficients())
    names = (*own, *(name for name in varied if name not in own))
    continuous = isinstance(system, Diffusion)
    wide = continuous and dim * (k + 1) > MAX_ENTRIES
    head = state_dim if continuous else state_dim + k
    width = head + len(names)

    def values(v: Tensor) -> tuple[Any, dict[str, Tensor]]:
        given = dict(zip(names, v[head:], strict=True))
        extra = {name: given.pop(name) for name in names[len(own) :]}
        return _with_tensors(system, extra) if extra else system, given

    def step(v: Tensor) -> Tensor:
        at, given = values(v)
        normals = v[state_dim : state_dim + k] if k else None
        return torch.as_tensor(at.advance(v[:state_dim], normals, **given))

    def local(v: Tensor) -> Tensor:
        at, given = values(v)
        x = v[:dim]
        if wide:
            return at.point_drift(x, **given)
        drift, root = at.point_drift_and_root(x, **given)
        return torch.cat([drift, root.reshape(-1)])

    def noise(x: Tensor, z: Tensor, c: Tensor) -> Tensor:
        at, given = values(torch.cat([x, c]))
        return torch.as_tensor(at.point_noise(x, z, **given))

    function = local if continuous else step

    def build() -> Stepper:
        if wide:
            form = batched_form(function, width)
            return Stepper(dim, state_dim, NormalDraws(k), names, continuous, form, frozenset(), noise)
        if isinstance(system.noise, CurvatureNoise) and dim > CLOSED_FORM:
            _announce_root(dim)
        if continuous and _operations(system) > MAX_NODES:
            return Stepper(
                dim, state_dim, NormalDraws(k), names, continuous, batched_form(function, width), frozenset()
            )
        with np.errstate(all="ignore"):  # constants of a loss without values are folded with nan
            form = traced_or_batched(function, width)
        zeros = _zeros(form) if continuous else frozenset()
        return Stepper(dim, state_dim, NormalDraws(k), names, continuous, form, zeros)

    return kept_stepper(system, names, function, width, build)


def _operations(system: Map | Diffusion) -> int:
    """At least so many scalar operations has the step, counted where a trace would only find it out at the
    end: of the Gaussian model of batches a few for each batch or pair of samples.
    """
    noise, loss = system.noise, system.landscape
    if not isinstance(noise, Minibatch) or not isinstance(loss, FiniteSum):
        return 0
    assert system.rule is not None
    listed = listed_terms(loss, system.rule, noise)
    # of a batch its mean gradient and Hessian, their product, and that with the gradient's deviation; of a
    # pair the length, and products of a matrix with the gradients (54 operations in two dimensions)
    each = 2 * system.dim + 3 * system.dim**2 if listed else 4 + 5 * system.dim + 10 * system.dim**2
    return each * (listed or loss.n_samples**2)


def _announce_root(dim: int) -> None:
    """Say what tracing the rotations of |H|^(1/2) costs, from the time that they take without."""
    if dim > MOST_ROTATED:  # not traced
        return
    once = seconds_of(lambda: absolute_root(torch.eye(dim, dtype=torch.float64), torch.ones(dim).double()))
    announce(
        f"tracing the step of CurvatureNoise in {dim} dimensions, once for a loss,",
        TRACED * once,
        "GaussianNoise(cov=...) needs no root of the Hessian",
    )


def _with_tensors(system: Map | Diffusion, values: dict[str, Tensor]) -> Map | Diffusion:
    """The system with tensors for some numbers of its loss, its function or its noise, unchecked."""
    system, rest = copy.copy(system), dict(values)
    if system._function is not None:
        system._function = system._function.with_parameters(**rest)
        if isinstance(system, Diffusion) and system._root is not None:
            system._root = system._root.with_parameters(**rest)
        return system
    assert system.landscape is not None
    of_loss = {name: rest.pop(name) for name in list(rest) if name in system.landscape.parameters}
    if of_loss:
        system.landscape = copy.copy(system.landscape)
        system.landscape.parameters = {**system.landscape.parameters, **of_loss}
    if rest:
        noise = copy.copy(system.noise)
        for name, value in rest.items():
            object.__setattr__(noise, name, value)
        object.__setattr__(system, "noise", noise)
    return system


def _zeros(form: Any) -> frozenset[int]:
    """Outputs of a traced form that are the constant 0."""
    if not form.traced:
        return frozenset()
    outputs = next(node for node in form.graph.nodes if node.op == "output").args[0]
    return frozenset(
        i for i, node in enumerate(outputs) if node.target is torch.full_like and float(node.args[1]) == 0.0
    )
