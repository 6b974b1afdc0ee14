# Two targets for everyone: `make demo` shows what Descry does, `make test` checks all of it.
# Both share one environment in this folder, made once (about 2 minutes and 7 GB, most of it torch).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := $(BIN)/descry --library demo-library

.PHONY: demo test test-avx2 lint bench clean

demo: $(VENV)/installed
	$(DEMO) index data/photos data/texts
	$(DEMO) search "a cup of coffee" -k 3
	$(DEMO) similar data/photos/cat.jpg -k 3
	$(DEMO) describe data/photos/rocket.jpg -k 3
	@echo "See them in the browser: $(DEMO) serve --open"

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest

# as on a processor without AVX-512: fast paths fall back, and nothing else changes
test-avx2: $(VENV)/installed-dev
	ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest tests/indexer/encoders

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	# a Milvus for the tests; alone, as it would bring faiss-cpu, which breaks the FAISS that is there
	$(BIN)/python -m pip install --quiet --no-deps milvus-lite
	touch $@

clean:
	rm -rf $(VENV) demo-library
