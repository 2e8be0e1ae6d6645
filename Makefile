# Everything sets itself up in .venv; all it needs is Python >= 3.11, and gcc for the engine in C.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGE := $(VENV)/.package-installed
SOURCES := $(shell find src native binding launcher -type f -not -name '*.pyc') meson.build meson.options pyproject.toml README.md
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test lint check-chaos bench bench-sampler bench-run format clean
help:
	@echo "make demo    show a tree of real processes, and what it costs"
	@echo "make test    all checks and tests, on both engines"
	@echo "make lint    the checks alone: types, style, the floors of the house"
	@echo "make check-chaos   fork bombs, reused pids, processes that die in the middle of every read (root; some minutes)"
	@echo "make bench   prock beside the bare system calls, psutil and the crate, as ratios (some minutes)"
	@echo "make bench-sampler   following trees: cost, accuracy, price, beside psutil and other monitors (ARGS=--quick)"
	@echo "make bench-run   running a command: truth of the figures, price, behaviour, beside other tools (ARGS=--quick)"
	@echo "make format  lay out the sources"
	@echo "make clean   remove what the others made"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "prock needs Python 3.11 or later: none was found" >&2; exit 1; }
	@echo "setting up $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) can't make a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@$(PIP) install --upgrade pip

# The package is installed as a stranger would get it, not in place: what is tested is what is shipped.
$(PACKAGE): $(BIN)/python $(SOURCES)
	@echo "building prock ..." >&2
	@$(PIP) install --force-reinstall --no-deps . -Csetup-args=-Dwerror=true
	@touch $@

$(VENV)/.%-installed: $(BIN)/python pyproject.toml
	@echo "installing what 'make $*' needs ..." >&2
	@$(PIP) install --group $*
	@touch $@

demo: $(PACKAGE)
	@$(BIN)/python tools/demo.py

test: lint $(VENV)/.test-installed
	@sh tools/test-native.sh
	@sh tools/test-pure-install.sh $(BIN)/python
	@$(BIN)/python -m pytest

lint: $(PACKAGE) $(VENV)/.lint-installed $(VENV)/.test-installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
	@$(BIN)/mypy --package prock
	@$(BIN)/mypy $(filter-out tests/cli/% tests/chaos/%,$(wildcard tests/*.py tests/*/*.py)) tools $(wildcard benchmarks/*.py)
	@$(BIN)/mypy $(wildcard tests/cli/*.py)
	@$(BIN)/mypy $(wildcard tests/chaos/*.py)
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings tests/typing
	@$(BIN)/python tools/stubtest.py
	@$(BIN)/lint-imports --no-cache

# Real processes under the worst conditions; each test in namespaces of its own, so that nothing stays behind.
check-chaos: $(PACKAGE) $(VENV)/.test-installed
	@echo "chaos: hostile trees, limits, namespaces, clocks and threads" >&2
	@$(BIN)/python -m pytest tests/chaos

bench: $(PACKAGE) $(VENV)/.bench-installed
	@$(BIN)/python benchmarks/core.py

# The other monitors are optional: whichever can't be installed is reported as missing.
bench-sampler: $(PACKAGE) $(VENV)/.bench-installed
	@$(MAKE) --no-print-directory $(VENV)/.bench-peers-installed || echo "some monitors couldn't be installed" >&2
	@$(BIN)/python benchmarks/sampler.py $(ARGS)

bench-run: $(PACKAGE) $(VENV)/.bench-installed
	@$(MAKE) --no-print-directory $(VENV)/.bench-run-peers-installed || echo "some tools couldn't be installed" >&2
	@$(BIN)/python benchmarks/run.py $(ARGS)

format: $(VENV)/.lint-installed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(VENV) build .hypothesis .mypy_cache .ruff_cache .pytest_cache benchmarks/crate/target
