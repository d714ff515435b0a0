"""Out of memory: do less at a time and go on.

Memory that another process takes can run out in the middle of a long job. Work that comes in pieces of any
size is then tried again at half the size, down to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

MOST_BYTES = 1 << 33
"""Of arrays that one call may ask for: what common machines have, with room for the rest."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: of torch on a GPU or the CPU, of numpy, of Python.

    Examples
    --------
    >>> is_out_of_memory(MemoryError()), is_out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def check_fits(name: str, needed: float, cheaper: str) -> None:
    """Refuse work whose arrays would not fit, with the numbers, before any of it is done.

    Parameters
    ----------
    name : str
        The argument that makes them large.
    needed : float
        Bytes.
    cheaper : str
        What the user can do instead, as a clause.

    Examples
    --------
    >>> check_fits("x", 1e12, "pass fewer points")
    Traceback (most recent call last):
        ...
    ValueError: x must ask for arrays of at most 8 GiB, got 931.3 GiB: pass fewer points
    """
    if needed > MOST_BYTES:
        most, got = MOST_BYTES / 2**30, needed / 2**30
        raise ValueError(
            f"{name} must ask for arrays of at most {most:.0f} GiB, got {got:.1f} GiB: {cheaper}"
        )


def halving(run: Callable[[int], None], size: int) -> int:
    """Call `run(size)`; while memory runs out, again with half the size.

    Parameters
    ----------
    run : callable
        May be called again after it failed.
    size : int
        Size of the first attempt.

    Returns
    -------
    int
        The size that went through.

    Raises
    ------
    MemoryError, RuntimeError
        Not even size 1 goes through, or another error.

    Examples
    --------
    >>> def run(size):
    ...     if size > 3:
    ...         raise MemoryError
    >>> halving(run, 8)
    2
    """
    while True:
        try:
            run(size)
            return size
        except (RuntimeError, MemoryError) as error:
            if size <= 1 or not is_out_of_memory(error):
                raise
        # not inside the handler: the exception still holds the tensors of the failed call
        size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
