"""Many replicas of one system, step after step, with something looked at on the way.

Unlike the compiled ensemble of exit times, this loop draws batches of a finite sum as well as normal numbers,
takes coefficients that differ from replica to replica, and stays in numpy. Replicas go in tiles that fit the
cache; the random numbers of several steps are made at once.

A step is one of these (`build_replica_step` chooses):

- `SquaresStep`: components that are squares of a linear form plus a ridge. A single-sample step of a rule
  with e = (alpha + beta/|g|) g needs two inner products, one scaling and one sum of vectors: with
  z = a.x, p = z - b, q = |a|^2 the gradient is p a + r x, and everything else is scalar. Other batches and
  rules take gathered rows and matrix products.
- `BatchStep`: any component. The step of one replica, with the numbers of its samples among the inputs, is
  traced and printed as numpy code where it is small, and goes through `torch.vmap` where it is not.
- `NormalStep`: noiseless maps, Gaussian noise, and the Euler-Maruyama step of a `Diffusion` with dt = lr.

Words belong to (seed, path, step): a replica's path does not depend on the tile or on the other replicas.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from samdyn.compute.checks import Array
from samdyn.compute.printing import numpy_form, printed_form
from samdyn.compute.random import standard_normal
from samdyn.compute.random_arrays import minibatch_words
from samdyn.compute.tracing import NotTraceable, coordinate_form
from samdyn.ensemble.step import build_stepper
from samdyn.landscapes.finite_sum import FiniteSum
from samdyn.rules.extragradient import Extragradient
from samdyn.rules.family import GD, SAM, USAM, UnifiedSAM
from samdyn.rules.rule import Rule
from samdyn.systems.diffusion import Diffusion
from samdyn.systems.map import Map
from samdyn.systems.minibatch import Minibatch, batch_gradient, descent_direction
from samdyn.systems.sampling import Index, Sampler

System: TypeAlias = Map | Diffusion
Coefficients: TypeAlias = Mapping[str, Any]
Observer: TypeAlias = Callable[[int, slice, Array], None]

TILE_VALUES = 1 << 17
MAX_TILE = 1 << 14
CHUNK_VALUES = 1 << 15
MAX_TRACED_INPUTS = 96
MAX_TRACED_NODES = 3000


class ReplicaStep(ABC):
    """One step of a tile of replicas.

    Attributes
    ----------
    sampler, ascent_sampler : Sampler or None
        What draws the batches of the descent, and independent ones for the perturbation.
    n_normals : int
        Standard normals that a step uses.
    """

    sampler: Sampler | None = None
    ascent_sampler: Sampler | None = None
    n_normals: int = 0

    @abstractmethod
    def load(self, state: Array) -> Any:
        """States (n, state_dim) in the form that `advance` works on."""

    @abstractmethod
    def points(self, loaded: Any) -> Array:
        """The points (n, dim) of loaded states."""

    @abstractmethod
    def advance(self, loaded: Any, random: Any, coefficients: Coefficients) -> Any:
        """The next states.

        Parameters
        ----------
        random : ndarray
            Batches (batch_size, n), descent first and then ascent ones if they are drawn; or normals
            (n, n_normals).
        coefficients : dict
            Numbers or arrays (n,).
        """


def _pair(rule: Rule, coefficients: Coefficients) -> tuple[Any, Any]:
    """The alpha and beta of e = (alpha + beta/|g|) g."""
    rho = coefficients.get("rho", 0.0)
    if isinstance(rule, SAM):
        return 0.0, rho
    if isinstance(rule, UnifiedSAM):
        lam = coefficients["lam"]
        return rho * (1 - lam), rho * lam
    return (-rho, 0.0) if isinstance(rule, Extragradient) else (rho, 0.0)


class SquaresStep(ReplicaStep):
    """Steps on components (a.x - b)^2 / 2 + r |x|^2 / 2."""

    def __init__(self, system: Map) -> None:
        loss, noise = system.landscape, system.noise
        assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and loss.squares is not None
        assert system.rule is not None
        self.rule, self.momentum, self.dim = system.rule, system.momentum, system.dim
        self.memory, self.probe = system.has_memory, noise.probe
        self.rows, self.targets, self.ridge = loss.squares
        self.square = (self.rows**2).sum(axis=1)
        self.sampler = noise.sampler(loss)
        self.ascent_sampler = self.sampler if noise.probe == "independent" else None
        family = isinstance(self.rule, GD | USAM | SAM | UnifiedSAM | Extragradient)
        self.fused = family and noise.batch_size == 1 and (noise.probe == "same" or isinstance(self.rule, GD))

    def load(self, state: Array) -> list[Array]:
        """Points, and the last directions where there is memory."""
        parts = [state[:, : self.dim], state[:, self.dim :]] if self.memory else [state]
        return [np.array(part) for part in parts]

    def points(self, loaded: list[Array]) -> Array:
        """The points."""
        return loaded[0]

    def advance(self, loaded: list[Array], random: Index, coefficients: Coefficients) -> list[Array]:
        """One step, in place."""
        return (
            self._fused(loaded, random[0], coefficients)
            if self.fused
            else self._general(loaded, random, coefficients)
        )

    def _fused(self, loaded: list[Array], index: Index, coefficients: Coefficients) -> list[Array]:
        x = loaded[0]
        lr = coefficients["lr"]
        alpha, beta = _pair(self.rule, coefficients)
        assert self.sampler is not None
        ridged = bool(self.ridge.any())
        weight = self.sampler.weights.take(index) if self.sampler.weighted else 1.0
        a = self.rows.take(index, axis=0)
        z, q, b = np.vecdot(a, x), self.square.take(index), self.targets.take(index)
        r = self.ridge.take(index) if ridged else 0.0
        p = z - b
        stretch = alpha * weight
        if np.any(beta):
            if ridged:
                size = np.sqrt(np.maximum(p * p * q + 2 * r * p * z + r * r * np.vecdot(x, x), 0.0))
            else:
                size = np.abs(p) * np.sqrt(q)
            stretch = stretch + beta * np.where(size > 0, 1 / size, 0.0)
        shifted = z + stretch * (p * q + r * z)
        along_a = weight * (shifted - b + r * stretch * p)
        along_x = weight * r * (1 + stretch * r)
        if not self.memory:
            a *= (lr * along_a)[:, None]
            if ridged:
                x *= (1 - lr * along_x)[:, None]
            x -= a
            return loaded
        v = loaded[1]
        a *= along_a[:, None]
        v *= self.momentum
        v += a
        if ridged:
            v += along_x[:, None] * x
        x -= _column(lr) * v
        return loaded

    def _gradient(self, x: Array, index: Index | None) -> Array:
        if index is None:
            return np.asarray(
                (x @ self.rows.T - self.targets) @ self.rows / len(self.rows) + self.ridge.mean() * x
            )
        assert self.sampler is not None
        chosen = np.ascontiguousarray(index.T)  # (n, batch)
        rows = self.rows.take(chosen, axis=0)
        weights = self.sampler.weights.take(chosen) / chosen.shape[1]
        residual = (np.matmul(rows, x[:, :, None])[:, :, 0] - self.targets.take(chosen)) * weights
        ridge = (self.ridge.take(chosen) * weights).sum(axis=1)
        return np.asarray(np.matmul(residual[:, None, :], rows)[:, 0] + ridge[:, None] * x)

    def _general(self, loaded: list[Array], random: Index, coefficients: Coefficients) -> list[Array]:
        x, size = loaded[0], self.sampler.batch_size  # type: ignore[union-attr]
        descent, independent = random[:size], random[size:]
        chosen = {"same": descent, "independent": independent, "full": None}[self.probe]

        def oracle(index: Index | None) -> Callable[[Tensor], Tensor]:
            return lambda y: torch.from_numpy(self._gradient(y.numpy(), index))

        values = {
            name: torch.as_tensor(_column(value), dtype=torch.float64) for name, value in coefficients.items()
        }
        lr = values.pop("lr")
        if self.rule.memory:
            values["memory"] = torch.from_numpy(loaded[1])
        at = torch.from_numpy(x)
        direction = descent_direction(
            self.rule, at, oracle(chosen), oracle(descent), oracle(None), **values
        ).numpy()
        if self.memory:
            direction = self.momentum * loaded[1] + direction
            return [x - lr.numpy() * direction, direction]
        return [x - lr.numpy() * direction]


def _column(value: Any) -> Any:
    return value[:, None] if np.ndim(value) else value


def sampled_step(system: Map) -> tuple[Callable[[Tensor], Tensor], tuple[str, ...]]:
    """The step of one replica as a torch function of one vector of inputs.

    Returns
    -------
    function : callable
        The inputs are the state, for every drawn sample (descent, then ascent) its numbers and its weight,
        and the coefficients.
    names : tuple of str
        Of the coefficients.
    """
    loss, noise, rule = system.landscape, system.noise, system.rule
    assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch) and rule is not None
    dim, state_dim, size = system.dim, system.state_dim, noise.batch_size
    numbers = loss.flat_samples.shape[1]
    names = tuple(system.coefficients())
    micro = noise.micro_batch or size
    full = torch.func.grad(loss.one_point)
    n_drawn = 2 * size if noise.probe == "independent" else size

    def gradient_of(flat: Tensor) -> Callable[[Tensor], Tensor]:
        samples = torch.func.vmap(loss.unflatten)(flat[:, :numbers])
        return batch_gradient(loss, samples, flat[:, numbers])

    def step(inputs: Tensor) -> Tensor:
        state = inputs[:state_dim]
        end = state_dim + n_drawn * (numbers + 1)
        drawn = inputs[state_dim:end].reshape(n_drawn, numbers + 1)
        values: dict[str, Any] = dict(zip(names, inputs[end:], strict=True))
        lr = values.pop("lr")
        x = state[:dim]
        if rule.memory:
            values["memory"] = state[dim:]
        directions = []
        for start in range(0, size, micro):
            descent = gradient_of(drawn[start : start + micro])
            ascent = descent
            if noise.probe != "same":
                ascent = full if noise.probe == "full" else gradient_of(drawn[size:])
            directions.append(descent_direction(rule, x, ascent, descent, full, **values))
        direction = directions[0] if len(directions) == 1 else torch.stack(directions).mean(dim=0)
        if not system.has_memory:
            return x - lr * direction
        direction = system.momentum * state[dim:] + direction
        return torch.cat([x - lr * direction, direction])

    return step, names


class BatchStep(ReplicaStep):
    """Steps on any components."""

    def __init__(self, system: Map) -> None:
        loss, noise = system.landscape, system.noise
        assert isinstance(loss, FiniteSum) and isinstance(noise, Minibatch)
        self.dim, self.state_dim = system.dim, system.state_dim
        self.sampler = noise.sampler(loss)
        self.ascent_sampler = self.sampler if noise.probe == "independent" else None
        self.step, self.names = sampled_step(system)
        self.table = np.concatenate([loss.flat_samples, self.sampler.weights[:, None]], axis=1)
        n_drawn = noise.batch_size * (2 if self.ascent_sampler else 1)
        n_inputs = self.state_dim + n_drawn * self.table.shape[1] + len(self.names)
        looks_at_all = noise.probe == "full" or (system.rule is not None and system.rule.uses_full_gradient)
        self.arrays: Callable[..., Sequence[Any]] | None = None
        if n_inputs + (loss.flat_samples.size if looks_at_all else 0) <= MAX_TRACED_INPUTS:
            try:
                form = coordinate_form(self.step, n_inputs, max_nodes=MAX_TRACED_NODES)
                self.arrays = printed_form(form).arrays
                self.table = np.ascontiguousarray(self.table.T)
            except NotTraceable:
                pass

    def load(self, state: Array) -> Any:
        """Separate coordinates for printed code, else the states."""
        return state if self.arrays is None else list(np.ascontiguousarray(state.T))

    def points(self, loaded: Any) -> Array:
        """The points."""
        if self.arrays is None:
            return np.asarray(loaded[:, : self.dim])
        return np.stack(loaded[: self.dim], axis=1)

    def advance(self, loaded: Any, random: Index, coefficients: Coefficients) -> Any:
        """One step."""
        values = [coefficients[name] for name in self.names]
        if self.arrays is not None:
            drawn = self.table.take(random, axis=1)  # (numbers, drawn, n)
            inputs = [part for sample in range(len(random)) for part in drawn[:, sample]]
            return list(self.arrays(*loaded, *inputs, *map(np.float64, values)))
        n = len(loaded)
        columns = [np.broadcast_to(value, n)[:, None] for value in values]
        numbers = self.table.take(random.T, axis=0).reshape(n, -1)
        inputs_of_all = torch.from_numpy(np.concatenate([loaded, numbers, *columns], axis=1))
        return torch.func.vmap(self.step)(inputs_of_all).detach().numpy()


class NormalStep(ReplicaStep):
    """Steps with normal numbers, or none."""

    def __init__(self, system: System) -> None:
        self.dim = system.dim
        self.stepper = build_stepper(system)
        self.n_normals = self.stepper.n_normals
        self.form = numpy_form(self.stepper.form)
        # a scheduled lr scales a diffusion's drift and noise; time goes on in steps of lr(0)
        self.dt = system.coefficients()["lr"] if isinstance(system, Diffusion) else 1.0
        self.fixed_dt = isinstance(system, Diffusion) and callable(system.lr)

    def load(self, state: Array) -> list[Array]:
        """Separate coordinates."""
        return list(np.ascontiguousarray(state.T))

    def points(self, loaded: list[Array]) -> Array:
        """The points."""
        return np.stack(loaded[: self.dim], axis=1)

    def advance(self, loaded: list[Array], random: Array, coefficients: Coefficients) -> list[Array]:
        """One step."""
        values = [np.broadcast_to(np.float64(coefficients[n]), loaded[0].shape) for n in self.stepper.names]
        normals = random.T
        if not self.stepper.continuous:
            out = self.form(*loaded, *normals, *values)
            return [np.broadcast_to(v, loaded[0].shape) for v in out]
        dt = self.dt if self.fixed_dt else coefficients["lr"]
        out = self.form(*loaded, *values)
        k, dim, zeros = self.n_normals, self.dim, self.stepper.zeros
        moved = []
        for i in range(dim):
            terms = [out[dim + i * k + j] * normals[j] for j in range(k) if dim + i * k + j not in zeros]
            moved.append(loaded[i] + dt * out[i] + np.sqrt(dt) * sum(terms))
        return moved


def build_replica_step(system: System) -> ReplicaStep:
    """The fastest step of a system: see the module's docstring.

    Examples
    --------
    >>> import samdyn as sd
    >>> loss = sd.FiniteSum.least_squares([[1.0], [2.0]], [1.0, 1.0])
    >>> batches = sd.Map(loss, sd.SAM(0.1), lr=0.1, noise=sd.Minibatch(batch_size=1))
    >>> type(build_replica_step(batches)).__name__
    'BatchStep'
    """
    if not isinstance(system, Map) or not isinstance(system.noise, Minibatch):
        return NormalStep(system)
    loss, noise = system.landscape, system.noise
    assert isinstance(loss, FiniteSum)
    plain = noise.micro_batch in (None, noise.batch_size)
    inputs = noise.batch_size * (system.dim + 1) * (2 if noise.probe == "independent" else 1)
    if plain and (system.dim > 8 or inputs > MAX_TRACED_INPUTS // 2) and loss.squares is not None:
        return SquaresStep(system)
    return BatchStep(system)


def run_replicas(
    system: System,
    state: Array,
    n_steps: int,
    at: npt.NDArray[np.int64],
    observe: Observer,
    *,
    seed: int = 0,
    paths: npt.NDArray[np.int64] | None = None,
    coefficients: Callable[[int], Coefficients] | None = None,
) -> Array:
    """Move replicas and show them to an observer.

    Parameters
    ----------
    system : Map or Diffusion
    state : ndarray, shape (n, state_dim)
        Where they start.
    n_steps : int
    at : ndarray of int
        Steps, in increasing order from 0 to n_steps, after which the observer is called.
    observe : callable
        ``observe(record, replicas, points)`` gets the record's number, the slice of replicas of the tile, and
        their points (n_tile, dim), to be copied if kept.
    seed : int
    paths : ndarray of int, shape (n,), optional
        Path numbers of the replicas; 0, 1, 2, ... by default.
    coefficients : callable, optional
        Step to the coefficients, numbers or arrays (n,); the system's by default. It is called for every step
        only if the system is scheduled.

    Returns
    -------
    ndarray, shape (n, dim)
        The last points.
    """
    stepper = build_replica_step(system)
    values = coefficients or system.coefficients
    paths = np.arange(len(state)) if paths is None else paths
    tile = int(np.clip(TILE_VALUES // state.shape[1], 256, MAX_TILE))
    final = np.empty((len(state), system.dim))
    for start in range(0, len(state), tile):
        part = slice(start, min(start + tile, len(state)))
        with np.errstate(all="ignore"):
            final[part] = _run_tile(
                stepper, state[part], n_steps, at, observe, seed, paths[part], part, values, system.scheduled
            )
    return final


def _run_tile(
    stepper: ReplicaStep,
    state: Array,
    n_steps: int,
    at: npt.NDArray[np.int64],
    observe: Observer,
    seed: int,
    paths: npt.NDArray[np.int64],
    part: slice,
    values: Callable[[int], Coefficients],
    scheduled: bool,
) -> Array:
    n = len(state)
    loaded = stepper.load(state)
    samplers = [s for s in (stepper.sampler, stepper.ascent_sampler) if s is not None]
    n_draws = sum(s.n_draws for s in samplers)
    per_step = n * max(1, n_draws, stepper.n_normals)
    chunk = 4 * max(1, CHUNK_VALUES // per_step)
    of_tile = _slice(values(0), part)
    record = 0
    random: Any = np.empty((n, 0))
    drawn: Any = None
    if len(at) and at[0] == 0:
        observe(0, part, stepper.points(loaded))
        record = 1
    upcoming = int(at[record]) if record < len(at) else -1
    for step in range(n_steps):
        if step % chunk == 0 and (samplers or stepper.n_normals):
            drawn = _draw(stepper, samplers, seed, paths, step, min(chunk, n_steps - step))
        if drawn is not None:
            random = drawn[step % chunk]
        if scheduled:
            of_tile = _slice(values(step), part)
        loaded = stepper.advance(loaded, random, of_tile)
        if step + 1 == upcoming:
            observe(record, part, stepper.points(loaded))
            record += 1
            upcoming = int(at[record]) if record < len(at) else -1
    return stepper.points(loaded)


def _slice(coefficients: Coefficients, part: slice) -> Coefficients:
    return {name: value[part] if np.ndim(value) else value for name, value in coefficients.items()}


def _draw(
    stepper: ReplicaStep,
    samplers: list[Sampler],
    seed: int,
    paths: npt.NDArray[np.int64],
    step: int,
    n_steps: int,
) -> Any:
    """The random numbers of some steps from one that is a multiple of 4."""
    n = len(paths)
    if not samplers:
        return standard_normal(seed, paths, np.arange(step, step + n_steps)[:, None], stepper.n_normals)
    blocks = np.arange(step // 4, -(-(step + n_steps) // 4))
    n_draws = sum(s.n_draws for s in samplers)
    words = minibatch_words(seed, paths[None, :], blocks[:, None], n_draws)  # (draws, 4, blocks, n)
    size = 4 * len(blocks) * n
    flat = np.ascontiguousarray(words.swapaxes(1, 2)).reshape(n_draws, size)
    index, used = [], 0
    for sampler in samplers:
        index.append(sampler.draw(flat[used : used + sampler.n_draws], size))
        used += sampler.n_draws
    together = np.concatenate(index).reshape(-1, 4 * len(blocks), n)
    return np.ascontiguousarray(together.swapaxes(0, 1))
