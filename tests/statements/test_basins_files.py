"""Files of results: whole or as they were, and refused when any member is not what was written."""

from __future__ import annotations

import io
import json
import os
import stat
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import samdyn as sd
from samdyn.jobs import whole_files as files
from samdyn.jobs.whole_files import write_file
from samdyn.results.files import _digest as digest_of


@pytest.fixture(scope="module")
def found() -> sd.basin.Basins:
    return sd.basins(sd.Map(sd.landscapes.double_well(), sd.SAM(0.3), lr=0.05), [(-2, 2)], 20, n_starts=8)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails destroyed the result before it: the old bytes stay, and nothing lies beside them."""

    def full(file: Any) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    path = tmp_path / "result.npz"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left"):
        write_file(path, full)

    def no_flush(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", no_flush)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, lambda file: file.write(b"new"))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.npz"]


def test_a_file_descriptor_is_no_path(tmp_path: Path, found: sd.basin.Basins) -> None:
    """An int was taken for an open file and overwritten: it is refused, and so is what it stands for."""
    path = tmp_path / "kept"
    path.write_bytes(b"kept")
    with path.open("r+b") as file:
        for bad in (file.fileno(), True, None, 2.0):
            with pytest.raises(TypeError, match="path must be the path of a file"):
                found.save(bad)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="path must be the path of a file"):
                sd.basin.Basins.load(bad)  # type: ignore[arg-type]
    assert path.read_bytes() == b"kept"
    with pytest.raises(IsADirectoryError, match="path must be the path of a file"):
        found.save(tmp_path)


def test_what_is_no_regular_file_is_written_to(tmp_path: Path, found: sd.basin.Basins) -> None:
    """A rename would put a regular file where a device or a pipe was: it stays, and gets the bytes."""
    found.save("/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    pipe, got = tmp_path / "pipe", io.BytesIO()
    os.mkfifo(pipe)

    def read() -> None:
        got.write(pipe.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    found.save(pipe)
    reader.join(timeout=10)
    assert stat.S_ISFIFO(os.stat(pipe).st_mode)
    assert zipfile.is_zipfile(got)


def test_links_and_permissions_stay(tmp_path: Path, found: sd.basin.Basins) -> None:
    """A symbolic link keeps leading to the file that is replaced, which keeps its permissions."""
    target, link = tmp_path / "target.npz", tmp_path / "link.npz"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    found.save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert np.array_equal(sd.basin.Basins.load(link).labels, found.labels)


def test_every_damage_is_one_sentence(tmp_path: Path, found: sd.basin.Basins) -> None:
    """Cut and flipped bytes gave BadZipFile and zlib.error: each is a ValueError that names the file."""
    path = tmp_path / "basins.npz"
    found.save(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    cases = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    for at in rng.integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        cases.append(bytes(damaged))
    refused = 0
    for case in cases:
        path.write_bytes(case)
        said = ""
        try:
            read = sd.basin.Basins.load(path)
        except ValueError as error:
            said = str(error)
        if said:
            refused += 1
            assert "basins.npz" in said
            assert "\n" not in said
        else:  # some bytes of a zip file, such as times, mean nothing
            assert np.array_equal(read.labels, found.labels)
            assert repr(read.attractors) == repr(found.attractors)
    assert refused > 40


HEADER: list[tuple[str, Any]] = [
    ("unit", -1.0),
    ("unit", float("nan")),
    ("replicas", 0),
    ("replicas", True),
    ("interrupted", 1),
    ("radius", -0.5),
    ("max_steps", 2.5),
    ("unresolved", {"$": "dict", "keys": [-1], "of": [1.5]}),
    ("unresolved", {"$": "dict", "keys": [-9], "of": [0.5]}),
    ("system", 3),
    ("attractors", {}),
    ("attractors", {"$": "dict", "keys": [1, 2, 3], "of": [1, 2, 3]}),
    ("course", {"$": "array", "name": "box"}),
]
ARRAYS: list[tuple[str, Any]] = [
    ("labels", np.full(20, 99, dtype=np.int16)),
    ("labels", np.ones(20, dtype=np.float64)),
    ("labels", np.ones((4, 5), dtype=np.int16)),
    ("steps", np.full(20, -2, dtype=np.int32)),
    ("steps", np.zeros(21, dtype=np.int32)),
    ("box", np.array([[2.0, -2.0]])),
    ("box", np.array([[-2.0, np.nan]])),
    ("attractors.1.points", np.array([[1.0 + 1.0j]])),
    ("attractors.1.position", np.array([np.inf])),
    ("attractors.1.states", np.zeros((0, 1))),
    ("probabilities", np.full((20, 3), 0.5)),
]


@pytest.mark.parametrize(("name", "value"), HEADER + ARRAYS)
def test_changed_members_are_refused(tmp_path: Path, found: sd.basin.Basins, name: str, value: Any) -> None:
    """A whole archive with one member of another kind, shape or range came back as another result."""
    path = tmp_path / "basins.npz"
    found.save(path)
    with np.load(path) as data:
        members = {key: data[key] for key in data.files}
    header = json.loads(str(members.pop("header")))
    if isinstance(value, np.ndarray):
        members[name] = value
        header.pop(name, None)
    else:
        header[name] = value
    header["digest"] = digest_of({key: part for key, part in header.items() if key != "digest"}, members)
    with path.open("wb") as file:
        np.savez_compressed(file, header=np.array(json.dumps(header)), **members)
    with pytest.raises(ValueError, match=r"path must hold a whole Basins, got .*basins\.npz"):
        sd.basin.Basins.load(path)


def test_labels_that_fit_and_are_others_are_refused(tmp_path: Path, found: sd.basin.Basins) -> None:
    """A file in which the two ends of a line had changed places came back: its content has a hash."""
    path = tmp_path / "basins.npz"
    found.save(path)
    with np.load(path) as data:
        members = {key: data[key] for key in data.files}
    assert (members["labels"] != members["labels"][::-1]).any()
    with path.open("wb") as file:
        np.savez_compressed(file, **{**members, "labels": members["labels"][::-1].copy()})
    with pytest.raises(ValueError, match="its content is not what was saved"):
        sd.basin.Basins.load(path)


def test_name_of_unknown_labels(found: sd.basin.Basins) -> None:
    """A label that is none was a bare KeyError: it is named, with those that there are."""
    for bad in (0, 99, -7):
        with pytest.raises(ValueError, match=r"label must be one of \[1, 2, 3, -1"):
            found.name_of(bad)
    with pytest.raises(TypeError, match="label must be an integer"):
        found.name_of("x")  # type: ignore[arg-type]
