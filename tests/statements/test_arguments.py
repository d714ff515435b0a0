"""What comes as an argument is what is computed with, whatever type spells the number."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.arguments import checks
from samdyn.arguments.signature import checked
from samdyn.theory import bartlett, first_passage, kim

SPELLINGS = [
    200,
    200.0,
    np.uint8(200),
    np.int16(200),
    np.float32(200),
    np.array(200),
    torch.tensor(200.0, dtype=torch.float64, requires_grad=True),
    torch.tensor(200),
    torch.tensor(200.0, dtype=torch.bfloat16),
    Fraction(200),
]


@pytest.mark.parametrize("value", SPELLINGS, ids=lambda value: type(value).__name__)
def test_every_spelling_of_a_number_is_the_number(value: object) -> None:
    """Kind: a checked value thrown away and the raw one used. uint8(200) * uint8(200) is 64 in numpy."""
    schedules = sd.schedules
    assert schedules.ExponentialDecay(value, 2.0)(3) == 1600.0
    assert schedules.PowerDecay(value, 1)(1) == 100.0
    assert schedules.CosineDecay(value, 0, 10)(0) == 200.0
    assert schedules.StepDecay(value, 2, (5,))(7) == 400.0
    assert schedules.Delayed(value, 0)(1) == 200.0
    assert sd.SAM(value).coefficients()["rho"] == 200.0
    assert type(sd.SAM(value).rho) is float
    assert type(sd.CurvatureNoise(value).batch_size) is float
    assert bartlett.cycle_amplitude(2.0, value, 0.1) == bartlett.cycle_amplitude(2.0, 200.0, 0.1)


def test_shares_of_small_integers() -> None:
    """Kind: the same. uint8(100) of uint8(200) gave (-inf, inf). Right: Wilson's interval of 100 of 200."""
    z = 1.959963984540054
    middle, half = 0.5, z / (1 + z**2 / 200) * math.sqrt(0.25 / 200 + z**2 / (4 * 200**2))
    low, high = sd.basin.wilson_interval(np.uint8(100), np.uint8(200))
    np.testing.assert_allclose([low, high], [middle - half, middle + half], rtol=1e-12)
    np.testing.assert_allclose([low, high], [0.4314, 0.5686], atol=5e-5)


NO_NUMBERS = [
    "0.5",
    b"1",
    True,
    np.bool_(True),
    0.5 + 0j,
    np.complex128(0.5),
    None,
    [0.5],
    Decimal("0.5"),
    np.datetime64(1, "D"),
    np.timedelta64(1, "s"),
    np.ma.masked,
    np.ma.array(0.5, mask=True),
    np.array([0.5]),
    torch.tensor(True),
    torch.tensor(0.5 + 0j),
    torch.ones(2),
    object(),
    {},
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_what_is_no_number_is_refused_by_name(value: object) -> None:
    """Kind: text, dates, booleans, complex numbers and masked values taken as numbers without a word."""
    for call in (
        lambda: sd.SAM(value),
        lambda: sd.UnifiedSAM(0.1, value),
        lambda: kim.effective_radius(value, 1.0, 3),
        lambda: first_passage.sam_double_well_barrier(value),
        lambda: bartlett.cycle_amplitude(1.0, value, 0.1),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^(rho|lam) must be"):
            call()


NO_ARRAYS = [
    "12",
    ["1", "2"],
    [True, False],
    np.array([1.0 + 1e-3j, 2.0]),
    np.ma.array([1.0, 2.0], mask=[True, False]),
    np.array(["2020-01-01"], dtype="datetime64[D]"),
    np.array([1, 2], dtype="timedelta64[s]"),
    [[1.0, 2.0], [3.0]],
    [None, 1.0],
    [object()],
    {1.0, 2.0},
    torch.tensor([1.0 + 1e-3j, 2.0]),
]


@pytest.mark.parametrize("value", NO_ARRAYS, ids=lambda value: type(value).__name__)
def test_what_is_no_array_of_numbers_is_refused_by_name(value: object) -> None:
    """Kind: an imaginary part dropped, a masked value used, text read as numbers."""
    for call in (
        lambda: checks.array("t", value),
        lambda: checks.points("t", value, 2),
        lambda: checks.box("t", value, 2),
        lambda: kim.diffusion_variance(1.0, value, rho=0.1, lr=0.1),
    ):
        with pytest.raises((TypeError, ValueError), match=r"^t must"):
            call()


def test_arrays_of_every_kind_are_the_same_numbers() -> None:
    """Kind: a tensor with a gradient, a read-only or reversed array refused or read wrong."""
    frozen = np.array([1.0, 2.0])
    frozen.setflags(write=False)
    for value in (
        [1, 2],
        (1.0, Fraction(2)),
        frozen,
        np.array([2.0, 1.0])[::-1],
        torch.tensor([1.0, 2.0], requires_grad=True),
        [torch.tensor(1.0), torch.tensor(2.0, requires_grad=True)],
        np.ma.array([1.0, 2.0], mask=False),
    ):
        np.testing.assert_array_equal(checks.points("x", value, 2), [1.0, 2.0])
    assert checks.array("x", [10**30])[0] == 1e30


def test_a_number_too_large_for_a_float_is_refused_by_name() -> None:
    """Kind: an OverflowError from inside that names nothing."""
    for call, name in (
        (lambda: sd.SAM(10**400), "rho"),
        (lambda: sd.schedules.CosineDecay(1.0, 0.0, 10**400), "steps"),
        (lambda: kim.usam_rates(10**400, 0.1), "eigenvalues"),
        (lambda: checks.box("box", [(0, 10**400)], 1), "box"),
        (lambda: checks.integer("n_steps", -(10**5000)), "n_steps"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"^{name} must"):
            call()


def test_messages_are_short() -> None:
    """Kind: a message that prints a whole array."""
    with pytest.raises(ValueError, match="x must be finite") as caught:
        checks.array("x", np.full(10_000, math.nan))
    assert len(str(caught.value)) < 300


def test_a_fixed_point_is_a_point() -> None:
    """Kind: a result refused where its own position is wanted."""
    loss = sd.landscapes.saddle()
    point = sd.fixed_points(sd.Flow(loss, sd.GD()))[0]
    np.testing.assert_array_equal(loss.value(point), loss.value(point.x))
    assert sd.linearize(sd.Flow(loss, sd.GD()), point).stability == "saddle"


@checked
def _verb(
    lr: float, n: int = 1, seed: int = 0, progress: bool = False, name: str | None = None
) -> list[object]:
    return [lr, n, seed, progress, name]


def test_a_signature_is_checked_by_its_annotations() -> None:
    """Kind: flags by truth ("False" is true), other types taken over, names lost."""
    assert _verb(np.float32(0.5), np.int8(3), progress=np.True_) == [0.5, 3, 0, True, None]
    assert [type(value) for value in _verb(1, 2.0)] == [float, int, int, bool, type(None)]
    for wrong in (
        {"lr": "a"},
        {"lr": 1.0, "n": "3"},
        {"lr": 1.0, "progress": "False"},
        {"lr": 1.0, "progress": 1},
        {"lr": 1.0, "seed": -1},
        {"lr": 1.0, "seed": np.array([1])},
        {"lr": 1.0, "seed": None},
        {"lr": 1.0, "name": 3},
    ):
        name = list(wrong)[-1]
        with pytest.raises((TypeError, ValueError), match=f"^{name} must be"):
            _verb(**wrong)
    with pytest.raises(TypeError, match=r"_verb\(\) missing 1 required positional argument: 'lr'"):
        _verb()
