# Every target works in a fresh checkout with Python >= 3.11 and pip (the static demo also needs npm).
#   another Python:      make test PYTHON=python3.12   (when .venv does not exist yet)
#   torch without CUDA:  PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make test

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help quickstart demo static_demo test docs style quality clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z_]+:.*## / { printf "%-12s%s\n", $$1, $$2 }' Makefile

quickstart: runs/quickstart  ## train a spotter of ten words on synthetic voices and classify test clips
	$(BIN)/python -m examples.quickstart runs/quickstart

demo: .venv/.installed  ## run the Gradio demo with the models in model_cards
	$(BIN)/python spaces_demo/app.py model_cards/*

static_demo: runs/static_demo  ## serve the page that classifies in the browser
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory runs/static_demo 8000

# One process per core, about 1.5 GB each. worksteal keeps most test files in one process, so that they share fixtures.
test: .venv/.installed  ## run all tests in parallel; without a network, those of transformers are skipped
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

style: .venv/.installed  ## format the code and fix lint errors
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

quality: .venv/.installed  ## check formatting and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

docs: .venv/.installed  ## build the documentation site in runs/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:  ## remove build and test artifacts; keep .venv, data and runs
	rm -rf dist *.egg-info .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

# Existing folders are kept: remove one to build it again.
runs/quickstart: | .venv/.installed
	$(BIN)/python -m training.spoken_words --words "yes, no, up, down, left, right, on, off, stop, go" \
		--num_voices 150 --takes 2 --hours 0.1 --num_epochs 3 --average_decay 0.99 --output_dir $@ --resume

runs/static_demo: | .venv/.installed static_demo/node_modules
	$(BIN)/python -m static_demo.build model_cards/samplecnn-speech-commands-synthetic $@

static_demo/node_modules: static_demo/package-lock.json
	npm ci --prefix static_demo --no-fund --no-audit
	@touch $@

# The environment; the empty file .installed is its timestamp.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "samplecnn-hf needs Python 3.11 or newer: try make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo "Installing into .venv; this takes a few minutes the first time."
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	@# Synthesizer and SoundFont of the synthetic music, without their dependencies.
	$(BIN)/python -m pip install --quiet --no-deps -c constraints.txt \
		'tinysoundfont; python_version < "3.13"' 'pretty_midi; python_version < "3.13"'  # no wheels for newer ones
	@touch $@
