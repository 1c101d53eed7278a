# The commands of the project; `make help` lists them. All that is made lies in
# .venv, .venv-peers and out, and `make clean` removes it.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
WORKERS ?= 2
FLAGS ?=

# Matplotlib's font cache belongs to the environment: HOME may be read-only.
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/matplotlib

.PHONY: help demo test test-full lint peers benchmark clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       train, attack, evaluate and report on real digits: out/demo/index.html'
	@echo 'make test       lint, type check and all tests; WORKERS=N processes (2)'
	@echo 'make test-full  also the long products of cases, compiled as users do'
	@echo 'make peers      PyTorch and attack libraries in an environment of their own, to compare'
	@echo 'make benchmark  timings; FLAGS="--suite=peers" needs make peers'
	@echo 'make clean      remove .venv, .venv-peers, out and caches'
	@echo 'PYTHON=python3.12 names the interpreter of a new .venv, at least 3.11.'

demo: $(VENV)/installed
	$(BIN)/python -m experiments.quickstart --out=out/demo $(FLAGS)

test: lint
	$(BIN)/python -m pytest --quiet -n $(WORKERS) --dist=loadgroup $(FLAGS)

test-full: lint
	XLA_FLAGS= $(BIN)/python -m pytest --quiet -n $(WORKERS) --dist=loadgroup -m '' $(FLAGS)

lint: $(VENV)/installed
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python -m pip check

peers: $(PEERS)/installed

benchmark: $(VENV)/installed
	$(BIN)/python -m experiments.benchmark --out=out/benchmark $(FLAGS)

clean:
	rm -rf $(VENV) $(PEERS) out build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: a half-made environment does not count as installed.
$(VENV)/installed: requirements.txt setup.cfg pyproject.toml tools/make_venv.sh
	@tools/make_venv.sh $(PYTHON) $(VENV) requirements.txt --no-deps --no-build-isolation --editable .

$(PEERS)/installed: peers-requirements.txt tools/make_venv.sh
	@tools/make_venv.sh $(PYTHON) $(PEERS) peers-requirements.txt
