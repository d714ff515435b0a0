"""Checkpoint files: what is written comes back, and nothing else does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samdyn.jobs import checkpoint as module
from samdyn.jobs.checkpoint import Checkpoint

JOB = {"system": "Map(...)", "seed": 3, "dt": 0.1, "correction": None}
META = {"kind": "pool", "block": 7}
ARRAYS = {
    "x": np.random.default_rng(0).normal(size=(2, 50)),
    "single": np.array([1.5, np.nan, -0.0], dtype=np.float32),
    "step": np.arange(5),
    "empty": np.zeros((0, 3)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "job.npz"
    Checkpoint(path, JOB).write(META, ARRAYS)
    return path


def assert_is_the_saved_state(saved: Checkpoint) -> None:
    assert saved.meta == META
    assert saved.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert saved.arrays[name].dtype == array.dtype
        assert saved.arrays[name].shape == array.shape
        assert saved.arrays[name].tobytes() == array.tobytes()


def test_round_trip(path: Path) -> None:
    assert_is_the_saved_state(Checkpoint(path, JOB))
    assert_is_the_saved_state(Checkpoint(str(path), JOB))


def test_no_file_is_no_state(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "new.npz", JOB).meta is None


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(
        ValueError, match=r"must be a whole checkpoint file, got one that is damaged.*delete it"
    ):
        Checkpoint(path, JOB)


def test_no_changed_byte_passes_for_another_state(path: Path) -> None:
    data = path.read_bytes()
    rng, refused = np.random.default_rng(1), 0
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(changed))
        try:
            saved = Checkpoint(path, JOB)
        except ValueError:
            refused += 1
        else:  # a date, say, that carries no meaning
            assert_is_the_saved_state(saved)
    assert refused > 200


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04", np.arange(9).tobytes()])
def test_something_else_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ValueError, match="must be a whole checkpoint file"):
        Checkpoint(path, JOB)


def test_an_archive_of_something_else_is_refused(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.arange(3))
    with pytest.raises(ValueError, match="must be a whole checkpoint file"):
        Checkpoint(path, JOB)


def test_pickled_objects_are_not_read(path: Path) -> None:
    header = {"format": module.FORMAT, "schema": module.SCHEMA, "arrays": ["x"], "job": JOB, "meta": META}
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, header=text, x=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(ValueError, match="must be a whole checkpoint file"):
        Checkpoint(path, JOB)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seed": 4}, "must belong to this job, got one of another: seed is 3 in the file and 4 here"),
        ({"dt": 0.1 + 1e-16 * 2}, "dt is 0.1 in the file and 0.1000"),
        ({"correction": "bridge"}, "correction is None in the file and 'bridge' here"),
        ({"more": 1}, "more is None in the file and 1 here"),
    ],
)
def test_another_job_is_refused(path: Path, changes: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Checkpoint(path, {**JOB, **changes})


def test_another_schema_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SCHEMA", 99)
    with pytest.raises(ValueError, match="must be of schema 99, got 3: it was written by another version"):
        Checkpoint(path, JOB)


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be the path of a file, got .* which is a folder"):
        Checkpoint(tmp_path, JOB)
    with pytest.raises(ValueError, match=r"which lies in a folder .* that does not exist"):
        Checkpoint(tmp_path / "nowhere" / "job.npz", JOB)
    with pytest.raises(TypeError, match="checkpoint must be the path of a file, got True"):
        Checkpoint(True, JOB)  # type: ignore[arg-type]


def test_a_write_that_fails_leaves_the_file_before(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(file: Any, **arrays: Any) -> None:
        file.write(b"half of it")
        raise OSError("disk full")

    saved = Checkpoint(path, JOB)
    monkeypatch.setattr(module.np, "savez", half)
    with pytest.raises(OSError, match="disk full"):
        saved.write({"kind": "pool", "block": 8}, {"x": np.zeros(3)})
    monkeypatch.undo()
    assert_is_the_saved_state(Checkpoint(path, JOB))
    assert [file.name for file in path.parent.iterdir()] == ["job.npz"]


def test_a_half_written_file_of_a_dead_process_is_no_hindrance(path: Path) -> None:
    path.with_name("job.npz.part").write_bytes(b"half of it")
    saved = Checkpoint(path, JOB)
    assert_is_the_saved_state(saved)
    saved.write(META, ARRAYS)
    assert [file.name for file in path.parent.iterdir()] == ["job.npz"]


def test_due(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    saved = Checkpoint(path, JOB)
    now += module.EVERY - 1
    assert not saved.due()
    now += 1
    assert saved.due()
    saved.write(META, ARRAYS)
    assert not saved.due()
    assert Checkpoint(path, JOB, every=0).due()
