# `make demo` and `make test` set themselves up: a virtual environment in .venv, exact versions from constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
OUT ?= runs
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
export DO_NOT_TRACK := true

.PHONY: demo test test-all chaos lint docs bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/distsys run semantic_eq --preset demo --out $(OUT)

# All tests but the slow ones that prove nothing the README promises: ten minutes at most on two quiet cores. What the
# README promises stays in however slow it is (kill -9 and resume, Ray beside the local loop, a whole experiment).
# Two processes share the files; all that starts a Ray cluster stays in one of them.
test: $(STAMP) lint
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow or promise"

# Adds those others; .venv/bin/pytest --collect-only -q -m "slow and not promise" lists them.
test-all: $(STAMP) lint
	$(BIN)/pytest

# Every fault, counted against an unharmed twin: hours; CHAOS_SHARE=0.1 takes a tenth of them.
chaos: $(STAMP)
	$(BIN)/python -m tests.chaos

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# All pages and the reference, into site/: built from what is installed, and they ask the network for nothing.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(STAMP)
	$(BIN)/python -m benchmarks.step_overhead
	$(BIN)/python benchmarks/trial_overhead.py
	$(BIN)/python -m benchmarks.first_words
	$(BIN)/python -m benchmarks.mirror_cost
	$(BIN)/python -m benchmarks.health_cost
	$(BIN)/python benchmarks/localization_cost.py
	$(BIN)/python benchmarks/extraction_cost.py
	$(BIN)/python -m benchmarks.motion_routes
	$(BIN)/python -m benchmarks.motion_samplers
	$(BIN)/python -m benchmarks.motion_texture
	$(BIN)/python -m benchmarks.feeding
	$(BIN)/python -m benchmarks.two_workers
	$(BIN)/python -m benchmarks.many_trials
	$(BIN)/python -m benchmarks.search_efficiency

clean:
	rm -rf $(VENV) $(OUT)
