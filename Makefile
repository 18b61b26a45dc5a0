# Everything a newcomer needs: `make campaign` runs a real small campaign, `make test` the tests.
# Both create their own virtual environment and touch nothing outside this folder.

VENV ?= .venv
PYTHON ?= python3
BIN = $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export AIIDA_PATH := $(CURDIR)/.aiida_home
export OMP_NUM_THREADS ?= 1

.PHONY: help install campaign test test-services lint docs benchmark clean

help:
	@echo 'make campaign   run the quickstart campaign in an isolated profile (about 10 minutes on 2 cores)'
	@echo 'make test       run the test suite'
	@echo 'make test-services  test on real services: PostgreSQL, RabbitMQ, SLURM over SSH (Debian, as root)'
	@echo 'make lint       check style, types and the import contract'
	@echo 'make docs       build the documentation'
	@echo 'make clean      remove the environment, the profile and all results of the quickstart'

# torch comes first, on its own: asked for as a dependency, pip may take a build with gigabytes of CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed

campaign: install
	aiida-qagenai setup
	verdi run examples/quickstart.py

test: install
	pytest -n 2 --dist loadfile

test-services: install
	.ci/services
	pytest -m services tests/services

lint: install
	ruff check .
	ruff format --check .
	mypy
	lint-imports

docs: install
	sphinx-build -W --keep-going -b html docs docs/_build/html

benchmark: install
	for script in benchmarks/*.py; do python $$script --quick || exit 1; done

clean:
	-test ! -x $(BIN)/verdi || verdi daemon stop
	rm -rf $(VENV) .aiida_home campaign_results docs/_build
