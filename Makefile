# Every target works in a fresh clone, and needs python3, git and make only.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test quick torture lint check bench lock clean

demo: $(READY)  ## convert six real photos on this machine
	$(BIN)/photo2anime demo

test: $(READY)  ## run all tests
	$(BIN)/python -m pytest

quick: $(READY)  ## run the tests without the mark `slow`
	$(BIN)/python -m pytest -m "not slow"

torture: $(READY)  ## disturb real runs, and print a table of lost and repeated rows; takes about 20 minutes
	TORTURE=1 $(BIN)/python -m pytest tests/torture --numprocesses=0

lint: $(READY)  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: lint test  ## run the linters and all tests

bench: $(READY)  ## evaluate the demo model and print a table; takes minutes
	$(BIN)/python -m jobs.demo_model.evaluate

# The environment has exactly the packages of requirements.lock, with verified hashes. Bytecode is compiled here, so
# that no process compiles it again.
$(READY): requirements.lock pyproject.toml
	@echo "==> setting up .venv (once, a few minutes: torch and its dependencies are 7 GB)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || { echo "==> installing uv into .venv"; $(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2> >(grep -v '^WARNING: Location' >&2); }
	@echo "==> installing the locked packages"
	@$(BIN)/uv pip sync --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	@$(BIN)/uv pip install --python $(BIN)/python --quiet --no-deps --editable .
	@touch $(READY)

lock:  ## compile requirements.lock from pyproject.toml, without the address of an index
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-emit-find-links --no-annotate --quiet --output-file requirements.lock

clean:  ## remove the environment and the output of the demo
	rm -rf .venv photo2anime-demo
