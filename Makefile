# Everything a newcomer needs: `make campaign` runs a real small campaign, `make test` the tests.
# Both create their own virtual environment and touch nothing outside this folder.

VENV ?= .venv
PYTHON ?= python3
SERVICES ?= tests/services
BIN = $(VENV)/bin
# One file goes to one worker: the fixtures of a module, trained models for example, are made once.
PYTEST = pytest -n 2 --dist loadfile
# How many examples hypothesis tries in `make test`: quick (25) or all (200).
EXAMPLES ?= quick
export PATH := $(CURDIR)/$(BIN):$(PATH)
export AIIDA_PATH := $(CURDIR)/.aiida_home
export OMP_NUM_THREADS ?= 1
# Where this is set, every job and command of the tests would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# The Python of jobs with local CCSD(T), which need a newer PySCF than aiida-pyscf allows beside it.
LNO_VENV ?= .venv-lno
# The wheels of the container image.
WHEELS ?= wheels
export QAGENAI_LNO_PYTHON ?= $(abspath $(LNO_VENV))/bin/python

.PHONY: help install lno wheels campaign machinery test test-all test-slow test-services coverage lint docs figures benchmark clean

help:
	@echo 'make campaign   run a campaign that answers a question in an isolated profile (minutes on 2 cores)'
	@echo 'make machinery  run every stage of a campaign at its smallest size (about 10 minutes on 2 cores)'
	@echo 'make lno        build the Python for local CCSD(T) in $(LNO_VENV) (C compiler; a minute)'
	@echo 'make wheels     collect what the container image installs in $(WHEELS) (network)'
	@echo 'make test       run the quick tests: what a change needs (below 10 minutes on 2 cores)'
	@echo 'make test-all   run all tests but those on services (about half an hour on 2 cores)'
	@echo 'make test-services  test on real services: PostgreSQL, RabbitMQ, SLURM over SSH (Debian, as root)'
	@echo 'make coverage   run the tests and measure which lines they reach'
	@echo 'make lint       check style, types and the import contract'
	@echo 'make docs       build the documentation'
	@echo 'make figures    make the tables and figures of the pages on the paper and the ladder anew (a minute)'
	@echo 'make clean      remove the environment, the profile and all results of the quickstart'

# torch comes first, on its own: asked for as a dependency, pip may take a build with gigabytes of CUDA.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed

# pyscf-forge is built on the spot; the BLAS that comes with PySCF spares a system package.
$(LNO_VENV)/.installed: constraints-lno.txt
	$(PYTHON) -m venv $(LNO_VENV)
	$(LNO_VENV)/bin/pip install --quiet --upgrade pip
	$(LNO_VENV)/bin/pip install --quiet --constraint constraints-lno.txt h5py numpy pyscf
	CMAKE_CONFIGURE_ARGS=-DBLAS_LIBRARIES=$$(echo $(abspath $(LNO_VENV))/lib/python*/site-packages/pyscf/lib/libopenblas*) \
		$(LNO_VENV)/bin/pip install --quiet --constraint constraints-lno.txt pyscf-forge
	$(LNO_VENV)/bin/python -W ignore -c 'from pyscf.lno import lnoccsd_t; from pyscf.pbc.lno import KLNOCCSD_T'
	@touch $@

lno: $(LNO_VENV)/.installed

# What Containerfile installs, for the processor and the system of this machine; what has no wheel is built. With
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu torch comes without CUDA.
wheels:
	$(PYTHON) -m venv $(WHEELS)/.venv
	$(WHEELS)/.venv/bin/pip install --quiet --upgrade pip
	$(WHEELS)/.venv/bin/pip wheel --quiet --wheel-dir $(WHEELS) --constraint constraints.txt torch==2.13.0 '.[ml,pyscf,phonons]'
	rm -r $(WHEELS)/.venv

campaign: install
	aiida-qagenai setup
	verdi run examples/quickstart.py

# Every stage up to CCSD(T) at its smallest size: energies that are not scientific.
machinery: install
	aiida-qagenai setup
	verdi run examples/quickstart.py --question machinery

test: install
	$(PYTEST) -m 'not slow and not services' --hypothesis-profile $(EXAMPLES)

test-all: install lno
	$(PYTEST) -m 'not services'

# What `make test` leaves out: continuous integration runs the one after the other.
test-slow: install lno
	$(PYTEST) -m 'slow and not services'

test-services: install
	.ci/services
	pytest -m services $(SERVICES)

lint: install
	ruff check .
	ruff format --check .
	mypy
	lint-imports

coverage: install lno
	$(PYTEST) --cov --cov-report=term --cov-report=xml

docs: install
	sphinx-build -W --keep-going -b html docs docs/_build/html

figures: install
	python benchmarks/paper.py
	python benchmarks/ladder_tables.py

# Exit status 2: the script needs a table of crystals, which its message names.
benchmark: install lno
	for script in benchmarks/*.py; do python $$script --quick || test $$? = 2 || exit 1; done

clean:
	-test ! -x $(BIN)/verdi || verdi daemon stop
	rm -rf $(VENV) $(LNO_VENV) $(WHEELS) .aiida_home campaign_results docs/_build docs/reference/api docs/reference/processes
