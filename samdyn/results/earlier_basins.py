"""Files of basins in their earlier layout, before basins were written as other results are.

A header of bytes held JSON with the fields of attractors, and members "points1", "position1", "states1" were
the arrays of attractor 1. Such a file knows its system by text alone, and has no hash of its content.
"""

from __future__ import annotations

from typing import Any

OF_ATTRACTOR = ("kind", "name", "radius", "period", "exponent", "inside", "closed")
WITH_ARRAYS = ("points", "position", "states")
PLAIN = ("unit", "replicas", "interrupted", "radius", "max_steps")


def encoded_basins(header: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
    """The header of the layout of today (`samdyn.results.encoding`), for the same arrays.

    Parameters
    ----------
    header, arrays : dict
        Of the file; the schema number is no longer in the header.

    Raises
    ------
    KeyError, TypeError, ValueError
        Something is missing, or there is another array than the header names.

    Examples
    --------
    >>> encoded_basins({"arrays": ["labels"]}, {})
    Traceback (most recent call last):
    ValueError: there are other arrays than the header names
    """
    if sorted(arrays) != header["arrays"]:
        raise ValueError("there are other arrays than the header names")
    system, ids = {"$": "absent", "text": str(header["system"])}, sorted(header["attractors"], key=int)
    attractors = [
        {
            "$": "Attractor",
            **{name: header["attractors"][k][name] for name in OF_ATTRACTOR},
            **{name: _array(f"{name}{k}") for name in WITH_ARRAYS},
        }
        for k in ids
    ]
    shares = header["unresolved"]
    found: dict[str, Any] = {name: header[name] for name in PLAIN}
    found |= {name: _array(name) for name in ("labels", "steps", "box")}
    found["attractors"] = {"$": "dict", "keys": [int(k) for k in ids], "of": attractors}
    found["resolution"] = {"$": "tuple", "of": list(arrays["labels"].shape)}
    found["unresolved"] = {"$": "dict", "keys": [int(k) for k in shares], "of": list(shares.values())}
    found["probabilities"] = _array("probabilities") if "probabilities" in arrays else None
    found["system"] = system
    if "course" in header:
        way = header["course"]
        followed = {"stride": way["dt"], **{name: way[name] for name in ("noisy", "seed", "far")}}
        found["course"] = {"$": "Course", "system": system, "box": _array("box"), **followed}
    return found


def _array(name: str) -> dict[str, str]:
    return {"$": "array", "name": name}
