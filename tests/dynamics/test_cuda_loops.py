"""The body of a GPU's thread, without a GPU: run by a C++ compiler as a loop over threads, it takes the paths
of the eager engine; and NVRTC makes machine code of every system, region and correction."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.paths import motion_on_device
from samdyn.basin.paths.arrival import Target
from samdyn.basin.paths.native_arrival import CompiledLooks, looks_source, tables_of
from samdyn.dynamics import driver, path_job
from samdyn.dynamics.backends.devices import Argument, Backend, Cuda, Loop, Registers, plain
from samdyn.dynamics.backends.native_step import NativeStep
from samdyn.dynamics.backends.traced_step import TracedStep
from samdyn.dynamics.clock import coefficients_at
from samdyn.dynamics.steppers import build_stepper
from samdyn.escape.kernel import sweep_choice as choice
from samdyn.escape.rare import native_stopping
from samdyn.escape.statistics.result import ExitTimes
from samdyn.trace.printed.compiling import CompilationError, compiler, load_library
from samdyn.trace.printed.nvrtc import load_kernel, machine_code

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C++ compiler")
ARCHITECTURES = ("sm_80", "sm_90")

NOISE = sd.GaussianNoise(std=2.0)
WELL = sd.landscapes.double_well(2)
EVERYTHING = sd.Landscape(
    lambda w: (
        torch.exp(-w @ w) + torch.tanh(w[0]) ** 2 / 4 + torch.sin(w[1]) / 3 + (w @ w) / 8
        + torch.erf(w[0]) / 9 + torch.atan2(w[1], 3 + w[0] ** 2) / 7 + torch.sigmoid(w[1]) / 5
        + torch.maximum(w[0], w[1]) / 9 + torch.where(w[0] > 0, w[1].abs(), w[1].cos()) / 8
        + (2 + w[0] ** 2) ** 0.3 / 6 + torch.log1p(w[1] ** 2) / 7
    ),
    dim=2,
)  # fmt: skip
LINE = sd.FiniteSum.least_squares([[1.0], [2.0], [0.5], [-1.0]], [1.0, 1.0, 2.0, 0.0])
PLANE = sd.FiniteSum.least_squares([[1.0, 0.2], [2.0, -1.0], [0.5, 0.3], [-1.0, 1.0]], [1.0, 1.0, 2.0, 0.0])


def batches(loss: sd.FiniteSum, **how: Any) -> sd.Map:
    return sd.Map(loss, sd.SAM(0.2), lr=0.3, noise=sd.Minibatch(**how))


SYSTEMS: dict[str, Any] = {
    "SAM": sd.Diffusion(WELL, sd.SAM(0.2), lr=0.05, noise=NOISE),
    "elementary functions": sd.Diffusion(EVERYTHING, sd.GD(), lr=0.05, noise=NOISE),
    "extragradient": sd.Diffusion(WELL, sd.Extragradient(0.2), lr=0.05, noise=NOISE),
    "curvature noise": sd.Diffusion(WELL, sd.USAM(0.1), lr=0.05, noise=sd.CurvatureNoise(batch_size=1)),
    "unified, correlated noise": sd.Diffusion(
        WELL, sd.UnifiedSAM(0.3, 0.5), lr=0.05, noise=sd.GaussianNoise(cov=[[4.0, 1.0], [1.0, 2.0]])
    ),
    "map with momentum": sd.Map(WELL, sd.SAM(0.2), lr=0.05, momentum=0.5, noise=sd.GaussianNoise(std=3.0)),
    "schedule": sd.Diffusion(WELL, sd.USAM(lambda t: 0.5 / (1 + t) ** 0.5), lr=0.05, noise=NOISE),
    "one sample": batches(PLANE, batch_size=1, sampling="with replacement"),
    "importance": batches(PLANE, batch_size=2, sampling="importance"),
    "pairs": batches(PLANE, batch_size=2, probe="independent"),
    "all but one": batches(PLANE, batch_size=3, probe="full"),
}
REGIONS = {
    "half-space": sd.HalfSpace([1.0, 0.5], 0.3),
    "ball": sd.Ball([-1.0, 0.0], 0.9),
    "box": sd.Box([-1.6, -0.5], [0.0, 0.4]),
    "union": sd.Ball([-1.0, 0.0], 0.5) | sd.Box([-1.2, -0.2], [0.4, 0.2]),
    "all but a ball": ~sd.Ball([0.5, 0.0], 0.4),
}
# every system, region, correction and precision, not all of their combinations: each is compiled three times
CASES = [
    ("SAM", "box", "bridge", "double"),
    ("SAM", "box", "bridge", "single"),
    ("unified, correlated noise", "union", "bridge", "double"),
    ("extragradient", "half-space", "bridge", "double"),
    ("elementary functions", "ball", None, "double"),
    ("curvature noise", "box", "bridge", "double"),
    ("map with momentum", "all but a ball", None, "single"),
    ("schedule", "all but a ball", "bridge", "single"),
    ("one sample", "half-space", None, "double"),
    ("importance", "box", None, "double"),
    ("pairs", "box", None, "single"),
    ("all but one", "ball", None, "double"),
]


@dataclass(frozen=True)
class Threads:
    """A GPU's source as C++: a few threads, one after the other."""

    one_lane: ClassVar[bool] = True
    count: int = 3

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def loop(self, source: str, name: str, types: Sequence[Any]) -> Loop:
        library = load_library(source)
        function, this_thread = getattr(library, name), library.this_thread
        function.argtypes, function.restype = list(types), None
        this_thread.argtypes, this_thread.restype = [ctypes.c_int64, ctypes.c_int64], None

        def call(*arguments: Argument) -> None:
            for number in range(self.count):
                this_thread(number, self.count)
                function(*map(plain, arguments))

        return call


class Compiled(Exception):
    """What `Nvrtc` has to say in place of a result."""


@dataclass(frozen=True)
class Nvrtc:
    """Compiles for GPUs that are not here."""

    one_lane: ClassVar[bool] = True

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def loop(self, source: str, name: str, types: Sequence[Any]) -> Loop:
        for architecture in ARCHITECTURES:
            code = machine_code(source, architecture)
            assert code[:4] == b"\x7fELF"
            assert name.encode() in code
        raise Compiled


def exits(system: Any, region: Any, backend: Backend | None, **more: Any) -> ExitTimes:
    t_max = 100.0 if isinstance(system, sd.Map) else 5.0
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.filterwarnings("ignore", message="none of")
        if backend is not None:
            patch.setattr(choice, "backend_of", lambda device: backend)
            patch.delattr(choice, "torch_sweep")  # not torch under another name
        compile = backend is not None
        options = {"t_max": t_max, "seed": 3, "device": "cpu", "compile": compile, **more}
        return sd.exit_times(system, [-1.0, 0.05], region, 230, **options)


def same(a: ExitTimes, b: ExitTimes, tolerance: float) -> None:
    np.testing.assert_array_equal(a.exited, b.exited)
    np.testing.assert_array_equal(a.faces, b.faces)
    np.testing.assert_array_equal(a.diverged, b.diverged)
    np.testing.assert_allclose(a.watched, b.watched, rtol=tolerance)
    np.testing.assert_allclose(a.exit_points, b.exit_points, rtol=tolerance, atol=10 * tolerance)


@needs_compiler
@pytest.mark.parametrize(("system", "region", "correction", "precision"), CASES)
def test_threads_take_the_paths_of_torch(
    system: str, region: str, correction: str | None, precision: str
) -> None:
    run = partial(exits, SYSTEMS[system], REGIONS[region], correction=correction, precision=precision)
    eager = run(None)
    assert eager.exited.mean() > 0
    # in single precision the random numbers and 2^x have formulas of their own
    same(eager, run(Threads()), 1e-7 if precision == "double" else 1e-3)


@needs_compiler
def test_the_number_of_threads_changes_nothing() -> None:
    run = partial(exits, SYSTEMS["SAM"], REGIONS["box"])
    same(run(Threads(1)), run(Threads(7)), 0.0)


@needs_compiler
@pytest.mark.parametrize("scheduled", [False, True])
def test_threads_take_several_systems(scheduled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rho = sd.schedules.Delayed(0.3, 20) if scheduled else 0.3
    sde = sd.Diffusion(WELL, sd.USAM(rho), lr=0.05, noise=NOISE)
    run = partial(
        sd.exit_time_sweep, sde, [-1.0, 0.0], REGIONS["box"], {"lr": [0.02, 0.05], "std": [1.5, 2.0]},
        n_paths=77, t_max=4.0, seed=5, device="cpu", precision="double",
    )  # fmt: skip
    eager = run(compile=False)
    monkeypatch.setattr(choice, "backend_of", lambda device: Threads())
    monkeypatch.delattr(choice, "torch_sweep")
    for a, b in zip(eager.results, run(compile=True).results, strict=True):
        same(a, b, 1e-7)


@needs_compiler
@pytest.mark.parametrize("system", ["map with momentum", "schedule", "pairs"])
def test_threads_take_the_steps_of_torch(system: str) -> None:
    """Without an exit test: what trajectories and basins advance by, with a first step inside a block."""
    one = SYSTEMS[system]
    values = coefficients_at(one)
    state = np.random.default_rng(0).normal(size=(one.state_dim, 50))
    steps = [TracedStep(one), NativeStep(one, None, Threads())]
    a, b = (step.advance(state, step.stream(7, np.arange(50), 21), 6, 15, values) for step in steps)
    assert np.abs(a - state).max() > 0.1
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


@needs_compiler
def test_basins_on_a_device_advance_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    one = SYSTEMS["map with momentum"]
    state, paths = np.random.default_rng(0).normal(size=(4, 30)), np.arange(30)
    monkeypatch.setattr(motion_on_device, "backend_of", lambda device: Threads())
    eager, threads = (motion_on_device.MotionOnDevice(one, device, 3) for device in ("cpu", "meta"))
    assert eager.native is None
    assert threads.native is not None
    np.testing.assert_allclose(threads(state, paths, 5, 8), eager(state, paths, 5, 8), rtol=1e-9, atol=1e-9)


@needs_compiler
@pytest.mark.parametrize("system", ["SAM", "pairs"])
def test_threads_arrive_where_registers_arrive(system: str) -> None:
    one = SYSTEMS[system]
    state = np.random.default_rng(0).normal(size=(one.state_dim, 50))
    sample = np.random.default_rng(1).normal(size=(40, one.state_dim))
    tables = tables_of((Target(sample, 0.1, 1), Target(-2 * np.ones((1, one.state_dim)), 0.5, 2)), len(state))
    assert tables is not None
    scale, middle, reach = np.ones(len(state)), np.zeros(one.dim), np.full(one.dim, 1.8)
    ends = []
    for backend in (Registers(), Threads()):
        looks = CompiledLooks(NativeStep(one, None, backend), scale, middle, reach)
        ends.append(looks(state, tables, 7, np.arange(50), 0, 43, 8, coefficients_at(one)))
    (label, ended, left), other = ends
    np.testing.assert_array_equal(other[0], label)
    np.testing.assert_array_equal(other[1], ended)
    under_way = label == 0
    np.testing.assert_allclose(other[2][:, under_way], left[:, under_way], rtol=1e-7, atol=1e-9)
    assert 0 < under_way.sum() < 50


@needs_compiler
def test_threads_stop_where_torch_stops() -> None:
    run = partial(
        sd.rare_exit_time, SYSTEMS["SAM"], [-1.0, 0.0], sd.HalfSpace([1.0, 0.0], 0.0),
        sd.Ball([-1.0, 0.0], 0.3), n_repeats=4, n_clones=20, levels=10, seed=2,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_stopping, "COMPILE_FROM", 1)
        patch.setattr(native_stopping, "CPU", Threads())
        patch.setattr(native_stopping, "compiled_or_none", lambda make: make())  # no torch under another name
        threads = run()
        patch.setattr(native_stopping, "COMPILE_FROM", np.inf)
        eager = run()
    assert threads.mean == pytest.approx(eager.mean, rel=1e-7)


@needs_compiler
@pytest.mark.parametrize("verb", ["trajectory", "mean_squared_displacement", "rare_committor"])
def test_verbs_on_a_device_run_by_threads(verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the words device="cuda" do, up to the launch; nothing of it has run on a device."""
    one = SYSTEMS["SAM"]
    calls: dict[str, Callable[..., Any]] = {
        "trajectory": lambda **where: sd.trajectory(
            one, np.full((30, 2), 0.5), t_max=1.0, save_every=7, **where
        ).x,
        "mean_squared_displacement": lambda **where: sd.mean_squared_displacement(
            one, [0.5, 0.5], [3, 20], n_paths=60, **where
        ).mean,
        "rare_committor": lambda **where: sd.rare_committor(
            one, [-1.0, 0.0], sd.Ball([-1.5, 0.0], 0.1), sd.HalfSpace([-1.0, 0.0], 0.0), n_repeats=3,
            n_clones=20, levels=10, **where,
        ).estimates,
    }  # fmt: skip
    here = calls[verb]()
    used: list[str] = []

    def backend_of(device: torch.device) -> Threads:
        used.append(device.type)
        return Threads()

    monkeypatch.setattr(path_job, "choose_device", torch.device)
    for module in (driver, native_stopping):
        monkeypatch.setattr(module, "backend_of", backend_of)
    np.testing.assert_allclose(calls[verb](device="cuda"), here, rtol=1e-7, atol=1e-9)
    assert set(used) == {"cuda"}


def test_what_cannot_be_compiled_for_a_device_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path_job, "choose_device", torch.device)
    monkeypatch.setattr(driver, "backend_of", lambda device: Threads())
    matrices = sd.Landscape(lambda w: torch.linalg.slogdet(torch.eye(2) + w.outer(w))[1], dim=2)
    with pytest.raises(ValueError, match="device must be 'cpu' for Map"):
        sd.trajectory(sd.Map(matrices, sd.GD(), lr=0.1), [1.0, 0.5], 3, device="cuda")
    with pytest.raises(ValueError, match="device must be 'cpu' for a Flow"):
        sd.trajectory(sd.Flow(sd.landscapes.beale(), sd.GD()), [1.0, 1.0], t_max=1.0, device="cuda")


NVRTC = importlib.util.find_spec("cuda.core") if importlib.util.find_spec("cuda") else None
needs_nvrtc = pytest.mark.skipif(
    NVRTC is None, reason="cuda-core is not installed: pip install 'samdyn[cuda]'"
)


@needs_nvrtc
@pytest.mark.parametrize(("system", "region", "correction", "precision"), CASES)
def test_nvrtc_compiles_sweeps(system: str, region: str, correction: str | None, precision: str) -> None:
    with pytest.raises(Compiled):
        exits(SYSTEMS[system], REGIONS[region], Nvrtc(), correction=correction, precision=precision)


@needs_nvrtc
@pytest.mark.parametrize("system", ["map with momentum", "pairs"])
def test_nvrtc_compiles_steps(system: str) -> None:
    with pytest.raises(Compiled):
        NativeStep(SYSTEMS[system], None, Nvrtc())


@needs_nvrtc
def test_nvrtc_compiles_arrivals() -> None:
    stepper = build_stepper(SYSTEMS["pairs"])
    own = (False,) * (len(stepper.names) + 1)
    with pytest.raises(Compiled):
        Nvrtc().loop(looks_source(stepper, own, False, stepper.dim, True), "arrive", [])


@needs_nvrtc
def test_nvrtc_compiles_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_stopping, "COMPILE_FROM", 1)
    monkeypatch.setattr(native_stopping, "CPU", Nvrtc())
    with pytest.raises(Compiled):
        sd.rare_exit_time(
            SYSTEMS["SAM"], [-1.0, 0.0], sd.HalfSpace([1.0, 0.0], 0.0), sd.Ball([-1.0, 0.0], 0.3), n_repeats=2
        )


@needs_nvrtc
def test_a_source_that_does_not_compile() -> None:
    with pytest.raises(CompilationError, match="is undefined"):
        machine_code("void f() { g(); }", "sm_90")


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU then runs the sweep in torch, and says what to install."""
    machine_code.cache_clear()
    monkeypatch.setitem(sys.modules, "cuda.core", None)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(choice, "backend_of", lambda device: Cuda(torch.device("cpu")))
    load_kernel.cache_clear()
    run = partial(
        sd.exit_times,
        SYSTEMS["SAM"],
        [-1.0, 0.0],
        REGIONS["box"],
        40,
        t_max=3.0,
        device="cpu",
        precision="double",
    )
    with pytest.warns(RuntimeWarning, match=r"pip install 'samdyn\[cuda\]'"):
        compiled = run(compile=True)
    same(run(compile=False), compiled, 0.0)
    load_kernel.cache_clear()


@pytest.mark.gpu
@pytest.mark.parametrize(("system", "region", "correction", "precision"), CASES)
def test_paths_on_a_gpu(system: str, region: str, correction: str | None, precision: str) -> None:
    """The same paths on the device, where a few part by rounding."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # no torch under another name
        warnings.filterwarnings("ignore", message="none of")
        run = partial(
            sd.exit_times, SYSTEMS[system], [-1.0, 0.05], REGIONS[region], 5000, seed=3, compile=True,
            t_max=100.0 if isinstance(SYSTEMS[system], sd.Map) else 5.0,
            correction=correction, precision=precision,
        )  # fmt: skip
        here, there = run(device="cpu"), run(device="cuda")
    apart = (here.exited != there.exited) | (here.faces != there.faces)
    apart |= ~np.isclose(here.watched, there.watched, rtol=1e-6 if precision == "double" else 1e-2)
    assert apart.mean() < (1e-3 if precision == "double" else 1e-2)


@pytest.mark.gpu
@pytest.mark.parametrize("system", ["map with momentum", "schedule", "pairs"])
def test_steps_on_a_gpu(system: str) -> None:
    one = SYSTEMS[system]
    state = np.random.default_rng(0).normal(size=(one.state_dim, 5000))
    steps = [NativeStep(one), NativeStep(one, None, Cuda(torch.device("cuda", 0)))]
    a, b = (
        step.advance(state, step.stream(7, np.arange(5000), 21), 6, 15, coefficients_at(one))
        for step in steps
    )
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)
