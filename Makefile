# The one way in: every target makes the environment that it needs, in .venv, with the versions of constraints.txt.

PYTHON ?= python3
STORE ?= sqlite:///insession.db
BUDGET ?= 600
ARGS ?=
# Tests wait for servers and processes as much as they compute: one worker more than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 1) + 1)')

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
INSTALL = $(PIP) install --constraint constraints.txt
# The build backend is pinned too.
PACKAGE = --build-constraint constraints.txt --editable
# pyright finds the package through the `python` on the path.
ACTIVE = PATH="$(CURDIR)/$(BIN):$$PATH"
CODE = $(wildcard src tests benchmarks examples)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two installations must not run in one environment at a time.
.NOTPARALLEL:
.PHONY: help run test requirements lint format bench mtpylon soak clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo "Variables: PYTHON=$(PYTHON) (makes the environment), ARGS= (test, bench), WORKERS=$(WORKERS) (test), STORE=$(STORE) (run), BUDGET=$(BUDGET) (soak)"

run: $(STAMPS)/run ## serve the HTTP API on an SQLite store
	$(BIN)/insession serve --store $(STORE)

test: $(STAMPS)/test ## run the tests; ARGS="-k limits -x" goes to pytest
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal $(ARGS)

requirements: $(STAMPS)/test ## write docs/requirements.md from the numbers on the tests
	$(BIN)/python -m tests.requirements

lint: $(STAMPS)/dev ## check style, format, types, the public types, and who imports whom
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy $(CODE)
	$(ACTIVE) $(BIN)/pyright --verifytypes insession --ignoreexternal
	$(BIN)/lint-imports --no-logo

format: $(STAMPS)/dev ## format the code, and mend what can be mended
	$(BIN)/ruff check --fix-only $(CODE)
	$(BIN)/ruff format $(CODE)

bench: $(STAMPS)/dev ## measure; ARGS goes to the benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

mtpylon: $(STAMPS)/dev $(STAMPS)/mtpylon ## test and measure the protocol face beside a real mtpylon, in an environment of its own
	$(BIN)/python -m pytest -q tests/integrations/test_mtpylon.py
	$(VENV)/mtpylon/bin/python -m benchmarks.protocol $(ARGS)

soak: $(STAMPS)/test ## run the engine under load and faults for BUDGET seconds
	$(BIN)/python -m tests.soak --budget $(BUDGET)

clean: ## remove the environment and everything that tools left behind
	rm -rf $(VENV) build dist .coverage .coverage.* htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(CODE) -name __pycache__ -type d -prune -exec rm -rf {} +

# ---------------------------------------------------------------------------------------------------------------------
# The environment. A stamp says what is installed; it is renewed when a requirement or a pin changes.

$(STAMPS)/venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "insession needs Python 3.11 or newer. Say which: make PYTHON=python3.13 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

# Dependency groups need pip 25.1; the pip that comes with Python may be older.
$(STAMPS)/pip: constraints.txt | $(STAMPS)/venv
	$(INSTALL) --upgrade pip
	@touch $@

$(STAMPS)/run: pyproject.toml constraints.txt $(STAMPS)/pip
	$(INSTALL) $(PACKAGE) '.[service,cli]'
	@touch $@

$(STAMPS)/test: pyproject.toml constraints.txt $(STAMPS)/pip
	$(INSTALL) $(PACKAGE) '.[all,testing]' --group test
	@touch $@ $(STAMPS)/run

$(STAMPS)/dev: pyproject.toml constraints.txt $(STAMPS)/pip
	$(INSTALL) $(PACKAGE) '.[all,testing]' --group dev
	@touch $@ $(STAMPS)/test $(STAMPS)/run

# mtpylon's wheel owns a package `tests`, so it gets an environment beside ours.
$(STAMPS)/mtpylon: pyproject.toml constraints.txt $(STAMPS)/pip
	$(PYTHON) -m venv --clear $(VENV)/mtpylon
	$(VENV)/mtpylon/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt --upgrade pip
	$(VENV)/mtpylon/bin/python -m pip --quiet --disable-pip-version-check install --constraint constraints.txt $(PACKAGE) . --group mtpylon
	@touch $@
