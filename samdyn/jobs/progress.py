"""Progress bars: over a known number of parts, and over path-steps, whose number is not known beforehand.

`PartsBar` counts, `PacedBar` also says what the rest will take, and `paced` goes through parts one by one.

Paths leave at random times, so the path-steps ahead are an estimate, renewed at every report: with events at
a constant rate r per path-step, the paths still inside take (1 - exp(-r s)) / r steps each if s steps are
left, and s while no event has been seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar

from samdyn.arguments import checks
from samdyn.jobs.cost import announce, is_long

T = TypeVar("T")

SAMPLE_SECONDS = 0.5
"""Work on paths after which the time of the rest is estimated."""


def expected_work(done: float, events: int, inside: int, steps_left: float) -> float:
    """Path-steps still to come.

    Parameters
    ----------
    done : float
        Path-steps done.
    events : int
        Paths that left meanwhile.
    inside : int
        Paths still inside.
    steps_left : float
        Steps until they are given up.

    Examples
    --------
    >>> expected_work(1000.0, 0, 5, 10), round(expected_work(1000.0, 10, 5, 1e9))
    (50.0, 500)
    """
    rate = events / done if done else 0.0
    if not rate:
        return float(inside * steps_left)
    return inside * -math.expm1(-rate * steps_left) / rate


class PartsBar:
    """A tqdm bar over a known number of parts; makes nothing unless `show`.

    Parameters
    ----------
    show : bool
        The verb's `progress` argument.
    verb : str
        The public name of the verb, shown before the bar.
    total : float, optional
        Number of parts; None if it is not known.
    unit : str
        What one part is.

    Examples
    --------
    >>> with PartsBar(False, "basins", 10, "cell") as bar:
    ...     bar.update(10)
    """

    def __init__(self, show: bool, verb: str, total: float | None, unit: str = "part") -> None:
        self._bar: Any = None
        if checks.flag("progress", show):
            # A tqdm object sets the start method of processes and can leave a thread, so none is made when
            # no bar is wanted; its notebook form warns where ipywidgets is missing.
            from tqdm.auto import tqdm

            self._bar = tqdm(total=total, desc=verb, unit=unit, leave=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def resume(self, parts: float) -> None:
        """`parts` were done before, in another run."""
        if self._bar is not None:
            self._bar.update(parts)

    def update(self, parts: float = 1, *, note: str = "") -> None:
        """`parts` more are done; `note` says where the work stands."""
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(parts)


class PacedBar(PartsBar):
    """A bar that says once, from the pace of the work's first part, what all of it will take.

    Parameters
    ----------
    show : bool
        The verb's `progress` argument.
    verb : str
        The public name of the verb.
    total : float
        The amount of the work, in any unit.
    cheaper : str
        What makes it cheaper, as a clause.
    unit : str
        What the amount counts.
    after : float
        Seconds of work before which nothing is said: the pace of a very short part is no guide.
    untimed : int
        Updates at the beginning that are not timed: what they do builds what the others use.

    Examples
    --------
    >>> with PacedBar(False, "trajectory", 100.0, "pass fewer starts", unit="time") as bar:
    ...     bar.reach(40.0)
    ...     bar.update(60.0)
    """

    def __init__(
        self,
        show: bool,
        verb: str,
        total: float,
        cheaper: str,
        *,
        unit: str = "part",
        after: float = 0.0,
        untimed: int = 0,
    ) -> None:
        super().__init__(show, verb, total, unit)
        self._verb, self._cheaper, self._total, self._after = verb, cheaper, total, after
        self._untimed, self._before = untimed, 0.0
        self._done, self._said, self._long, self._began = 0.0, False, False, time.perf_counter()

    def update(self, parts: float = 1, *, note: str = "") -> None:
        """`parts` more are done; `note` says where the work stands."""
        super().update(parts, note=note)
        self._done += parts
        if self._untimed > 0:
            self._untimed, self._before, self._began = self._untimed - 1, self._done, time.perf_counter()
            return
        timed = self._done - self._before
        if self._said or not timed:
            return
        elapsed = time.perf_counter() - self._began
        if elapsed >= self._after:
            rest = elapsed / timed * (self._total - self._done)
            self._said = True
            self._long = self._long or is_long(rest)
            announce(self._verb, rest, self._cheaper)

    def resume(self, parts: float) -> None:
        """`parts` were done before, in another run: they tell nothing of the pace."""
        super().resume(parts)
        self._done, self._before, self._began = parts, parts, time.perf_counter()

    def reach(self, done: float) -> None:
        """`done` of the total is done by now; less than before changes nothing."""
        if done > self._done:
            self.update(done - self._done)

    def stretch(self, total: float) -> None:
        """The work is more than was thought: its cost is said again, unless it was called long already."""
        self._total, self._said = total, self._long
        if self._bar is not None:
            self._bar.total = total


def paced(
    parts: Iterable[T],
    verb: str,
    total: int,
    cheaper: str,
    *,
    show: bool = False,
    unit: str = "part",
    untimed: int = 0,
) -> Iterator[T]:
    """Go through parts that take about equally long: the first one tells what the others will take.

    If that is longer than ten seconds it is said (`samdyn.jobs.cost.announce`) before the second part.

    Parameters
    ----------
    parts : iterable
    verb : str
        The public name of the verb.
    total : int
        Number of parts.
    cheaper : str
        What makes it cheaper, as a clause.
    show : bool
        The verb's `progress` argument.
    unit : str
        What one part is.
    untimed : int
        Parts before the one that is timed: first parts that build what the others use.

    Yields
    ------
    object
        The parts, one after the other.

    Examples
    --------
    >>> list(paced([1, 2, 3], "basins", 3, "pass fewer"))
    [1, 2, 3]
    """
    with PartsBar(show, verb, total, unit) as bar:
        for k, part in enumerate(parts):
            start = time.perf_counter() if k == untimed else 0.0
            yield part
            bar.update()
            if k == untimed:
                announce(verb, (time.perf_counter() - start) * (total - 1 - untimed), cheaper)


def path_bar(show: bool, verb: str, total: float, cheaper: str, unit: str = "path-step") -> PacedBar:
    """A `PacedBar` over the steps of all paths of a job, whose first steps build what the others use.

    Parameters
    ----------
    show, verb, total, cheaper, unit
        As of `PacedBar`.
    """
    return PacedBar(show, verb, total, cheaper, unit=unit, after=SAMPLE_SECONDS, untimed=1)


class WorkBar:
    """A tqdm bar over path-steps that names the paths still inside; silent unless `show`.

    Parameters
    ----------
    show : bool
    n_paths, n_steps : int
        Size of the job.
    step, inside, done
        Where a resumed job stands: completed steps, paths inside, path-steps.
    """

    def __init__(
        self,
        show: bool,
        n_paths: int,
        n_steps: int,
        step: int = 0,
        inside: int | None = None,
        done: float = 0.0,
    ) -> None:
        self.n_paths, self.n_steps, self.step = n_paths, n_steps, step
        self.inside = n_paths if inside is None else inside
        self.n_finished = 0
        self.bar: Any = None
        if show:
            from tqdm.auto import tqdm  # warns in a notebook without ipywidgets: only if a bar is wanted

            self.bar = tqdm(
                desc="exit times",
                unit="path-step",
                unit_scale=True,
                initial=done,
                total=done + self._ahead(done),
                postfix=f"{self.inside} of {n_paths} inside",
                leave=False,
            )

    def __enter__(self) -> WorkBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def report(self, step: int, inside: int) -> None:
        """All paths inside have completed `step` steps, after which `inside` of them are left."""
        work = self.inside * (step - self.step)
        self.step, self.inside = step, inside
        self._show(work)

    def report_piece(self, work: float, left: int, n_paths: int, restored: bool = False) -> None:
        """A piece of `n_paths` paths is finished, here or in another run: `left` of them have left, after
        `work` path-steps.
        """
        self.inside -= left
        self.n_finished += n_paths
        if restored and self.bar is not None:  # tells nothing of the pace
            self.bar.initial += work
        self._show(work)

    def _ahead(self, done: float) -> float:
        if self.n_finished:  # pieces
            return done * (self.n_paths / self.n_finished - 1)
        return expected_work(done, self.n_paths - self.inside, self.inside, self.n_steps - self.step)

    def _show(self, work: float) -> None:
        if self.bar is None:
            return
        done = self.bar.n + work
        self.bar.total = done + self._ahead(done)
        self.bar.set_postfix_str(f"{self.inside} of {self.n_paths} inside", refresh=False)
        self.bar.update(work)
