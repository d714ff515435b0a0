"""Morse graphs beside CMGDB: the Leslie map on 2^20 boxes, sets checked before a time is printed.

    python benchmarks/morse.py

CMGDB takes the map as a Python function of one rectangle, as its manual shows, or of many as one numpy array
(`set_batch_map`); samdyn traces it. Each time is the best of three, in seconds of the process; all find four
sets of 1, 427, 1261 and 64417 boxes with padded images, small sets being followed through 2^24 boxes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

import samdyn as sd

SIZES = [1, 427, 1261, 64417]
BOX = [(-0.001, 90.0), (-0.001, 70.0)]


def leslie(w: torch.Tensor) -> torch.Tensor:
    return torch.stack([(19.6 * w[0] + 23.68 * w[1]) * torch.exp(-0.1 * (w[0] + w[1])), 0.7 * w[0]])


def samdyn(image: str) -> list[int]:
    system = sd.Map.from_function(leslie, dim=2, box=BOX, name="Leslie")
    graph = sd.morse_graph(system, resolution=1024, image=image, discard=4)
    return sorted(len(boxes) for boxes in graph.sets.values())


def cmgdb(batch: bool) -> list[int]:
    import CMGDB

    def step(x: list[float]) -> list[float]:
        return [(19.6 * x[0] + 23.68 * x[1]) * math.exp(-0.1 * (x[0] + x[1])), 0.7 * x[0]]

    def steps(x: Any) -> Any:
        first = (19.6 * x[:, 0] + 23.68 * x[:, 1]) * np.exp(-0.1 * (x[:, 0] + x[:, 1]))
        return np.column_stack([first, 0.7 * x[:, 0]])

    def rectangle(r: list[float]) -> Any:
        return CMGDB.BoxMap(step, r, padding=True)

    model = CMGDB.Model(20, 24, [low for low, _ in BOX], [high for _, high in BOX], rectangle)
    if batch:
        model.set_batch_map(lambda rectangles: CMGDB.BoxMapBatch(steps, rectangles, padding=True))
    graph, _ = CMGDB.ComputeMorseGraph(model)
    return sorted(len(graph.morse_set_boxes(v)) for v in range(graph.num_vertices()))


def best_of_three(run: Callable[[], list[int]]) -> tuple[float, list[int]]:
    times = []
    for _ in range(3):
        start = time.process_time()
        sizes = run()
        times.append(time.process_time() - start)
    return min(times), sizes


def main() -> None:
    rows: list[tuple[str, Callable[[], list[int]], list[int] | None]] = [
        ("samdyn, padded images", lambda: samdyn("padded"), SIZES),
        ("samdyn, interval images", lambda: samdyn("interval"), None),
        ("CMGDB, padded images", lambda: cmgdb(False), SIZES),
        ("CMGDB, the same in batches", lambda: cmgdb(True), SIZES),
    ]
    print(f"{'Leslie map, 2^20 boxes':26} {'seconds':>8}  boxes in the sets")
    for name, run, expected in rows:
        try:
            seconds, sizes = best_of_three(run)
        except ImportError:
            print(f"{name:26} {'absent':>8}")
            continue
        if expected is not None and sizes != expected:
            raise SystemExit(f"{name} finds sets of {sizes} boxes, not {expected}: no time is reported")
        print(f"{name:26} {seconds:8.2f}  {', '.join(map(str, sizes))}")


if __name__ == "__main__":
    main()
