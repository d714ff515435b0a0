"""The scalar form of one-point functions: equal to torch.vmap, pointwise, refused where there is none."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from traced_functions import ZOO, henon

from samdyn.trace.scalar_graph import ScalarGraph
from samdyn.trace.tracing import (
    OPERATORS,
    NotTraceable,
    batched_form,
    coordinate_form,
    coordinate_gradient,
    coordinate_hessian,
)


def points(dim: int, n: int = 40, seed: int = 0) -> tuple[Tensor, ...]:
    x = np.random.default_rng(seed).uniform(-1.5, 1.5, (dim, n))
    return tuple(torch.from_numpy(row) for row in x)


def assert_equal(form: Callable, function: Callable, x: tuple[Tensor, ...]) -> None:
    """Relative to the largest value of each element, 1e-12."""
    assert form.traced
    got, expected = form(*x), batched_form(function, len(x))(*x)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape == x[0].shape
        assert a.dtype == b.dtype == x[0].dtype
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12 * max(1.0, b.abs().max().item()))


def assert_pointwise(form: Callable, dim: int) -> None:
    nodes = list(form.graph.nodes)
    assert [n.op for n in nodes[:dim]] == ["placeholder"] * dim
    assert nodes[-1].op == "output"
    for node in nodes[dim:-1]:
        assert node.op == "call_function"
        assert node.target in OPERATORS
        assert not node.kwargs


@pytest.mark.parametrize("name", ZOO)
def test_value_gradient_and_hessian_equal_the_batched_form(name: str) -> None:
    f, dim = ZOO[name]
    x = points(dim)
    for form, function in (
        (coordinate_form(f, dim), f),
        (coordinate_form(torch.func.grad(f), dim), torch.func.grad(f)),
        (coordinate_form(torch.func.hessian(f), dim), torch.func.hessian(f)),
        (coordinate_hessian(f, dim), torch.func.hessian(f)),
    ):
        assert_pointwise(form, dim)
        assert_equal(form, function, x)


@pytest.mark.parametrize(
    "name", ["beale", "mueller-brown", "network", "huber", "max", "norm", "linear", "mask"]
)
def test_float32_inputs_stay_float32(name: str) -> None:
    f, dim = ZOO[name]
    x64 = points(dim)
    x = tuple(c.float() for c in x64)
    for form in (coordinate_form(f, dim), coordinate_gradient(f, dim), coordinate_hessian(f, dim)):
        exact = form(*(c.double() for c in x))
        for a, b in zip(form(*x), exact, strict=True):
            assert a.dtype == torch.float32
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * max(1.0, b.abs().max().item()))


def test_vector_output_of_a_partial_in_c_order() -> None:
    f = functools.partial(henon, a=1.4, b=0.3)
    form = coordinate_form(f, 2)
    x, y = points(2)
    first, second = form(x, y)
    np.testing.assert_allclose(first, 1 - 1.4 * x**2 + y, rtol=1e-14)
    np.testing.assert_allclose(second, 0.3 * x, rtol=1e-14)
    assert_equal(coordinate_form(torch.func.jacrev(f), 2), torch.func.jacrev(f), (x, y))
    assert_equal(coordinate_form(torch.func.jacfwd(f), 2), torch.func.jacfwd(f), (x, y))
    # a second partial of the same function is another function
    np.testing.assert_allclose(
        coordinate_form(functools.partial(henon, a=0.2, b=0.3), 2)(x, y)[0], 1 - 0.2 * x**2 + y
    )


def test_constants_are_full_tensors() -> None:
    first, second = coordinate_gradient(lambda w: 2 * w[0] - 3, 2)(torch.ones(3), torch.ones(3))
    assert first.tolist() == [2.0] * 3
    assert second.tolist() == [0.0] * 3
    assert second.dtype == torch.float32


def test_gradients_where_torch_chooses_a_subgradient() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    for f in (
        torch.linalg.norm,
        lambda w: w.abs().sum(),
        lambda w: w.max(),
        lambda w: torch.relu(w).sum(),
        lambda w: w.prod(),
    ):
        form = coordinate_gradient(f, 2)
        assert form.traced
        assert [g.item() for g in form(zero, zero)] == torch.func.grad(f)(
            torch.zeros(2, dtype=torch.float64)
        ).tolist()


def test_the_graph_is_small() -> None:
    """By hand the gradient of the Beale function takes about 25 operations."""
    f, dim = ZOO["beale"]
    assert len(coordinate_gradient(f, dim).graph.nodes) - dim - 1 <= 32
    # one product, shared by both halves of a symmetric Hessian
    outputs = list(coordinate_hessian(f, dim).graph.nodes)[-1].args[0]
    assert outputs[1] is outputs[2]


def test_equal_traces_are_one_module_and_changed_captures_are_seen() -> None:
    scale = {"a": 2.0}

    def f(w: Tensor) -> Tensor:
        return scale["a"] * w[0] ** 2

    first = coordinate_form(f, 1)
    assert coordinate_form(lambda v: 2.0 * v[0].pow(2), 1) is first
    scale["a"] = 5.0
    assert coordinate_form(f, 1)(torch.ones(1))[0].item() == 5.0


def test_captured_parameters_that_ask_for_a_gradient() -> None:
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)
    gradient = coordinate_gradient(lambda w: (weight * w).sum() ** 2, 2)
    assert gradient.traced
    out = gradient(*points(2))
    assert not out[0].requires_grad


def branch(w: Tensor) -> Tensor:
    return w[0] ** 2 if w[0] > 0 else w[1] ** 2


@pytest.mark.parametrize(
    ("f", "dim", "message"),
    [
        (branch, 2, "cannot be traced"),
        (lambda w: w[0].item() * w[1], 2, "cannot be traced"),
        (lambda w: torch.sort(w).values[0], 3, "sort"),
        (lambda w: torch.special.i0(w).sum(), 2, "i0"),
        (lambda w: torch.linalg.det(w.reshape(2, 2)), 4, "linalg"),
        (lambda w: w.half().sum(), 2, "float16"),
        (lambda w: (w + torch.rand(2)).sum(), 2, "rand"),
        (lambda w: torch.sin(w * torch.arange(20_001)[:, None]).sum(), 2, "too many"),
        (lambda w: torch.sin(w[0] * torch.arange(9000) + w[1]).cos().sum(), 2, "more than 20000"),
        (lambda w: w[5], 2, "IndexError"),
        (lambda w: (w[0], w[1]), 2, "tuple"),
    ],
)
def test_what_has_no_scalar_form_is_refused(f: Callable, dim: int, message: str) -> None:
    with pytest.raises(NotTraceable, match=message):
        coordinate_form(f, dim)


def test_a_trace_that_disagrees_is_refused() -> None:
    calls = iter(range(100))
    with pytest.raises(NotTraceable, match="disagrees"):
        coordinate_form(lambda w: w[0] * next(calls), 1)


def test_the_fallback_serves_what_has_no_scalar_form() -> None:
    def f(w: Tensor) -> Tensor:
        return torch.linalg.det(w.reshape(2, 2)) ** 2

    x = points(4)
    gradient, hessian = coordinate_gradient(f, 4), coordinate_hessian(f, 4)
    assert not gradient.traced
    assert not hessian.traced
    a, b, c, d = x
    np.testing.assert_allclose(gradient(*x)[1], -2 * c * (a * d - b * c), atol=1e-12)
    np.testing.assert_allclose(hessian(*x)[1], -2 * c * d, atol=1e-12)
    with pytest.raises(TypeError, match="4 coordinates, got 2"):
        gradient(a, b)


SCALARS = st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, -3.25])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 4) -> Callable[[list], object]:
    """A random expression in x[0], x[1] and constants, as a function of the operations g and of x."""
    kind = draw(
        st.sampled_from(["leaf"] if depth == 0 else ["leaf", "unary", "binary", "binary", "where", "pow"])
    )
    if kind == "leaf":
        i = draw(st.integers(0, 3))
        c = draw(SCALARS)
        return lambda g, x: x[i] if i < 2 else c
    a, b = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    if kind == "unary":
        name = draw(st.sampled_from(["neg", "sin"]))
        return lambda g, x: g.neg(a(g, x)) if name == "neg" else g.unary(torch.sin, a(g, x))
    if kind == "pow":
        k = draw(st.integers(0, 4))
        return lambda g, x: g.pow(a(g, x), float(k))
    if kind == "where":
        return lambda g, x: g.where(g.compare(torch.gt, x[0], x[1]), a(g, x), b(g, x))
    name = draw(st.sampled_from(["add", "sub", "mul"]))
    return lambda g, x: getattr(g, name)(a(g, x), b(g, x))


class Direct:
    """The same operations on numbers, without simplification."""

    add = staticmethod(lambda a, b: a + b)
    sub = staticmethod(lambda a, b: a - b)
    mul = staticmethod(lambda a, b: a * b)
    pow = staticmethod(lambda a, b: a**b)
    neg = staticmethod(lambda a: -a)
    unary = staticmethod(lambda f, a: f(torch.as_tensor(a, dtype=torch.float64)))
    compare = staticmethod(lambda f, a, b: f(a, b))
    where = staticmethod(lambda c, a, b: a if c else b)


@settings(max_examples=150, deadline=None)
@given(expressions(), st.floats(-2, 2), st.floats(-2, 2))
def test_simplification_does_not_change_the_value(expression: Callable, x: float, y: float) -> None:
    g = ScalarGraph(2)
    g.graph.output(g.full(expression(g, g.inputs)))
    g.graph.eliminate_dead_code()
    point = [torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64)]
    got = torch.fx.GraphModule(torch.nn.Module(), g.graph)(*point)
    expected = float(expression(Direct, point))
    assert got.item() == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.slow
def test_a_compiled_gradient_step_is_one_graph() -> None:
    f, dim = ZOO["beale"]
    gradient = coordinate_gradient(f, dim)

    def step(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        for _ in range(3):
            gx, gy = gradient(x, y)
            x, y = x - 1e-3 * gx, y - 1e-3 * gy
        return x, y

    x = points(dim)
    compiled = torch.compile(step, fullgraph=True)
    for a, b in zip(compiled(*x), step(*x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_threads_trace_one_after_the_other() -> None:
    """Pieces of a job may run in threads, and tracing patches torch for the whole process."""

    def gradient(k: int) -> None:
        f = torch.func.grad(lambda w: torch.logsumexp(w, 0) + ((w**2 - 1) ** 2).sum() / (4 + k) + w.prod())
        coordinate_form(f, 4)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(gradient, range(12)))
    finally:
        sys.setswitchinterval(before)
