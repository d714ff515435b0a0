"""What a search for zeros will take, said while it is young, and a bar over its steps.

What is said is the time of the whole search, from its beginning: the work done, without what other programs
took (`samdyn.jobs.cost.Stopwatch`), and what is left by these measures.

- The first Newton step of all starts says it to a factor of ten, since starts arrive after five steps or
  after sixty: nothing is said there unless even the shortest search would be long.
- The first batch of starts says it better, and already while it takes longer than that: a search took two to
  five times as long as its first batch, over losses of one to twenty coordinates and the rules of samdyn.
  Of two fields the second is expected to take as long as the first until its own first batch is done.
- Where the indices of zeros do not add up, cells are split `samdyn.equilibria.proof.index_check.DEPTH` times
  at most, and one level takes about as long as another one.
- A search that has taken half of what is worth a warning is expected to take as long again.

A proof by subdivision is judged from the boxes of its last generation, once it has run for a second: while
generations grow, all up to the largest that is allowed may come; when they shrink, their geometric series.
"""

from __future__ import annotations

from samdyn.jobs.cost import Stopwatch, announce, is_long
from samdyn.jobs.progress import PartsBar

FEWEST_STEPS = 5
"""Newton steps of the first batch of starts, at least, in units of the first step."""
BATCHES = 5.0
"""Time of a search over the time of its first batch, by measurement 2 to 5."""
LEVELS = 4
"""Levels of cells before which their time says nothing about what is to come."""
PROOF_SECONDS = 1.0
"""Work on boxes before which the number of boxes says nothing about what is to come."""


class SearchWatch:
    """Reports of a search for zeros, from which its cost is announced once.

    Parameters
    ----------
    show : bool
        The verb's `progress` argument.
    verb : str
        The public name of the verb.
    n_searches : int
        How many fields are searched, one after the other; the second takes about as long as the first.
    cheaper, cheaper_proof : str
        What makes the search, and the proof, cheaper: clauses.
    """

    def __init__(self, show: bool, verb: str, n_searches: int, cheaper: str, cheaper_proof: str) -> None:
        self._bar = PartsBar(show, verb, None, "step")
        self._verb, self._left = verb, n_searches
        self._cheaper, self._cheaper_proof = cheaper, cheaper_proof
        self._work = Stopwatch()
        self._said = self._proof_said = False
        self._step, self._batch = 0.0, 0.0
        self._seconds, self._n_boxes = 0.0, 0

    def __enter__(self) -> SearchWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def step(self, seconds: float) -> None:
        """A Newton step of some starts is done; the first of a field is of all."""
        self._bar.update(note="Newton")
        self._say(self._work.seconds())
        if self._left == 0:
            return
        self._step = self._step or seconds
        self._batch += seconds
        first = max(self._step * FEWEST_STEPS, self._batch)
        self._say(first * BATCHES * self._left - self._batch)

    def batch(self, seconds: float) -> None:
        """The first batch of starts of a field is done; the batch itself is over."""
        self._say(seconds * (BATCHES * max(self._left, 1) - 1))
        self._left = max(self._left - 1, 0)
        self._step, self._batch = 0.0, 0.0

    def level(self, seconds: float, done: int, most: int) -> None:
        """So many levels of cells whose indices do not add up are done, out of `most`."""
        self._bar.update(note="indices")
        if done >= LEVELS:
            self._say(seconds / done * (most - done))

    def _say(self, left: float) -> None:
        """Announce the whole of the work, of which so many seconds are left, if it is long."""
        seconds = self._work.seconds() + left
        if not self._said and is_long(seconds):
            self._said = True
            announce(self._verb, seconds, self._cheaper)

    def boxes(self, seconds: float, n: int, ahead: int, most: int) -> None:
        """A generation of `n` boxes is done, the next one has `ahead`, and none may have more than `most`."""
        self._bar.update(note=f"proof, {ahead} boxes")
        self._seconds, self._n_boxes = self._seconds + seconds, self._n_boxes + n
        if self._proof_said or self._seconds < PROOF_SECONDS or not ahead:
            return
        growth = ahead / n
        left = ahead / (1 - growth) if growth < 1 else most / (1 - 1 / max(growth, 1.1))
        rest = self._seconds / self._n_boxes * min(left, 10.0 * most)
        announce(self._verb, rest, self._cheaper_proof)
        self._proof_said = is_long(rest)
