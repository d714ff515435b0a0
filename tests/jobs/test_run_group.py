"""Every verb that samples takes workers, executor and checkpoint with one meaning: the same bits come out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.dynamics import driver, path_job
from samdyn.jobs import checkpoint as checkpoints
from samdyn.jobs.lasting_pool import LastingPool

LOSS = sd.FiniteSum.least_squares([[1.0], [2.0], [0.5]], [1.0, 1.0, -1.0])
SAMPLED = sd.Map(LOSS, sd.SAM(0.05), lr=0.1, noise=sd.Minibatch(batch_size=1))
NOISY = sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=1.0))
QUIET = sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05)
SDE = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(std=1.5))
INTERPOLATING = sd.Map(
    sd.FiniteSum.least_squares([[1.0], [2.0], [0.5]], [0.0, 0.0, 0.0]), sd.GD(), lr=0.1,
    noise=sd.Minibatch(batch_size=1),
)  # fmt: skip
LEFT, RIGHT = sd.HalfSpace([1.0], -1.0), sd.HalfSpace([-1.0], -0.2)

CALLS: dict[str, Callable[..., Any]] = {
    "mean_squared_displacement": partial(
        sd.mean_squared_displacement, NOISY, [1.0], [2, 9, 30], n_paths=150, seed=3
    ),
    "convergence": partial(
        sd.convergence, SAMPLED, [2.0], 60, 40, parameters={"lr": [0.05, 0.1], "batch_size": [1, 2]}, seed=2
    ),
    "rare_exit_time": partial(
        sd.rare_exit_time, SDE, [-1.0], sd.HalfSpace([1.0], -0.4), sd.Ball([-1.0], 0.1), n_clones=12,
        n_repeats=8, levels=20, dt=0.1,
    ),
    "rare_committor": partial(
        sd.rare_committor, SDE, [-0.9], LEFT, RIGHT, n_clones=12, n_repeats=8, levels=20, dt=0.1
    ),
    "basins": partial(sd.basins, QUIET, resolution=300, n_starts=8),
    "basin_fractions": partial(sd.basin_fractions, QUIET, n_paths=300, n_starts=8, seed=1),
    "sampling_lyapunov_exponent": partial(
        sd.sampling_lyapunov_exponent, INTERPOLATING, n_steps=40, n_paths=200
    ),
    "trajectory": partial(sd.trajectory, SDE, np.full((60, 1), 0.3), t_max=1.02, save_every=4, seed=5),
    "hallucinated_share": partial(sd.hallucinated_share, NOISY, n_starts=150, n_steps=100),
}  # fmt: skip
ASKED = ("basins", "basin_fractions", "convergence", "rare_exit_time", "mean_squared_displacement")


def assert_same(a: Any, b: Any) -> None:
    assert a.equals(b)
    assert repr(a) == repr(b)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few paths, and a checkpoint after each of them."""
    make_narrow(monkeypatch.setattr)


def make_narrow(put: Callable[..., None]) -> None:
    put(path_job, "WIDE", 16)
    put(checkpoints, "EVERY", 0.0)


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        make_narrow(patch.setattr)
        return {name: call() for name, call in CALLS.items()}


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    with LastingPool(2) as pool:
        yield pool


@pytest.mark.parametrize("name", CALLS)
def test_processes_give_the_same_bits(name: str, whole: dict[str, Any], processes: Executor) -> None:
    assert_same(CALLS[name](executor=processes), whole[name])


@pytest.mark.parametrize("name", ["mean_squared_displacement", "convergence", "hallucinated_share"])
def test_threads_give_the_same_bits(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "COMPILE_FROM", 0.0)
    monkeypatch.setattr("samdyn.jobs.workers.worker_context", None)  # no process is started
    assert_same(CALLS[name](workers=2), CALLS[name]())


# ---------------------------------------------------------------------- checkpoints


def die_on_the_way(name: str, path: str) -> None:
    """Run a call until two pieces are in its file, and be killed."""
    make_narrow(setattr)
    write, count = checkpoints.Checkpoint.write, [0]

    def fatal(self: checkpoints.Checkpoint, *arguments: Any) -> None:
        write(self, *arguments)
        count[0] += 1
        if count[0] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.Checkpoint.write = fatal  # type: ignore[method-assign]
    CALLS[name](checkpoint=path)


SCRIPT = """
import os, sys
import test_run_group as own
for name in own.CALLS:
    child = os.fork()
    if not child:
        own.die_on_the_way(name, os.path.join(sys.argv[1], name))
        os._exit(0)
    print(name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints whose processes were killed; one start of Python serves all of them."""
    folder = tmp_path_factory.mktemp("killed")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(Path(sd.__file__).parents[1]), str(Path(__file__).parent)]
    )
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split("\n")[:-1] == [f"{name} {-signal.SIGKILL}" for name in CALLS]
    return folder


@pytest.mark.parametrize("name", CALLS)
def test_what_kill_9_left_is_gone_on_with(name: str, left_behind: Path, whole: dict[str, Any]) -> None:
    before = (left_behind / name).stat().st_size
    assert_same(CALLS[name](checkpoint=left_behind / name), whole[name])
    assert (left_behind / name).stat().st_size != before


@pytest.mark.parametrize("name", ["mean_squared_displacement", "rare_committor"])
def test_a_checkpoint_of_another_job_is_refused(name: str, tmp_path: Path) -> None:
    CALLS[name](checkpoint=tmp_path / "job")
    with pytest.raises(ValueError, match="must belong to this job, got one of another: seed"):
        CALLS[name](checkpoint=tmp_path / "job", seed=11)


def test_ctrl_c_keeps_the_finished_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    name, drive, calls = "mean_squared_displacement", path_job.drive, []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return drive(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(path_job, "drive", interrupted)
        with pytest.raises(KeyboardInterrupt):
            CALLS[name](checkpoint=tmp_path / "job")
    calls.clear()
    monkeypatch.setattr(path_job, "drive", lambda *a, **o: (calls.append(1), drive(*a, **o))[1])
    assert_same(CALLS[name](checkpoint=tmp_path / "job"), whole[name])
    assert len(calls) == 8 - 3


@pytest.mark.parametrize("name", ["convergence", "rare_exit_time", "trajectory"])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"workers": 0}, ValueError, "workers must be"),
        ({"workers": 2, "executor": Executor()}, ValueError, "workers must be 1 when an executor is given"),
        ({"executor": 3}, TypeError, "executor must be"),
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path"),
        ({"progress": 2}, TypeError, "progress must be"),
    ],
)
def test_the_run_group_is_checked(name: str, options: dict[str, Any], error: Any, text: str) -> None:
    with pytest.raises(error, match=text):
        CALLS[name](**options)


# ---------------------------------------------------------------------- Dask


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Executor):
    """Sends what kills its worker before the first task."""

    def __init__(self, executor: Any) -> None:
        self.executor, self.deaths = executor, 0

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        if not self.deaths:
            self.deaths = 1
            return self.executor.submit(die, pure=False)  # type: ignore[no-any-return]
        return self.executor.submit(function, *args, **options)  # type: ignore[no-any-return]


@pytest.fixture
def no_second_try() -> Iterator[None]:
    """Set before the cluster starts: a task whose worker dies has failed."""
    import dask
    import distributed  # noqa: F401  # whose settings would otherwise be taken away with this one

    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        yield


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:distributed", "ignore::ResourceWarning")
@pytest.mark.usefixtures("no_second_try")
@pytest.mark.parametrize("name", ASKED)
def test_a_dask_worker_that_dies(name: str, cluster: Any, whole: dict[str, Any]) -> None:
    before = set(cluster.run(os.getpid).values())
    executor = Deadly(cluster.get_executor())
    assert_same(CALLS[name](executor=executor), whole[name])
    assert executor.deaths == 1
    assert before - set(cluster.run(os.getpid).values())
