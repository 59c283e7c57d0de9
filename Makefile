# Everything runs in .venv, which is set up once for each change of the packages.

PYTHON ?= python3
TORCH ?= 2.13.0
KERAS_BACKEND ?= jax
BACKENDS ?= jax tensorflow torch
PYTEST_ARGS ?=

venv := .venv
python := $(venv)/bin/python
ready := $(venv)/.ready
# PyTorch's threads only wait for one another on models as small as these.
quiet := TF_CPP_MIN_LOG_LEVEL=3 OMP_NUM_THREADS=1

.PHONY: setup demo test test-fast test-faults lint notebooks formats

setup: $(ready)

# Torch comes first, pinned: its CPU build is found under this version.
$(ready): pyproject.toml Makefile
	$(PYTHON) -m venv $(venv)
	$(python) -m pip install --quiet --upgrade pip
	$(python) -m pip install --quiet torch==$(TORCH)
	$(python) -m pip install --quiet --editable ".[jax,tensorflow,torch,data,eval,plots,oracle,language,test]"
	touch $(ready)

demo: setup
	$(quiet) KERAS_BACKEND=$(KERAS_BACKEND) $(python) examples/defend_digit_scenes.py $(ARGS)

# Each backend in a process of its own, two at a time.
test: setup
	$(MAKE) --jobs=2 --keep-going --output-sync=target $(BACKENDS:%=test-%)

# Without the tests that are marked slow.
test-fast: setup
	$(MAKE) test PYTEST_ARGS='-m "not slow"'

test-%: setup
	$(quiet) KERAS_BACKEND=$* $(python) -m pytest --quiet $(PYTEST_ARGS) tests

# Ten thousand new cases of each fuzz test, on one backend: half an hour.
test-faults: setup
	$(quiet) KERAS_BYORN_FUZZ=faults KERAS_BACKEND=$(KERAS_BACKEND) $(python) -m pytest --quiet $(PYTEST_ARGS) tests/fuzz tests/vlm/control_tokens_test.py

lint: setup
	$(venv)/bin/ruff check .
	$(venv)/bin/ruff format --check .

notebooks: setup
	$(python) guides/make_notebooks.py

formats: setup
	$(quiet) $(python) docs/make_data_formats.py
	$(quiet) $(python) docs/make_faults.py
