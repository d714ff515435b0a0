"""Frames carried along orbits without a break: the growth of k directions under the derivative of a map.

A state of the calculation is (x, Q, s): the point, an orthonormal frame of k directions, and the sums of the
logs of their growth. One step is x <- f(x), Q <- Df(x) Q, Q = Q' R by Gram-Schmidt, s <- s + log diag R. The
frame is never set afresh: where directions turn slowly (equal exponents, shears) every restart would leave a
bias that does not shrink with the number of steps.

(x, Q, s) is the state of a map of its own. Four ways to take a step, by size: long or many orbits of few
coordinates by the engine, as a compiled loop of that map (`samdyn.dynamics.backends.native_step`); few short
ones in a loop of Python floats (`samdyn.trace.iterate`); many short ones by numpy with the printed Jacobian;
many coordinates by forward derivatives along the frame's directions alone, k of them, without a Jacobian.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from samdyn.arguments.checks import Array
from samdyn.dynamics.backends.native_program import compiled_or_none
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.systems.map import Map
from samdyn.systems.tangent import pushed
from samdyn.trace.batch import derivatives_by_name
from samdyn.trace.iterate import iterate_scalar
from samdyn.trace.printed.compiling import compiler
from samdyn.trace.printed.printing import numpy_form
from samdyn.trace.surroundings import own_surroundings
from samdyn.trace.tracing import NotTraceable, coordinate_form

FEW_STARTS = 24  # starts up to which a loop of Python floats is used; chosen
FEW_NUMBERS = 40  # of a state that is carried in a loop of Python floats
APART = (
    2.0  # times the unit matrix, by which frames are stored apart: traced forms are compared with the step
)
# at points of the unit cube, where frames would be nearly singular
FEW_COORDINATES = 24  # of a map whose Jacobian is printed
COMPILE_FROM = (
    1e6  # steps of all orbits that take a loop of Python floats some seconds, as compiling may take
)

Step = Callable[[Tensor], Tensor]


class Frames:
    """Frames of k directions carried along orbits of a map.

    Parameters
    ----------
    step : callable
        The map as a torch function of one point.
    n, k : int
        Coordinates, and directions.
    n_starts : int
    n_steps : float
        Steps that each of them will take, roughly: long orbits are compiled.
    printed : bool
        Whether the step may be traced and printed, which pays for long orbits.
    """

    def __init__(
        self, step: Step, n: int, k: int, n_starts: int, n_steps: float = 0.0, *, printed: bool = True
    ) -> None:
        self.n, self.k, self.step = n, k, step
        self._apart = APART * np.eye(n, k)
        self._run = self._through_torch
        size = n + n * k + k
        if n > FEW_COORDINATES or not printed:
            return
        if size <= FEW_NUMBERS and n_starts * n_steps >= COMPILE_FROM and compiler() is not None:
            tangent = Map.from_function(carried(step, n, k), size, name="tangent map")
            self._native = compiled_or_none(lambda: NativeStep(tangent))
            if self._native is not None:
                self._run = self._compiled
                return
        try:
            if size <= FEW_NUMBERS and n_starts <= FEW_STARTS:
                self._form = coordinate_form(carried(step, n, k), size)
                self._run = self._one_by_one
            else:
                self._advance = numpy_form(coordinate_form(step, n))
                self._jacobian = numpy_form(coordinate_form(torch.func.jacrev(step), n))
                self._run = self._together
        except NotTraceable:
            pass

    def start(self, x: Array) -> Array:
        """States (starts, size) at points (starts, n), all with one frame in general position."""
        rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((self.n, self.k)))[0]
        frame = np.broadcast_to((rotation - self._apart).ravel(), (len(x), self.n * self.k))
        return np.concatenate([x, frame, np.zeros((len(x), self.k))], axis=1)

    def run(self, state: Array, n_steps: int, every: int) -> Array:
        """States after 0, every, 2 every, ... steps and after the last: (stored, starts, size)."""
        with np.errstate(all="ignore"):
            return self._run(state, n_steps, every)

    def split(self, state: Array) -> tuple[Array, Array, Array]:
        """Points (..., n), frames (..., n, k) and sums of logs (..., k) of states (..., size)."""
        n, k = self.n, self.k
        frame = state[..., n : n + n * k].reshape(*state.shape[:-1], n, k)
        return state[..., :n], frame + self._apart, state[..., n + n * k :]

    def _compiled(self, state: Array, n_steps: int, every: int) -> Array:
        assert self._native is not None
        native, loaded = self._native, self._native.load(state)
        stream = native.stream(0, np.arange(len(state)), n_steps)
        whole, rest = divmod(n_steps, every)
        orbit = native.orbit(loaded, stream, 0, whole, every, lambda step: {})
        kept = [state[None], orbit.swapaxes(1, 2)]
        if rest:
            last = native.advance(
                orbit[-1] if whole else loaded, stream, whole * every, rest, lambda step: {}
            )
            kept.append(last.T[None])
        return np.concatenate(kept)

    def _one_by_one(self, state: Array, n_steps: int, every: int) -> Array:
        return np.stack(
            [iterate_scalar(self._form, row.tolist(), n_steps=n_steps, every=every) for row in state], axis=1
        )

    def _together(self, state: Array, n_steps: int, every: int) -> Array:
        lanes, n = len(state), self.n

        def once(x: Array, frame: Array) -> tuple[Array, Array]:
            columns = list(np.ascontiguousarray(x.T))
            rows = [np.broadcast_to(v, lanes) for v in self._jacobian(*columns)]
            matrix = np.stack(rows, axis=-1).reshape(lanes, n, n)
            ahead = np.stack([np.broadcast_to(v, lanes) for v in self._advance(*columns)], axis=1)
            return ahead, matrix @ frame

        return self._loop(once, state, n_steps, every)

    def _through_torch(self, state: Array, n_steps: int, every: int) -> Array:
        step = self.step

        def along(x: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
            values, changes = torch.func.vmap(lambda v: pushed(step, x, v), in_dims=1, out_dims=(0, 1))(frame)
            return values[0], changes

        lanes = torch.func.vmap(along)

        def once(x: Array, frame: Array) -> tuple[Array, Array]:
            with own_surroundings(), derivatives_by_name():
                ahead, moved = lanes(torch.from_numpy(x.copy()), torch.from_numpy(frame.copy()))
            return ahead.detach().numpy(), moved.detach().numpy()

        return self._loop(once, state, n_steps, every)

    def _loop(
        self, once: Callable[[Array, Array], tuple[Array, Array]], state: Array, n_steps: int, every: int
    ) -> Array:
        x, frame, sums = self.split(state.copy())
        kept = [state]
        for j in range(1, n_steps + 1):
            x, frame = once(x, frame)
            frame, sizes = gram_schmidt(frame)
            sums += np.log(sizes)
            if j % every == 0 or j == n_steps:
                kept.append(np.concatenate([x, (frame - self._apart).reshape(len(x), -1), sums], axis=1))
        return np.stack(kept)


def carried(step: Step, n: int, k: int) -> Step:
    """One step of (x, Q, s) as a torch function of one vector."""
    apart = APART * torch.eye(n, k, dtype=torch.float64, device="cpu")

    def function(y: Tensor) -> Tensor:
        x, frame, sums = y[:n], y[n : n + n * k].reshape(n, k) + apart, y[n + n * k :]
        moved = torch.func.jacrev(step)(x) @ frame
        columns: list[Tensor] = []
        logs = []
        for i in range(k):
            column = moved[:, i]
            for other in columns:
                column = column - other * (other @ column)
            size = torch.sqrt((column * column).sum())
            logs.append(torch.log(size))
            # a direction that the map annihilates has the exponent -inf and stays zero
            columns.append(column / torch.where(size > 0, size, torch.ones_like(size)))
        return torch.cat(
            [step(x), (torch.stack(columns, dim=1) - apart).reshape(-1), sums + torch.stack(logs)]
        )

    return function


def gram_schmidt(frame: Array) -> tuple[Array, Array]:
    """Orthonormal frames (lanes, n, k) and the diagonals of R (lanes, k)."""
    frame = np.array(frame)
    sizes = np.empty((len(frame), frame.shape[2]))
    for i in range(frame.shape[2]):
        column = frame[:, :, i]
        sizes[:, i] = np.sqrt((column * column).sum(axis=1))
        column /= np.where(sizes[:, i] > 0, sizes[:, i], 1.0)[:, None]
        rest = frame[:, :, i + 1 :]
        rest -= column[:, :, None] * np.einsum("ln,lnk->lk", column, rest)[:, None, :]
    return frame, sizes
