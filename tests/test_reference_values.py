"""Every number that is known from elsewhere is reached, and the page that prints them says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from reference_values import REFERENCES, Reference


@pytest.mark.parametrize("reference", REFERENCES, ids=lambda r: r.name)
def test_a_reference_is_reached(reference: Reference) -> None:
    checked = reference.check()
    assert checked.passed, f"{checked.figure!r} and not {reference.value!r} within {checked.allowed:.2g}"


def test_a_wrong_number_fails() -> None:
    exact, sampled = REFERENCES[0], next(r for r in REFERENCES if r.tolerance is None)
    assert not replace(exact, value=exact.value * (1 + 1e-6)).check().passed
    assert not replace(sampled, value=sampled.value * 1.5).check().passed


def test_names_are_told_apart() -> None:
    assert len({(r.area, r.name) for r in REFERENCES}) == len(REFERENCES) >= 40
