# Two targets for everyone: `make demo` shows what Descry does, `make test` checks all of it.
# Both share one environment in this folder, made once (about 2 minutes and 7 GB, most of it torch).

PYTHON ?= python3
BIN := .venv/bin
DEMO := $(BIN)/descry --library demo-library

.PHONY: demo test lint bench clean

demo: .venv/installed
	$(DEMO) index data/photos data/texts
	$(DEMO) search "a cup of coffee" -k 3
	$(DEMO) similar data/photos/cat.jpg -k 3
	$(DEMO) describe data/photos/rocket.jpg -k 3

test: .venv/installed-dev
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/installed-dev
	$(BIN)/python -m evaluation speed

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo-library
