"""Files of results and checkpoints: what was changed is refused with one sentence, and another schedule is
another job."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.dynamics import system_description as job_description
from samdyn.escape.statistics.result import ExitTimes
from samdyn.jobs.checkpoint import Checkpoint
from samdyn.results.consistency import consistent

WELL = sd.landscapes.double_well()
NOISE = sd.GaussianNoise(4.0)


@functools.cache
def exits() -> ExitTimes:
    sde = sd.Diffusion(WELL, sd.SAM(0.2), lr=0.1, noise=NOISE)
    return sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.0), 40, t_max=4.0, device="cpu", compile=False)


def members(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files if name != "header"}
        return json.loads(str(data["header"])), arrays


def rewrite(path: Path, header: dict[str, Any], arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)


EDITS: dict[str, tuple[str, Any]] = {
    "another length": ("times", lambda a: a[:-1]),
    "complex": ("times", lambda a: a + 0j),
    "integers": ("watched", lambda a: a.astype(int)),
    "another shape": ("exit_points", lambda a: a[:, 0]),
    "a number": ("watched", lambda a: np.where(np.arange(len(a)) == 3, a * 1.01, a)),
    "no such face": ("faces", lambda a: a + 7),
    "all left": ("exited", lambda a: np.ones_like(a)),
    "dt": ("dt", lambda _: -1.0),
    "a dt that could be": ("dt", lambda a: 2 * a),
    "nan": ("t_max", lambda _: float("nan")),
    "text": ("t_max", str),
    "a seed": ("seed", lambda _: -3),
    "a flag": ("discrete", lambda _: "False"),
    "a correction": ("correction", lambda _: "other"),
    "a name": ("face_names", lambda _: [1]),
    "more": ("more", lambda _: 1),
    "less": ("region", None),
}


@pytest.mark.parametrize("name", EDITS)
def test_edited_results_are_refused(name: str, tmp_path: Path) -> None:
    """A whole archive in which one member was changed does not come back as another result."""
    field, change = EDITS[name]
    path = tmp_path / "exits.npz"
    exits().save(path)
    header, arrays = members(path)
    where = arrays if field in arrays else header
    if change is None:
        del where[field]
    else:
        where[field] = change(where.get(field))
    rewrite(path, header, arrays)
    with pytest.raises(ValueError, match=r"path must hold a whole ExitTimes, got .*exits\.npz"):
        ExitTimes.load(path)


def test_damaged_results_are_refused(tmp_path: Path) -> None:
    """Cut short, with flipped bits, or something else: a ValueError that names the file, or the result."""
    path = tmp_path / "exits.npz"
    exits().save(path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    contents = [b"", b"PK\x03\x04", whole[:100], whole[:-30], b"x" * len(whole)]
    for _ in range(60):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        contents.append(bytes(changed))
    for content in contents:
        path.write_bytes(content)
        message, again = "", exits()
        try:
            again = ExitTimes.load(path)
        except ValueError as error:
            message = str(error)
        assert not message or str(path) in message
        np.testing.assert_array_equal(again.times, exits().times)
        assert repr(again) == repr(exits())


def test_convergence_is_checked(tmp_path: Path) -> None:
    """The same for the curves of a convergence experiment."""
    sam = sd.Map(sd.landscapes.quadratic([[2.0]]), sd.SAM(0.3), lr=0.25)
    result = sd.convergence(sam, [1.0], n_steps=50)
    path = tmp_path / "curves.npz"
    result.save(path)
    again = type(result).load(path)
    np.testing.assert_array_equal(again.gap, result.gap)
    header, arrays = members(path)
    for name, array in arrays.items():
        rewrite(path, header, arrays | {name: array[..., :0] if array.ndim > 1 else array[:-1]})
        with pytest.raises(ValueError, match="path must hold a whole Convergence"):
            type(result).load(path)
    assert "steps" in consistent("Convergence", {**vars(result), "steps": result.steps[::-1]})


def test_checkpoints_with_odd_members_are_refused(tmp_path: Path) -> None:
    """An archive that is whole but has a member of another file, or a header of another form."""
    path = tmp_path / "job.npz"
    job = {"seed": 1}
    Checkpoint(path, job).write({"block": 3}, {"x": np.arange(3.0)})
    with np.load(path) as data:
        text, x = json.loads(bytes(data["header"]).decode()), data["x"]

    def put(header: Any, x: Any) -> None:
        with path.open("wb") as file:
            np.savez(file, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), x=x)

    odd = [
        (text, x + 1),
        (text, x.astype(np.float32)),
        ({**text, "meta": {"block": 4}}, x),
        ({**text, "meta": [3]}, x),
        ({**text, "job": None}, x),
        ({**text, "job": [["seed"]]}, x),
        ({k: v for k, v in text.items() if k != "schema"}, x),
        ({k: v for k, v in text.items() if k != "digest"}, x),
        ([1, 2], x),
        ("header", x),
    ]
    for header, array in odd:
        put(header, array)
        with pytest.raises(ValueError, match="must be a whole checkpoint file"):
            Checkpoint(path, job)
    put(text, x)
    assert Checkpoint(path, job).meta == {"block": 3}


class Switched:
    """A schedule whose value at one step is an attribute."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __call__(self, step: int) -> float:
        return self.value if step == 57 else 0.1

    def __repr__(self) -> str:
        return "Switched()"


@pytest.mark.parametrize("where", ["lr", "rho"])
def test_a_schedule_that_differs_at_one_step(where: str, tmp_path: Path) -> None:
    """A checkpoint of a job whose schedule differs at a single step, 57 of 100, belongs to another job."""
    path = tmp_path / "job.npz"

    def run(value: float) -> ExitTimes:
        schedule = Switched(value)
        rule = sd.USAM(schedule) if where == "rho" else sd.USAM(0.1)
        step = sd.Map(WELL, rule, lr=schedule if where == "lr" else 0.1, noise=NOISE)
        return sd.exit_times(
            step,
            [-1.0],
            sd.HalfSpace([1.0], 0.0),
            20,
            t_max=100,
            checkpoint=path,
            device="cpu",
            compile=False,
        )

    first = run(0.1)
    with pytest.raises(ValueError, match="must belong to this job, got one of another: coefficients"):
        run(0.15)
    np.testing.assert_array_equal(run(0.1).watched, first.watched)


def test_long_schedules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beyond the steps that are listed a schedule is told by its code and what it reads; one whose state is
    not known is refused.
    """
    monkeypatch.setattr(job_description, "LISTED", 50)

    def run(schedule: Any, name: str) -> ExitTimes:
        step = sd.Map(WELL, sd.USAM(0.1), lr=schedule, noise=NOISE)
        region = sd.HalfSpace([1.0], 0.0)
        path = tmp_path / name
        return sd.exit_times(
            step, [-1.0], region, 20, t_max=100, checkpoint=path, device="cpu", compile=False
        )

    late = [0.1]

    def plain(step: int) -> float:
        return late[0] if step == 70 else 0.1

    run(plain, "plain")
    late[0] = 0.2
    with pytest.raises(ValueError, match="got one of another: coefficients"):
        run(plain, "plain")
    run(sd.rules.schedules.StepDecay(0.1, 0.5, (70,)), "own")
    with pytest.raises(ValueError, match="checkpoint must be left out for a schedule of 100 steps"):
        run(Switched(0.1), "object")


def test_another_loss_or_region_far_away_is_another_job(tmp_path: Path) -> None:
    """A step that cannot be traced, and a function as region, are told by their operations as well: a change
    far from the start is noticed.
    """
    import torch

    far = [5.0]

    def loss(w: torch.Tensor) -> torch.Tensor:
        bent = torch.where(w[0] > far[0], 3.0 * w[0], w[0])
        return torch.linalg.svdvals(torch.stack([w, 2.0 * w + 1.0])).sum() + 0.0 * bent

    def edge(w: torch.Tensor) -> torch.Tensor:
        return torch.where(w[0] > far[0], w.norm() - 3.0, w.norm() - 2.0)

    for which in ("step", "distances"):
        far[0] = 5.0
        own = sd.Landscape(loss, dim=2) if which == "step" else sd.landscapes.quadratic(np.eye(2))
        region = sd.Region(edge, dim=2) if which == "distances" else sd.Ball([0.0, 0.0], 2.0)
        sde = sd.Diffusion(own, sd.GD(), lr=0.1, noise=NOISE)
        run = functools.partial(
            sd.exit_times, sde, [0.1, 0.2], region, 10, t_max=0.5, device="cpu", compile=False,
            checkpoint=tmp_path / which,
        )  # fmt: skip
        run()
        far[0] = 6.0
        with pytest.raises(ValueError, match=f"got one of another: {which}"):
            run()
