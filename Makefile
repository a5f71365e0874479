# Two commands do everything on a fresh machine: `make demo` and `make test`.
# Both make .venv from the lock file first; the second time that costs nothing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RUN := runs/demo

.PHONY: demo test install check bench lock clean

demo: install ## train a model on Python's own library in four minutes, let it learn to answer, and show what it says
	$(BIN)/homespun build python --minutes 4 --out $(RUN) --resume

test: install ## every test
	$(BIN)/python -m pytest -q -n 2

install: $(INSTALLED) ## only the environment: .venv/bin/homespun

$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("homespun needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(INSTALLED)

check: install ## style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyrefly check
	$(BIN)/lint-imports

# NANOGPT: a checkout of karpathy/nanoGPT that you bring yourself; without it that comparison is left out.
NANOGPT ?=

bench: install ## speed, with peers measured beside us (minutes)
	$(BIN)/python benchmarks/command_start.py
	$(BIN)/python benchmarks/generation.py
	$(BIN)/python benchmarks/throughput.py --shapes baby --contenders 'nanogpt-fp32*' 'homespun-gpt2-fp32*' --repeats 3 --seconds 5 $(if $(NANOGPT),--nanogpt $(NANOGPT))
	$(if $(NANOGPT),$(BIN)/python benchmarks/time_to_loss.py --nanogpt $(NANOGPT) --seeds 1,@echo "time_to_loss: left out; give NANOGPT=DIR")

lock: install ## write requirements.lock anew from what is installed
	$(BIN)/python -m pip freeze --exclude-editable --exclude homespun | sed 's/^torch==\([^+]*\).*/torch==\1/' > requirements.lock

clean: ## remove the environment; runs stay
	rm -rf $(VENV)
