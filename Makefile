# Everything a developer, a user with a clone, or CI does. `make` alone shows what there is.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# PYTHON=/path/to/python3 names the interpreter; without it tools/find-python looks for one of at least 3.11.
export PYTHON
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.made-from-lock
PIP_FLAGS := --disable-pip-version-check --no-input --quiet
# One worker more than cores: while one waits for servers and processes, another computes. Three at most: each starts a
# Kafka of its own, and more would only make timings noisy.
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores < 2 ? 2 : 3)))
DURATION ?= 30s
IMAGE ?= alpha-panda:dev

.PHONY: help
help: ## Show this list
	@echo "make TARGET; the targets:"
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' \
		| while IFS=$$'\t' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

.PHONY: setup
setup: $(STAMP) ## Make .venv from the hash-checked lock; after it .venv/bin/alpha-panda works

# --no-deps: the lock is complete, and two packages in it are wanted for their data alone.
# --only-binary: nothing is compiled, so no compiler is needed and no package's build script runs.
$(STAMP): requirements-dev.lock pyproject.toml tools/find-python
	@python=$$(tools/find-python) && echo "making $(VENV) with $$python" && "$$python" -m venv --clear $(VENV)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --require-hashes --no-deps --only-binary :all: -r requirements-dev.lock
	@$(BIN)/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation --no-index --editable .
	@touch $(STAMP)

.PHONY: demo
demo: setup ## Trade on paper for 30 seconds: ticks, signals, orders, positions (DURATION=10s for less)
	$(BIN)/alpha-panda run examples/01-paper-momentum --duration $(DURATION)

.PHONY: test
test: setup ## Run all tests, over real Kafka and Redis too (ARGS="tests/unit/domain -x" for some, WORKERS=0 for one process)
	@tools/install-test-tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --durations=25 --durations-min=5 $(ARGS)

.PHONY: e2e
e2e: setup ## Run the tests of the chart, on a real Kubernetes API server, and on a real node where Linux and root are
	@tools/install-test-tools
	@tools/install-cluster-tools
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations=25 --durations-min=5 tests/unit/chart tests/cluster tests/e2e/node tests/e2e/monitoring $(ARGS)

.PHONY: day
day: setup ## Run a trading day at the local Kite, over real Kafka and Redis, and kill its services at each point (four minutes)
	@tools/install-test-tools
	$(BIN)/python -m pytest -n 2 --dist loadgroup tests/e2e/kite $(ARGS)

.PHONY: cluster
cluster: setup ## Start a cluster of this machine to try the operator on; until Ctrl-C (ARGS="--simulated": nodes that run nothing)
	@tools/install-test-tools
	@tools/install-cluster-tools
	PYTHONPATH=tests $(BIN)/python -m harness.up $(ARGS)

.PHONY: models
models: setup ## Check the models of the order protocol at their full bounds (minutes to an hour; ARGS="--help")
	@tools/install-test-tools
	PYTHONPATH=tests $(BIN)/python -m models --full $(ARGS)

.PHONY: soak
soak: setup ## Run everything over real Kafka and Redis for ten minutes and watch its memory (ARGS="--minutes 3")
	@tools/install-test-tools
	$(BIN)/python -m bench.soak $(ARGS)

.PHONY: servers
servers: setup ## Start a Kafka and a Redis on this machine, for `alpha-panda run --kafka ... --redis ...`; until Ctrl-C
	@tools/install-test-tools
	$(BIN)/python -m alpha_panda.testing.servers

.PHONY: lint
lint: setup ## Check style, format, types and import contracts; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: setup ## Format the code and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: bench
bench: setup ## Run the benchmarks, over real Kafka and Redis too (ARGS="--quick", ARGS="--only cache,latency")
	@tools/install-test-tools
	$(BIN)/python -m bench $(ARGS)

.PHONY: docs
docs: setup ## Write the generated pages of docs/reference and the dashboards anew
	$(BIN)/python -m alpha_panda.runtime.settings_docs docs/reference
	$(BIN)/python -m alpha_panda.compose.acl_docs docs/reference
	$(BIN)/python tools/values_docs.py charts/alpha-panda docs/reference
	$(BIN)/python -m tools.dashboards charts/alpha-panda/dashboards
	$(BIN)/python tools/metrics_docs.py docs/reference

.PHONY: crds
crds: setup ## Write the custom resource definitions and their page anew, from the models
	$(BIN)/python -m alpha_panda.contracts.crds

.PHONY: lock
lock: ## Resolve the dependencies into the lock files (UPGRADE=1: to the newest that fit)
	tools/lock $(if $(UPGRADE),--upgrade)

.PHONY: image
image: ## Build the container image (IMAGE=name:tag)
	docker build --tag $(IMAGE) .

.PHONY: clean
clean: ## Remove .venv, caches and build results
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find services operator tests bench examples -name __pycache__ -type d -prune -exec rm -rf {} +
