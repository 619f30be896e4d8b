# Everything happens in a virtual environment inside this folder (.venv); nothing else on the machine is touched.
#
#   make demo     set up, then restore a photograph that ships with the package; results in demo/
#   make quick    set up, then the tests that take less than 2 seconds each (under 3 minutes on two idle cores)
#   make test     set up, then lint, types and all tests but the nightly ones (under 10 minutes)
#   make nightly  set up, then lint, types, all tests and the injected faults (longer)
#   make mutation set up, then inject faults and show that the tests notice every one
#   make coverage set up, then the quick tests, and which lines and branches they reach; details in htmlcov/
#   make bench    set up, then the benchmarks
#   make notebooks set up, then run the notebooks and write them with their outputs
#   make docs     set up, then build the documentation; open site/index.html
#   make docs-pictures  set up, then make the pictures of the documentation again
#   make clean    remove all that the above have made
#
# Variables (a change of one of them makes the environment anew):
#   PYTHON=python3.12         interpreter that the environment is made from, 3.10 or later
#   TORCH="torch==X.Y.Z ..."  what to give to `pip install` to get PyTorch, options included (another version, a CUDA
#                             build, a wheel's path). No later step replaces the build that this brings.
#   CONSTRAINTS=FILE          versions of everything else; /dev/null leaves them to pip
#   PYTEST_ARGS="-k mask"     handed to pytest
#   WORKERS=2                 processes that run tests; each uses one thread

PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
TORCH ?= $(or $(shell grep '^torch==' $(CONSTRAINTS)),$(shell grep '^torch==' constraints.txt))
PYTEST_ARGS ?=
WORKERS ?= 2

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
PINS := $(VENV)/constraints.txt
TORCH_READY := $(VENV)/.torch
BASE_READY := $(VENV)/.base
DEV_READY := $(VENV)/.dev
DOCS_READY := $(VENV)/.docs

.DEFAULT_GOAL := help
.PHONY: help demo quick test nightly lint types pytest mutation coverage bench notebooks docs docs-pictures clean
.NOTPARALLEL:

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

demo: $(BASE_READY)
	$(VENV)/bin/zsir demo demo/

# Costly fixtures belong to a module, so the tests of a file stay in one process.
PYTEST = $(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

quick: $(DEV_READY)
	$(PYTEST) -m "not slow and not nightly" $(PYTEST_ARGS)

test: lint types pytest

nightly: lint types $(DEV_READY)
	$(PYTEST) $(PYTEST_ARGS)
	$(PY) tests/mutation.py

lint: $(DEV_READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types: $(DEV_READY)
	$(PY) -m mypy

pytest: $(DEV_READY)
	$(PYTEST) -m "not nightly" $(PYTEST_ARGS)

mutation: $(DEV_READY)
	$(PY) tests/mutation.py

coverage: $(DEV_READY)
	$(PYTEST) -m "not slow and not nightly" --cov --cov-report=html --cov-report=term:skip-covered $(PYTEST_ARGS)

bench: $(DEV_READY)
	@set -e; for script in tests/benchmarks/*.py; do echo "== $$script"; $(PY) "$$script"; done

notebooks: $(DEV_READY)
	$(PY) notebooks/build.py

docs: $(DOCS_READY)
	$(PY) docs/build.py

docs-pictures: $(DEV_READY)
	$(PY) docs/draw.py

clean:
	rm -rf $(VENV) demo site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* htmlcov
	find . -name .git -prune -o -name __pycache__ -prune -exec rm -rf {} +

# The stamp of the environment holds what it was made from; where that differs from what is wanted now (another
# interpreter, PyTorch or constraints, or the folder was moved), the environment is made anew.
export WANTED := $(CURDIR) | $(PYTHON) | $(TORCH) | $(CONSTRAINTS)
ifneq ($(shell cat $(TORCH_READY) 2>/dev/null),$(WANTED))
.PHONY: $(TORCH_READY)
endif

# PyTorch comes first and by itself. The build that was installed is then pinned, so that no other package can pull in
# another one. An environment without a stamp is unfinished or the user's own: it is completed, never cleared.
$(TORCH_READY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	    { echo "zsir needs Python 3.10 or later as '$(PYTHON)'; name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@echo "== making $(VENV) and installing PyTorch: $(TORCH)"
	@if [ -e $@ ]; then rm -f $@; $(PYTHON) -m venv --clear $(VENV); else $(PYTHON) -m venv $(VENV); fi
	@sed '/^torch==/d' $(CONSTRAINTS) > $(PINS)
	@$(PIP) install -c $(PINS) $(TORCH)
	@$(PY) -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >> $(PINS)
	@printf '%s\n' "$$WANTED" > $@

$(BASE_READY): $(TORCH_READY) pyproject.toml $(CONSTRAINTS)
	@echo "== installing zsir"
	@sed -i '/^torch==/!d' $(PINS) && sed '/^torch==/d' $(CONSTRAINTS) >> $(PINS)
	@$(PIP) install -q -c $(PINS) 'setuptools>=77'
	@$(PIP) install -q -c $(PINS) --no-build-isolation -e .
	@touch $@

$(DEV_READY): $(BASE_READY)
	@echo "== installing what the tests need"
	@$(PIP) install -q -c $(PINS) --no-build-isolation -e '.[dev]'
	@touch $@

$(DOCS_READY): $(BASE_READY)
	@echo "== installing what the documentation needs"
	@$(PIP) install -q -c $(PINS) --no-build-isolation -e '.[docs]'
	@touch $@
