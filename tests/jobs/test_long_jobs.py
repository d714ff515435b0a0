"""Long jobs: checkpoints and resume to the last bit, kill -9, lack of memory, Ctrl-C, no exits, progress."""

from __future__ import annotations

import importlib.util
import math
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import samdyn as sd
from samdyn.escape.exit.job import ExitJob
from samdyn.escape.kernel import exits as engine
from samdyn.escape.kernel import sweep_torch as torch_sweep
from samdyn.escape.kernel.coefficients import Coefficients
from samdyn.jobs import checkpoint as checkpoints
from samdyn.jobs import workers as pool
from samdyn.jobs.memory import halving, is_out_of_memory
from samdyn.jobs.progress import WorkBar, expected_work
from samdyn.jobs.workers import ranges

WELL = sd.landscapes.double_well(2)
SDE = sd.Diffusion(WELL, sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=3.0))
BALL = sd.Ball([-1.0, 0.0], 0.9)
ROOT = Path(sd.__file__).parents[1]
run = partial(sd.exit_times, SDE, [-1.0, 0.0], BALL, 520, t_max=5.0, seed=5, device="cpu")


@pytest.fixture(scope="module")
def whole() -> sd.escape.ExitTimes:
    result = run()
    assert 0 < result.n_censored < 100
    return result


def assert_same(a: sd.escape.ExitTimes, b: sd.escape.ExitTimes) -> None:
    for name in ("times", "exited", "exit_points", "diverged", "faces", "watched"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert repr(a) == repr(b)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every sweep, and short sweeps."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(engine, "SWEEP", 2)


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


# ---------------------------------------------------------------------- resume


@pytest.mark.parametrize("precision", ["single", "double"])
@pytest.mark.parametrize("correction", ["bridge", None])
@pytest.mark.usefixtures("often")
def test_every_checkpoint_resumes_to_the_same_bits(
    correction: str | None, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "REPLAY", 50)  # some states hold notes, and some exits
    some = partial(run, correction=correction, precision=precision)
    whole = some()
    with monkeypatch.context() as patch:
        copies = keep_copies(patch, tmp_path)
        assert_same(some(checkpoint=tmp_path / "job.npz"), whole)
    assert len(copies) >= 14
    for copy in [copies[0], copies[1], copies[len(copies) // 2], copies[-2], copies[-1]]:
        assert_same(some(checkpoint=copy), whole)


@pytest.mark.usefixtures("often")
def test_a_map_with_momentum_and_a_schedule_resumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = sd.Map(WELL, sd.USAM(lambda t: 0.3 / (1 + t)), 0.1, 0.6, sd.GaussianNoise(1.0))
    some = partial(sd.exit_times, step, [-1.0, 0.0], BALL, 100, t_max=60, seed=1)
    with monkeypatch.context() as patch:
        copies = keep_copies(patch, tmp_path)
        whole = some(checkpoint=tmp_path / "job.npz")
    assert 0 < whole.n_exited < 100
    assert_same(some(), whole)
    assert_same(some(checkpoint=copies[len(copies) // 2]), whole)


def test_a_finished_job_is_read_and_not_run(
    tmp_path: Path, whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "job.npz")
    assert_same(run(checkpoint=path), whole)

    def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(torch_sweep, "advance_block", never)
    assert_same(run(checkpoint=path), whole)


@pytest.mark.usefixtures("often")
def test_after_ctrl_c_the_job_goes_on(
    tmp_path: Path, whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = torch_sweep.advance_block, []

    def fragile(*inputs: Any) -> Any:
        calls.append(1)
        if len(calls) == 21:
            raise KeyboardInterrupt
        return original(*inputs)

    with monkeypatch.context() as patch:
        patch.setattr(torch_sweep, "advance_block", fragile)
        part = run(checkpoint=tmp_path / "job.npz")
    assert part.t_max == pytest.approx(4.0)  # ten sweeps of two blocks of four steps
    assert part.n_exited < whole.n_exited
    assert_same(run(checkpoint=tmp_path / "job.npz"), whole)


@pytest.mark.usefixtures("often")
def test_pieces_resume(tmp_path: Path, whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "job.npz"
    with monkeypatch.context() as patch, ThreadPoolExecutor(1) as executor:
        copies = keep_copies(patch, tmp_path)
        assert_same(run(executor=executor, checkpoint=path), whole)
    n = len(ranges(520))
    assert len(copies) == n + 2  # at the start, after each piece, at the end
    done: list[int] = []
    original = ExitJob.run

    def run_piece(job: ExitJob, first: int, last: int, report: Any) -> Any:
        done.append(first)
        return original(job, first, last, report)

    monkeypatch.setattr(ExitJob, "run", run_piece)
    for k, copy in enumerate(copies[: n + 1]):
        done.clear()
        # with or without an executor
        with ThreadPoolExecutor(1) as executor:
            assert_same(run(executor=executor if k % 2 else None, checkpoint=copy), whole)
        assert len(done) == (n - k if k else n)
    done.clear()
    assert_same(run(checkpoint=path), whole)
    assert not done


@pytest.mark.usefixtures("often")
def test_a_piece_that_ctrl_c_cut_short_starts_afresh(
    tmp_path: Path, whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, original = tmp_path / "job.npz", ExitJob.run

    def run_piece(job: ExitJob, first: int, last: int, report: Any) -> Any:
        exits = original(job, first, last, report)
        if first == ranges(520)[3][0]:  # as after 40 steps
            exits["n_steps"] = np.array(40)
            late = exits["step"] >= 40
            exits["step"][late], exits["face"][late], exits["point"][late] = -1, -1, np.nan
        return exits

    with ThreadPoolExecutor(1) as executor, monkeypatch.context() as patch:
        run(executor=executor, checkpoint=path)  # makes the file one of pieces
        path.unlink()
        patch.setattr(pool, "ATTEMPTS", 0)  # everything in this process
        patch.setattr(ExitJob, "run", run_piece)
        with pytest.warns(RuntimeWarning, match="workers failed"):
            part = run(executor=executor, checkpoint=path)
    a, b = ranges(520)[3]
    assert part.t_max == whole.t_max
    np.testing.assert_array_equal(part.times[:a], whole.times[:a])
    inside = ~part.exited[a:b]
    np.testing.assert_array_equal(part.exited[a:b], whole.times[a:b] <= 40 * 0.05)
    np.testing.assert_allclose(part.watched[a:b][inside], 40 * 0.05)
    assert (part.watched[b:] == 0).all()
    assert part.mean == pytest.approx(part.watched.sum() / part.n_exited)
    assert_same(run(checkpoint=path), whole)


# ---------------------------------------------------------------------- kill -9

SCRIPT = textwrap.dedent(
    """
    import sys
    import samdyn as sd
    from samdyn.jobs import checkpoint
    from samdyn.escape.kernel import exits

    checkpoint.EVERY = 0.0
    exits.SWEEP = 4
    loss = sd.landscapes.double_well(2)
    sde = sd.Diffusion(loss, sd.SAM(0.2), lr=0.05, noise=sd.GaussianNoise(std=3.0))
    region = sd.Ball([-1.0, 0.0], 1.5)

    def job(**options):
        return sd.exit_times(sde, [-1.0, 0.0], region, 4000, t_max=2000.0, seed=6, device="cpu", **options)

    if __name__ == "__main__":
        job(checkpoint=sys.argv[1], workers=int(sys.argv[2]))
    """
)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_kill_9(workers: int, tmp_path: Path) -> None:
    script, path = tmp_path / "script.py", tmp_path / "job.npz"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, str(script), str(path), str(workers)], env=environment)
    written: set[int] = set()
    while len(written) < (4 if workers == 1 else 3):  # the first one is of the start
        assert process.poll() is None, "the job ended before it could be killed"
        if path.exists():
            written.add(path.stat().st_mtime_ns)
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    with np.load(path, allow_pickle=False) as data:
        exited = sum(int((data[name] >= 0).sum()) for name in data.files if name.split(" ")[-1] == "step")
        finished = sum(name.endswith(" step") for name in data.files)
        left = len(data["rows"]) if workers == 1 else len(ranges(4000)) - finished
    assert left > 0
    spec = importlib.util.spec_from_file_location("kill_script", script)
    assert spec is not None
    assert spec.loader is not None
    job = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(job)
    resumed = job.job(checkpoint=path)
    whole = job.job()
    assert 0 <= exited < whole.n_exited
    assert_same(resumed, whole)


# ---------------------------------------------------------------------- checkpoints of other jobs


def test_a_checkpoint_of_another_job_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.npz"
    base: dict[str, Any] = {"system": SDE, "x0": [-1.0, 0.0], "region": BALL, "n_paths": 20, "t_max": 1.0}

    def start(**changes: Any) -> sd.escape.ExitTimes:
        options = {**base, "seed": 5, "device": "cpu", "checkpoint": path, **changes}
        return sd.exit_times(options.pop("system"), options.pop("x0"), options.pop("region"), **options)

    start()
    before = path.read_bytes()
    noise = sd.GaussianNoise(3.0)
    others: dict[str, tuple[dict[str, Any], ...]] = {
        "seed": ({"seed": 6},),
        "n_paths": ({"n_paths": 21},),
        "n_steps": ({"t_max": 2.0}, {"dt": 0.01}),
        "correction": ({"correction": None},),
        "precision": ({"precision": "single"},),
        "x0": ({"x0": [-1.0, 0.1]}, {"x0": np.full((20, 2), [-1.0, 0.0])}),
        "region|distances": (
            {"region": sd.Ball([-1.0, 0.0], 0.8)},
            {"region": BALL & sd.HalfSpace([1, 0], 0)},
        ),
        "coefficients|parameters|step|system": (
            {"system": sd.Diffusion(WELL, sd.SAM(0.3), 0.05, noise)},
            {"system": sd.Diffusion(WELL, sd.SAM(0.2), 0.05, sd.GaussianNoise(2.0))},
            {"system": sd.Diffusion(WELL, sd.USAM(0.2), 0.05, noise)},
            {"system": sd.Diffusion(sd.landscapes.saddle(), sd.SAM(0.2), 0.05, noise)},
        ),
        "dt": ({"system": sd.Map(WELL, sd.SAM(0.2), 0.05, noise=noise), "t_max": 20},),
    }
    for names, changes in others.items():
        for change in changes:
            with pytest.raises(
                ValueError, match=rf"must belong to this job.*: ({names}) is .* in the file"
            ) as e:
                start(**change)
            assert "delete the file to start afresh" in str(e.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("traced", [True, False])
def test_functions_of_the_same_name_are_told_apart(traced: bool, tmp_path: Path) -> None:
    def system(a: float) -> sd.Diffusion:
        def loss(w: torch.Tensor) -> torch.Tensor:
            w = w if traced else torch.linalg.solve(torch.eye(1, dtype=w.dtype), w)
            return a * w[0] ** 4 / 4

        return sd.Diffusion(sd.Landscape(loss, dim=1), sd.GD(), 0.1, sd.GaussianNoise(1.0))

    def region(radius: float) -> sd.Region:
        return sd.Region(lambda w: w.abs()[0] - radius, dim=1)

    some = partial(sd.exit_times, x0=[0.0], n_paths=50, t_max=3.0, checkpoint=tmp_path / "job.npz")
    first = some(system(1.0), region=region(0.5))
    again = some(system(1.0), region=region(0.5))
    np.testing.assert_array_equal(again.times, first.times)
    with pytest.raises(ValueError, match=r"must belong to this job.*: step is"):
        some(system(1.1), region=region(0.5))
    with pytest.raises(ValueError, match=r"must belong to this job.*: distances is"):
        some(system(1.0), region=region(0.6))


def test_truncated_and_mixed_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "job.npz"
    run(checkpoint=path)
    with ThreadPoolExecutor(1) as executor, pytest.raises(ValueError, match="resume it with workers=1"):
        run(executor=executor, checkpoint=path)
    with pytest.raises(ValueError, match="resume it with workers=1"):
        run(workers=2, checkpoint=path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="damaged, cut short or something else"):
        run(checkpoint=path)
    with pytest.raises(TypeError, match="checkpoint must be the path of a file, got 3"):
        run(checkpoint=3)


@pytest.mark.parametrize("missing", ["pool", "rows", "step", "note_codes"])
def test_a_state_that_lacks_a_part_is_refused(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = checkpoints.Checkpoint.write
    path = tmp_path / "job.npz"

    def write(self: checkpoints.Checkpoint, meta: Any, arrays: Any) -> None:
        notes = {
            "note_states": np.zeros((2, 1)),
            "note_rows": np.zeros(1, int),
            "note_blocks": np.zeros(1, int),
        }
        full = {**arrays, **notes, "note_codes": np.ones(1)}
        original(self, meta, {name: array for name, array in full.items() if name != missing})

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.Checkpoint, "write", write)
        run(checkpoint=path)
    with pytest.raises(ValueError, match="must hold the state of this job, got one in which"):
        run(checkpoint=path)


# ---------------------------------------------------------------------- memory


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("when", [0, 3])
def test_a_tile_that_does_not_fit_is_halved(
    when: int, error: Exception, whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, sizes = torch_sweep.advance_block, []

    def small(stepper: Any, test: Any, state: Any, *rest: Any) -> Any:
        sizes.append(len(state[0]))
        # not in the first block: then notes of the tile's first blocks are there already
        if len(state[0]) > 100 and len(sizes) > when:
            raise error
        return original(stepper, test, state, *rest)

    monkeypatch.setattr(torch_sweep, "advance_block", small)
    assert_same(run(), whole)
    assert sizes.count(520) == when + 1
    assert sizes.count(260) == sizes.count(130) == 1  # the tile stays small
    assert max(sizes[when + 3 :]) == 65


def test_a_replay_that_does_not_fit_is_halved(
    whole: sd.escape.ExitTimes, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, sizes = Coefficients.of_notes, []

    def small(self: Coefficients, blocks: Any, rows: Any, dtype: Any) -> Any:
        sizes.append(len(rows))
        if len(rows) > 100:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, blocks, rows, dtype)

    monkeypatch.setattr(Coefficients, "of_notes", small)
    assert_same(run(), whole)
    assert sum(size for size in sizes if size <= 100) == whole.n_exited


def test_memory_that_never_suffices_and_other_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr(torch_sweep, "advance_block", full)
    error: Exception = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        run()
    error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        run()


def test_halving() -> None:
    tried = []

    def attempt(size: int) -> None:
        tried.append(size)
        if size > 5:
            raise MemoryError

    assert halving(attempt, 100) == 3
    assert tried == [100, 50, 25, 12, 6, 3]
    assert not is_out_of_memory(ValueError("out of memory"))


# ---------------------------------------------------------------------- no exits, progress


def test_no_exit_at_all() -> None:
    with pytest.warns(
        UserWarning,
        match=r"none of 30 paths left by t_max = 2, .*lower bound only: raise t_max, or the noise",
    ):
        exits = sd.exit_times(SDE, [-1.0, 0.0], sd.Ball([0.0, 0.0], 1e3), 30, t_max=2.0)
    assert exits.n_censored == 30
    assert exits.mean == exits.standard_error == math.inf
    low, high = exits.confidence_interval(0.95)
    assert high == math.inf
    assert low == pytest.approx(30 * 2.0 / -math.log(0.05))  # P(no exit) = exp(-exposure / mean) = 0.05
    assert (exits.watched == 2.0).all()
    step = sd.Map(sd.landscapes.saddle(), sd.GD(), lr=0.1)
    with pytest.warns(UserWarning, match="raise t_max$"):
        sd.exit_times(step, [0.0, 0.0], sd.Ball([0.0, 0.0], 1.0), 2, t_max=10)


def test_the_start_is_not_changed() -> None:
    x0 = np.linspace(-0.5, 0.5, 20)[:, None]
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.05, noise=sd.GaussianNoise(3.0))
    sd.exit_times(sde, x0, sd.Ball([0.0], 1.0), t_max=50.0, device="cpu")
    np.testing.assert_array_equal(x0, np.linspace(-0.5, 0.5, 20)[:, None])


def test_expected_work() -> None:
    assert expected_work(0.0, 0, 10, 50) == 500
    # exponential law cut off at the limit
    rate, s = 0.02, 30.0
    t = np.linspace(0, s, 100_001)
    mean = np.trapezoid(np.exp(-rate * t), t)
    assert expected_work(5000.0, 100, 7, s) == pytest.approx(7 * mean, rel=1e-6)


def test_the_estimate_of_the_bar_is_right_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[float, float, int]] = []
    original = WorkBar._show

    def show(self: WorkBar, work: float) -> None:
        original(self, work)
        seen.append((self.bar.n, self.bar.total, self.inside))

    monkeypatch.setattr(WorkBar, "_show", show)
    result = run(progress=True)
    done, total, inside = seen[-1]
    assert inside == result.n_censored
    assert done == pytest.approx(total, rel=0.01)
    # every path was watched for no longer than it was followed, and a sweep more at most
    exact = (result.watched / result.dt).sum()
    assert exact <= done <= exact + 520 * 4 * engine.SWEEP
    assert abs(seen[1][1] - done) < done  # the first estimate is of the right size
    assert run(progress=True, executor=ThreadPoolExecutor(1)).n_exited == result.n_exited
    done, total, inside = seen[-1]
    assert done == pytest.approx(total)
    assert exact <= done <= exact + 520
    assert inside == result.n_censored


def test_a_resumed_bar_starts_where_the_job_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(checkpoint=tmp_path / "job.npz")
    run(checkpoint=tmp_path / "job.npz", progress=True)
    err = capsys.readouterr().err
    assert "exit times: 100%" in err
    assert "of 520 inside" in err
