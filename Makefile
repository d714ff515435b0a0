# make demo and make test need only python3 (3.11 or later), its venv module and make; the first of them sets up .venv.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
PYTEST_ARGS ?=
BRANCHES ?= 92

BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
# the build tool comes from the pinned list too, so the package is built in .venv itself and not in a throw-away environment
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
# worksteal: a few slow tests would otherwise keep one process busy while the others idle
# bytecode is kept even where the environment says not to: processes that tests start would compile samdyn each time
PYTEST = PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast coverage lint format docs bench studies family clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' Makefile

setup: $(READY)  ## make .venv, again when a dependency or a pinned version changes

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) setuptools
	$(INSTALL) --no-build-isolation -e '.[test,docs]'
	touch $@

$(BENCH_READY): $(READY)
	$(INSTALL) -e '.[bench]'
	touch $@

demo: $(READY)  ## SAM and gradient descent on the Beale function
	$(BIN)/python demos/beale.py

test: lint  ## lint, then every test (those that need a GPU are skipped without one)
	$(PYTEST)

test-fast: $(READY)  ## the tests that take at most five seconds each
	$(PYTEST) -m 'not slow'

coverage: $(READY)  ## every test, and the share of branches of samdyn that they take
	$(BIN)/python -m slipcover --branch --source samdyn --fail-under $(BRANCHES) -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

lint: $(READY)  ## ruff, mypy and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell README.md CONTRIBUTING.md docs samdyn tests demos benchmarks

format: $(READY)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## the manual, in docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(BENCH_READY)  ## timings against other software
	@set -e; for script in benchmarks/[a-z]*.py; do echo "$$script"; $(BIN)/python "$$script"; done

studies: $(READY)  ## the notebooks of demos/networks in their full setting, with their results
	$(BIN)/python demos/networks/run_studies.py

family: $(READY)  ## measure every member of the family: the tables of docs/family.md
	$(BIN)/python demos/family/run_family.py

clean:  ## remove what was built, but not .venv
	rm -rf build dist *.egg-info docs/_build docs/generated docs/made docs/api-*.rst docs/sg_execution_times.rst
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find samdyn tests docs demos benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
