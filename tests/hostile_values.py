"""Arguments that nobody should pass, and what a call with one of them may do.

A call with a hostile argument either gives a result or raises a ValueError or a TypeError whose message
names the argument; a RuntimeError that names it may end a run whose paths have not arrived. It does not raise
anything else, does not warn of arithmetic, and does not run on.
"""

from __future__ import annotations

import re
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from public_calls import Call

import samdyn as sd

SECONDS = 20
"""A small call that runs longer than this does not end, or has accepted a size that nobody can wait for."""


def hostile_values() -> list[Any]:
    """Values of the wrong kind, size, sign or shape."""
    return [
        None,
        "x",
        "",
        "0.5",
        b"1",
        True,
        False,
        np.True_,
        "False",
        float("nan"),
        float("inf"),
        float("-inf"),
        -1,
        0,
        1,
        2.5,
        -0.5,
        1e300,
        -1e300,
        1e-300,
        5e-324,
        10**400,
        -(10**400),
        1 << 63,
        1 << 64,
        1j,
        1 + 0j,
        Fraction(1, 3),
        np.uint8(200),
        np.int8(-1),
        np.float16(0.5),
        np.float32(0.1),
        np.datetime64(1, "D"),
        np.timedelta64(1, "s"),
        np.ma.masked,
        np.ma.array([1.0, 2.0], mask=[False, True]),
        [],
        (),
        {},
        set(),
        [[]],
        [float("nan")],
        [float("inf"), 0.0],
        [1.0],
        [1.0, 2.0],
        [1.0, 2.0, 3.0],
        [[1.0], [2.0, 3.0]],
        [[1.0, 2.0], [3.0, 4.0]],
        [(0.0, 1.0)],
        [(1.0, 0.0)],
        [(0.0, 0.0), (0.0, 1.0)],
        np.zeros((0, 2)),
        np.zeros((2, 0)),
        np.ones((1, 1, 1, 2)),
        np.array(["a", "b"]),
        np.array([1j, 2.0]),
        np.array([True, False]),
        np.array([None, 1.0]),
        np.array(0.5),
        np.array([0.5], dtype=np.float16),
        np.array([1e300, -1e300]),
        np.array([1e-320, 0.0]),
        [10**400],
        [1 << 70, 1.0],
        torch.tensor(0.5, requires_grad=True),
        torch.tensor([1.0, 2.0], requires_grad=True),
        torch.tensor([1j, 2.0]),
        torch.tensor([True, False]),
        torch.empty(0, 2),
        object(),
        object,
        len,
        lambda *a, **k: None,
        Path("x"),
        range(3),
        iter([1.0]),
        "rho",
        "lr",
        "full",
        -3,
        7,
        1e6,
        sd.GD(),
        sd.SAM(0.1),
        sd.GaussianNoise(),
        sd.Ball([0.0], 1.0),
        sd.landscapes.saddle(),
        {"rho": [0.1]},
        {"rho": "x"},
        {1: 2},
        ["a"],
        ("gap", 3),
    ]


class DoesNotEnd(Exception):
    """The call was stopped."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Stop what runs longer."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise DoesNotEnd

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def complaint(call: Call, name: str, value: Any) -> str:
    """What is wrong with the way the call takes `value` as its argument `name`; empty if nothing is."""
    arguments = {**call.arguments, name: value}
    try:
        with warnings.catch_warnings(), time_limit(SECONDS):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("error", sd.CostWarning)
            call.function(**arguments)
    except sd.CostWarning:
        return ""  # the verb has said what it would cost
    except DoesNotEnd:
        return "does not end"
    except (ValueError, TypeError, RuntimeError) as error:
        if named(str(error), arguments):
            return ""
        return f"{type(error).__name__} that does not name it: {str(error)[:200]} [{place(error)}]"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]} [{place(error)}]"
    return ""


def named(message: str, arguments: dict[str, Any]) -> bool:
    """Whether the message begins with an argument's name: the one that came, or the partner in a bound."""
    swept, one = arguments.get("parameters"), arguments.get("parameter")
    names = [
        *arguments,
        *(swept if isinstance(swept, dict) else ()),
        *([one] if isinstance(one, str) else ()),
    ]
    return (
        any(re.match(rf"(the )?{re.escape(str(name))}\b", message) for name in names) or "argument" in message
    )


def place(error: BaseException) -> str:
    """The last line of samdyn that the error came through, or else the last line."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "samdyn" in frame.filename] or list(frames)
    return f"{Path(own[-1].filename).name}:{own[-1].lineno} {own[-1].name}"
