"""What share of starts ends at a hallucinated minimiser, and where the others end.

Algorithm
---------
1. `n_starts` starts, uniform in the box from Philox of (seed, start number), or given ones, follow the map
   (`samdyn.dynamics.driver`), schedules, momentum and noise included.
2. Over the last tenth of the run, of which twelve points are looked at, a run is

   - "diverged" if it is not finite, or a thousand sides of the box from its middle;
   - "hallucinated" if max |grad f(x + e)| < 0.1 min |grad f(x)|: near a critical point of the loss the two
     are of the same size, also where SAM chatters about it;
   - at a "minimum", "saddle" or "maximum" if each point is within `REACH` kicks (and 1e-4 diagonals of the
     box) of the critical point z to which Newton leads from it, as it is where SAM chatters about z; a kick
     is the longest step taken there, or from just beside z, lr |grad f(z + e)|, along an eigenvector of the
     Hessian. Named by the signs of the Hessian's eigenvalues at z; curvatures below 1e-4 of the largest count
     as none;
   - otherwise "moving".
3. Shares carry Wilson intervals.

References
----------
The test by the two gradients: own; Brown, Cai & DasGupta, Stat. Sci. 16 (2001) 101-133 for Wilson's interval.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats
from torch import Tensor

from samdyn.arguments import checks
from samdyn.arguments.checks import Array
from samdyn.arguments.signature import checked
from samdyn.dynamics.observers import Record
from samdyn.dynamics.path_job import PathJob
from samdyn.dynamics.records import kept_steps
from samdyn.jobs.job import Arrays, Report, check_run, joined, run_job
from samdyn.jobs.progress import path_bar
from samdyn.landscapes.landscape import Landscape
from samdyn.numerics.random import STREAM_START, split_seed, uniform_block
from samdyn.results import Result, Table
from samdyn.systems.jump import beside
from samdyn.systems.map import Map
from samdyn.systems.system import check_plain
from samdyn.trace import batch

OUTCOMES = ("hallucinated", "minimum", "saddle", "maximum", "moving", "diverged")
N_LOOKED = 12  # points of the last tenth that are looked at, so that a cycle is seen at several phases
RATIO = 0.1  # near a critical point of the loss the two gradients are of the same size; chosen
FLAT = 1e-4  # of the largest curvature: a smaller one has no sign
REACH = 2.0  # kicks within which a chattering run stays about its critical point
FAR = 1e3  # sides of the box from its middle, beyond which a run has diverged


@dataclass(frozen=True, eq=False, repr=False)
class HallucinatedShare(Result):
    """Where the runs of a map from many starts end.

    Attributes
    ----------
    x0 : ndarray, shape (n, dim)
        Starts.
    x : ndarray, shape (n, dim)
        Where they are after `n_steps` steps.
    outcomes : ndarray of str, shape (n,)
        "hallucinated", "minimum", "saddle", "maximum", "moving" or "diverged".
    loss : ndarray, shape (n,)
        At the end.
    n_steps : int
    system : Map
    """

    cited = ("park2025", "wilson1927")
    row = "start"
    axes = ("x0: start coordinate", "x: start coordinate")

    x0: Array
    x: Array
    outcomes: npt.NDArray[np.str_]
    loss: Array
    n_steps: int
    system: Map

    @checked
    def share(self, outcome: str = "hallucinated") -> float:
        """Share of the starts with an outcome."""
        return self.count(outcome) / len(self.outcomes)

    @checked
    def count(self, outcome: str = "hallucinated") -> int:
        """Number of starts with an outcome."""
        if outcome not in OUTCOMES:
            raise ValueError(f"outcome must be one of {', '.join(map(repr, OUTCOMES))}, got {outcome!r}")
        return int((self.outcomes == outcome).sum())

    @checked
    def confidence_interval(self, level: float = 0.95, outcome: str = "hallucinated") -> tuple[float, float]:
        """Wilson interval of a share."""
        level = checks.number("level", level, above=0)
        if level >= 1:
            raise ValueError(f"level must be a number in (0, 1), got {level!r}")
        interval = stats.binomtest(self.count(outcome), len(self.outcomes)).proportion_ci(level, "wilson")
        return float(interval.low), float(interval.high)

    def table(self) -> Table:
        """How often each outcome occurs, with its interval and the mean loss."""
        rows = []
        for outcome in OUTCOMES:
            if self.count(outcome):
                low, high = self.confidence_interval(outcome=outcome)
                mean = float(self.loss[self.outcomes == outcome].mean())
                interval = f"{low:.4f} to {high:.4f}"
                share = f"{self.share(outcome):.4f}"
                rows.append((outcome, str(self.count(outcome)), share, interval, f"{mean:.4g}"))
        title = f"HallucinatedShare of {self.system!r}: {len(self.x0)} starts, {self.n_steps} steps"
        return Table(title, rows, HEAD)

    def plot(self, ax: Any = None) -> Any:
        """The shares as bars with 95 % intervals; returns the matplotlib Axes."""
        return self._draw(ax)


HEAD = ("outcome", "starts", "share", "95 % interval", "mean loss")


@checked
def hallucinated_share(
    system: Map,
    box: Sequence[Sequence[float]] | npt.ArrayLike | None = None,
    *,
    x0: npt.ArrayLike | None = None,
    n_starts: int = 1024,
    n_steps: int = 10_000,
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    progress: bool = False,
) -> HallucinatedShare:
    """What share of the starts in a box ends at a hallucinated minimiser, and where the others end.

    Parameters
    ----------
    system : Map
        Made from a loss and a rule; coefficients may be on schedules.
    box : sequence of (lower, upper), optional
        Where the starts lie; the system's own box by default.
    x0 : array_like, shape (n, dim), optional
        Starts, instead of random ones.
    n_starts : int
        Number of random starts.
    n_steps : int
        Length of the runs. Too short a run shows as "moving".
    seed : int
        Of the starts, and of the noise.
    workers : int
        Number of local workers: threads where the steps are compiled, else processes. The result is the same
        with any number.
    executor : concurrent.futures.Executor, optional
        Where to run instead.
    checkpoint : str or path, optional
        A file that holds the finished pieces of the job: written every 30 s, after Ctrl-C and at the end. If
        it exists, the job goes on from it, to the same result as in one go.
    progress : bool
        Show a progress bar over steps of starts.

    Returns
    -------
    HallucinatedShare

    Warns
    -----
    CostWarning
        The runs will take more than ten seconds, by the time of their first steps.

    Raises
    ------
    TypeError, ValueError
        Not a map of a loss and a rule, no box, fewer than 100 steps.

    Notes
    -----
    The algorithm, with the meaning of the outcomes, is in the module's documentation
    (`samdyn.hallucination.share`). The share is the volume of the hallucinated points' basins relative
    to the box.

    Examples
    --------
    >>> import samdyn as sd
    >>> system = sd.Map(sd.landscapes.double_well(), sd.SAM(1.5), lr=0.05)
    >>> sd.hallucinated_share(system, n_starts=200, n_steps=1000).share()
    1.0
    """
    if not isinstance(system, Map) or system.landscape is None or system.rule is None:
        raise TypeError(f"system must be a Map made from a loss and a rule, got {system!r}")
    check_plain("hallucinated_share", system.rule)
    n_steps = checks.integer("n_steps", n_steps, at_least=100)
    run = check_run(workers, executor, checkpoint, progress)
    split_seed(seed)
    region = None
    if box is not None or system.box is not None:
        region = checks.box("box", system.box if box is None else box, system.dim)
    if x0 is None:
        if region is None:
            raise ValueError(f"box must be given: {system.name} has none of its own")
        starts = uniform_starts(region, checks.integer("n_starts", n_starts, at_least=1), seed)
    else:
        starts = np.atleast_2d(checks.points("x0", x0, system.dim))
        if starts.ndim != 2 or len(starts) == 0:
            raise ValueError(f"x0 must have shape (n, {system.dim}), got shape {starts.shape}")
    if region is None:
        region = np.stack([starts.min(axis=0) - 1, starts.max(axis=0) + 1], axis=1)
    job = _ShareJob(system, starts, len(starts), n_steps, int(seed), region=region)
    cheaper = "pass fewer n_starts or n_steps, or workers="
    with path_bar(progress, "hallucinated_share", job.path_steps, cheaper) as bar:
        parts = run_job(job, run, bar)
    x, outcomes = joined(parts, "x"), joined(parts, "outcomes")
    with np.errstate(all="ignore"):
        value = system.landscape.value(x)
    return HallucinatedShare(starts, x, np.array(OUTCOMES)[outcomes], value, n_steps, system)


@dataclass(frozen=True, kw_only=True)
class _ShareJob(PathJob):
    """Runs of ranges of starts; `region` is the box."""

    region: Array

    def describe(self) -> dict[str, Any]:
        """The runs and the box."""
        return {"verb": "hallucinated_share", **super().describe(), "box": self.region.tolist()}

    def run(self, first: int, last: int, report: Report) -> Arrays:
        """Last points and outcomes, as places in `OUTCOMES`, of a range of starts."""
        every = max(1, self.n_steps // (10 * N_LOOKED))
        at = kept_steps(self.n_steps, every)[-N_LOOKED:]
        path = Record(at, last - first, self.system.dim)
        assert isinstance(self.system, Map)
        x = self.drive(np.arange(first, last), path, report)
        outcomes = _outcomes(self.system, path.x, self.region, self.n_steps)
        places = np.argmax(outcomes[:, None] == np.array(OUTCOMES), axis=1)
        return {"x": x, "outcomes": places.astype(np.int8)}


def uniform_starts(box: Array, n: int, seed: int) -> Array:
    """`n` points uniform in a box (dim, 2), each a function of the seed and its own number alone."""
    key, number = split_seed(seed), torch.arange(n, device="cpu")
    blocks = [
        torch.stack(uniform_block(key, number, block, STREAM_START, torch.float64), dim=1)
        for block in range(-(-len(box) // 4))
    ]
    unit = torch.cat(blocks, dim=1)[:, : len(box)].numpy()
    return np.asarray(box[:, 0] + (box[:, 1] - box[:, 0]) * unit)


def _outcomes(system: Map, path: Array, region: Array, n_steps: int) -> npt.NDArray[np.str_]:
    """Outcomes of runs from points (n_looked, n, dim) near their ends."""
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    coefficients = system.coefficients(n_steps)
    lr = coefficients.pop("lr")
    gradient = torch.func.grad(loss.one_point)

    def both(w: Tensor) -> Tensor:
        g = gradient(w)
        return torch.stack([g, gradient(w + rule.perturbation(w, g, **coefficients))])

    result = np.full(path.shape[1], "moving", dtype="<U12")
    middle, far = region.mean(axis=1), FAR * np.ptp(region, axis=1)
    with np.errstate(all="ignore"):
        lost = ~(np.abs(path - middle) < far).all(axis=(0, 2))
        inside = np.flatnonzero(~lost)
        size = np.linalg.norm(batch.evaluate(both, path[:, inside]), axis=-1)
        here, there = np.moveaxis(size, -1, 0)
        hallucinated = there.max(axis=0) < RATIO * here.min(axis=0)
        others, largest = inside[~hallucinated], there.max(axis=0)[~hallucinated]
        points = path[:, others]
        z, kind = _nearest_critical(loss, points)
        kick = np.maximum(largest, _kick(system, z[-1], coefficients)) * lr / (1 - system.momentum)
        reach = REACH * kick + 1e-4 * float(np.linalg.norm(np.ptp(region, axis=1)))
        near = (np.linalg.norm(points - z, axis=-1) <= reach).all(axis=0)
    result[lost] = "diverged"
    result[others[near]] = kind[near]
    result[inside[hallucinated]] = "hallucinated"
    return result


def _nearest_critical(loss: Landscape, x: Array) -> tuple[Array, npt.NDArray[np.str_]]:
    """Where Newton's method leads from points (k, n, dim), and the kinds of the last k's critical points."""
    z = x
    for _ in range(8):
        # small curvatures are cut: along a valley there is nowhere to go
        finite = np.nan_to_num(loss.hessian(z), posinf=0.0, neginf=0.0)
        z = z - np.einsum(
            "knij,knj->kni", np.linalg.pinv(finite, rcond=1e-2, hermitian=True), loss.gradient(z)
        )
    values = np.linalg.eigvalsh(np.nan_to_num(loss.hessian(z[-1]), posinf=0.0, neginf=0.0))
    flat = FLAT * np.abs(values).max(axis=1, keepdims=True)
    falls, rises = (values < -flat).any(axis=1), (values > flat).any(axis=1)
    return z, np.where(falls & rises, "saddle", np.where(falls, "maximum", "minimum"))


def _kick(system: Map, z: Array, coefficients: dict[str, float]) -> Array:
    """Largest |grad f(z + e)| beside critical points z (n, dim), with e along eigenvectors of the Hessian."""
    loss, rule = system.landscape, system.rule
    assert loss is not None and rule is not None
    vectors = np.linalg.eigh(np.nan_to_num(loss.hessian(z), posinf=0.0, neginf=0.0))[1].swapaxes(-1, -2)
    tiny = beside(rule) * np.concatenate([vectors, -vectors], axis=-2)

    def perturbed(v: Tensor) -> Tensor:  # z and the direction of the gradient
        point, g = v[: system.dim], v[system.dim :]
        return torch.func.grad(loss.one_point)(point + rule.perturbation(point, g, **coefficients))

    both = np.concatenate([np.broadcast_to(z[:, None], tiny.shape), tiny], axis=-1)
    return np.linalg.norm(batch.evaluate(perturbed, both), axis=-1).max(axis=1)
