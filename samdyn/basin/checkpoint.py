"""The checkpoint of a basin computation: where every path stands, and the attractors known so far.

A job can stop in the middle of a leg (`samdyn.basin.paths.legs_of_paths`). The paths that have come to its
end are kept apart from the others, path by path, so that it is gone on with in any cut and under any number
of workers.

What a job is told by (`description`): text of the system, its parameters, where a step takes a few points,
the box, the grid and the options. Points are rounded to single precision, since their last bits are the
machine's business.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from samdyn.basin.paths.course import Course, motion_of
from samdyn.basin.paths.legs_of_paths import Followed
from samdyn.basin.search.attractors import Attractor
from samdyn.basin.search.candidate import Candidate
from samdyn.jobs.checkpoint import Checkpoint

N_POINTS = 16  # at which steps are compared


def description(
    course: Course, options: object, attractors: Mapping[int, Attractor] | None, **rest: Any
) -> dict[str, Any]:
    """All that the numbers of a job depend on, as JSON."""
    given = [] if attractors is None else [attractors[k] for k in sorted(attractors)]
    return {
        "system": _text(course.system),
        "parameters": {k: _text(v) for k, v in course.system.parameters.items()},
        "box": course.box.tolist(),
        "seed": course.seed,
        "dt": course.stride,
        "far": course.far,
        "device": course.device.split(":")[0],
        "options": _text(options),
        "attractors": _hash(*(a.states for a in given), np.array([a.radius for a in given])),
        **rest,
        "a step": fingerprint(course),
    }


def fingerprint(course: Course) -> str:
    """A hash of where a few points of the box are after a step."""
    motion, dim = motion_of(course), len(course.box)
    rng = np.random.default_rng(0)
    state = np.zeros((len(course.scale), N_POINTS))
    state[:dim] = rng.uniform(course.box[:, :1], course.box[:, 1:], (dim, N_POINTS))
    paths = np.arange(N_POINTS)
    with np.errstate(all="ignore"):
        return _hash(motion(state, paths, 0, 1).astype(np.float32))


def _hash(*arrays: Any) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


def _text(value: object) -> str:
    """A repr without addresses, which differ from process to process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def save(saved: Checkpoint, followed: Followed, candidates: Sequence[Candidate]) -> None:
    """Write where a job stands."""
    arrays: dict[str, Any] = {"labels": followed.labels, "steps": followed.steps}
    for name in ("paths", "states", "ahead", "ahead_states"):
        if getattr(followed, name) is not None:
            arrays[name] = getattr(followed, name)
    for i, c in enumerate(candidates):
        arrays[f"candidate{i}"] = c.states
    numbers = {name: getattr(followed, name) for name in ("step", "rounds", "until")}
    kinds = {"radii": [c.radius for c in candidates], "closed": [c.closed for c in candidates]}
    saved.write(numbers | kinds, arrays)


def restore(saved: Checkpoint, n_paths: int, state_dim: int) -> tuple[Followed, list[Candidate]]:
    """Where the job stood when the file was written."""
    assert saved.meta is not None
    meta, a = saved.meta, saved.arrays
    try:
        followed = Followed(
            a["labels"], a["steps"], a["paths"], a.get("states"), int(meta["step"]), int(meta["rounds"]),
            int(meta["until"]), a["ahead"], a.get("ahead_states"),
        )  # fmt: skip
        kinds = zip(meta["radii"], meta["closed"], strict=True)
        candidates = [Candidate(a[f"candidate{i}"], r, c) for i, (r, c) in enumerate(kinds)]
    except (KeyError, TypeError, ValueError) as error:
        raise saved.damaged(f"{error} is missing") from error
    if followed.labels.shape != (n_paths,) or followed.steps.shape != (n_paths,):
        raise saved.damaged("the labels do not fit")
    for paths, states in ((followed.paths, followed.states), (followed.ahead, followed.ahead_states)):
        if states is not None and states.shape != (state_dim, len(paths)):
            raise saved.damaged("the states do not fit")
    saved.arrays = {}  # the job owns them now
    return followed, candidates
