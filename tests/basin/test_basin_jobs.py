"""Long basin jobs: resume to the last bit, kill -9, Ctrl-C, workers that die, Dask."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.basin.paths import legs_of_paths as followed
from samdyn.basin.paths import pieces as settle
from samdyn.jobs import checkpoint as checkpoints
from samdyn.jobs import workers

ROOT = Path(sd.__file__).parents[1]


def cubic(w: torch.Tensor, a: float = 2.1) -> torch.Tensor:
    return a * w - w**3


# two 2-cycles, of which the one start of the search finds one; the other is found under way
run = partial(sd.basins, sd.Map.from_function(cubic, 1), [(-1.7, 1.7)], 700, n_starts=1, max_steps=9000)
noisy = partial(
    sd.basins,
    sd.Map(sd.landscapes.double_well(), sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=1.0)),
    [(-2, 2)],
    40,
    n_paths=8,
    max_steps=2000,
)
# some seconds of work for two processes: what creeps along a flat valley
long_run = partial(
    sd.basins, sd.Map(sd.landscapes.double_well(), sd.GD(), lr=2e-4), [(-2, 2)], 6000, n_starts=8
)


@pytest.fixture(scope="module")
def whole() -> sd.basin.Basins:
    result = run()
    assert [a.period for a in result.attractors.values()] == [2, 2]
    return result


@pytest.fixture(scope="module")
def long_whole() -> sd.basin.Basins:
    return long_run()


def assert_same(a: sd.basin.Basins, b: sd.basin.Basins) -> None:
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.steps, b.steps)
    assert repr(a) == repr(b)
    for one, other in zip(a.attractors.values(), b.attractors.values(), strict=True):
        np.testing.assert_array_equal(one.states, other.states)
        assert one.radius == other.radius
    if a.probabilities is not None:
        np.testing.assert_array_equal(a.probabilities, b.probabilities)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every piece, and short legs."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(followed, "LEG", 24)


def keep_copies(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Path]:
    """Every state that is written, as a file of its own."""
    copies: list[Path] = []
    original = checkpoints.Checkpoint.write

    def write(self: checkpoints.Checkpoint, *arguments: Any) -> None:
        original(self, *arguments)
        copies.append(folder / f"copy{len(copies)}.npz")
        shutil.copy(self.path, copies[-1])

    monkeypatch.setattr(checkpoints.Checkpoint, "write", write)
    return copies


def cut_by(size: int) -> Callable[[int], list[tuple[int, int]]]:
    return lambda n: [(a, min(a + size, n)) for a in range(0, n, size)]


# ---------------------------------------------------------------------- checkpoints


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("job", [run, noisy], ids=["map", "noise"])
def test_every_checkpoint_resumes_to_the_same_bits(
    job: Callable[..., sd.basin.Basins], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = job()
    with monkeypatch.context() as patch:
        copies = keep_copies(patch, tmp_path)
        assert_same(job(checkpoint=tmp_path / "job.npz"), whole)
    with np.load(copies[3]) as saved:  # in the middle of a leg
        assert 0 < len(saved["ahead"]) < len(whole.labels) * whole.replicas
    for i in sorted({0, 1, 3, len(copies) // 3, len(copies) // 2, len(copies) - 2, len(copies) - 1}):
        # in another cut, too
        monkeypatch.setattr(workers, "ranges", cut_by(53 + 17 * i))
        assert_same(job(checkpoint=copies[i]), whole)


@pytest.mark.usefixtures("often")
def test_ctrl_c_gives_what_is_done_and_the_job_goes_on(
    tmp_path: Path, whole: sd.basin.Basins, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "ranges", cut_by(100))
    original, calls = settle.LegJob.run, []

    def fragile(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 12:  # the fifth piece of the second leg
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(settle.LegJob, "run", fragile)
        part = run(checkpoint=tmp_path / "job.npz")
    assert part.interrupted
    assert "interrupted" in repr(part)
    done = part.labels != settle.OUT_OF_STEPS
    assert 0 < done.sum() < 700
    # ids count the attractors in the box, of which one is not known yet
    assert set(part.labels[done]) == {1}
    np.testing.assert_array_equal(part.steps[done], whole.steps[done])
    result = run(checkpoint=tmp_path / "job.npz")
    assert not result.interrupted
    assert_same(result, whole)


def test_ctrl_c_in_the_search_for_attractors_is_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    from samdyn.basin import rounds

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rounds, "find_attractors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run()


SCRIPT = """
    import sys
    import samdyn as sd
    from samdyn.jobs import checkpoint
    checkpoint.EVERY = 0.0
    gd = sd.Map(sd.landscapes.double_well(), sd.GD(), lr=2e-4)
    sd.basins(gd, [(-2, 2)], 6000, n_starts=8, checkpoint=sys.argv[1])
"""


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_round(tmp_path: Path, long_whole: sd.basin.Basins) -> None:
    path = tmp_path / "job.npz"
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(path)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        while process.poll() is None:
            if path.exists():
                with np.load(path) as saved:
                    if len(saved["ahead"]):
                        break
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL
    with np.load(path) as saved:
        assert (saved["labels"] == 0).sum() > 100
    assert_same(long_run(checkpoint=path), long_whole)


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.npz"
    run(checkpoint=path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="damaged, cut short"):
        run(checkpoint=path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"resolution": 701}, "resolution"),
        ({"box": [(-1.7, 1.6)]}, "box"),
        ({"seed": 1}, "seed"),
        ({"far": 100.0}, "far"),
        ({"max_steps": 9001}, "options"),
        ({"radius": 1e-3}, "options"),
        ({"system": sd.Map.from_function(lambda w: 2.05 * w - w**3, 1, name="cubic")}, "a step"),
    ],
)
def test_a_checkpoint_of_another_job_is_refused(
    change: dict[str, Any], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = {
        "system": sd.Map.from_function(cubic, 1), "box": [(-1.7, 1.7)], "resolution": 700, "n_starts": 1,
        "max_steps": 9000, "checkpoint": tmp_path / "job.npz",
    }  # fmt: skip
    sd.basins(**call)  # type: ignore[arg-type]
    monkeypatch.setattr(settle.LegJob, "run", None)  # before any work
    with pytest.raises(ValueError, match=f"must belong to this job, got one of another: {text} is"):
        sd.basins(**call | change)  # type: ignore[arg-type]


def test_a_checkpoint_without_its_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.npz"
    original = checkpoints.Checkpoint.write

    def without(self: checkpoints.Checkpoint, meta: Any, arrays: Any) -> None:
        original(self, meta, {k: v for k, v in arrays.items() if k != "paths"})

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoint, "write", without)
        run(checkpoint=path)
    with pytest.raises(ValueError, match="must hold the state of this job"):
        run(checkpoint=path)


# ---------------------------------------------------------------------- workers


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.usefixtures("often")
def test_threads(threads: int, whole: sd.basin.Basins, tmp_path: Path) -> None:
    with ThreadPoolExecutor(threads) as executor:
        assert_same(run(executor=executor, checkpoint=tmp_path / "job.npz"), whole)


def test_workers_are_threads_where_steps_are_compiled(
    whole: sd.basin.Basins, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They need no start of a process, and nothing has to travel: a function of this place will do."""
    monkeypatch.setattr("samdyn.basin.paths.course.COMPILE_FROM", 0.0)
    local = sd.Map.from_function(lambda w, a=2.1: a * w - w**3, 1)
    call = partial(sd.basins, local, [(-1.7, 1.7)], 700, n_starts=1, max_steps=9000)
    with monkeypatch.context() as patch:
        patch.setattr(workers, "ProcessPoolExecutor", None)
        apart = call(workers=2)
    assert_same(apart, call())
    np.testing.assert_array_equal(apart.labels, whole.labels)


def kill_after_the_first_piece(monkeypatch: pytest.MonkeyPatch, victim: Callable[[], int]) -> list[int]:
    """Kill a process when the first piece has come back."""
    outcome, killed = workers._outcome, []

    def then_kill(future: Future[Any]) -> Any:
        if not killed:
            killed.append(victim())
            os.kill(killed[0], signal.SIGKILL)
        return outcome(future)

    monkeypatch.setattr(workers, "_outcome", then_kill)
    return killed


@pytest.mark.slow
def test_a_local_worker_that_dies(long_whole: sd.basin.Basins, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {process.pid for process in multiprocessing.active_children()}
    killed = kill_after_the_first_piece(
        monkeypatch, lambda: next(p.pid for p in multiprocessing.active_children() if p.pid not in before)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", sd.CostWarning)  # an estimate on a busy machine
        result = long_run(workers=2)
    assert killed
    assert_same(result, long_whole)
    assert {process.pid for process in multiprocessing.active_children()} == before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:distributed", "ignore::ResourceWarning")
def test_dask_with_a_worker_that_dies(
    cluster: distributed.Client, long_whole: sd.basin.Basins, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids = list(cluster.run(os.getpid).values())
    assert len({*pids, os.getpid()}) == 3
    assert_same(long_run(executor=cluster.get_executor()), long_whole)
    kill_after_the_first_piece(monkeypatch, lambda: pids[0])
    assert_same(long_run(executor=cluster.get_executor()), long_whole)
    assert pids[0] not in cluster.run(os.getpid).values()


def test_what_cannot_travel_is_refused_before_any_work() -> None:
    local = sd.Map.from_function(lambda w: 2.1 * w - w**3, 1)
    with pytest.raises(ValueError, match="must be picklable"):
        sd.basins(local, [(-1, 1)], 10, workers=2)
