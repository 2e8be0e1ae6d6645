# All targets work in .venv, which they create. They need Python >= 3.11, and gcc for the C core.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PACKAGE := $(VENV)/.package-installed
SOURCES := $(shell find src native binding -type f -not -name '*.pyc' -not -path 'native/fuzz/*') meson.build meson.options pyproject.toml README.md docs/prock.1
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: help demo test lint bench bench-sampler bench-run docs check-fuzz check-sanitize check-analyze check-threads check-leaks check-properties check-chaos format clean
help:
	@echo "make demo            measure a real build, and show the processes of a running one"
	@echo "make test            all checks and tests, on all engines"
	@echo "make lint            the checks alone: style, types, import contract, words"
	@echo "make format          format the sources"
	@echo "make docs            build the manual into build/docs/html, and the man page"
	@echo "make bench           cost of one-shot functions: system calls, psutil, the Rust crate (some minutes)"
	@echo "make bench-sampler   following trees: cost and accuracy of prock and other monitors (ARGS=--quick)"
	@echo "make bench-run       running a command: accuracy, overhead and behaviour of prock and other tools (ARGS=--quick)"
	@echo "make check           test, docs and all check-* targets except check-windows; logs in build/check (takes long)"
	@echo "make check-analyze   gcc -fanalyzer and clang-tidy"
	@echo "make check-sanitize  the tests with the C core under ASan and UBSan"
	@echo "make check-threads   threads that use the C core at once, under ThreadSanitizer"
	@echo "make check-properties tests/property with five times the examples (some minutes)"
	@echo "make check-leaks     a million calls of each function (takes long)"
	@echo "make check-wheel     install wheel and sdist for every Python found here, and test them (some minutes)"
	@echo "make check-cross     the C code for arm64 (emulated) and with musl: its tests and the launcher"
	@echo "make check-fuzz      fuzz the C parsers, SECONDS=60 each"
	@echo "make check-recording cost and size of recordings, 100 SIGKILLs, reports on an hour"
	@echo "make check-peak      the peak memory of 25 builds, beside their frozen trees (root)"
	@echo "make check-chaos     fork bombs, reused pids, processes that end during a read (root; some minutes)"
	@echo "make check-races     what ends, adopts and counts processes that race with it, PASSES=20 times (some minutes)"
	@echo "make check-windows   a Windows Python under Wine (installs both)"
	@echo "make dist            the audited sdist and wheel of the last commit, in dist/"
	@echo "make clean           remove everything these targets create"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "prock needs Python 3.11 or later: none was found" >&2; exit 1; }
	@echo "setting up $(VENV) ..." >&2
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot create a virtual environment: install its venv module (Debian: python3-venv)" >&2; exit 1; }
	@$(PIP) install --upgrade pip

# Installed from a wheel, not in place: the tests use what is shipped.
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

# Two parts at once, as tests wait much; each prints its output when it has ended.
test: $(PACKAGE) $(VENV)/.lint-installed $(VENV)/.test-installed
	@echo "running test-integration beside lint, test-native and test-others" >&2
	@$(MAKE) --no-print-directory --keep-going --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync) \
		test-integration lint test-native test-others

.PHONY: test-integration test-others test-native
test-integration: $(PACKAGE) $(VENV)/.test-installed
	@$(BIN)/python -m pytest tests/integration

test-others: $(PACKAGE) $(VENV)/.test-installed
	@$(BIN)/python -m pytest --ignore=tests/integration

test-native: $(BIN)/python
	@sh tools/test-native.sh
	@sh tools/test-pure-install.sh $(BIN)/python

lint: $(PACKAGE) $(VENV)/.lint-installed $(VENV)/.test-installed
	@$(BIN)/ruff check .
	@$(BIN)/python tools/check_words.py
	@$(BIN)/ruff format --check .
	@$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.c' '*.h')
	@$(BIN)/mypy --package prock
	@for system in darwin win32 freebsd; do $(BIN)/mypy --config-file tools/mypy-elsewhere.ini --platform $$system \
		--cache-dir .mypy_cache/$$system --package prock || exit 1; done
	@$(BIN)/mypy $(filter-out tests/cli/% tests/chaos/%,$(wildcard tests/*.py tests/*/*.py tests/*/*/*.py)) tools
	@$(BIN)/mypy $(wildcard tests/cli/*.py)
	@$(BIN)/mypy $(wildcard tests/chaos/*.py)
	@$(BIN)/mypy --package benchmarks
	@$(BIN)/mypy $(wildcard docs/examples/*.py)
	@$(BIN)/pyright --pythonpath $(BIN)/python --warnings tests/typing
	@if $(BIN)/python -c 'import prock._core' 2>/dev/null; then $(BIN)/python -m mypy.stubtest prock._core; fi
	@if $(BIN)/python -c 'import prock._bpf' 2>/dev/null; then $(BIN)/python -m mypy.stubtest prock._bpf; fi
	@$(BIN)/lint-imports --no-cache

# Each test runs in its own namespaces, so that no process survives it.
check-chaos: $(PACKAGE) $(VENV)/.test-installed
	@echo "chaos: hostile trees, limits, namespaces, clocks and threads" >&2
	@$(BIN)/python -m pytest tests/chaos

bench: $(PACKAGE) $(VENV)/.bench-installed
	@$(BIN)/python -m benchmarks core $(ARGS)

# The other monitors are optional: one that cannot be installed is reported as missing.
bench-sampler: $(PACKAGE) $(VENV)/.bench-installed
	@$(MAKE) --no-print-directory $(VENV)/.bench-peers-installed || echo "some monitors could not be installed" >&2
	@$(BIN)/python -m benchmarks sampler $(ARGS)

bench-run: $(PACKAGE) $(VENV)/.bench-installed
	@$(MAKE) --no-print-directory $(VENV)/.bench-run-peers-installed || echo "some tools could not be installed" >&2
	@$(BIN)/python -m benchmarks run $(ARGS)

# Seconds per fuzz target. FUZZ selects some.
SECONDS ?= 60
check-fuzz:
	@FUZZ="$(FUZZ)" sh tools/check-fuzz.sh $(SECONDS)

# A million calls of each function below 10 µs; of others as many as fit into LEAK_SECONDS.
LEAK_SECONDS ?= 2
check-leaks: $(PACKAGE) $(VENV)/.test-installed
	@PROCK_LEAK_CALLS=1000000 PROCK_LEAK_SECONDS=$(LEAK_SECONDS) $(BIN)/python -m pytest -q -s --timeout 0 tests/integration/test_leaks.py

check-properties: $(PACKAGE) $(VENV)/.test-installed
	@PROCK_ALL_EXAMPLES=1 $(BIN)/python -m pytest -q tests/property

# ARGS goes to pytest.
check-sanitize: $(BIN)/python
	@sh tools/check-sanitize.sh $(BIN)/python $(ARGS)

check-threads:
	@sh tools/check-threads.sh

check-analyze: $(BIN)/python
	@sh tools/check-analyze.sh $(BIN)/python

# A warning is an error. Also writes docs/prock.1, which is in the repository; `python tools/manual.py` refreshes examples.
docs: $(PACKAGE) $(VENV)/.docs-installed
	@$(BIN)/python tools/manpage.py
	@$(BIN)/python -m sphinx -b html -n -W --keep-going -q -E docs build/docs/html
	@echo "the manual: build/docs/html/index.html"

# Each pass is a process of its own; a failure in one of them is a failure.
PASSES ?= 20
RACES := $(patsubst %,tests/integration/runner/test_%.py,kill_tree run_orphans run_terminate)
RACING := orphan or chain or left_alone or session or evidence or survivors or daemon
check-races: $(PACKAGE) $(VENV)/.test-installed
	@for pass in $$(seq $(PASSES)); do \
		echo "pass $$pass of $(PASSES)"; $(BIN)/python -m pytest -q -x $(RACES) -k "$(RACING)" || exit 1; \
	done

check-peak: $(PACKAGE)
	@$(BIN)/python -m benchmarks peak

# Builds a Collector, which takes minutes: needs Go.
check-collector: $(PACKAGE) $(VENV)/.test-installed
	@test -x build/collector/otelcorecol || sh tools/collector.sh build/collector
	@PROCK_OTELCOL=$(CURDIR)/build/collector/otelcorecol $(BIN)/python -m pytest -q tests/cli/test_run_otlp.py

check-recording: $(PACKAGE)
	@$(BIN)/python -m benchmarks recording

# One after the other, also after a failure. Quick ones first. PARTS selects some. LIMIT_S is three times the slowest part
# on two slow cores: a part that takes longer hangs.
LIMIT_S := 3600
PARTS ?= test docs check-collector check-peak check-recording check-analyze check-sanitize check-threads check-leaks check-properties check-wheel check-cross check-fuzz check-races check-chaos
.PHONY: check check-races check-peak check-recording check-collector
check:
	@mkdir -p build/check; failed=; \
	for part in $(PARTS); do \
		log=build/check/$$part.log; echo "$$(date +%H:%M) check: $$part (to $$log)"; \
		timeout --foreground --kill-after=30 $(LIMIT_S) $(MAKE) --no-print-directory $$part \
			</dev/null >$$log 2>&1 || { failed="$$failed $$part"; tail -n 20 $$log; }; \
	done; \
	echo "$$(date +%H:%M) check: $${failed:+failed:}$${failed:-all passed}"; test -z "$$failed"

.PHONY: dist check-wheel check-cross check-windows
dist: $(VENV)/.package-tools-installed
	@$(BIN)/python tools/dist.py

check-wheel: $(VENV)/.package-tools-installed $(VENV)/.ci-installed
	@$(BIN)/python tools/check_wheel.py

check-cross: $(PACKAGE)
	@sh tools/check-cross.sh $(BIN)/python

check-windows: $(BIN)/python
	@PYTHON=$(BIN)/python sh tools/test-on-wine.sh

format: $(VENV)/.lint-installed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/clang-format -i $$(git ls-files '*.c' '*.h')

clean:
	rm -rf $(VENV) build dist .hypothesis .mypy_cache .ruff_cache .pytest_cache benchmarks/core/crate/target
