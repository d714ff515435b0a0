"""Twenty thousand calls with one hostile argument each: every one is served, or refused by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hostile_values import complaint, hostile_values
from public_calls import calls

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
    "refine", "diagnose",
}  # fmt: skip


@pytest.mark.slow
def test_hostile_arguments_are_served_or_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kind: refusals that name nothing, errors of other types, calls that do not end. Right: none."""
    monkeypatch.chdir(tmp_path)  # a text that is taken as a checkpoint makes a file of that name
    rng = np.random.default_rng(SEED)
    values = hostile_values()
    cheap = [call for call in calls() if call.name not in DEAR]
    dear = [call for call in calls() if call.name in DEAR]
    found: Counter[str] = Counter()
    for _ in range(N_CALLS):
        group = dear if rng.random() < SHARE_OF_DEAR else cheap
        call = group[rng.integers(len(group))]
        name = list(call.arguments)[rng.integers(len(call.arguments))]
        value = values[rng.integers(len(values))]
        problem = complaint(call, name, value)
        if problem:
            found[f"{call.name}({name}={value!r:.60}): {problem}"] += 1
    assert not found, f"{sum(found.values())} calls\n" + "\n".join(sorted(found))
