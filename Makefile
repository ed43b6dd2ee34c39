# Everything a developer or a newcomer types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check bench docs

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast]'
	$(BIN)/python -m serverload.store.jars
	@touch $(READY)

setup: $(READY) ## virtual environment, pinned packages, jars; leaves .venv/bin/serverload

demo: setup ## the whole line on generated data: backfill, train, Kafka, stream, forecasts
	$(BIN)/serverload demo --home demo-home

quick: setup ## the tests that need neither Spark nor a broker
	$(BIN)/pytest tests/unit

test: setup ## all tests
	$(BIN)/pytest

check: setup ## lint, format, types, import rule, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/make_reference.py --check

bench: setup ## measurements, each a ratio in one run
	$(BIN)/python -m bench.backfill

docs: setup ## write docs/tables.md and docs/settings.md from the code
	$(BIN)/python docs/make_reference.py
