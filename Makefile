# The commands of the project; `make help` lists them. All that is made lies in
# .venv, .venv-peers and out, and `make clean` removes it.
PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
WORKERS ?= 2
FLAGS ?=
SEED := $(shell date +%s)
# A process that a hanging test ended is not replaced: its test would hang again.
PYTEST = $(BIN)/python -m pytest --quiet -n $(WORKERS) --dist=loadgroup --max-worker-restart=0

# Matplotlib's font cache belongs to the environment: HOME may be read-only.
export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/matplotlib

.PHONY: help demo quick test test-full release-test lint docs docs-test peers benchmark faults clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo       train, attack, evaluate and report on real digits: out/demo/index.html'
	@echo 'make quick      lint, and the tests that a change can break first; SINCE=HEAD~1'
	@echo 'make test       lint, type check and all tests; WORKERS=N processes (2)'
	@echo 'make test-full  also the long products of cases, compiled as users do; SEED=N'
	@echo 'make release-test  builds wheel and sdist, installs them from the index, runs README'
	@echo 'make docs       the documentation, its notebooks run: out/docs/index.html'
	@echo 'make docs-test  also every block and command of its pages as printed, an hour'
	@echo 'make peers      PyTorch and attack libraries in an environment of their own, to compare'
	@echo 'make benchmark  timings; FLAGS="--suite=peers" needs make peers'
	@echo 'make faults     kills, stops and damages runs, 200 times, and counts what goes wrong'
	@echo 'make clean      remove .venv, .venv-peers, out and caches'
	@echo 'PYTHON=python3.12 names the interpreter of a new .venv, at least 3.11.'

demo: $(VENV)/installed
	$(BIN)/python -m experiments.quickstart --out=out/demo $(FLAGS)

quick: lint $(VENV)/interop
	$(BIN)/python tools/quick.py $(SINCE)

test: lint $(VENV)/interop
	$(PYTEST) $(FLAGS)

# Nothing compiled earlier counts, and SEED=N draws the examples of an earlier run.
test-full: lint $(VENV)/interop
	@echo 'make test-full SEED=$(SEED) draws these examples again.'
	XLA_FLAGS= JAX_ENABLE_COMPILATION_CACHE=false $(PYTEST) -m '' \
		-o faulthandler_timeout=3600 \
		--hypothesis-profile=anew --hypothesis-seed=$(SEED) $(FLAGS)

# As users install it, in environments of its own: needs the package index.
release-test:
	tools/release_test.sh $(PYTHON)

lint: $(VENV)/installed
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/python -m pip check

docs: $(VENV)/interop
	$(BIN)/python -m sphinx -q -W --keep-going -E -c docs -d out/doctrees . out/docs
	@echo 'out/docs/index.html'

docs-test: docs
	$(BIN)/python -m tests.pages
	$(BIN)/python -m tests.from_pytorch out/from-pytorch

peers: $(PEERS)/installed

benchmark: $(VENV)/installed
	$(BIN)/python -m experiments.comparisons.benchmark --out=out/benchmark $(FLAGS)

faults: $(VENV)/installed
	$(BIN)/python -m experiments.selfchecks.faults --out=out/faults $(FLAGS)

clean:
	rm -rf $(VENV) $(PEERS) out build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is written last: a half-made environment does not count as installed.
$(VENV)/installed: requirements.txt setup.cfg pyproject.toml tools/make_venv.sh
	@tools/make_venv.sh $(PYTHON) $(VENV) requirements.txt --no-deps --no-build-isolation --editable .

# The libraries whose models come in, and those of the documentation and of open pages;
# jax2onnx, which wants another Orbax, for itself.
$(VENV)/interop: $(VENV)/installed interop-requirements.txt docs-requirements.txt jax2onnx-requirements.txt
	@tools/add_interop.sh $(VENV)

$(PEERS)/installed: peers-requirements.txt tools/make_venv.sh
	@tools/make_venv.sh $(PYTHON) $(PEERS) peers-requirements.txt
