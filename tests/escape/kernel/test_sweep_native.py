"""The compiled sweep takes the paths of the torch sweep: systems, regions, schedules, several systems,
precisions."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.dynamics.backends import native_program
from samdyn.escape.kernel import sweep_choice as choice
from samdyn.escape.kernel import sweep_native as engine
from samdyn.escape.kernel.exit_replay import Notes
from samdyn.escape.statistics.result import ExitTimes
from samdyn.trace.printed import compiling as native
from samdyn.trace.printed.compiling import CompilationError, compiler

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
NOISE = sd.GaussianNoise(std=2.0)
WELL = sd.landscapes.double_well(2)
BUMPS = sd.Landscape(
    lambda w: torch.exp(-w @ w) + torch.tanh(w[0]) ** 2 / 4 + torch.sin(w[1]) / 3 + (w @ w) / 8, dim=2
)
SYSTEMS = {
    "SAM": sd.Diffusion(WELL, sd.SAM(0.2), lr=0.05, noise=NOISE),
    "unified, elementary functions": sd.Diffusion(BUMPS, sd.UnifiedSAM(0.3, 0.5), lr=0.05, noise=NOISE),
    "curvature noise": sd.Diffusion(WELL, sd.USAM(0.1), lr=0.05, noise=sd.CurvatureNoise(batch_size=1)),
    "no noise": sd.Diffusion(
        sd.landscapes.quadratic([[-1.0, 0.2], [0.2, 0.5]]), sd.GD(), 0.05, sd.GaussianNoise(0.0)
    ),
    "map with momentum": sd.Map(WELL, sd.SAM(0.2), lr=0.05, momentum=0.5, noise=sd.GaussianNoise(std=3.0)),
    "schedule": sd.Diffusion(WELL, sd.USAM(lambda t: 0.5 / (1 + t) ** 0.5), lr=0.05, noise=NOISE),
}
REGIONS = {
    "half-space": sd.HalfSpace([1.0, 0.5], 0.3),
    "ball": sd.Ball([-1.0, 0.0], 0.9),
    "box": sd.Box([-1.6, -0.5], [0.0, 0.4]),
    "union": sd.Ball([-1.0, 0.0], 0.5) | sd.Box([-1.2, -0.2], [0.4, 0.2]),
    "all but a ball": ~sd.Ball([0.5, 0.0], 0.4),
    "function": sd.Region(lambda w: (w @ w) ** 0.5 - 1.2, dim=2),
}


def same(a: ExitTimes, b: ExitTimes, tolerance: float = 1e-9) -> None:
    np.testing.assert_array_equal(a.exited, b.exited)
    np.testing.assert_array_equal(a.faces, b.faces)
    np.testing.assert_array_equal(a.diverged, b.diverged)
    # infinite minus infinite may come a step earlier in one of them; a block later both are found
    some = a.diverged
    np.testing.assert_allclose(a.watched[~some], b.watched[~some], rtol=tolerance)
    np.testing.assert_array_less(np.abs(a.watched - b.watched)[some], 3.5 * a.dt)
    np.testing.assert_allclose(a.exit_points, b.exit_points, rtol=tolerance, atol=10 * tolerance)


def both(
    system: Any, region: Any, n_paths: int = 531, native_only: bool = True, **more: Any
) -> tuple[ExitTimes, ExitTimes]:
    t_max = 100.0 if isinstance(system, sd.Map) else 5.0
    run = partial(
        sd.exit_times, system, [-1.0, 0.05], region, n_paths, t_max=t_max, seed=3, device="cpu", **more
    )
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.filterwarnings("ignore", message="none of")
        eager = run(compile=False)
        if native_only:  # not torch under another name
            patch.delattr(choice, "torch_sweep")
        return eager, run(compile=True)


@needs_compiler
@pytest.mark.parametrize(
    ("system", "region"), [*((name, "box") for name in SYSTEMS), *(("SAM", name) for name in REGIONS)]
)
def test_paths_are_those_of_torch(system: str, region: str) -> None:
    for correction in ("bridge", None):
        eager, compiled = both(SYSTEMS[system], REGIONS[region], precision="double", correction=correction)
        same(eager, compiled, 1e-7)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("correction", ["bridge", None])
def test_share_of_paths_that_rounding_changes(correction: str | None) -> None:
    """At most one path in 20 000: twice as many as the bound allows would be seen in nine of ten tests.

    In double precision none is: `test_paths_are_those_of_torch` asks for that on as many paths.
    """
    sde = sd.Diffusion(WELL, sd.SAM(0.2), lr=0.01, noise=sd.GaussianNoise(std=20.0**0.5))
    run = partial(
        sd.exit_times, sde, [-1.0, 0.0], sd.Box([-2.0, -1.0], [0.0, 1.0]), n_paths=20_000, t_max=10.0,
        seed=8, correction=correction, device="cpu",
    )  # fmt: skip
    a, b = (run(precision="single", compile=compile) for compile in (False, True))
    different = (a.exited != b.exited) | (a.faces != b.faces) | (np.abs(a.watched - b.watched) > 1e-3)
    assert different.mean() < 1e-4
    assert 0.2 < a.exited.mean() < 0.9


@needs_compiler
@pytest.mark.parametrize("scheduled", [False, True])
def test_several_systems_as_one_ensemble(scheduled: bool) -> None:
    rho = sd.schedules.Delayed(0.3, 20) if scheduled else 0.3
    sde = sd.Diffusion(WELL, sd.USAM(rho), lr=0.05, noise=NOISE)
    grid = (
        {"lr": [0.02, 0.05], "std": [1.5, 2.0, 2.5]} if scheduled else {"rho": [0.0, 0.2], "std": [1.5, 2.0]}
    )
    run = partial(
        sd.exit_time_sweep, sde, [-1.0, 0.0], REGIONS["box"], grid, n_paths=77, t_max=4.0, seed=5,
        device="cpu", precision="double",
    )  # fmt: skip
    for a, b in zip(run(compile=False).results, run(compile=True).results, strict=True):
        same(a, b, 1e-7)


@needs_compiler
def test_paths_that_diverge_and_a_nan() -> None:
    steep = sd.Diffusion(sd.Landscape(lambda w: -((w @ w) ** 2), dim=2), sd.GD(), lr=0.05, noise=NOISE)
    a, b = both(steep, ~sd.Ball([0.0, 3.0], 0.1))
    assert a.diverged.mean() > 0.9
    same(a, b, 1e-7)
    root = sd.Diffusion(sd.Landscape(lambda w: (w[0] + 1.5).sqrt() + w[1] ** 2, dim=2), sd.GD(), 0.05, NOISE)
    a, b = both(root, sd.HalfSpace([1.0, 0.0], 0.0))
    assert 0 < a.diverged.mean() < 1
    same(a, b, 1e-7)


@needs_compiler
@pytest.mark.parametrize("n_paths", [1, 15, 16, 17, 33])
def test_any_number_of_paths(n_paths: int) -> None:
    for precision in ("single", "double"):
        a, b = both(SYSTEMS["SAM"], REGIONS["box"], n_paths, precision=precision)
        same(a, b, 1e-4 if precision == "single" else 1e-7)


@needs_compiler
def test_tile_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from samdyn.escape.kernel import exits

    run = partial(sd.exit_times, SYSTEMS["SAM"], [-1.0, 0.0], REGIONS["box"], 1000, t_max=5.0, compile=True)
    whole = run(device="cpu")
    with ThreadPoolExecutor(2) as pool:
        same(whole, run(executor=pool, device="cpu"), 0.0)
    monkeypatch.setattr(exits, "COMPILED_TILE", 37)
    same(whole, run(device="cpu"), 0.0)


@needs_compiler
@pytest.mark.parametrize("lost", ["beside the tile", "that left"])
def test_bits_do_not_depend_on_the_paths_beside_them(lost: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes whose numbers are out of range: of a register that is not full, which hold 0, and of paths that
    went to infinity; and several faces within reach of some paths.
    """
    from samdyn.escape.kernel import exits

    if lost == "that left":
        loss, rule, x0, region = (lambda w: -((w @ w) ** 2)), sd.SAM(0.2), [0.2, 0.0], ~sd.Box([1, 1], [4, 3])
    else:
        loss, rule, x0, region = (
            (lambda w: w[0] + 2 / torch.sqrt(w[0]) + w[1] ** 2 / 2),
            sd.GD(),
            [1.2, 0.0],
            sd.Box([0.3, -1], [4, 1]),
        )
    sde = sd.Diffusion(sd.Landscape(loss, dim=2), rule, lr=0.05, noise=NOISE)
    run = partial(
        sd.exit_times, sde, x0, region, 500, t_max=200.0, compile=True, device="cpu", precision="single"
    )
    whole = run()
    assert whole.diverged.any() == (lost == "that left")
    for tile in (5, 37):
        monkeypatch.setattr(exits, "COMPILED_TILE", tile)
        same(whole, run(), 0.0)


@needs_compiler
def test_memory_that_runs_out_behind_a_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tile has been advanced by then, and is advanced again in halves."""
    add, failed = Notes.add, []

    def add_later(self: Notes, *note: Any) -> None:
        if len(failed) < 2:
            failed.append(note)
            raise MemoryError
        add(self, *note)

    run = partial(sd.exit_times, SYSTEMS["SAM"], [-1.0, 0.0], REGIONS["box"], 300, t_max=5.0, compile=True)
    whole = run(device="cpu")
    monkeypatch.setattr(Notes, "add", add_later)
    again = run(device="cpu")
    assert len(failed) == 2
    same(whole, again, 0.0)


@needs_compiler
def test_a_region_in_which_points_are_mapped_runs_in_torch() -> None:
    region = sd.Region(lambda w: torch.linalg.svdvals(torch.stack([w, w + 1])).sum() - 6.0, dim=2)
    assert not region.faces[0].pointwise
    a, b = both(SYSTEMS["SAM"], region, 50, native_only=False)
    same(a, b, 0.0)


def test_a_compiler_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise CompilationError("g++ failed: no space")

    monkeypatch.setattr(native_program, "load_library", fails)
    monkeypatch.setattr(native, "compiler", lambda: ("g++",))
    engine._compiled.cache_clear()
    run = partial(sd.exit_times, SYSTEMS["SAM"], [-1.0, 0.0], REGIONS["box"], 50, t_max=5.0, device="cpu")
    with pytest.warns(RuntimeWarning, match="no space"):
        compiled = run(compile=True)
    same(run(compile=False), compiled, 0.0)
