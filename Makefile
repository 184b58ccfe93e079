# Every target works as the first command in a fresh checkout: Python >= 3.11 with pip is all it takes.
#   another Python:      make test PYTHON=python3.12
#   torch without CUDA:  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart demo static_demo test style quality clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z_]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' Makefile

quickstart: runs/quickstart  ## make a small data set of spoken commands, train on it, listen to the result
	$(BIN)/python -m examples.quickstart runs/quickstart

demo: runs/quickstart  ## the Gradio demo on the quickstart's network, which is trained first if it is not there
	$(BIN)/python spaces_demo/app.py runs/quickstart

static_demo: runs/static_demo  ## the page that classifies in the browser, nothing leaves the machine
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory runs/static_demo 8000

# A process per core, of about 1 GB each. --dist worksteal keeps most files in one process, which shares their fixtures.
test: .venv/.installed  ## run all tests in parallel, without the network
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

style: .venv/.installed  ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quality: .venv/.installed  ## check format and code, change nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

clean:  ## remove what builds and tests leave behind; .venv, data and runs stay
	rm -rf dist *.egg-info .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

# A folder that is there is kept; remove it to make it again.
runs/quickstart: | .venv/.installed
	$(BIN)/accelerate launch training/train.py \
		--recipe training/recipes/speech_commands/quickstart.yaml --synthetic --output_dir $@ --resume

runs/static_demo: | runs/quickstart static_demo/node_modules
	$(BIN)/python -m static_demo.build runs/quickstart $@

static_demo/node_modules: static_demo/package-lock.json
	npm ci --prefix static_demo --no-fund --no-audit
	@touch $@

# The environment; the empty file .installed tells when it was last brought up to date.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "samplecnn-hf needs Python 3.11 or newer, and $(PYTHON) is not: try make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; this takes a few minutes the first time."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@# The synthesizer and the SoundFont of the synthetic music; their own dependencies are not needed.
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt \
		'tinysoundfont; python_version < "3.13"' 'pretty_midi; python_version < "3.13"'  # no wheels for newer ones
	@touch $@
