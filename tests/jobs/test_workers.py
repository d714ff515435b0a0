"""Pieces on workers: the same result with any number of them, and whatever happens to them."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import signal
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

import distributed
import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.jobs import workers
from samdyn.jobs.processes import worker_context
from samdyn.jobs.workers import ranges, run_pieces

SDE = sd.Diffusion(sd.landscapes.double_well(2), sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=3.0))
BALL = sd.Ball([-1.0, 0.0], 0.9)
# eight pieces; a few paths are censored
run = partial(sd.exit_times, SDE, [-1.0, 0.0], BALL, 520, t_max=5.0, seed=5, device="cpu")
# some seconds of work for two processes
long_run = partial(sd.exit_times, SDE, [-1.0, 0.0], sd.Ball([-1.0, 0.0], 1.5), 15_000, t_max=400.0, seed=6)
long_run = partial(long_run, device="cpu", compile=False)
ARRAYS = ("times", "exited", "exit_points", "diverged", "faces", "watched")


@pytest.fixture(scope="module")
def whole() -> sd.escape.ExitTimes:
    result = run()
    assert 0 < result.n_censored < 100
    return result


@pytest.fixture(scope="module")
def long_whole() -> sd.escape.ExitTimes:
    return long_run()


def assert_same(a: sd.escape.ExitTimes, b: sd.escape.ExitTimes) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert repr(a) == repr(b)


# ---------------------------------------------------------------------- pieces


@pytest.mark.parametrize("n", [1, 63, 64, 127, 128, 1000, 65_537, 10**6 + 7, 10**8])
def test_ranges_cover_every_path_once(n: int) -> None:
    found = ranges(n)
    assert found[0][0] == 0
    assert found[-1][1] == n
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    sizes = [b - a for a, b in found]
    assert 0 < max(sizes) - min(sizes) + 1 <= 2
    assert max(sizes) <= 1 << 16


class Fragile(Executor):
    """Runs tasks at once; those of the listed submissions are lost."""

    def __init__(self, lost: Callable[[int], bool], error: Exception | None = None) -> None:
        self.lost, self.error, self.count = lost, error or BrokenProcessPool("died"), 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.count += 1
        if self.lost(self.count):
            future.set_exception(self.error)
        else:
            future.set_result(function(*args, **kwargs))
        return future


def square(x: int) -> int:
    return x * x


def fails(x: int) -> int:
    if x == 2:
        raise ZeroDivisionError("at two")
    return x


def squares(executor: Executor | None) -> dict[int, int]:
    found: dict[int, int] = {}
    assert run_pieces(
        square, {i: i for i in range(6)}, found.__setitem__, complete=lambda _: True, executor=executor
    )
    return found


SQUARES = {i: i * i for i in range(6)}


def test_lost_pieces_are_run_again() -> None:
    executor = Fragile(lambda k: k in (2, 3, 7))
    assert squares(executor) == SQUARES
    assert executor.count == 6 + 2 + 1


def test_what_is_lost_again_and_again_runs_here() -> None:
    executor = Fragile(lambda k: k > 4)
    with pytest.warns(
        RuntimeWarning, match=r"failed 3 times in a row \(BrokenProcessPool: died\).* 2 of 6 pieces"
    ):
        assert squares(executor) == SQUARES
    assert executor.count == 6 + 3 * 2


def test_an_executor_that_is_shut_down() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.warns(RuntimeWarning, match=r"cannot schedule new futures .* 6 of 6 pieces"):
        assert squares(executor) == SQUARES


def test_an_error_in_a_piece_is_raised_and_not_tried_again() -> None:
    executor = Fragile(lambda k: False)
    with pytest.raises(ZeroDivisionError, match="at two") as caught:
        run_pieces(
            fails, {i: i for i in range(6)}, {}.__setitem__, complete=lambda _: True, executor=executor
        )
    assert "in a worker" in caught.value.__notes__[0]
    assert executor.count == 6


def test_what_cannot_be_pickled_is_not_tried_again() -> None:
    executor = Fragile(lambda k: True, pickle.PicklingError("Can't pickle <lambda>"))
    with pytest.raises(
        ValueError, match=r"must be picklable .*Can't pickle <lambda>.* top level of a module"
    ):
        squares(executor)
    assert executor.count == 6


def test_unfinished_pieces_are_run_again() -> None:
    found: dict[int, int] = {}
    tries: list[int] = []

    def flaky(x: int) -> int:
        tries.append(x)
        return -1 if tries.count(x) == 1 and x == 3 else x

    assert run_pieces(
        flaky,
        {i: i for i in range(5)},
        found.__setitem__,
        complete=lambda v: v >= 0,
        executor=Fragile(lambda k: False),
    )
    assert found == {i: i for i in range(5)}
    assert tries.count(3) == 2


# ---------------------------------------------------------------------- the same result


@pytest.mark.parametrize("threads", [1, 3])
def test_threads(threads: int, whole: sd.escape.ExitTimes) -> None:
    with ThreadPoolExecutor(threads) as executor:
        assert_same(run(executor=executor), whole)


def test_a_fragile_executor_gives_the_same_result(whole: sd.escape.ExitTimes) -> None:
    assert_same(run(executor=Fragile(lambda k: k % 3 == 0)), whole)


@pytest.mark.parametrize("correction", ["bridge", None])
@pytest.mark.parametrize("precision", ["single", "double"])
def test_options_and_starts_reach_the_pieces(correction: str | None, precision: str) -> None:
    x0 = np.random.default_rng(0).uniform([-1.3, -0.3], [-0.7, 0.3], (200, 2))
    step = sd.Map(SDE.landscape, sd.SAM(sd.schedules.PowerDecay(0.3)), 0.1, 0.5, sd.GaussianNoise(1.0))
    for system in (SDE, step):
        t_max = 60 if system is step else 3.0
        some = partial(sd.exit_times, system, x0, BALL, t_max=t_max, seed=2, device="cpu")
        some = partial(some, correction=correction, precision=precision)
        a, b = some(), some(executor=Fragile(lambda k: False))
        assert 0 < a.n_exited < 200
        assert_same(a, b)


def through_solve(w: torch.Tensor) -> torch.Tensor:
    return w @ torch.linalg.solve(torch.eye(2, dtype=w.dtype) * 2, w)


def test_a_step_without_pointwise_form_runs_in_the_same_pieces_everywhere() -> None:
    loss = sd.Landscape(through_solve, dim=2)
    sde = sd.Diffusion(loss, sd.SAM(0.1), lr=0.05, noise=sd.GaussianNoise(1.0))
    some = partial(sd.exit_times, sde, [0.1, 0.0], sd.Ball([0.0, 0.0], 0.4), 200, t_max=20.0, seed=3)
    assert_same(some(), some(executor=Fragile(lambda k: False)))


@pytest.mark.slow
def test_local_workers(whole: sd.escape.ExitTimes) -> None:
    for n in (2, 3):
        assert_same(run(workers=n), whole)


@pytest.mark.slow
def test_local_workers_with_the_compiled_kernel() -> None:
    from samdyn.escape.kernel.sweep_choice import can_compile

    if not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    assert_same(run(compile=True, workers=2), run(compile=True))


def test_compiled_jobs_run_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from samdyn.escape.kernel.sweep_choice import can_compile

    if not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    monkeypatch.delattr(workers, "ProcessPoolExecutor")
    # which no process could take
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4 + w[1] ** 2 / 2, dim=2)
    sde = sd.Diffusion(loss, sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(2.0))
    some = partial(
        sd.exit_times, sde, [-1.0, 0.0], sd.HalfSpace([1.0, 0.0], 0.0), 1000, t_max=20.0, device="cpu"
    )
    whole = some(compile=True)
    for n in (2, 3):
        assert_same(some(compile=True, workers=n), whole)


def test_ctrl_c_reaches_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    from samdyn.escape.kernel.sweep_choice import can_compile

    if not can_compile(torch.device("cpu")):
        pytest.skip("no C++ compiler")
    waiting = workers.wait

    def interrupted(futures: Any, timeout: float | None = None, **options: Any) -> Any:
        monkeypatch.setattr(workers, "wait", waiting)
        raise KeyboardInterrupt

    monkeypatch.setattr(workers, "wait", interrupted)
    sde = sd.Diffusion(sd.landscapes.double_well(2), sd.GD(), lr=0.01, noise=sd.GaussianNoise(1.0))
    begin = time.monotonic()
    exits = sd.exit_times(
        sde,
        [-1.0, 0.0],
        sd.HalfSpace([1.0, 0.0], 0.0),
        200_000,
        t_max=1e5,
        compile=True,
        workers=2,
        device="cpu",
    )  # hours, if the threads went on
    assert time.monotonic() - begin < 60
    assert exits.n_exited < 200_000


# ---------------------------------------------------------------------- workers that die


def kill_after_the_first_piece(monkeypatch: pytest.MonkeyPatch, victim: Callable[[], int]) -> list[str]:
    """Kill a process when the first piece has come back; a list of why pieces were lost."""
    outcome, lost, killed = workers._outcome, workers._lost, []
    reasons: list[str] = []

    def then_kill(future: Future[Any]) -> Any:
        if not killed:
            killed.append(victim())
            os.kill(killed[0], signal.SIGKILL)
        return outcome(future)

    def record(error: BaseException) -> str:
        reasons.append(type(error).__name__)
        return lost(error)

    monkeypatch.setattr(workers, "_outcome", then_kill)
    monkeypatch.setattr(workers, "_lost", record)
    return reasons


@pytest.mark.slow
def test_a_local_worker_that_dies(long_whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {process.pid for process in multiprocessing.active_children()}
    reasons = kill_after_the_first_piece(
        monkeypatch, lambda: next(p.pid for p in multiprocessing.active_children() if p.pid not in before)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sd.CostWarning)  # an estimate on a busy machine
        result = long_run(workers=2)
    assert set(reasons) == {"BrokenProcessPool"}
    assert_same(result, long_whole)


@pytest.mark.slow
def test_a_worker_of_an_executor_that_dies(
    long_whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    # its workers are forks of a server that has torch already
    with ProcessPoolExecutor(2, mp_context=worker_context()) as executor:
        reasons = kill_after_the_first_piece(monkeypatch, lambda: next(iter(executor._processes)))
        # a broken ProcessPoolExecutor stays broken
        with pytest.warns(RuntimeWarning, match="workers failed 3 times in a row"):
            result = long_run(executor=executor)
    assert reasons.count("BrokenProcessPool") > 3
    assert_same(result, long_whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:distributed", "ignore::ResourceWarning")
def test_dask_with_a_worker_that_dies(
    cluster: distributed.Client, long_whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = list(cluster.run(os.getpid).values())
    assert len({*pids, os.getpid()}) == 3
    kill_after_the_first_piece(monkeypatch, lambda: pids[0])
    result = long_run(executor=cluster.get_executor())
    assert pids[0] not in cluster.run(os.getpid).values()
    assert_same(result, long_whole)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:distributed", "ignore::ResourceWarning")
def test_dask_takes_a_lambda(cluster: distributed.Client) -> None:
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, dim=1)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.05, noise=sd.GaussianNoise(3.0))
    some = partial(sd.exit_times, sde, [-1.0], sd.HalfSpace([1.0], 0.0), 200, t_max=10.0, seed=1)
    assert_same(some(executor=cluster.get_executor()), some())


# ---------------------------------------------------------------------- Ctrl-C


def test_ctrl_c_with_an_executor(whole: sd.escape.ExitTimes) -> None:
    def stop(k: int) -> bool:
        if k > 8:  # the first round loses pieces 4 to 8, the second is interrupted
            raise KeyboardInterrupt
        return k > 3

    part = run(executor=Fragile(stop))
    known = slice(0, ranges(520)[2][1])
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(part, name)[known], getattr(whole, name)[known], err_msg=name)
    assert not part.exited[known.stop :].any()
    assert (part.watched[known.stop :] == 0).all()
    # the mean is that of the finished pieces alone
    events = whole.exited[known].sum()
    assert part.mean == pytest.approx(whole.watched[known].sum() / events, rel=1e-14)
    assert part.n_exited == events
    assert np.isfinite(part.standard_error)
    part.survival()


@pytest.mark.slow
def test_ctrl_c_with_local_workers(long_whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    original, rounds = workers.wait, []

    def wait(futures: Any, **options: Any) -> Any:
        result = original(futures, **options)
        if options:
            rounds.append(len(result.done))
            if sum(rounds) >= 2:
                time.sleep(0.5)
                monkeypatch.setattr(workers, "wait", original)
                raise KeyboardInterrupt
        return result

    monkeypatch.setattr(workers, "wait", wait)
    part = long_run(workers=2)
    exited = part.exited
    assert 0 < exited.sum() < long_whole.exited.sum()
    np.testing.assert_array_equal(part.times[exited], long_whole.times[exited])
    # what was under way is censored where it stood, the rest at once, or after a sweep of 64 steps if it was
    # in a worker's queue
    at = np.unique(part.watched[~exited])
    assert at[0] <= 64 * SDE.lr
    assert (part.watched[~exited] <= np.where(long_whole.exited, long_whole.watched, np.inf)[~exited]).all()
    assert multiprocessing.active_children() == []


# ---------------------------------------------------------------------- bad input


def test_a_lambda_is_refused_before_any_work() -> None:
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, dim=1)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.05, noise=sd.GaussianNoise(3.0))
    some = partial(sd.exit_times, sde, [-1.0], sd.HalfSpace([1.0], 0.0), 1000, t_max=10.0)
    with pytest.raises(ValueError, match=r"must be picklable .* top level of a module .* or use workers=1"):
        some(workers=2)
    with (
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor,
        pytest.raises(ValueError, match="must be picklable"),
    ):
        some(executor=executor)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"workers": 0}, ValueError, "workers must be an integer >= 1, got 0"),
        ({"workers": 1.5}, ValueError, "workers must be an integer >= 1, got 1.5"),
        ({"workers": "two"}, TypeError, "workers must be an integer >= 1, got 'two'"),
        ({"executor": 2}, TypeError, "executor must be a concurrent.futures executor, got 2"),
        (
            {"executor": ThreadPoolExecutor},
            TypeError,
            "executor must be a concurrent.futures executor, got <class",
        ),
        (
            {"executor": Fragile(bool), "workers": 2},
            ValueError,
            "workers must be 1 when an executor is given, got 2",
        ),
    ],
)
def test_bad_input(options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        run(**options)
