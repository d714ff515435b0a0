"""Ways on the floor of a valley of a drift, where what it has across the way vanishes.

A normalised rule turns the drift of a narrow valley round within a layer that is far thinner than the valley:
on its floor the drift goes slowly along, and just beside it fast across. A polygon whose corners miss the
layer costs many times what the floor does, so that a search that compares costs goes elsewhere.

The way is given `CORNERS` corners, and each of them is moved across the way by Newton's method, the step cut
to the best of `CUTS`, for at most `MOST_STEPS` steps, until the drift across the way is `SMALL` of the
largest drift that the way met. A corner stays where it was if that does not succeed, if it would move farther
than `FARTHEST` of the length of the way, or if it came to a crest, from which the drift leads away.
"""

from __future__ import annotations

import numpy as np

from samdyn.arguments.checks import Array
from samdyn.escape.rare.action_field import ActionField
from samdyn.escape.rare.action_polygon import actions, path_length, respaced

CORNERS = 1601  # around a ring with SAM(.02): 17 % above the least action with 401, 1 % with these
CUTS = 0.5 ** np.arange(8)
MOST_STEPS = 25
SMALL = 1e-6
FARTHEST = 0.02
MOST_NORMALS = 4  # directions across a side
SUDDEN = 0.25
SHARE = 0.1


def onto_floor(field: ActionField, path: Array) -> Array | None:
    """The way (CORNERS, dim) on the floor beside a path (m, dim); None where it would not cost less."""
    way = respaced(path, CORNERS)
    dim = way.shape[1]
    along = way[2:] - way[:-2]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
    across = np.eye(dim) - along[:, :, None] * along[:, None]
    x, reach = way[1:-1].copy(), FARTHEST * path_length(way)
    with np.errstate(all="ignore"):
        drift, jacobian = field.both(x)
        normal = np.einsum("nij,nj->ni", across, drift)
        enough = SMALL * float(np.nanmax(np.linalg.norm(drift, axis=1), initial=0.0))
        going = np.flatnonzero(np.linalg.norm(normal, axis=1) > enough)
        for _ in range(MOST_STEPS):
            if not len(going):
                break
            here = across[going]
            # nothing is asked along the way: its direction is given the slope 1
            slope = here @ jacobian[going] @ here + along[going, :, None] * along[going, None]
            fits = np.isfinite(slope).all(axis=(1, 2)) & (np.abs(np.linalg.det(slope)) > 0)
            going, here, slope = going[fits], here[fits], slope[fits]
            step = np.linalg.solve(slope, -normal[going][..., None])[..., 0]
            step *= np.minimum(1.0, reach / np.maximum(np.linalg.norm(step, axis=1), 1e-300))[:, None]
            tried = x[going] + CUTS[:, None, None] * step
            at = field.drift(tried.reshape(-1, dim)).reshape(tried.shape)
            size = np.linalg.norm(np.einsum("nij,cnj->cni", here, at), axis=2)
            best = np.argmin(np.where(np.isfinite(size), size, np.inf), axis=0), np.arange(len(going))
            better = size[best] < np.linalg.norm(normal[going], axis=1)
            going, new = going[better], tried[best][better]
            x[going] = new
            drift[going], jacobian[going] = field.both(new)
            normal[going] = np.einsum("nij,nj->ni", across[going], drift[going])
            going = going[np.linalg.norm(normal[going], axis=1) > enough]
        slope = across @ jacobian @ across
        usable = np.isfinite(slope).all(axis=(1, 2))
        growth = np.full(len(x), np.inf)
        growth[usable] = np.linalg.eigvals(slope[usable]).real.max(axis=1)  # 0 along the way
    moved = (np.linalg.norm(normal, axis=1) <= enough) & (growth <= 1e-6 * np.abs(slope).max(axis=(1, 2)))
    moved &= np.linalg.norm(x - way[1:-1], axis=1) <= reach
    on_floor = way.copy()
    on_floor[1:-1][moved] = x[moved]
    with np.errstate(invalid="ignore", over="ignore"):
        before, after = actions(field, np.stack([way, on_floor]))[0]
    return on_floor if after < before else None


def steep_place(field: ActionField, paths: Array) -> Array | None:
    """A point (dim,) around which the drift is nearly discontinuous for polygons (k, n, dim); None without.

    A side lies at such a place if the drift, at a quarter of its length beside its middle, differs by more
    than its own size, and if more than `SUDDEN` of that happens within an eighth of the distance: of a smooth
    drift it is an eighth. A polygon counts where such sides are more than `SHARE` of it; the point is the
    middle of them. Critical points, at which a normalised rule jumps, are too few sides to count.
    """
    dim = paths.shape[2]
    side, middle = np.diff(paths, axis=1), (paths[:, 1:] + paths[:, :-1]) / 2
    length = np.linalg.norm(side, axis=2, keepdims=True)
    unit = side / np.maximum(length, 1e-300)
    normal = np.random.default_rng(0).standard_normal((MOST_NORMALS, *side.shape))
    normal -= (normal * unit).sum(axis=-1, keepdims=True) * unit
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-300)

    def drift(x: Array) -> Array:
        return field.drift(x.reshape(-1, dim)).reshape(x.shape)

    with np.errstate(all="ignore"):
        here = drift(middle)
        far, near = (
            np.linalg.norm(drift(middle + share * length * normal) - here, axis=-1)
            for share in (1 / 4, 1 / 32)
        )
        steep = ((far > np.linalg.norm(here, axis=-1)) & (near > SUDDEN * far)).any(axis=0)
    share = steep.mean(axis=1)
    worst = int(np.argmax(share))
    if not share[worst] > SHARE:
        return None
    places = np.flatnonzero(steep[worst])
    return np.asarray(middle[worst, places[len(places) // 2]])
