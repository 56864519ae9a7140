# Two commands matter: `make demo` (a policy comparison that ends in a report) and `make test`.
# Each installs what it needs into .venv first; nothing else on the machine is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test check bench format clean

demo: $(VENV)/installed-core
	$(BIN)/recfleet compare scenarios/demo.yaml --out build/demo

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m "not slow" --numprocesses 2 --dist loadgroup

check: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m tests.benchmarks
	$(BIN)/python -m tests.benchmarks.fleet_sizes
	$(BIN)/python -m tests.benchmarks.placement_sizes --results build/placement_sizes.json

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("recfleet needs Python 3.11 or later, found " + sys.version.split()[0] + "; set PYTHON=, as in: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed-core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing recfleet (about 1.1 GB, a minute)..."
	$(INSTALL) --editable .
	@touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing recfleet with torch and the development tools (about 2.1 GB, two minutes)..."
	$(INSTALL) --editable '.[torch,dev]'
	$(INSTALL) --no-deps recbole==1.2.1  # for the MovieLens-100k files in it, which tests read; its code is not used
	@touch $@ $(VENV)/installed-core
