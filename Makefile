# Targets of the event-study engine. `make` alone lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# The developers' copy of real prices, where there is one; it is never part of the repository.
export EVENTSTUDY_DATA ?= $(abspath $(wildcard ../shared/market-data))

# The tests of what computes: a search, a fit or a rank may end elsewhere on another processor.
MODEL_TESTS := $(wildcard tests/test_*model*.py) $(addprefix tests/test_,$(addsuffix .py,\
	accuracy batch golden joint kernel oracle_longley registry second_implementation thirty_firms))

.DEFAULT_GOAL := help
.PHONY: help setup data study validate bless memo test slow portable mutants size verdicts browser cluster bench imports lint types check lock

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/installed  ## make the virtual environment from the lock

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) .ci/version.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

study: setup  ## run every study whose prices are at hand; STUDY=name for one
	@$(BIN)/eventstudy run $(if $(STUDY),$(STUDY),--all)

data: setup  ## fetch the prices of STUDY=name into the user's data folder: the only target that uses the network
	@$(BIN)/eventstudy fetch $(STUDY)

validate: setup  ## recompute and compare with the golden results; STUDY=name for one, VALIDATE_ARGS="--report v.html"
	@$(BIN)/eventstudy validate $(STUDY) $(VALIDATE_ARGS)

bless: setup  ## make new numbers the golden ones: STUDY=name REASON="..."
	@$(BIN)/eventstudy bless $(STUDY) --reason "$(or $(REASON),no reason given)"

memo: setup  ## write memo and charts of the last result in every format: STUDY=name
	@$(BIN)/eventstudy memo $(STUDY)

test: setup  ## run the tests but those marked slow, on every core; PYTEST_ARGS="-m slow" for these
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(PYTEST_ARGS)

slow: setup  ## run what takes minutes: the tests marked slow, mutants, size and power, verdicts, a cluster, the page
	$(BIN)/python -m pytest -n auto --dist worksteal -m slow $(PYTEST_ARGS)
	@$(MAKE) mutants size verdicts cluster browser

portable: setup  ## the golden results and the tests of the models in other processor settings
	@$(BIN)/python tests/processors.py $(BIN)/eventstudy validate $(VALIDATE_ARGS)
	@$(BIN)/python tests/processors.py $(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" $(MODEL_TESTS) $(PYTEST_ARGS)

mutants: setup  ## break the engine in one line at a time and see a named test fail
	$(BIN)/python tests/mutants.py

size: setup  ## simulate size and power again, in small, and compare with docs/size-power.csv and docs/brown-warner.csv
	$(BIN)/python tests/size_power.py
	$(BIN)/python tests/brown_warner.py

verdicts: setup  ## simulate studies whose truth is known, 200 of each kind, and hold their verdicts against it
	$(BIN)/python tests/verdict_rates.py

browser: setup  ## open the memo in Chromium, where there is one: no errors, sorting, picker, print, phone width
	$(BIN)/python -m pytest -p no:xdist -rs tests/browser_memo.py

cluster: setup  ## real worker processes: the bytes of threads, a killed worker, a stopped run
	$(BIN)/python -m pytest tests/cluster_runs.py

bench: setup  ## measure against what else there is, as ratios; ROUNDS=7 for a busy machine
	$(BIN)/python tests/bench/measure.py $(if $(ROUNDS),--rounds $(ROUNDS))

imports: setup  ## what a command imports, and how long that takes
	$(BIN)/python tests/bench/imports.py

lint: setup  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup  ## types
	$(BIN)/mypy

check: lint types test validate  ## all that must be green: lint, types, test, validate

lock: setup  ## pin the dependencies again, with hashes and without host names
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --universal --python-version 3.11 --extra dev --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --quiet pyproject.toml -o requirements.lock
