# Each target makes its own environment; nothing but Python 3.11, pip and make is needed.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= satqkd-out/demo
PICTURES ?= satqkd-out
SEED ?= 1
# Of the simulator of passes, beside the other long tests.
SOAK_SECONDS ?= 3600

.PHONY: demo test dev soak bench clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

demo: $(VENV)/.installed
	$(BIN)/satqkd demo --out $(OUT) --seed $(SEED)

dev: $(VENV)/.dev

test: $(VENV)/.dev
	$(BIN)/ruff format --check src tests benchmarks builders examples
	$(BIN)/ruff check src tests benchmarks builders examples
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

soak: $(VENV)/.dev
	HYPOTHESIS_PROFILE=soak $(BIN)/pytest -n 2
	SOAK_SECONDS=$(SOAK_SECONDS) HYPOTHESIS_PROFILE=soak $(BIN)/pytest -m soak

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/passes.py
	$(BIN)/python benchmarks/twin.py
	$(BIN)/python benchmarks/whole_pass.py
	$(BIN)/python benchmarks/optimise.py
	$(BIN)/python benchmarks/amplification.py
	$(BIN)/python benchmarks/cascade.py --sizes 131072 --frames 8
	$(BIN)/python benchmarks/chain.py
	$(BIN)/python benchmarks/delivery.py
	mkdir -p $(PICTURES)
	$(BIN)/python benchmarks/link.py --seconds 4
	$(BIN)/python benchmarks/latency.py --first 3
	$(BIN)/python benchmarks/outages.py --lengths 3 30
	$(BIN)/python benchmarks/reconciliation.py --plot $(PICTURES)/reconciliation.png
	$(BIN)/python benchmarks/satellite.py --satellite jinan-1 --station stellenbosch
	$(BIN)/python benchmarks/planning.py --quick
	$(BIN)/python benchmarks/scale.py --quick
	$(BIN)/python benchmarks/operation.py 28 2

clean:
	rm -rf $(VENV) build dist src/*.egg-info
