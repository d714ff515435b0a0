"""What a file could not hold: a system made of a user's functions, for example. It stands in its place.

Python's functions cannot be written to a file without pickle, which runs whatever a file says. So a system
that is built of a user's function comes back as an `Absent`, which has the text of what it stands for and
says, where it is used, what is missing and how to give it.
"""

from __future__ import annotations

from typing import Any, NoReturn


class AbsentError(AttributeError, ValueError):
    """A result that was read from a file is asked for something that the file could not hold.

    Examples
    --------
    >>> from samdyn.results import AbsentError
    >>> issubclass(AbsentError, ValueError), issubclass(AbsentError, AttributeError)
    (True, True)
    """


class Absent:
    """Stands for an object that a file could not hold.

    Parameters
    ----------
    text : str
        Its description, which is also the text of this object.
    values : list of float, optional
        What it gave at a few points, by which it is known again: see `samdyn.results.likeness`.

    Examples
    --------
    >>> from samdyn.results import Absent
    >>> missing = Absent("Map.from_function(henon, dim=2)")
    >>> missing
    Map.from_function(henon, dim=2)
    >>> missing.dim
    Traceback (most recent call last):
    samdyn.results.absent.AbsentError: the result was read from a file, which does not hold ...
    """

    def __init__(self, text: str, values: list[float] | None = None) -> None:
        self.text, self.values = text, values

    def __repr__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Absent) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # what Python itself asks, for a copy for instance
            raise AttributeError(name)
        self.missing()

    def __call__(self, *arguments: Any, **others: Any) -> NoReturn:
        self.missing()

    def missing(self) -> NoReturn:
        """Say what is missing and how to give it.

        Raises
        ------
        AbsentError
            Always.
        """
        raise AbsentError(self._reason())

    def _reason(self) -> str:
        return (
            f"the result was read from a file, which does not hold {self.text}, since that is made of "
            "functions: give it to load(path, system=...), or compute the result again"
        )


def whole(value: Any) -> Any:
    """The value, or None where a part of it is absent.

    Examples
    --------
    >>> from samdyn.results.absent import Absent, whole
    >>> whole((1, 2)), whole((1, Absent("a system")))
    ((1, 2), None)
    """
    parts = value if isinstance(value, tuple) else (value,)
    return None if any(isinstance(part, Absent) for part in parts) else value
