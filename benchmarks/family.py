"""Speed of the compiled engine with the members of the family that have no memory, beside SAM.

    python benchmarks/family.py [--quick]

Exit times of the coupled double well under Gaussian noise. Check: a step of each member's printed code is the
one of its map in torch. Printed are million path-steps a second of process time on one core, and the ratio to
SAM, whose runs alternate with the member's; the project asks for at least one half.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np

import samdyn as sd

NOISE = sd.GaussianNoise(std=0.3)
MEMBERS: list[sd.Rule] = [
    sd.GD(), sd.USAM(0.2), sd.UnifiedSAM(0.2, 0.5), sd.ASAM(0.2), sd.PreconditionedSAM(0.2), sd.MongeSAM(0.2),
    sd.LESAM(0.2, 0.05), sd.DNSAM(0.2), sd.SAMON(0.2, blocks=[0]), sd.GCSAM(0.2), sd.GSAM(0.2),
    sd.WSAM(0.2), sd.StableSAM(0.2), sd.ZSharp(0.2), sd.Extragradient(0.2),
]  # fmt: skip
COSTLIER: list[sd.Rule] = [sd.LookbehindSAM(0.1, steps=2), sd.PolyakSAM(0.2, lower=-1.0)]
"""Members that take more than two gradients, or the loss's value besides."""


def system_of(rule: sd.Rule) -> sd.Map:
    """The map that is timed."""
    return sd.Map(sd.landscapes.coupled_double_well(), rule, lr=0.05, noise=NOISE)


def run(system: sd.Map, n_paths: int, n_steps: int) -> float:
    """Process seconds of a run that nearly no path leaves."""
    start = time.process_time()
    region = sd.HalfSpace([1.0, 0.0], 3.0)
    sd.exit_times(system, [-1.0, 0.0], region, n_paths=n_paths, t_max=n_steps, seed=1, progress=False)
    return time.process_time() - start


def check(rule: sd.Rule) -> None:
    """A step without noise is the rule's formula, in the printed code as in torch."""
    quiet = sd.Map(sd.landscapes.coupled_double_well(), rule, lr=0.05, noise=sd.GaussianNoise(std=0.0))
    starts = np.array([[0.3, -0.7], [1.2, 0.4]])
    moved = np.asarray(sd.trajectory(quiet, starts, n_steps=1))[-1]
    off = np.abs(moved - quiet(starts)).max()
    if off > 1e-12:
        raise SystemExit(f"the step of {rule!r} is off by {off:.1e}")


def main() -> None:
    """Time SAM and each member in turn, three times, and print the medians."""
    warnings.simplefilter("ignore")  # of paths that do not leave, which is what is timed
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    n_paths, n_steps, rounds = (200, 2000, 1) if parser.parse_args().quick else (1000, 10_000, 3)
    sam = system_of(sd.SAM(0.2))
    run(sam, n_paths, 10)
    print(f"{'rule':>16}  million path-steps/s  ratio to SAM")
    for rule in [*MEMBERS, *COSTLIER]:
        check(rule)
        system = system_of(rule)
        run(system, n_paths, 10)  # compiles
        pairs = np.array([(run(sam, n_paths, n_steps), run(system, n_paths, n_steps)) for _ in range(rounds)])
        speed = n_paths * n_steps / np.median(pairs[:, 1]) / 1e6
        ratio = np.median(pairs[:, 0] / pairs[:, 1])
        print(f"{type(rule).__name__:>16}  {speed:20.1f}  {ratio:12.2f}")


if __name__ == "__main__":
    main()
