"""Every class of results, by an example from a public verb: text, HTML, dicts, files, comparison, picture."""

from __future__ import annotations

import copy
import dataclasses
import functools
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public_calls import calls, systems

import samdyn as sd
from samdyn.results import Absent, Result
from samdyn.results.encoding import fields_of
from samdyn.results.graphs import GraphResult

# not made by the small calls of tests/public_calls.py
RARE = {
    "BifurcationCurve",
    "BifurcationDiagram",
    "EdgeState",
    "IndexCheck",
    "Proof",
    "RateGraph",
    "BasinGraph",
}
SKIPPED = ("theory.", "landscapes.", "Landscape", "FiniteSum", "schedules.", "Ball", "Diffusion", "rules.")


for _name in sd.__all__:  # names are loaded when they are used first
    for _inner in getattr(getattr(sd, _name), "__all__", ()):
        getattr(getattr(sd, _name), _inner)


def kinds(base: type = Result) -> Iterator[type]:
    """All classes of results that samdyn has."""
    for kind in base.__subclasses__():
        if kind.__module__.startswith("samdyn."):
            yield kind
            yield from kinds(kind)


KINDS = sorted({kind.__name__: kind for kind in kinds() if kind is not GraphResult}.items())


@functools.cache
def examples() -> dict[str, Result]:
    """One result of each class."""
    found: dict[str, Result] = {}

    def take(value: Any) -> None:
        if isinstance(value, Result):
            found.setdefault(type(value).__name__, value)
            take(list(fields_of(value).values()))
        elif isinstance(value, list | tuple):
            for part in value:
                take(part)
        elif isinstance(value, dict):
            take(list(value.values()))

    s = systems()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of calls that are small
        take(s["branch"])  # with a bifurcation
        for call in calls():
            if not call.name.startswith(SKIPPED):
                take(call.function(**call.arguments))
        take(s["exits"].compare_exact())
        take(s["exits"].refine(20))
        flow = sd.Flow(sd.landscapes.coupled_double_well(), sd.GD())
        basins = sd.basins(flow, [(-2, 2), (-1.5, 1.5)], resolution=12, n_starts=8)
        take(sd.basin.edge_state(basins, *sorted(basins.attractors)[:2]))
        noisy = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(2.0))
        wells = sd.basins(noisy, [(-2, 2)], resolution=16, n_starts=8, n_paths=2, max_steps=200)
        graph = sd.basin_graph(wells)
        take([graph, sd.rate_graph(graph, wells)])
        take(sd.fixed_points(sd.Flow(sd.landscapes.double_well(), sd.GD()), [(-2, 2)], certify=True))
        take(sd.fixed_points(flow, [(-2, 2), (-1.5, 1.5)], n_starts=32))
        spectrum = sd.spectrum(sd.landscapes.saddle(2.0, 1.0), [0.0, 0.0])
        take([spectrum, spectrum.density(n_vectors=4)])
        take(sd.refine(flow, [0.9, 0.05]))
        step = sd.Map(sd.landscapes.coupled_double_well(), sd.SAM(0.1), lr=0.1)
        take(sd.diagnose(step, [0.9, 0.05]))
        take(_history())
        henon = sd.Map.from_function(
            lambda w, a, b: _stack(1 - a * w[0] ** 2 + w[1], b * w[0]), 2, {"a": 0.3, "b": 0.3}
        )
        branch = sd.continuation(henon, [1.0, 0.3], "a", (0.2, 0.5), max_step=0.05)
        flip = branch.select("flip")[0]
        take(sd.bifurcation.bifurcation_curve(branch, flip, "b", (0.2, 0.4), max_step=0.1, max_points=10))
        take(
            sd.bifurcation.BifurcationDiagram(
                (branch, sd.bifurcation.switch_branch(branch, flip, max_step=0.05, max_points=10))
            )
        )
    return found


def _history() -> Result:
    import torch

    model, inputs = torch.nn.Linear(1, 1), torch.ones(4, 1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = torch.nn.functional.mse_loss
    monitor = sd.Monitor(model, loss, (inputs, inputs), optimizer=sgd, rho=0.05, every=1, budget=1.0)
    for _ in range(2):
        sgd.zero_grad()
        loss(model(inputs), inputs).backward()
        sgd.step()
        monitor.step()
    return monitor.history


def _stack(*parts: Any) -> Any:
    import torch

    return torch.stack(list(parts))


def test_there_is_an_example_of_every_class() -> None:
    assert not {name for name, _ in KINDS} - examples().keys()


@pytest.mark.parametrize(("name", "kind"), KINDS)
def test_a_class_keeps_to_the_base(name: str, kind: type) -> None:
    """No text, HTML or comparison of its own, and no field that hides something of the base."""
    own = set(vars(kind))
    assert dataclasses.is_dataclass(kind)
    assert not own & {"__repr__", "_repr_html_", "to_dict", "to_pandas", "citation"}
    if name != "Trajectory":  # which is compared with arrays as well
        assert not own & {"__eq__", "__hash__"}
    fields = {field.name for field in dataclasses.fields(kind)}
    assert not fields & (set(dir(Result)) - {"__doc__"})
    assert not fields & {"schema", "digest"}, "names that the header of a file has"


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_text_and_html(name: str) -> None:
    result = examples()[name]
    table = result.table()
    text, html = repr(result), result._repr_html_()
    assert text.startswith(table.title)
    assert " object at 0x" not in text
    assert html.count("<tr>") == html.count("</tr>") == len(table.rows) + bool(table.head)
    for line in table.title.splitlines():
        assert line.strip().replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:20] in html


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_dicts_are_json(name: str) -> None:
    found = examples()[name].to_dict()
    assert found["class"] == name
    assert json.loads(json.dumps(found)).keys() == found.keys()


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_files(name: str, tmp_path: Path) -> None:
    """What is read is equal to what was saved, in text and fields; so is what `Result.load` reads."""
    result = examples()[name]
    result.save(tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    again = type(result).load(tmp_path / "file")
    assert again.equals(result)
    assert repr(again) == repr(result)
    assert Result.load(tmp_path / "file").equals(result)
    again.save(tmp_path / "again")
    assert Result.load(tmp_path / "again").equals(result)


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_comparing_and_hashing_never_raise(name: str) -> None:
    result = examples()[name]
    assert result == result
    assert hash(result) == hash(result)
    for other in (*examples().values(), None, 1, "text", [1.0], object(), sd.GD()):
        assert (result == other) is (other is result)
        assert (result != other) is (other is not result)
        assert result.equals(other) is (other is result)
    assert result in {result}


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_citation(name: str) -> None:
    lines = examples()[name].citation.splitlines()
    assert lines[0].startswith("the samdyn developers")
    assert len(lines) == 1 + len(type(examples()[name]).cited)


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_pictures(name: str) -> None:
    """Every result can be drawn, by its method and by `sd.plot.draw`: those without a picture as a table."""
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pictures of very small results
        assert isinstance(examples()[name].plot(), Axes | Figure)
        assert isinstance(sd.plot.draw(examples()[name]), Axes | Figure)


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_frames(name: str) -> None:
    pytest.importorskip("pandas")
    frame = examples()[name].to_pandas()
    assert len(frame.columns) > 0
    assert frame.index.name == type(examples()[name]).row


def test_rows_are_what_the_index_says() -> None:
    """Arrays as long as the rows by chance, such as a place in the plane, were columns."""
    pytest.importorskip("pandas")
    saddle = sd.landscapes.saddle(2.0, 1.0)
    about = sd.linearize(sd.Flow(saddle, sd.USAM(0.1)), [0.0, 0.0]).to_pandas()
    assert about.columns.tolist() == ["eigenvalues", "eigenvectors_0", "eigenvectors_1"]
    assert about.loc[0, "eigenvectors_1"] == 1.0  # along the direction of descent, whose rate is the larger
    assert about.attrs["x"] == [0.0, 0.0]
    held = sd.capture_set(sd.Map(saddle, sd.SAM(0.1), lr=0.1), [0.0, 0.0]).to_pandas()
    assert held.columns.tolist() == ["orbit_0", "orbit_1"]


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_data_sets(name: str) -> None:
    xarray = pytest.importorskip("xarray")
    assert isinstance(examples()[name].to_xarray(), xarray.Dataset)


def test_what_a_file_could_not_hold(tmp_path: Path) -> None:
    """A system of a user's functions is told by its text, refused by name where needed, and can be given."""
    branch = systems()["branch"]
    branch.save(tmp_path / "branch")
    again = sd.bifurcation.Branch.load(tmp_path / "branch")
    assert isinstance(again.system, Absent)
    assert again.absent[0] == repr(branch.system)
    assert np.array_equal(again.at(2.7), branch.at(2.7))
    with pytest.raises(ValueError, match=r"does not hold .* give it to load\(path, system="):
        sd.bifurcation.switch_branch(again, again.bifurcations[0])
    with pytest.raises(ValueError, match=r"system must be the one saved, Map\.from_function"):
        sd.bifurcation.Branch.load(tmp_path / "branch", sd.Map(sd.landscapes.beale(), sd.GD(), lr=0.1))
    values = branch.system.parameters
    look_alike = branch.system.with_parameters(**{name: 1.1 * value for name, value in values.items()})
    assert repr(look_alike) == repr(branch.system)
    with pytest.raises(ValueError, match="which has its text and takes points elsewhere"):
        sd.bifurcation.Branch.load(tmp_path / "branch", look_alike)
    whole = sd.bifurcation.Branch.load(tmp_path / "branch", branch.system)
    new = {"bounds": (2.9, 3.05), "max_step": 0.05, "max_points": 20}
    one, other = (sd.bifurcation.switch_branch(b, b.bifurcations[0], **new) for b in (branch, whole))
    assert one.equals(other)


def test_a_system_of_samdyn_is_rebuilt(tmp_path: Path) -> None:
    """Exit times that were read can be refined, and a field evaluated, without anything being given."""
    exits = systems()["exits"]
    exits.save(tmp_path / "exits")
    again = sd.escape.ExitTimes.load(tmp_path / "exits")
    assert again.compare_exact().equals(exits.compare_exact())
    assert again.refine(20).equals(exits.refine(20))
    with pytest.raises(ValueError, match=r"system must be the one saved, .* or left out: the file holds all"):
        sd.escape.ExitTimes.load(tmp_path / "exits", sd.Map(sd.landscapes.beale(), sd.GD(), lr=0.1))
    assert sd.escape.ExitTimes.load(tmp_path / "exits", systems()["sde"]).equals(again)
    field = sd.mean_exit_time(systems()["sde"], sd.HalfSpace([1.0], 0.5))
    field.save(tmp_path / "field")
    assert sd.escape.Field.load(tmp_path / "field")([-0.7]) == field([-0.7])


@pytest.mark.parametrize("loss_name", ["<b>", '"><script>alert(1)</script>'])
def test_names_are_text_in_html(loss_name: str) -> None:
    loss = sd.Landscape(lambda w: (w[0] ** 2 - 1) ** 2 / 4, dim=1, box=[(-2, 2)], name=loss_name)
    flow, step = sd.Flow(loss, sd.SAM(0.1)), sd.Map(loss, sd.SAM(0.1), lr=0.1)
    sde = sd.Diffusion(loss, sd.GD(), lr=0.1, noise=sd.GaussianNoise(3.0))
    results = [
        sd.fixed_points(flow, n_starts=8),
        sd.basins(step, resolution=8, n_starts=8),
        sd.basin_fractions(step, n_paths=10, n_starts=8),
        sd.attractors_1d(flow),
        sd.trajectory(step, [0.5], 10),
        sd.exit_times(sde, [-1.0], sd.HalfSpace([1.0], 0.0), 10, t_max=5.0, compile=False),
        sd.mean_squared_displacement(sde, [0.0], [0.5], n_paths=10),
        sd.hallucinated_share(step, n_starts=4, n_steps=100),
        sd.hallucination_intervals(loss),
        sd.lyapunov_exponents(step, [0.5], 40),
        sd.continuation(step, [1.0], "lr", (0.05, 0.2), max_step=0.1),
        sd.convergence(step, [0.5], 10),
        sd.morse_graph(step, resolution=64),
    ]
    for result in results:
        html = result._repr_html_()
        assert loss_name not in html, type(result)
        assert "<script" not in html
        assert loss_name in repr(result), type(result)


HOSTILE = '"><script>alert(1)</script><b>'


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_texts_of_every_result_are_escaped(name: str) -> None:
    """Kind: hostile input. 16 of 21 classes wrote names into HTML as they were. Right: none of all classes.

    Texts among the fields are replaced one by one, and then every text of the table.
    """
    result = examples()[name]
    for key, value in fields_of(result).items():
        texts = isinstance(value, tuple) and value and all(isinstance(part, str) for part in value)
        if not isinstance(value, str) and not texts:
            continue
        changed = copy.copy(result)
        object.__setattr__(changed, key, tuple(HOSTILE for _ in value) if texts else HOSTILE)  # type: ignore[union-attr]
        try:
            html = changed._repr_html_()
        except (KeyError, ValueError, AttributeError, StopIteration):  # a word that the table looks up
            continue
        assert "<script" not in html
        assert "<b>" not in html
    table = result.table()
    whole = dataclasses.replace(
        table,
        title=f"{HOSTILE}\n{HOSTILE}",
        rows=[[HOSTILE for _ in row] for row in table.rows],
        head=tuple(HOSTILE for _ in table.head),
        notes=(HOSTILE,),
    )
    assert "<script" not in whole.html()
    assert "<b>" not in whole.html()


def test_a_function_in_a_region_is_seen() -> None:
    """Kind: the same. ``Region(function=<function ...>)`` vanished from the page. Right: it is text."""
    region = sd.Region(lambda w: w.norm() - 1.0, dim=1)
    sde = sd.Diffusion(sd.landscapes.double_well(), sd.GD(), lr=0.1, noise=sd.GaussianNoise(3.0))
    html = sd.exit_times(sde, [0.1], region, 5, t_max=1.0, compile=False)._repr_html_()
    assert "function=&lt;function" in html


@pytest.mark.parametrize(("package", "method"), [("pandas", "to_pandas"), ("xarray", "to_xarray")])
def test_missing_packages_are_named(package: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"{method} needs the package {package}.*pip install"):
        getattr(sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05), method)()


def test_coordinates_of_data_sets() -> None:
    """The cells of basins and the times of a trajectory are coordinates, by which a data set is cut."""
    pytest.importorskip("xarray")
    cells = sd.basins(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [(-2, 2)], 4).to_xarray()
    assert cells["x_0"].values.tolist() == [-1.5, -0.5, 0.5, 1.5]
    assert int(cells["labels"].sel(x_0=1.5)) == int(cells["labels"][3]) != int(cells["labels"].sel(x_0=-1.5))
    points = sd.trajectory(sd.Flow(sd.landscapes.double_well(), sd.GD()), [0.5], t_max=1.0).to_xarray()
    assert points.coords["times"].dims == ("point",)
    assert points.coords["times"].values[-1] == 1.0


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """The message named a temporary file beside the one that was asked for."""
    result = sd.trajectory(sd.Map(sd.landscapes.double_well(), sd.GD(), lr=0.1), [0.5], n_steps=3)
    with pytest.raises(FileNotFoundError, match=r"path must be in a folder that exists, got .*x\.npz'"):
        result.save(tmp_path / "missing" / "x.npz")
