"""What a search for zeros will take, said while it is young, and a bar over its steps.

The first Newton step of all starts says it to a factor of ten, since starts arrive after five steps or after
sixty: nothing is said there unless even the shortest search would be long. The first batch of starts says it
to a factor of three: the searches from other starts, and with known zeros divided out, took one to nine times
as long, over losses of one to twenty coordinates.

A search that has taken half of what is worth a warning, and has not been called long, is expected to take as
long again.

A proof by subdivision is judged from the boxes of its last generation, once it has run for a second: while
generations grow, all up to the largest that is allowed may come; when they shrink, their geometric series.
"""

from __future__ import annotations

import time

from samdyn.jobs.cost import announce, is_long
from samdyn.jobs.progress import PartsBar

FEWEST_STEPS = 5
"""Newton steps of the first batch of starts, at least, in units of the first step."""
BATCHES = 5.0
"""Time of a search over the time of its first batch, by measurement 2 to 10."""
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
        self._verb, self._whole = verb, BATCHES * n_searches
        self._cheaper, self._cheaper_proof = cheaper, cheaper_proof
        self._began = time.perf_counter()
        self._stepped = self._said = self._proof_said = False
        self._seconds, self._n_boxes = 0.0, 0

    def __enter__(self) -> SearchWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.__exit__()

    def step(self, seconds: float) -> None:
        """A Newton step of some starts is done; the first is of all."""
        self._bar.update(note="Newton")
        if not self._stepped:
            self._stepped = True
            self._say(seconds * FEWEST_STEPS * self._whole)
        self._say(2 * (time.perf_counter() - self._began))

    def batch(self, seconds: float) -> None:
        """The first batch of starts is done; the batch itself is over."""
        self._say(seconds * (self._whole - 1))

    def _say(self, seconds: float) -> None:
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
