"""Paths under way, in rounds that are cut into legs.

Algorithm
---------
1. Rounds end after 16, 128, 1024, ... looks. Legs are at most `LEG` looks long, so that what is lost with a
   process that dies is little, and batches are full again after each.
2. A leg cuts the paths under way into pieces, whose size depends on their number alone, and runs each here or
   elsewhere (`samdyn.jobs.job`). What comes back of a piece is written over what it started from.
3. At the end of a leg the paths still under way are moved together, in the order of their numbers.

A leg can be left and gone on with later, in another cut: paths that have come to its end are then ahead of
the others.

Memory: 8 bytes a cell for labels and steps, and (8 state_dim + 8) bytes for each path under way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.basin.paths.course import Course, Index
from samdyn.basin.paths.pieces import LEFT, OUT_OF_STEPS, Labels, LegJob, Steps
from samdyn.jobs.job import Arrays, Range, Run, run_pieces_of

FIRST_LIMIT, GROWTH = 16, 8  # looks of the first round, and how much longer each next one is
LEG = 1024  # looks


@dataclass
class Followed:
    """A job under way.

    Attributes
    ----------
    labels, steps : ndarray, shape (n_paths,)
        0 and -1 for paths under way.
    paths : ndarray of int
        Those under way, by number, ascending.
    states : ndarray, shape (state_dim, n), or None
        Their states; None at the start.
    step : int
        Steps that they have taken.
    rounds : int
        Finished rounds.
    until : int
        Where the leg under way ends.
    ahead, ahead_states : ndarray, shape (m,), and ndarray, shape (state_dim, m), or None
        Paths that are there already, in a leg that was left.
    """

    labels: Labels
    steps: Steps
    paths: Index
    states: Array | None
    step: int = 0
    rounds: int = 0
    until: int = 0
    ahead: Index = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    ahead_states: Array | None = None

    @classmethod
    def of(cls, n_paths: int) -> Followed:
        """All paths at the start."""
        labels = np.zeros(n_paths, dtype=np.int16)
        return cls(labels, np.full(n_paths, -1, dtype=np.int32), np.arange(n_paths), None)

    @property
    def n_under_way(self) -> int:
        """Paths under way."""
        return len(self.paths) + len(self.ahead)


def advance_leg(
    followed: Followed,
    job: LegJob,
    until: int,
    run: Run,
    report: Callable[[int, Callable[[], Followed]], None] | None = None,
) -> bool:
    """Every path under way goes on to step `until`, or arrives. False after Ctrl-C.

    Parameters
    ----------
    followed : Followed
        Changed in place.
    job : LegJob
        With the course, the targets and the starts; its paths are replaced by those under way.
    until : int
    run : Run
        Its workers and its executor count.
    report : callable, optional
        Called after each piece with the number of its paths that ended, and a function that returns where
        the job stands.
    """
    job = replace(job, paths=followed.paths, states=followed.states, step=followed.step, until=until)
    leg = _Leg(followed, len(job.course.scale), job)

    def receive(i: int, arrays: Arrays) -> None:
        ended = leg.receive(i, arrays)
        if report is not None:
            report(ended, leg.standing)

    whole = run_pieces_of(job, dict(enumerate(leg.cuts)), run, receive, lambda work: None)
    now = leg.end() if whole else leg.standing()
    for name in ("paths", "states", "step", "until", "ahead", "ahead_states"):
        setattr(followed, name, getattr(now, name))
    return whole


class _Leg:
    """The arrays of a leg, in which pieces are replaced by what is left of them."""

    def __init__(self, followed: Followed, state_dim: int, job: LegJob) -> None:
        self.followed, self.until = followed, job.until
        self.paths, self.states = followed.paths, followed.states
        self.cuts: list[Range] = list(job.cut()) if job.n else []
        # pages that are never written take no memory
        self.room = np.empty((state_dim, len(self.paths))) if self.states is None else self.states
        # of the pieces that came back: paths and states that are still under way, their number once written
        self.left: dict[int, tuple[Index, Array] | int] = {}

    def receive(self, i: int, arrays: Arrays) -> int:
        """Take what came back of a piece; the number of paths that ended."""
        if i in self.left:
            return 0
        a, b = self.cuts[i]
        own = self.paths[a:b].copy()
        self.followed.labels[own], self.followed.steps[own] = arrays["labels"], arrays["steps"]
        under_way = arrays["labels"] == 0
        # Ctrl-C may come at any line: what follows can be done again
        self.left[i] = own[under_way], arrays["states"]
        self._write()
        return int((~under_way).sum())

    def _write(self) -> None:
        for i, value in self.left.items():
            if not isinstance(value, int):
                a, n = self.cuts[i][0], len(value[0])
                self.paths[a : a + n], self.room[:, a : a + n] = value
                self.left[i] = n

    def _counts(self) -> dict[int, int]:
        self._write()
        return {i: n for i, n in sorted(self.left.items()) if isinstance(n, int)}

    def standing(self) -> Followed:
        """Where the job stands, with arrays of its own."""
        counts = self._counts()
        there = [slice(self.cuts[i][0], self.cuts[i][0] + n) for i, n in counts.items()]
        behind = [slice(a, b) for i, (a, b) in enumerate(self.cuts) if i not in counts]
        old = self.followed
        ahead, ahead_states = _gathered(self.paths, self.room, there)
        if old.ahead_states is not None:
            ahead = np.concatenate([old.ahead, ahead])
            ahead_states = np.concatenate([old.ahead_states, ahead_states], axis=1)
        paths, states = _gathered(self.paths, self.room, behind)
        return replace(
            old, paths=paths, states=None if self.states is None else states, until=self.until,
            ahead=ahead, ahead_states=ahead_states,
        )  # fmt: skip

    def end(self) -> Followed:
        """Where the job stands when all pieces are back: the paths under way, moved together in place."""
        k = 0
        for i, n in self._counts().items():
            a = self.cuts[i][0]
            self.paths[k : k + n], self.room[:, k : k + n] = self.paths[a : a + n], self.room[:, a : a + n]
            k += n
        paths, states = self.paths[:k], self.room[:, :k]
        if k < len(self.paths) // 2:  # or else the copy takes more than what it would free
            paths, states = paths.copy(), states.copy()
        old = self.followed
        if old.ahead_states is not None:
            paths = np.concatenate([paths, old.ahead])
            order = np.argsort(paths)
            paths = paths[order]
            states = np.concatenate([states, old.ahead_states], axis=1)[:, order]
        nobody = np.empty(0, dtype=np.int64)
        return replace(
            old, paths=paths, states=states, step=self.until, until=0, ahead=nobody, ahead_states=None
        )


def _gathered(paths: Index, states: Array, slices: list[slice]) -> tuple[Index, Array]:
    if not slices:
        return paths[:0].copy(), states[:, :0].copy()
    return np.concatenate([paths[s] for s in slices]), np.concatenate([states[:, s] for s in slices], axis=1)


def close(followed: Followed, course: Course, interrupted: bool = False) -> None:
    """Label what is still under way: by where it is, or after Ctrl-C as out of steps."""
    if interrupted:
        followed.labels[followed.paths] = followed.labels[followed.ahead] = OUT_OF_STEPS
    elif followed.states is not None:
        inside = course.inside(followed.states)
        followed.labels[followed.paths] = np.where(inside, OUT_OF_STEPS, LEFT)
    followed.paths = followed.ahead = np.empty(0, dtype=np.int64)
    followed.states = followed.ahead_states = None


def limits(every: int, max_steps: int) -> list[int]:
    """Steps at which the rounds end.

    Examples
    --------
    >>> limits(8, 10_000)
    [128, 1024, 8192, 10000]
    """
    result, limit = [], FIRST_LIMIT * every
    while limit < max_steps:
        result.append(limit)
        limit *= GROWTH
    return [*result, max_steps]


def legs(step: int, limit: int, every: int) -> list[int]:
    """Steps at which the legs to the end of a round end.

    Examples
    --------
    >>> legs(8192, 20_000, 8)
    [16384, 20000]
    """
    return [*range(step + LEG * every, limit, LEG * every), limit]
