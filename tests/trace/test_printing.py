"""The printed forms of traced functions: equal to the torch module, at special values too."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx
from traced_functions import ZOO

from samdyn.trace.printed.printed_operators import ARRAYS, CAREFUL, SCALAR
from samdyn.trace.printed.printing import listing, printed_form
from samdyn.trace.scalar_graph import ARITHMETIC, COMPARISONS, LOGICAL, OPERATORS, UNARY, ScalarGraph
from samdyn.trace.tracing import batched_form, coordinate_form

SPECIAL = [
    -math.inf,
    -1e308,
    -800.0,
    -7.5,
    -1.0,
    -0.3,
    -0.0,
    0.0,
    5e-324,
    1e-10,
    0.75,
    1.0,
    2.0,
    7.5,
    800.0,
    1e308,
]
SPECIAL += [math.inf, math.nan]


def evaluate(module: fx.GraphModule, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The torch module, the arrays and the scalars at points (n, dim), each (n, outputs)."""
    form = printed_form(module)
    results = [form.scalar(*point) for point in points.tolist()]
    assert all(type(value) is float for result in results for value in result)
    columns = [np.ascontiguousarray(column) for column in points.T]
    arrays = form.arrays(*columns)
    assert all(value.shape == (len(points),) and value.dtype == np.float64 for value in arrays)
    expected = module(*map(torch.from_numpy, columns))
    return torch.stack(expected, 1).numpy(), np.stack(arrays, 1), np.array(results)


def assert_forms_agree(module: fx.GraphModule, points: np.ndarray, rtol: float, atol: float = 0.0) -> None:
    expected, arrays, scalars = evaluate(module, points)
    np.testing.assert_allclose(arrays, expected, rtol=rtol, atol=atol)
    np.testing.assert_allclose(scalars, expected, rtol=rtol, atol=atol)


def module_of(outputs: Callable[[ScalarGraph], list], dim: int) -> fx.GraphModule:
    g = ScalarGraph(dim)
    g.graph.output(tuple(g.full(g.number(output)) for output in outputs(g)))
    g.graph.eliminate_dead_code()
    return fx.GraphModule(torch.nn.Module(), g.graph)


def test_every_operator_can_be_printed() -> None:
    assert set(SCALAR) == set(CAREFUL) == set(ARRAYS) == OPERATORS


@pytest.mark.parametrize("function", sorted(UNARY, key=lambda f: f.__name__))
def test_functions_of_one_number(function: Callable) -> None:
    module = module_of(lambda g: [g.call(function, g.inputs[0])], 1)
    rng = np.random.default_rng(0)
    points = np.concatenate([SPECIAL, rng.uniform(-2, 2, 200), rng.uniform(-40, 40, 100)])[:, None]
    expected, arrays, scalars = evaluate(module, points)
    tail = 1e-13 if function is torch.erfc else 1e-15  # scipy's, for large arguments
    np.testing.assert_allclose(arrays, expected, rtol=tail, atol=1e-307)
    np.testing.assert_allclose(scalars, expected, rtol=1e-15, atol=1e-307)


@pytest.mark.parametrize(
    "function", sorted(ARITHMETIC | COMPARISONS | {torch.remainder}, key=lambda f: f.__name__)
)
def test_functions_of_two_numbers(function: Callable) -> None:
    """Every pair of special values, as operands and with one of them a constant."""

    def with_constant(g: ScalarGraph, c: float) -> list:
        (x,) = g.inputs
        as_node = function in (torch.maximum, torch.minimum, torch.atan2, torch.sub)
        results = [g.call(function, x, g.full(c) if as_node else c)]
        if function in (torch.pow, torch.remainder, torch.atan2):
            results.append(g.call(function, c if function is torch.pow else g.full(c), x))
        return results

    numbers = SPECIAL
    if function is torch.remainder:  # torch's vectorised one is nan where the quotient overflows
        numbers = [c for c in SPECIAL if abs(c) not in (5e-324, 1e-10, 1e308)]
    pairs = [*itertools.product(numbers, numbers), *np.random.default_rng(1).uniform(-3, 3, (200, 2))]
    assert_forms_agree(module_of(lambda g: [g.call(function, *g.inputs)], 2), np.array(pairs), rtol=1e-15)
    for c in numbers:
        assert_forms_agree(
            module_of(lambda g, c=c: with_constant(g, c), 1), np.array(numbers)[:, None], rtol=1e-15
        )


@pytest.mark.parametrize("function", sorted(LOGICAL, key=lambda f: f.__name__))
def test_logical_functions(function: Callable) -> None:
    def outputs(g: ScalarGraph) -> list:
        a, b = (g.compare(torch.gt, x, 0.0) for x in g.inputs)
        value = g.logical_not(a) if function is torch.logical_not else g.logical(function, a, b)
        return [
            value,
            g.where(value, g.inputs[0], 3.0),
            g.where(value, -1.5, g.inputs[1]),
            g.where(value, 2.0, 5.0),
        ]

    module = module_of(outputs, 2)
    points = np.array(list(itertools.product([-1.0, 0.0, 1.0, math.nan], repeat=2)))
    assert_forms_agree(module, points, rtol=0)
    assert {row[0] for row in evaluate(module, points)[2]} == {0.0, 1.0}


@pytest.mark.parametrize("name", ZOO)
def test_values_and_gradients_of_functions(name: str) -> None:
    f, dim = ZOO[name]
    points = np.random.default_rng(2).uniform(-1.5, 1.5, (25, dim))
    for function in (f, torch.func.grad(f)):
        expected = evaluate(coordinate_form(function, dim), points)[0]
        assert_forms_agree(
            coordinate_form(function, dim), points, rtol=1e-13, atol=1e-13 * np.abs(expected).max()
        )


def positive_zero(g: ScalarGraph, a: object) -> object:
    """Which zero is the larger of 0 and -0 is left open by IEEE 754, and a division would show it."""
    return g.where(g.compare(torch.eq, a, 0.0), 0.0, a)


def exact_expressions(dim: int, *, roots: bool) -> st.SearchStrategy[Callable[[ScalarGraph], object]]:
    """Random expressions in operations that are rounded correctly: every form has the same bits.

    torch's square root is not rounded correctly where it comes from MKL: that of 2.0 is one unit in the last
    place too small, and one of a hundred is. Those of math and numpy are.
    """
    leaves = st.one_of(
        st.integers(0, dim - 1).map(lambda i: lambda g: g.inputs[i]),
        st.sampled_from([0.0, -1.0, 2.0, 1e200, 1e-200]).map(lambda c: lambda g: c),
    )
    unary = [torch.abs, torch.floor, torch.sign, *([torch.sqrt] if roots else [])]

    def extend(e: st.SearchStrategy) -> st.SearchStrategy:
        pairs = st.tuples(e, e)
        return st.one_of(
            st.tuples(st.sampled_from(["add", "sub", "mul", "div"]), e, e).map(
                lambda t: lambda g: getattr(g, t[0])(t[1](g), t[2](g))
            ),
            st.tuples(st.sampled_from(unary), e).map(lambda t: lambda g: g.unary(t[0], t[1](g))),
            st.tuples(st.sampled_from([torch.maximum, torch.minimum]), e, e).map(
                lambda t: lambda g: positive_zero(g, g.extremum(t[0], t[1](g), t[2](g)))
            ),
            st.tuples(st.sampled_from(sorted(COMPARISONS, key=lambda f: f.__name__)), pairs, pairs).map(
                lambda t: lambda g: g.where(g.compare(t[0], t[1][0](g), t[1][1](g)), t[2][0](g), t[2][1](g))
            ),
        )

    return st.recursive(leaves, extend, max_leaves=25)


NUMBERS = st.one_of(st.floats(), st.sampled_from(SPECIAL), st.floats(-3, 3))


POINTS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4)


@settings(max_examples=100)
@given(st.lists(exact_expressions(3, roots=False), min_size=1, max_size=3), POINTS)
def test_arithmetic_is_exact_at_any_numbers(expressions: list[Callable], points: list[tuple]) -> None:
    module = module_of(lambda g: [e(g) for e in expressions], 3)
    expected, arrays, scalars = evaluate(module, np.array(points))
    np.testing.assert_array_equal(arrays, expected)
    np.testing.assert_array_equal(scalars, expected)


@settings(max_examples=50)
@given(st.lists(exact_expressions(3, roots=True), min_size=1, max_size=3), POINTS)
def test_arrays_and_floats_have_the_same_bits(expressions: list[Callable], points: list[tuple]) -> None:
    _, arrays, scalars = evaluate(module_of(lambda g: [e(g) for e in expressions], 3), np.array(points))
    np.testing.assert_array_equal(arrays, scalars)


def test_special_values_do_not_raise() -> None:
    form = printed_form(
        coordinate_form(lambda w: torch.stack([w[0] / w[1], w[0].sqrt(), w[1].log(), w[0].exp()]), 2)
    )
    assert form.scalar(1.0, 0.0) == (math.inf, 1.0, -math.inf, math.e)
    ratio, root, logarithm, exponential = form.scalar(-1.0, -0.0)
    assert (ratio, logarithm, exponential) == (math.inf, -math.inf, pytest.approx(1 / math.e))
    assert math.isnan(root)
    assert math.isnan(form.scalar(0.0, 0.0)[0])
    assert form.scalar(1000.0, 1.0)[3] == math.inf
    assert np.isnan(form.arrays(np.zeros(1), np.zeros(1))[0]).all()


def test_the_branch_not_taken_is_not_evaluated() -> None:
    form = printed_form(coordinate_form(lambda w: torch.where(w[0] > 0, torch.log(w[0]), w[0]).sum(), 1))
    assert "log(x0)" in next(line for line in form.source.splitlines() if " else " in line)
    assert form.scalar(-2.0) == (-2.0,)


def test_constants_and_inputs_as_outputs() -> None:
    form = printed_form(
        coordinate_form(lambda w: torch.stack([w[1], torch.ones_like(w[0]) * 3, w[0], w[1]]), 2)
    )
    assert form.scalar(1.0, 2.0) == (2.0, 3.0, 1.0, 2.0)
    x = np.arange(6.0).reshape(2, 3)
    for value, expected in zip(form.arrays(x, x + 1), (x + 1, np.full_like(x, 3.0), x, x + 1), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_long_chains_and_names_used_again() -> None:
    def chain(w: Tensor) -> Tensor:
        for _ in range(400):
            w = torch.sin(w) + 0.01
        return w.sum()

    module = coordinate_form(chain, 1)
    assert_forms_agree(module, np.array([[0.3], [-2.0]]), rtol=1e-12)
    # every statement of the chain reads one name and can write to the same one
    assert {line.split(" = ")[0] for line in listing(module, SCALAR).body} == {"t0"}


def test_an_operand_written_twice_is_evaluated_once() -> None:
    def chain(w: Tensor) -> Tensor:
        for _ in range(10):
            w = torch.floor(w * 1.5 + 0.7)
        return w.sum()

    body = listing(coordinate_form(chain, 1), SCALAR).body
    assert sum(line.count("//") for line in body) <= 10


def test_a_module_is_printed_once() -> None:
    module = coordinate_form(lambda w: w.sum(), 2)
    assert printed_form(module) is printed_form(module)


def test_what_is_not_a_traced_form_is_refused() -> None:
    with pytest.raises(TypeError, match="traced coordinate_form, got _Batched"):
        printed_form(batched_form(torch.sum, 2))
    with pytest.raises(TypeError, match=r"traced coordinate_form, but it has .*sort"):
        printed_form(fx.symbolic_trace(lambda x: (torch.sort(x),)))
