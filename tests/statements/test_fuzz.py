"""Twenty thousand calls with one hostile argument each: every one is served, or refused by name."""

from __future__ import annotations

import inspect
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hostile_calls import is_made_by_verbs, public, whole_calls
from hostile_values import complaint, hostile_values
from public_calls import Call

SEED, N_CALLS = 20261130, 20_000
SHARE_OF_DEAR = 0.015
"""Share of the calls that go to verbs whose valid call takes longer than 50 ms."""
DEAR = {
    "trajectory", "trajectory of a flow", "mean_exit_time", "exit_rate", "committor", "rare_exit_time",
    "rare_committor", "minimum_action", "fixed_points", "linearize", "capture_set", "certificate",
    "attractors_1d", "local_attraction", "hallucination_intervals", "hallucinated_branches",
    "hallucinated_share", "warm_start_study", "lyapunov_exponents", "cycles", "continuation", "switch_branch",
    "manifold", "basins", "basin_fractions", "smallest_kick", "morse_continuation", "basin_continuation",
    "convergence", "exit_time_sweep", "exit_times", "edge_of_stability", "morse_graph", "spherical_minima",
    "sampling_lyapunov_exponent", "critical_learning_rate", "transient_growth", "perturbation_geometry",
    "refine", "diagnose", "basin_graph", "rate_graph", "basin.edge_state", "Basins.edge_state",
    "ExitTimes.refine", "ExitTimes.compare_exact", "Branch.switch", "bifurcation.bifurcation_curve",
}  # fmt: skip
NOT_CALLED = {
    "Rule": "abstract",
    "basin.Fraction": "a share that a verb returns",
    "landscapes.ModuleLoss": "made by from_module",
    "landscapes.Restriction": "made by restrict",
    "network.gauss_newton_operator": "needs an extra",
    "optim.RuleOptimizer": "made by as_optimizer",
    "plot.draw": "hands its arguments on to a picture",
    "plot.interactive": "needs a notebook",
    "rates.CriticalRate": "a number that a verb returns",
    "results.storable": "decorates a class",
    "rules.schedules.Schedule": "a type",
    "theory.si_yun_traps.Trap": "a loss that a function returns",
}
"""Public callables that have no call of their own, and why."""


def is_dear(call: Call) -> bool:
    """Whether the valid call takes long; a picture does."""
    return call.name in DEAR or call.name.startswith("plot.")


def test_every_public_callable_is_called_with_every_argument() -> None:
    """Kind: hostile input tried on what somebody has listed. Right: all of `samdyn.__all__` and its modules.

    Left out are results, which verbs make, and what `NOT_CALLED` gives a reason for.
    """
    found = whole_calls()
    called = {id(call.function) for call in found}
    missing = {
        name for name, value in public().items() if id(value) not in called and not is_made_by_verbs(value)
    }
    assert missing == NOT_CALLED.keys()
    for call in found:
        parameters = inspect.signature(call.function).parameters.values()
        named = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        assert named - call.arguments.keys() <= {"workers"}, call.name


@pytest.mark.slow
def test_hostile_arguments_are_served_or_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind: refusals that name nothing, errors of other types, calls that do not end. Right: none."""
    monkeypatch.chdir(tmp_path)  # a text that is taken as a checkpoint makes a file of that name
    rng = np.random.default_rng(SEED)
    values = hostile_values()
    found_calls = [call for call in whole_calls() if call.arguments]
    cheap = [call for call in found_calls if not is_dear(call)]
    dear = [call for call in found_calls if is_dear(call)]
    found: Counter[str] = Counter()
    for _ in range(N_CALLS):
        group = dear if rng.random() < SHARE_OF_DEAR else cheap
        call = group[rng.integers(len(group))]
        name = list(call.arguments)[rng.integers(len(call.arguments))]
        value = values[rng.integers(len(values))]
        problem = complaint(call, name, value)
        if problem:
            found[f"{call.name}({name}={value!r:.60}): {problem}"] += 1
        if call.name.startswith("plot."):
            plt.close("all")
    assert not found, f"{sum(found.values())} calls\n" + "\n".join(sorted(found))
