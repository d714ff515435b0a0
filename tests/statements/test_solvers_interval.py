"""Outer bounds on functions and images: they hold to the last bit, and a verb leaves the process as it was.

The kinds of fault: a bound that a value leaves; a verb that changes what surrounds it; images that say
nothing and do not say so.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import mpmath
import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.morse.images import box_image
from samdyn.numerics import interval as iv

FUNCTIONS: dict[str, tuple[Any, Any, float, float]] = {
    "erf": (iv.erf, mpmath.erf, -6, 6),
    "erfc": (iv.erfc, mpmath.erfc, -6, 26),
    "exp": (iv.exp, mpmath.exp, -700, 700),
    "expm1": (iv.expm1, mpmath.expm1, -30, 30),
    "log": (iv.log, mpmath.log, 1e-300, 1e3),
    "log1p": (iv.log1p, mpmath.log1p, -0.9999, 30),
    "sin": (iv.sin, mpmath.sin, -1e5, 1e5),
    "cos": (iv.cos, mpmath.cos, -1e5, 1e5),
    "tan": (iv.tan, mpmath.tan, -30, 30),
    "sinh": (iv.sinh, mpmath.sinh, -30, 30),
    "cosh": (iv.cosh, mpmath.cosh, -30, 30),
    "tanh": (iv.tanh, mpmath.tanh, -20, 20),
    "asin": (iv.asin, mpmath.asin, -1, 1),
    "acos": (iv.acos, mpmath.acos, -1, 1),
    "atan": (iv.atan, mpmath.atan, -1e3, 1e3),
    "asinh": (iv.asinh, mpmath.asinh, -1e3, 1e3),
    "acosh": (iv.acosh, mpmath.acosh, 1, 1e3),
    "atanh": (iv.atanh, mpmath.atanh, -0.9999, 0.9999),
    "sqrt": (iv.sqrt, mpmath.sqrt, 0, 1e9),
    "sigmoid": (iv.sigmoid, lambda t: 1 / (1 + mpmath.exp(-t)), -40, 40),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bounds_hold_the_exact_value(name: str) -> None:
    """Every elementary function, at points near zero and far from it, against 200 binary digits."""
    function, exact, low, high = FUNCTIONS[name]
    rng = np.random.default_rng(1)
    x = rng.uniform(low, high, 300)
    small = rng.choice([-1, 1], 100) * 10.0 ** rng.uniform(-300, 0, 100)
    x = np.concatenate([x, small[(small >= low) & (small <= high)]])
    with np.errstate(all="ignore"):
        below, above = function(iv.point(x))
    with mpmath.workprec(200):
        for point, lower, upper in zip(x.tolist(), below.tolist(), above.tolist(), strict=True):
            value = exact(mpmath.mpf(point))
            assert mpmath.mpf(lower) <= value <= mpmath.mpf(upper), point
    # the slope of the tangent is the square of its value
    assert (above - below <= 1e-11 * (1 + np.abs(below)) ** (2 if name == "tan" else 1)).all()


@pytest.mark.parametrize("kind", ["interval", "lipschitz"])
def test_points_never_leave_the_image_of_a_box_under_erf(kind: str) -> None:
    """Maps and losses with torch.erf, boxes from 1e-17 to 0.3 wide: not by a bit, as computed."""
    loss = sd.Landscape(lambda w: (torch.erf(w[0]) - 0.3) ** 2 + torch.erf(w[0] * w[1]) ** 2 + 0.1 * w @ w, 2)
    maps = [
        sd.Map.from_function(
            lambda w: torch.stack([torch.erf(2 * w[0]) - 0.3 * w[1], torch.erf(w[0] * w[1]) + 0.5 * w[1]]), 2
        ),
        sd.Map(loss, sd.GD(), lr=0.1),
        sd.Map(loss, sd.SAM(0.2), lr=0.1),
    ]
    rng = np.random.default_rng(0)
    for system in maps:
        image, found = box_image(system, kind)
        assert found == kind
        center, half = rng.uniform(-2, 2, (1000, 2)), 10 ** rng.uniform(-17, -0.5, (1000, 1))
        lower, upper = center - half * rng.random((1000, 2)), center + half * rng.random((1000, 2))
        low, high = image(lower, upper)
        inside = np.clip(lower + rng.random((1000, 2)) * (upper - lower), lower, upper)
        for x in (lower, upper, inside):
            y = system(x)
            assert ((low <= y) & (y <= high)).all()


def test_images_that_cover_the_box_are_announced() -> None:
    """A map that spreads every box over the whole: the graph says nothing, and the verb says that."""
    system = sd.Map.from_function(lambda w: torch.sin(40 * w), 2, box=[(-1, 1), (-1, 1)])
    with pytest.warns(UserWarning, match=r"covers \d+ % of the whole box.*iterates=3.*fewer"):
        sd.morse_graph(system, resolution=32, iterates=3)


def test_a_morse_graph_leaves_the_process_as_it_was() -> None:
    """No start method is set, and no thread is left."""
    code = (
        "import threading, multiprocessing, samdyn as sd\n"
        "before = threading.active_count()\n"
        "step = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1)\n"
        "sd.morse_graph(step, [(-1.22, 1.2)], resolution=8192, adaptive=True)\n"
        "assert threading.active_count() == before, threading.enumerate()\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
