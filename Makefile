# Everything a developer or a newcomer types. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TOOLS := $(VENV)/.tools
PEER := $(VENV)/.peer

.DEFAULT_GOAL := help
.PHONY: help setup demo test system quick check bench bench-full guard cluster chaos picture docs

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Python and Java are looked at before anything is installed: each lack is one line at once.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "serverload: Python 3.11 or newer with venv and pip is needed, $(PYTHON) is $$($(PYTHON) -V 2>&1 | grep ^Python || echo not found); set PYTHON=python3.11 (on Debian or Ubuntu: install python3-venv)" >&2; exit 1; }
	@$(PYTHON) -m serverload.store.java
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || $(PYTHON) -m venv --clear $(VENV) # a half made one is made anew
	@echo "installing the packages, some minutes"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fast,cloud]' >$(VENV)/pip.log 2>&1 || { \
		echo "serverload: the packages are not installed: $$(grep -m1 -o 'ERROR: .*' $(VENV)/pip.log || tail -n1 $(VENV)/pip.log); see $(VENV)/pip.log, then run make setup again with the network there" >&2; exit 1; }
	@$(BIN)/python -m serverload.store.jars
	@$(BIN)/python -m serverload.store.class_archive
	@touch $(READY)

# What only tests and checks need is not waited for by who wants to use it.
$(TOOLS): $(READY)
	@echo "installing what tests and checks need"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fast,cloud]' >$(VENV)/pip.log 2>&1 || { \
		echo "serverload: the packages are not installed: $$(grep -m1 -o 'ERROR: .*' $(VENV)/pip.log || tail -n1 $(VENV)/pip.log); see $(VENV)/pip.log, then run make again with the network there" >&2; exit 1; }
	@touch $(TOOLS)

# The peer that plays an event hub in the tests is compiled from source; where that cannot be, all other tests run.
$(PEER): $(TOOLS)
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[peer]' >$(VENV)/peer.log 2>&1 || \
		echo "serverload: the tests of Event Hubs are left out: their peer, Apache Qpid Proton, is built with a C compiler and Python's headers (on Debian or Ubuntu: gcc python3-dev); see $(VENV)/peer.log, then delete $(PEER)" >&2
	@touch $(PEER)

setup: $(READY) ## virtual environment, pinned packages, jars; leaves .venv/bin/serverload
	@$(BIN)/python -m serverload.store.java

demo: setup ## the whole line on generated data: backfill, train, Kafka, stream, forecasts
	$(BIN)/serverload demo --home demo-home

quick: $(TOOLS) ## the tests that need neither Spark nor a broker
	$(BIN)/pytest tests/unit

test: setup $(PEER) ## the tests of each part and of the parts together
	$(BIN)/pytest -m 'not system'

system: setup $(TOOLS) ## the other tests: commands as processes, the demo, parts killed, the dashboard in a browser
	@command -v chromium >/dev/null || \
		echo "serverload: the tests of the dashboard are left out: there is no chromium (on Debian or Ubuntu: install chromium)" >&2
	$(BIN)/pytest -m system

check: $(TOOLS) ## lint, format, types, import rule, generated documents
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/make_reference.py --check

bench: setup $(TOOLS) ## measurements, each a ratio in one run
	$(BIN)/python -m bench quick

bench-full: setup $(TOOLS) ## more of them, with more peers and runs: hours
	$(BIN)/python -m bench full

guard: $(TOOLS) ## has it become much slower or hungrier? seconds, against yardsticks of the same run
	$(BIN)/python -m bench.guard

cluster: setup $(TOOLS) ## the built wheel on a Spark cluster of this machine, workers killed; no part of `test`: it takes minutes
	SERVERLOAD_CLUSTER=1 $(BIN)/pytest -n0 -s tests/cluster

chaos: setup $(TOOLS) ## 50 faults at random on a live system of a million lines, then compared with a batch; half an hour or more
	SERVERLOAD_CHAOS=long $(BIN)/pytest -n0 -s tests/chaos

picture: $(TOOLS) ## docs/dashboard.png: the dashboard over a drawn fleet, as Chromium shows it
	PYTHONPATH=tests $(BIN)/python tests/browser/take_picture.py

docs: $(READY) ## write docs/tables.md, settings.md and metrics.md from the code
	$(BIN)/python docs/make_reference.py
