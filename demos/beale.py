"""What does SAM do at the saddle of the Beale function, and how much more slowly than SGD does it leave?

Run with `make demo`. Prints four answers and writes two pictures to demos/output/.
"""

from __future__ import annotations

import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import samdyn as sd

OUTPUT = Path(__file__).parent / "output"
SADDLE = np.array([0.0, 1.0])
MINIMUM = np.array([3.0, 0.5])
LR = 1e-3
N_PATHS = 10_000


def heading(text: str) -> None:
    """Print a section title."""
    print(f"\n{text}\n{'-' * len(text)}")


def where_it_stops(loss: sd.Landscape) -> tuple[sd.equilibria.FixedPoints, sd.equilibria.FixedPoints]:
    """(1) Fixed points of the two flows."""
    heading("(1) Where can the flows stop?")
    gd, sam = sd.Flow(loss, sd.GD()), sd.Flow(loss, sd.SAM(0.5))
    points_gd, points_sam = sd.fixed_points(gd), sd.fixed_points(sam)
    print(points_gd)
    print(points_sam)
    return points_gd, points_sam


def linear_analysis(loss: sd.Landscape) -> None:
    """(2) Linearisation at the saddle and the critical radius."""
    heading("(2) The saddle (0, 1), linearised")
    critical = sd.critical_rho(loss, SADDLE)
    print(f"Hessian eigenvalues: {np.round(np.linalg.eigvalsh(loss.hessian(SADDLE)), 6)}")
    print(f"critical radius of USAM: {critical:.6f} (= 1/27.75)")
    for rho in (0.0, 0.03, 0.04):
        rule = sd.USAM(rho) if rho else sd.GD()
        linear = sd.linearize(sd.Flow(loss, rule), SADDLE)
        print(f"  {rule!s:16s} rates {np.round(linear.eigenvalues.real, 3)}: {linear.stability}")
    trap = sd.linearize(sd.Flow(loss, sd.SAM(0.5)), SADDLE)
    print(f"  {sd.SAM(0.5)!s:16s} no Jacobian, the field jumps there: {trap.stability}")


def escape(loss: sd.Landscape) -> dict[str, sd.escape.ExitTimes]:
    """(3) Exit times from a ball around the saddle."""
    heading("(3) How long does it take to leave the ball of radius 0.1 around the saddle?")
    print(f"diffusions with learning rate {LR:g} and noise |H|/B with batch size B = 1; {N_PATHS} paths each")
    rules = [sd.GD(), sd.USAM(0.01), sd.USAM(0.02), sd.USAM(0.03), sd.SAM(0.02), sd.SAM(0.035), sd.SAM(0.05)]
    ball, noise = sd.Ball(SADDLE, 0.1), sd.CurvatureNoise(batch_size=1)
    results: dict[str, sd.escape.ExitTimes] = {}
    for seed, rule in enumerate(tqdm(rules, desc="exit times", unit="rule", leave=False)):
        sde = sd.Diffusion(loss, rule, lr=LR, noise=noise)
        name = "SGD" if isinstance(rule, sd.GD) else str(rule)
        results[name] = sd.exit_times(sde, SADDLE, ball, n_paths=N_PATHS, t_max=20.0, dt=LR / 5, seed=seed)
    print(f"{'rule':16s} {'mean exit time':>15s} {'95 % interval':>22s} {'against SGD':>30s}")
    for name, exits in results.items():
        low, high = exits.confidence_interval(0.95)
        ratio, ratio_low, ratio_high = sd.escape.ratio_of_means(exits, results["SGD"])
        against = "" if name == "SGD" else f"{ratio:.3f} times ({ratio_low:.3f}, {ratio_high:.3f})"
        print(f"{name:16s} {exits.mean:15.5f}    ({low:8.5f}, {high:8.5f}) {against:>30s}")
    return results


def where_it_ends(loss: sd.Landscape) -> None:
    """(4) Where the algorithms end up."""
    heading("(4) Where does descent from (1, 2) end? (learning rate 1e-4, 40000 steps)")
    for rule in tqdm([sd.GD(), sd.SAM(0.1), sd.SAM(0.5), sd.SAM(1.0)], desc="descent", leave=False):
        path = sd.trajectory(sd.Map(loss, rule, lr=1e-4), [1.0, 2.0], n_steps=40_000)
        end = path[-1]
        distance = np.sqrt(((path[-2000:] - SADDLE) ** 2).sum(axis=1).mean())
        verdict = "sticks at the saddle" if distance < 0.05 else "goes on towards the minimum (3, 0.5)"
        tqdm.write(f"  {rule!s:14s} ends at ({end[0]:8.5f}, {end[1]:8.5f}): {verdict}")


def pictures(
    loss: sd.Landscape,
    points: tuple[sd.equilibria.FixedPoints, sd.equilibria.FixedPoints],
    results: dict[str, sd.escape.ExitTimes],
) -> None:
    """Write the phase portraits and the survival curves."""
    OUTPUT.mkdir(exist_ok=True)
    box = [(-1.5, 3.5), (-0.5, 2.5)]
    starts = np.array([[1.0, 2.0], [-1.0, 0.2], [2.0, 1.5]])
    figure, panels = plt.subplots(1, 2, figsize=(12.5, 4.9), layout="constrained")
    for panel, found in zip(panels, points, strict=True):
        trajectories = sd.trajectory(found.system, starts, t_max=4.0, dt=2e-3)
        sd.plot.phase_portrait(
            found.system, box=box, ax=panel, fixed_points=found, trajectories=trajectories, legend="below"
        )
        panel.set_title(repr(found.system.rule), fontsize=13)
    figure.suptitle(f"Gradient flow and SAM flow on the {loss.name} function", fontsize=14)
    figure.savefig(OUTPUT / "beale_phase_portraits.png", dpi=150)
    labels = [f"{name}: mean {exits.mean:.3g}" for name, exits in results.items()]
    ax = sd.plot.survival(list(results.values()), labels=labels)
    ax.set_xlim(0, 3.6)
    ax.set_ylim(1e-3, 1.15)
    ax.set_title("Leaving the ball of radius 0.1 around the saddle", fontsize=13)
    ax.figure.savefig(OUTPUT / "beale_survival.png", dpi=150)
    print(f"\npictures: {OUTPUT.name}/beale_phase_portraits.png and {OUTPUT.name}/beale_survival.png")


def main() -> None:
    """Answer the four questions."""
    began = time.perf_counter()
    loss = sd.landscapes.beale()
    points = where_it_stops(loss)
    linear_analysis(loss)
    results = escape(loss)
    where_it_ends(loss)
    pictures(loss, points, results)
    print(f"\ndone in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
