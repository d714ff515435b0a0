"""Images of boxes hold the images of their points, at critical points too; graphs hold all orbits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import samdyn as sd
from samdyn.morse.images import box_image, iterated
from samdyn.morse.partition import Level

HIMMELBLAU = sd.landscapes.himmelblau()
SYSTEMS = [
    sd.Map(HIMMELBLAU, sd.SAM(0.5), lr=0.01),
    sd.Map(HIMMELBLAU, sd.UnifiedSAM(0.3, 0.7), lr=0.005),
    sd.Map(HIMMELBLAU, sd.USAM(0.02), lr=0.01),
    sd.Map(sd.landscapes.three_well(), sd.SAM(0.2), lr=0.1),
    sd.Map(sd.landscapes.beale(), sd.SAM(0.1), lr=1e-4),
    sd.Map(sd.landscapes.double_well(), sd.SAM(0.4), lr=0.2),
    sd.Map(sd.landscapes.saddle(1.0, 1.0), sd.SAM(1.5), lr=0.1, momentum=0.8),
]
IMAGES = {
    (k, kind): box_image(system, kind)[0]
    for k, system in enumerate(SYSTEMS)
    for kind in ("interval", "lipschitz")
}
ROUNDING = 1e-12  # of the point's own step, which the bounds, those of real arithmetic, do not know


def assert_holds(y: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    slack = ROUNDING * (1 + np.abs(y))
    assert (lower - slack <= y).all()
    assert (y <= upper + slack).all()


@pytest.mark.parametrize("kind", ["interval", "lipschitz"])
@pytest.mark.parametrize("k", range(len(SYSTEMS)), ids=[repr(s)[:40] for s in SYSTEMS])
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_points_of_a_box_are_mapped_into_its_image(k: int, kind: str, data: st.DataObject) -> None:
    """Boxes of any size anywhere, at, beside and around critical points; their corners and the point too."""
    system, bound = SYSTEMS[k], IMAGES[k, kind]
    assert system.landscape is not None
    dim = system.state_dim
    box = np.asarray(system.landscape.box if system.landscape.box is not None else [(-2, 2)] * system.dim)
    known = [np.asarray(p.x) for p in system.landscape.critical_points] or [np.zeros(system.dim)]
    share = np.array([data.draw(st.floats(0, 1)) for _ in range(system.dim)])
    anywhere = box[:, 0] + share * (box[:, 1] - box[:, 0])
    center = data.draw(st.sampled_from([*known, anywhere]))
    size = 10.0 ** np.array([data.draw(st.floats(-9, -0.3)) for _ in range(dim)])
    place = np.array([data.draw(st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-0.5, 1.5)) for _ in range(dim)])
    middle = np.concatenate([center, np.zeros(dim - system.dim)])
    lower = middle - place * size
    upper = lower + size
    low, high = bound(lower[None], upper[None])
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    inside = lower + rng.random((64, dim)) * size
    corners = np.where(rng.random((8, dim)) < 0.5, lower, upper)
    near = middle + 10.0 ** rng.uniform(-15, 0, (64, 1)) * size * rng.standard_normal((64, dim))
    near = near[((near >= lower) & (near <= upper)).all(axis=1)]
    points = np.concatenate([inside, corners, near, np.clip(middle, lower, upper)[None]])
    assert_holds(system(points), low[0], high[0])


@pytest.mark.parametrize("k", [0, 1, 3, 4, 5])
def test_all_ascent_directions_belong_to_a_critical_point(k: int) -> None:
    """x - lr grad f(x + r u) for all abs(u) <= 1: what the step tends to, and all between."""
    system = SYSTEMS[k]
    assert system.landscape is not None
    values = system.coefficients()
    radius = values["rho"] * values.get("lam", 1.0)
    rng = np.random.default_rng(k)
    u = rng.standard_normal((500, system.dim))
    u *= rng.random((500, 1)) ** rng.choice([0, 1], (500, 1)) / np.linalg.norm(u, axis=1, keepdims=True)
    for point in system.landscape.critical_points:
        x = np.asarray(point.x)
        for size in (1e-10, 1e-3, 0.1):
            for kind in ("interval", "lipschitz"):
                low, high = IMAGES[k, kind](x[None] - size, x[None] + size)
                y = x - values["lr"] * system.landscape.gradient(x + radius * u)
                # critical points are known to some 1e-9
                assert (low - 1e-7 <= y).all()
                assert (y <= high + 1e-7).all()


@pytest.mark.parametrize("kind", ["interval", "lipschitz"])
def test_maps_of_the_users_own(kind: str) -> None:
    """A function, one that jumps on a line among them; "lipschitz" falls back on intervals there."""

    def kinked(w: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.where(w[0] < 0.3, 1 - w[1] ** 2, torch.sin(3 * w[0])), w[0] * w[1]])

    system = sd.Map.from_function(kinked, dim=2)
    bound, found = box_image(system, kind)
    assert found == kind
    rng = np.random.default_rng(6)
    center = rng.uniform(-1, 1, (400, 2))
    center[:100, 0] = 0.3
    half = 10 ** rng.uniform(-6, -0.5, (400, 1))
    low, high = bound(center - half, center + half)
    for _ in range(40):
        assert_holds(system(center + half * rng.uniform(-1, 1, center.shape)), low, high)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(x=st.floats(-1.2, 1.2), width=st.floats(1e-6, 0.1), times=st.integers(2, 8))
def test_images_of_images_hold_iterates(x: float, width: float, times: int) -> None:
    system = SYSTEMS[5]
    low, high = iterated(IMAGES[5, "interval"], times)(np.array([[x]]), np.array([[x + width]]))
    y = x + width * np.linspace(0, 1, 101)[:, None]
    for _ in range(times):
        y = system(y)
    assert_holds(y, low[0], high[0])


@pytest.mark.parametrize("k", [0, 2, 6], ids=[repr(SYSTEMS[k])[:40] for k in (0, 2, 6)])
def test_images_of_parts_hold_iterates_and_are_narrower(k: int) -> None:
    """Images are cut before they are imaged again: less excess, and an outer bound all the same."""
    system, rng = SYSTEMS[k], np.random.default_rng(k)
    loss_box = np.array([(-2.0, 2.0)] * system.dim if system.box is None else system.box)
    box = np.concatenate([loss_box, np.array([(-1.0, 1.0)] * (system.state_dim - system.dim)).reshape(-1, 2)])
    side = (box[:, 1] - box[:, 0]) / 100
    lower = box[:, 0] + side * rng.integers(30, 70, (30, len(box)))
    low, high = iterated(IMAGES[k, "interval"], 4)(lower, lower + side)
    wide = iterated(IMAGES[k, "interval"], 4, narrow=False)(lower, lower + side)
    assert np.median(np.log((wide[1] - wide[0]) / (high - low))) >= 0
    for _ in range(50):
        y = lower + side * rng.random(lower.shape)
        for _ in range(4):
            y = system(y)
        assert_holds(y, low, high)


@pytest.mark.slow
def test_images_beside_a_jump_do_not_grow_with_every_iterate() -> None:
    """A neuron with decay under SAM: ten iterates of boxes of a 128 x 128 grid met 26 000 others, now
    some hundred; the points themselves meet ten.
    """
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)
    y = torch.tanh(1.3 * x)
    loss = sd.Landscape(
        lambda w: ((w[1] * torch.tanh(w[0] * x) - y) ** 2).mean() / 2 + 0.05 * (w @ w), 2, box=[(-3, 3)] * 2
    )
    one, _ = box_image(sd.Map(loss, sd.SAM(0.3), lr=0.2), "interval")
    lower = 6 / 128 * np.array([[-2.0, 1.0], [-1.0, -1.0], [0.0, 0.0], [3.0, 2.0]])
    low, high = iterated(one, 5)(lower, lower + 6 / 128)
    wide_low, wide_high = iterated(one, 5, narrow=False)(lower, lower + 6 / 128)
    assert ((high - low).prod(axis=1) < 0.3 * (wide_high - wide_low).prod(axis=1)).all()


# ---- partitions


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    start=st.floats(-1e9, 1e9),
    width=st.floats(1e-2, 1e6),
    count=st.integers(1, 2**22),
    share=st.floats(0, 1),
)
def test_every_point_meets_the_box_that_holds_it(
    start: float, width: float, count: int, share: float
) -> None:
    """Also far from the origin, where the corners of boxes are rounded by more than a part of a box."""
    box = np.array([[start, start + width]])
    level = Level(box, (count,))
    index = np.array([[min(int(share * count), count - 1)], [0], [count - 1]])
    lower, upper = level.corners(index)
    assert lower[1, 0] == box[0, 0]
    assert upper[2, 0] == box[0, 1]
    for point in (lower, upper, np.nextafter(lower, np.inf), (lower + upper) / 2):
        inside = np.clip(point, lower, upper)
        first, last, outside = level.blocks(inside, inside)
        assert (first <= index).all()
        assert (index <= last).all()
        assert not outside.any()


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("offset", [0.0, 3e5])
def test_orbits_follow_edges_of_the_partition(adaptive: bool, offset: float) -> None:
    """From the leaf of a point a path leads to the leaf of its image, in boxes far from the origin too."""

    def twisted(w: torch.Tensor) -> torch.Tensor:
        x, y = w[0] - offset, w[1] - offset
        return torch.stack([1 - 1.4 * x**2 + y, 0.3 * x]) + offset

    system = sd.Map.from_function(twisted, dim=2)
    graph = sd.morse_graph(system, np.array([(-1.6, 1.6), (-0.6, 0.6)]) + offset, 256, adaptive=adaptive)
    tree = graph.tree
    leaves = np.flatnonzero(tree.leaf())
    lower, upper = tree.corners(leaves)
    x = np.random.default_rng(0).uniform(graph.box[:, 0], graph.box[:, 1], (60, 2))
    y = system(x)

    def nodes_of(p: np.ndarray) -> np.ndarray:
        inside = leaves[((lower <= p) & (p <= upper)).all(axis=1)]
        return inside if len(inside) else np.array([tree.outside])

    for start, end in zip(x, y, strict=True):
        for node in nodes_of(end):
            assert tree.leading_to(np.array([node]))[nodes_of(start)].all()
