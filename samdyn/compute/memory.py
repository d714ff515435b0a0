"""Out of memory: do less at a time and go on.

Memory that another process takes can run out in the middle of a long job. Work that comes in pieces of any
size is then tried again at half the size, down to 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


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
