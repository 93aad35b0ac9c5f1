# Targets work on a fresh machine with Python 3.11 to 3.13 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
JOBS ?= 2
EDIT := pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-all test-base check format claims bench docs facts new-paper clean

help:
	@echo "make demo       are two models' scores really different? on real data, with a report"
	@echo "make test       everything that must pass: lint, types, imports, tests, quick claims"
	@echo "make test-all   the same with the slow tests and the full claims"
	@echo "make check      seconds: lint, types, import rules"
	@echo "make claims     measure all claims and write the ledger that statlas ships"
	@echo "make bench      head-to-heads against peers"
	@echo "make docs       pages and gallery in docs/site"
	@echo "make facts      what follows from the catalogue: the options of 'statlas show', the list in the README"
	@echo "make new-paper ID=...   module, test and docs stub of a planned paper"

# The base install: enough to find, run and check.
$(VENV)/.base: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(EDIT) --editable .
	touch $@

# Everything: all extras and the tools of development.
$(VENV)/.full: pyproject.toml constraints.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/$(EDIT) --editable ".[all,dev]"
	touch $(VENV)/.base $@

.venv-base/.done: pyproject.toml constraints.txt
	test -d .venv-base || $(PYTHON) -m venv .venv-base
	.venv-base/bin/$(EDIT) --editable . pytest pytest-xdist hypothesis polars
	touch $@

$(VENV)/.bench: $(VENV)/.full
	$(BIN)/$(EDIT) --editable ".[peers]"
	touch $@

demo: $(VENV)/.base
	mkdir -p out
	$(BIN)/statlas run error-bars examples/digits_repeats.csv --cluster writer --report out/demo.html
	@echo "The report is out/demo.html"

check: $(VENV)/.full
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check test-base
	$(BIN)/pytest -n $(JOBS) --dist loadgroup -m "not slow"
	$(BIN)/statlas check --all --budget quick --known --jobs $(JOBS) --ledger out/ledger

test-all: check test-base
	$(BIN)/pytest -n $(JOBS) --dist loadgroup
	$(BIN)/statlas check --all --budget full --jobs $(JOBS) --known --ledger out/ledger --resume

# What needs no extra must run without any: one job's worth of tests in a base environment.
BASE_TESTS := .venv-base/bin/pytest -n $(JOBS) --dist loadgroup -m "not slow and not extras" --no-header -q
test-base: .venv-base/.done
	$(BASE_TESTS) tests/catalog tests/core tests/app
	$(BASE_TESTS) tests/contract -k "implementation or example or figure"

format: $(VENV)/.full
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

claims: $(VENV)/.full
	$(BIN)/statlas check --all --budget full --jobs $(JOBS) --known --ledger src/statlas/ledger --resume

bench: $(VENV)/.bench
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

facts: $(VENV)/.full
	$(BIN)/python tools/write_facts.py

docs: $(VENV)/.full
	$(BIN)/python tools/build_docs.py docs/site

new-paper: $(VENV)/.full
	$(BIN)/python tools/new_paper.py $(ID)

clean:
	rm -rf .venv .venv-base out docs/site
