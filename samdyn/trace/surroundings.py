"""Settings of torch and numpy that hold for a whole thread, and what this library computes under.

A user may have set another default device, switched gradients off or entered inference mode, or have numpy
raise at an underflow. None of it is meant for the inside of this library, where a loss is called on float64
points of the CPU, is differentiated, and where an exponential that underflows is 0.

torch keeps the transforms of `torch.func` that are under way on a stack of the thread. An exception that a
signal handler throws at an unlucky moment, a timeout or Ctrl-C, leaves entries on it, and from then on every
transform fails. The entries are taken off when such an exception passes through here; and at the next entry,
if no function of `torch.func` is on Python's call stack, so that nobody can be inside a transform.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

__all__ = ["own_surroundings"]

_functorch: Any = torch._C._functorch


def own_surroundings(*, gradients: bool = False) -> AbstractContextManager[None]:
    """Call functions of torch on the CPU, and let numpy go on at special values.

    Parameters
    ----------
    gradients : bool
        Record gradients as well, even where the user has switched them off or entered inference mode. The
        transforms of `torch.func` do not need it.

    Notes
    -----
    A function of a user that makes tensors itself, ``torch.tensor(0.1)``, gets them on the CPU, where the
    points are. The default dtype stays: it decides what the user's function computes. torch.compile traces in
    surroundings of its own and cannot trace the change of them: there nothing is changed.

    Examples
    --------
    >>> with torch.no_grad(), own_surroundings(gradients=True):
    ...     torch.is_grad_enabled()
    True
    """
    return contextlib.nullcontext() if torch.compiler.is_compiling() else _changed(gradients)


@contextlib.contextmanager
def _changed(gradients: bool) -> Iterator[None]:
    depth = _functorch.get_dynamic_layer_stack_depth()
    if depth and not _inside_a_transform():
        _unwind(0)
        depth = 0
    before, allowed = torch.is_grad_enabled(), _functorch.get_inplace_requires_grad_allowed()
    try:
        with contextlib.ExitStack() as stack:
            if torch.get_default_device().type != "cpu":
                stack.enter_context(torch.device("cpu"))
            if gradients:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
            stack.enter_context(np.errstate(all="ignore"))
            yield
    except BaseException:
        _unwind(depth)
        torch.set_grad_enabled(before)
        _functorch.set_inplace_requires_grad_allowed(allowed)
        raise


def _unwind(depth: int) -> None:
    """Take off the transforms that an exception has left under way."""
    if _functorch.get_dynamic_layer_stack_depth() > depth:
        _functorch.pop_dynamic_layer_stack_and_undo_to_depth(depth)


def _inside_a_transform() -> bool:
    """Whether a function of `torch.func` is on the call stack of this thread."""
    frame = sys._getframe()
    while frame is not None:
        if "_functorch" in frame.f_code.co_filename:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
