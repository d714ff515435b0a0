"""Regions: their algebra, signed distances and faces, and what they refuse."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from samdyn.escape.region import Ball, Box, HalfSpace, OpenSet, Region
from samdyn.numerics.vector import Coordinates

INF = math.inf


def disc(w: Tensor) -> Tensor:
    return torch.linalg.vector_norm(w) - 1


def not_traceable(w: Tensor) -> Tensor:
    """A disc written with an operation that has no scalar form."""
    return torch.sqrt(torch.linalg.det(torch.outer(w, w) + torch.eye(len(w), dtype=w.dtype)) - 1) - 1


number = st.integers(-20, 20).map(lambda k: k / 4)
vector = st.tuples(number, number)
balls = st.builds(Ball, vector, st.integers(1, 12).map(lambda k: k / 4))
boxes = st.tuples(vector, st.tuples(*[st.integers(1, 12)] * 2)).map(
    lambda p: Box(p[0], [a + k / 4 for a, k in zip(*p, strict=True)])
)
half_spaces = st.builds(HalfSpace, vector.filter(any), number)
plain = st.one_of(balls, boxes, half_spaces)


def combine(children: st.SearchStrategy[OpenSet]) -> st.SearchStrategy[OpenSet]:
    def both(pair: tuple[OpenSet, OpenSet]) -> OpenSet:
        try:
            return pair[0] & pair[1]
        except ValueError:
            return pair[0]

    def without(region: OpenSet) -> OpenSet:
        try:
            return ~region
        except ValueError:  # the complement of a union that covers everything
            return region

    pairs = st.tuples(children, children)
    return st.one_of(pairs.map(both), pairs.map(lambda p: p[0] | p[1]), children.map(without))


regions = st.recursive(plain, combine, max_leaves=5)
GRID = np.stack(np.meshgrid(*[np.linspace(-6.1, 6.3, 41)] * 2), -1).reshape(-1, 2)


def columns(x: Any) -> Coordinates:
    return Coordinates(torch.as_tensor(np.array(x)).unbind(-1))


def inside(region: OpenSet, x: np.ndarray) -> np.ndarray:
    """Membership from the definitions, without signed distances."""
    if isinstance(region, Ball):
        return np.linalg.norm(x - region.center, axis=-1) < region.radius
    if isinstance(region, Box):
        return ((x > region.lower) & (x < region.upper)).all(-1)
    assert isinstance(region, HalfSpace)
    return x @ region.normal < region.offset


@given(plain)
def test_plain_regions_contain_what_their_definition_says(region: OpenSet) -> None:
    clear = np.abs(region.signed_distance(GRID)) > 1e-9
    np.testing.assert_array_equal(region.contains(GRID)[clear], inside(region, GRID)[clear])


@given(plain, plain)
def test_algebra_is_that_of_sets(a: OpenSet, b: OpenSet) -> None:
    x = GRID[(np.abs(a.signed_distance(GRID)) > 1e-9) & (np.abs(b.signed_distance(GRID)) > 1e-9)]
    in_a, in_b = inside(a, x), inside(b, x)
    np.testing.assert_array_equal((a | b).contains(x), in_a | in_b)
    np.testing.assert_array_equal((~a).contains(x), ~in_a)
    try:
        both = a & b
    except ValueError:  # only where there is nothing
        assert not (in_a & in_b).any()
    else:
        np.testing.assert_array_equal(both.contains(x), in_a & in_b)


@given(regions, regions)
@settings(max_examples=60)
def test_de_morgan(a: OpenSet, b: OpenSet) -> None:
    distance = (a | b).signed_distance(GRID)
    try:
        outside = ~(a | b), ~a & ~b
    except ValueError:
        assert (distance < 1e-9).all()
    else:
        for region in outside:
            # an implied face is left out of an intersection: outside of it the distance may then be smaller
            d, clear = region.signed_distance(GRID), np.abs(distance) > 1e-9
            np.testing.assert_array_equal((d < 0)[clear], (distance > 0)[clear])
    try:
        both = a & b
    except ValueError:
        return
    np.testing.assert_allclose((~both).signed_distance(GRID), (~a | ~b).signed_distance(GRID), atol=1e-12)


@given(regions)
@settings(max_examples=60)
def test_a_region_is_where_all_its_faces_are_negative(region: OpenSet) -> None:
    distances = np.stack([face.distance(columns(GRID)).numpy() for face in region.faces])
    np.testing.assert_array_equal(region.signed_distance(GRID), distances.max(0))
    np.testing.assert_array_equal(region.contains(GRID), (distances < 0).all(0))
    for face in region.faces:
        assert isinstance(face.name, str)
        assert face.name


@given(regions, st.sampled_from([torch.float32, torch.float64]))
@settings(max_examples=60)
def test_normals_are_the_gradients_of_the_distances(region: OpenSet, dtype: torch.dtype) -> None:
    x = torch.as_tensor(GRID[::7] + 0.0137).to(dtype)
    for face in region.faces:
        w = x.clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(face.distance(Coordinates(w.unbind(-1))).sum(), w)
        distance, normal = face.distance_and_normal(Coordinates(x.unbind(-1)))
        torch.testing.assert_close(distance, face.distance(Coordinates(x.unbind(-1))), rtol=0, atol=0)
        n = torch.stack([torch.as_tensor(u, dtype=dtype).expand(len(x)) for u in normal], -1)
        assert all(isinstance(u, float) or u.dtype == dtype for u in normal)
        length = gradient.norm(dim=-1)
        smooth = (length - 1).abs() < 1e-4  # at ties of a maximum autograd mixes the two sides
        assert smooth.double().mean() > 0.9
        torch.testing.assert_close(n[smooth], gradient[smooth], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(n.norm(dim=-1), torch.ones_like(length), rtol=1e-5, atol=0)


around_zero = st.tuples(
    st.builds(lambda c, more: Ball(c, math.hypot(*c) + more / 4), vector, st.integers(1, 8)),
    st.builds(Box, st.tuples(*[st.integers(-5, -1)] * 2), st.tuples(*[st.integers(1, 5)] * 2)),
    st.builds(HalfSpace, vector.filter(any), st.integers(1, 20)),
)


@given(around_zero)
def test_distance_inside_an_intersection_is_the_distance_to_the_outside(parts: tuple[OpenSet, ...]) -> None:
    """No point of the ball of radius |s(x)| around x is outside, and one a little further off is."""
    region = parts[0] & parts[1] & parts[2]
    assert region.contains([0, 0])
    x = np.concatenate([[[0.0, 0.0]], GRID[region.contains(GRID)][::40]])
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    for point, distance in zip(x, -region.signed_distance(x), strict=True):
        assert region.contains(point + 0.999999 * distance * ring).all()
        assert not region.contains(point + 1.001 * distance * ring).all()


def test_signed_distances() -> None:
    np.testing.assert_allclose(Ball([1, 1], 2).signed_distance([[1, 1], [1, 4]]), [-2, 1])
    np.testing.assert_allclose(Box([0, 0], [2, 1]).signed_distance([[0.5, 0.6], [5, 0.5]]), [-0.4, 3])
    np.testing.assert_allclose(HalfSpace([0, 2], 4).signed_distance([[9, 1], [9, 5]]), [-1, 3])
    np.testing.assert_allclose((~Ball([0, 0], 1)).signed_distance([[0, 0], [0, 3]]), [1, -2])
    np.testing.assert_allclose(Region(disc).signed_distance([[0, 0], [0, 3]]), [-1, 2])


def test_shapes_and_what_is_on_the_boundary() -> None:
    region = Ball([0, 0, 0], 1) & HalfSpace([1, 0, 0], 0.5)
    assert region.signed_distance(np.zeros((4, 5, 3))).shape == (4, 5)
    assert region.signed_distance(np.zeros((0, 3))).shape == (0,)
    assert region.signed_distance([0, 0, 0]).shape == ()
    assert bool(region.contains([0, 0, 0]))
    assert Box(-1, 1).contains([[-1], [0], [1], [math.nan], [INF]]).tolist() == [
        False,
        True,
        False,
        False,
        False,
    ]
    assert Ball([0, 0], 1).contains([[1, 0], [math.nan, 0], [INF, 0], [-INF, INF]]).tolist() == [False] * 4


def test_many_points_are_done_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    region = Ball([0, 0], 4) | ~Box([-1, -1], [1, 1])
    whole = region.signed_distance(GRID)
    monkeypatch.setattr("samdyn.escape.region.open_set.CHUNK_VALUES", 100)
    np.testing.assert_array_equal(region.signed_distance(GRID), whole)


def test_faces_and_their_names() -> None:
    def names(region: OpenSet) -> list[str]:
        return [face.name for face in region.faces]

    assert names(Box([-1.5, 0], [1.5, 2])) == ["x_0 = -1.5", "x_0 = 1.5", "x_1 = 0", "x_1 = 2"]
    assert names(Box([-INF, -1], [INF, INF])) == ["x_1 = -1"]
    assert names(Ball([0, 0.5], 2)) == ["|x - (0, 0.5)| = 2"]
    assert names(Ball(1, 2)) == ["x_0 = -1", "x_0 = 3"]  # both ends of an interval are tested
    assert names(HalfSpace([3, -4], 10)) == ["0.6 x_0 - 0.8 x_1 = 2"]
    assert names(~HalfSpace([2], 1)) == ["x_0 = 0.5"]
    assert names(~Ball([0, 0], 1)) == ["|x - (0, 0)| = 1"]
    assert names(Region(disc, 2) & HalfSpace([1, 0], 0)) == ["disc(x) = 0", "x_0 = 0"]
    assert len(names(Ball([0, 0], 1) | Box([0, 0], [2, 2]))) == 1
    assert len(names(~(Ball([0, 0], 1) | Ball([3, 0], 1)))) == 2  # outside two balls: each is its own face


def test_constant_normals_are_numbers_and_cost_nothing() -> None:
    x = columns([[0.2, 0.3, 0.4]])
    for face in Box([0, 0, 0], [1, 1, 1]).faces:
        _, normal = face.distance_and_normal(x)
        assert isinstance(normal, Coordinates)
        assert all(isinstance(n, float) for n in normal)
        traced = torch.fx.experimental.proxy_tensor.make_fx(lambda *w, f=face: f.distance(Coordinates(w)))(*x)
        calls = [node for node in traced.graph.nodes if node.op == "call_function"]
        assert len(calls) <= 2  # a sign and an offset


def test_the_centre_of_a_ball_has_a_unit_normal() -> None:
    (face,) = Ball([1, 2], 1).faces
    distance, normal = face.distance_and_normal(columns([[1.0, 2.0]]))
    assert (distance.item(), [n.item() for n in normal]) == (-1, [1, 0])
    center = torch.tensor([1.0, 2.0])
    for function in (lambda w: ((w - center) ** 2).sum() ** 0.5 - 1, lambda w: (w - center).norm() - 1):
        (face,) = Region(function, dim=2).faces  # has the gradient nan there, or 0
        distance, normal = face.distance_and_normal(columns([[1.0, 2.0], [1.0, 5.0]]))
        assert distance.tolist() == [-1, 2]
        assert [n.tolist() for n in normal] == [[1, 0], [0, 1]]


def test_implied_faces_are_left_out() -> None:
    box = Box([-1, -1], [1, 1])
    assert (box & box).faces == box.faces
    assert (box & Box([-2, 0], [1, 3])).faces == Box([-1, 0], [1, 1]).faces[:2] + tuple(
        reversed(Box([-1, 0], [1, 1]).faces[2:])
    )
    small, large = Ball([0, 0], 1), Ball([0.5, 0], 1.5)
    assert (small & large).faces == (large & small).faces == small.faces
    assert (small & HalfSpace([3, 4], 5)).faces == small.faces
    assert len((small & HalfSpace([3, 4], 4.9)).faces) == 2


@pytest.mark.parametrize(
    "parts",
    [
        (Box([0, 0], [1, 1]), Box([1, 0], [2, 1])),
        (Box(0, 1), Box(2, 3)),
        (Ball([0, 0], 1), Ball([2, 0], 1)),
        (Ball([0, 0], 1), HalfSpace([-3, -4], -5)),
        (HalfSpace([1, 2], 0), HalfSpace([-2, -4], 0)),
        (Ball([0, 0], 1), Box([0.8, 0.8], [2, 2])),
        (Ball([0, 0], 1), ~Ball([0.1, 0], 2)),
        (Ball([0, 0], 1), ~Ball([0, 0], 1)),
        (Region(disc, 2), ~Region(disc, 2)),
        (Ball([0, 0], 1) | Ball([1, 0], 1), Box([2, 2], [3, 3])),
        (Box([0, 0], [1, 1]), Ball([0.5, 0.5], 4), ~Box([-1, -1], [1, 2])),
    ],
)
def test_empty_intersections_are_refused(parts: tuple[OpenSet, ...]) -> None:
    with pytest.raises(ValueError, match=r"region must not be empty, got .* & .*, whose operands"):
        _ = parts[0] & parts[1] if len(parts) == 2 else parts[0] & parts[1] & parts[2]
    with pytest.raises(ValueError, match="region must not be empty"):
        _ = parts[-1] & parts[0]


@pytest.mark.parametrize(
    "region",
    [
        Ball([0, 0], 1),
        Box([0, -INF], [1, 2]),
        HalfSpace([1, 1], 3),
        ~Box([0, 0], [1, 1]),
        Ball([0, 0], 1) | HalfSpace([1, 0], 0),
        Ball([0, 0], 1) & ~Ball([0, 0], 0.5),
        Region(disc),
        Region(disc, dim=2) & HalfSpace([1, 0], 0),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_pickling_equality_and_hash(region: OpenSet) -> None:
    size = len(pickle.dumps(copy.deepcopy(region)))
    _ = region.faces  # made on the way, and not part of the region
    assert len(pickle.dumps(region)) == size
    for other in (pickle.loads(pickle.dumps(region)), copy.deepcopy(region)):
        assert other == region
        assert hash(other) == hash(region)
        assert repr(other) == repr(region)
        np.testing.assert_array_equal(other.signed_distance(GRID), region.signed_distance(GRID))
    assert region != Ball([0, 0], 7)


def test_frozen_normalised_and_involutive() -> None:
    ball = Ball(np.array([0, 1]), np.float32(2))
    assert ball == Ball((0.0, 1.0), 2.0)
    assert repr(ball) == "Ball(center=(0.0, 1.0), radius=2.0)"
    with pytest.raises(AttributeError):
        ball.radius = 3.0  # type: ignore[misc]
    assert HalfSpace([0, 5], 10) == HalfSpace(torch.tensor([0.0, 1.0]), 2)
    assert HalfSpace([1e-300, 0], 1e-300) == HalfSpace([1e300, 0], 1e300) == HalfSpace([1, 0], 1)
    for region in (
        HalfSpace([0.1, 0.2, 0.7], 0.3),
        ball,
        ball | HalfSpace([1, 0], 0),
        ball & HalfSpace([1, 0], 0),
    ):
        assert ~~region == region
    assert repr(~(ball | ball)) == f"~{ball!r} & ~{ball!r}"
    assert repr((ball | ball) & ball) == f"({ball!r} | {ball!r}) & {ball!r}"


@pytest.mark.parametrize("function", [disc, not_traceable])
def test_functions_give_the_faces_of_the_ball_that_they_describe(function: Any) -> None:
    x = columns(GRID[::7])
    (exact,) = Ball([0, 0], 1).faces
    for region in (Region(function), Region(function, dim=2)):
        (face,) = region.faces
        distance, normal = face.distance_and_normal(x)
        exact_distance, exact_normal = exact.distance_and_normal(x)
        for got, wanted in zip((distance, *normal), (exact_distance, *exact_normal), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-7)
        torch.testing.assert_close(face.distance(x), exact.distance(x), rtol=1e-7, atol=1e-7)
        single = face.distance_and_normal(Coordinates(u.float() for u in x))
        assert {single[0].dtype, *(n.dtype for n in single[1])} == {torch.float32}


def test_functions_use_the_coordinate_form_where_there_is_one() -> None:
    assert Region(disc, 2).faces[0].form is not None  # type: ignore[attr-defined]
    assert Region(not_traceable, 2).faces[0].form is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "region",
    [
        Box([-1, -1], [1, 1]),
        ~Box([-1, -1], [1, 1]),
        Ball([0, 0], 1) | HalfSpace([1, 0], 0),
        Region(disc, 2) & HalfSpace([0, 1], 0.5),
        Region(disc),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_faces_trace_without_a_graph_break(region: OpenSet) -> None:
    faces = region.faces

    def all_of_them(x0: Tensor, x1: Tensor) -> list[Tensor]:
        result = []
        for face in faces:
            distance, normal = face.distance_and_normal(Coordinates((x0, x1)))
            result += [distance, *(distance * n for n in normal)]
        return result

    x = columns(GRID)
    traced = torch.compile(all_of_them, backend="eager", fullgraph=True)
    for got, wanted in zip(traced(*x), all_of_them(*x), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_dim_becomes_known() -> None:
    region = Region(disc)
    assert region.dim is None
    assert (region | ~region).dim is None
    assert (region & Ball([0, 0, 0], 2)).dim == 3
    for made in (region, ~region, region | Region(disc), region & ~Region(not_traceable)):
        assert made.with_dim(2).dim == 2
        assert made.with_dim(2).with_dim(2) == made.with_dim(2)
    with pytest.raises(ValueError, match=r"region must have dim 3, got Ball\(.*\) of dim 2"):
        Ball([0, 0], 1).with_dim(3)
    with pytest.raises(ValueError, match="region must have dim 3"):
        (region & Ball([0, 0], 1)).with_dim(3)
    with pytest.raises(ValueError, match="dim must be an integer >= 1, got 0"):
        region.with_dim(0)


def branch(w: Tensor) -> Tensor:
    return w[0] if w[0] > 0 else -w[0]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Ball([0, 0], 0), ValueError, "radius must be a finite number > 0, got 0"),
        (lambda: Ball([0, 0], -1), ValueError, "radius must be a finite number > 0, got -1"),
        (lambda: Ball([0, 0], math.nan), ValueError, "radius must be a finite number > 0, got nan"),
        (lambda: Ball([0, 0], INF), ValueError, "radius must be a finite number > 0, got inf"),
        (lambda: Ball([0, 0], "1"), TypeError, "radius must be a finite number > 0, got '1'"),
        (lambda: Ball([0, 0], [1, 2]), TypeError, "radius must be a finite number > 0"),
        (lambda: Ball([0, INF], 1), ValueError, r"center must be finite, got \[0, inf\]"),
        (lambda: Ball([0, math.nan], 1), ValueError, "center must not hold nan"),
        (lambda: Ball([], 1), ValueError, r"center must have shape \(dim,\) with dim >= 1, got shape \(0,\)"),
        (lambda: Ball([[0, 0]], 1), ValueError, r"center must have shape \(dim,\).* got shape \(1, 2\)"),
        (lambda: Ball("ab", 1), TypeError, "center must be a number or a sequence of numbers, got 'ab'"),
        (lambda: Ball(["1", "2"], 1), TypeError, "center must be a number or a sequence of numbers"),
        (lambda: Ball([1j, 0], 1), TypeError, "center must be a number or a sequence of numbers"),
        (lambda: Ball([[1], [1, 2]], 1), TypeError, "center must be a number or a sequence of numbers"),
        (lambda: Ball(None, 1), TypeError, "center must be a number or a sequence of numbers, got None"),
        (lambda: Box([0, 0], [1]), ValueError, "lower and upper must have the same length, got 2 and 1"),
        (lambda: Box([0, 0], [1, 0]), ValueError, "lower must be < upper in every coordinate, got .* and"),
        (lambda: Box([2], [1]), ValueError, "lower must be < upper"),
        (lambda: Box([INF], [INF]), ValueError, "lower must be < upper"),
        (lambda: Box([math.nan], [1]), ValueError, "lower must not hold nan"),
        (lambda: Box([-INF], [INF]), ValueError, "lower and upper must have a finite bound"),
        (lambda: Box([True], [2]), TypeError, "lower must be a number or a sequence of numbers"),
        (lambda: HalfSpace([0, 0], 1), ValueError, r"normal must not be 0, got \[0, 0\]"),
        (lambda: HalfSpace([1, INF], 1), ValueError, "normal must be finite"),
        (lambda: HalfSpace([1, 0], INF), ValueError, "offset must be a finite number, got inf"),
        (lambda: HalfSpace([1, 0], None), TypeError, "offset must be a finite number, got None"),
        (lambda: HalfSpace([1e-300, 0], 1e300), ValueError, r"offset must be finite in units of \|normal\|"),
        (lambda: Region(3), TypeError, "signed_distance must be a function of one point, got 3"),
        (lambda: Region(disc, dim=0), ValueError, "dim must be an integer >= 1, got 0"),
        (lambda: Region(disc, dim="2"), TypeError, "dim must be an integer >= 1, got '2'"),
        (lambda: Region(lambda w: w, 2), ValueError, r"return a scalar tensor, got shape \(2,\)"),
        (lambda: Region(lambda w: 1.0, 2), TypeError, "floating-point type, got float"),
        (lambda: Region(lambda w: w.sum() < 0, 2), TypeError, "floating-point type, got dtype torch.bool"),
        (lambda: Region(lambda w: w[5], 2), TypeError, r"shape \(2,\), .*; it raised IndexError"),
        (lambda: Region(branch, 2), TypeError, "cannot be differentiated and batched"),
        (lambda: Region(branch).with_dim(1), TypeError, "cannot be differentiated and batched"),
        (lambda: Ball([0, 0], 1) & Ball(0, 1), ValueError, "operands of & must have the same dim"),
        (lambda: Ball([0, 0], 1) | Ball(0, 1), ValueError, "operands of | must have the same dim"),
        (lambda: Ball(0, 1) & 3, TypeError, "unsupported operand"),
        (lambda: Ball(0, 1) | np.ones(2), TypeError, "operand"),
        (lambda: np.ones(2) & Ball(0, 1), TypeError, "operand"),
        (lambda: Ball([0, 0], 1).contains([1, 2, 3]), ValueError, r"x must have shape \(..., 2\), got shape"),
        (lambda: Ball([0, 0], 1).contains("ab"), TypeError, "x must be an array of points"),
        (lambda: Region(disc).signed_distance(3.0), ValueError, r"x must have shape \(..., dim\), got"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()
