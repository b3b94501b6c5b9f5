# The commands of this repository; `make help` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The interpreter that makes .venv; anything from Python 3.11 on. Empty: the first one that is found.
PYTHON ?=
PYTEST_ARGS ?=
# Processes that `make test` runs tests in. Each has servers of its own, and waits most of the time.
WORKERS ?= 5
BENCH_ARGS ?=
# What `make chaos` does; FAULTS: only these, with commas between.
MINUTES ?= 10
SEED ?= 1
REPLICAS ?= 2
SHARDS ?= 1
NODES ?= 1
FAULTS ?=
DELIVERY ?= exactly_once
NAME ?= all-faults
# What `make fuzz` sends.
COUNT ?= 1000000
# What `make bench` measures: docs/performance.md.
ONLY ?=
ROUNDS ?= 5
SIZE ?= 1
CONTENDERS ?=
# What `make bench-compare` compares with, and how often.
BASE ?=
PAIRS ?= 10
PROFILE ?=
# Where `make run` keeps its jobs.
DATA ?= .data

BIN := .venv/bin
# Tests of one file share servers, so they stay in one process.
PARALLEL = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
STAMP := .venv/.setup-done
WIRE := src/scheduling_srv/wire
PROTOS := proto/scheduling_srv/wire
PROTOC := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -Iproto

##@ Start

.PHONY: setup
setup: $(STAMP) ## Install everything that is locked into .venv (instant when nothing changed)

$(STAMP): requirements.lock pyproject.toml tools/setup
	@PYTHON="$(PYTHON)" sh tools/setup
	@touch $@

.PHONY: run
run: setup ## Start it all on this machine and watch jobs run, until Ctrl-C (DATA=.data keeps jobs)
	@$(BIN)/python -m examples.demo --data "$(DATA)"

.PHONY: demo-check
demo-check: setup ## The same without a person; fails unless all of it happened
	@$(BIN)/python -m examples.demo --check

##@ Check

.PHONY: test
test: setup lint types imports proto-check kafka ## All checks and all quick tests, most of them on real servers (WORKERS=5)
	$(PARALLEL) -m "not slow" $(PYTEST_ARGS)

.PHONY: test-all
test-all: test ## The same, then the slow tests: every failpoint, outages, campaigns, fuzz, bench
	$(PARALLEL) -m slow --ignore tests/chaos --ignore tests/bench $(PYTEST_ARGS)
	$(BIN)/python -m pytest -m slow tests/chaos tests/bench $(PYTEST_ARGS)

.PHONY: unit
unit: setup ## The tests that need no server
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

.PHONY: e2e
e2e: setup kafka ## The tests that need Kafka and Valkey; started here unless given
	$(BIN)/python -m pytest tests --ignore=tests/unit $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Style of the code and of the protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code

.PHONY: types
types: setup ## Static types
	$(BIN)/mypy

.PHONY: imports
imports: setup ## Who may import whom
	$(BIN)/lint-imports

.PHONY: proto-check
proto-check: setup ## Fail when the generated code is not what the protos say
	@rm -rf build/proto && mkdir -p build/proto
	@$(call generate,build/proto)
	@diff -r -x __init__.py -x __pycache__ build/proto/scheduling_srv/wire $(WIRE) \
		|| { echo 'The generated code is stale: run "make proto".' >&2; exit 1; }

##@ Measure

.PHONY: bench
bench: setup kafka ## Every workload beside a bare loop and BullMQ; writes the tables (ONLY=, ROUNDS=, SIZE=, CONTENDERS=, PROFILE=)
	@$(BIN)/python -m bench --only "$(ONLY)" --rounds $(ROUNDS) --size $(SIZE) \
		--contenders "$(CONTENDERS)" $(if $(PROFILE),--profile $(PROFILE),--pages) $(BENCH_ARGS)

.PHONY: bench-compare
bench-compare: setup kafka ## This checkout beside BASE=commit in interleaved pairs; exits 1 when a figure is worse (ONLY=, PAIRS=, SIZE=, BENCH_ARGS=--note)
	@test -n "$(BASE)" || { echo 'make bench-compare BASE=commit' >&2; exit 2; }
	@$(BIN)/python -m bench.compare --base "$(BASE)" --pairs $(PAIRS) --size $(SIZE) \
		$(if $(ONLY),--only "$(ONLY)") $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: setup kafka ## Submit, fire, lateness and memory on real servers, checked, against their floors
	@$(BIN)/python -m bench --only submit,fire,steady,memory --contenders product --rounds 1 \
		--size 0.2 --floors $(BENCH_ARGS)

.PHONY: bench-worst
bench-worst: setup ## The longest call to Redis of each path with its worst legal input; fails over the budget
	@$(BIN)/python -m bench.worst $(BENCH_ARGS)

.PHONY: chaos
chaos: setup kafka ## Kill, freeze, lose and cut for MINUTES=10, check that nothing was broken (SEED=, REPLICAS=, NODES=, FAULTS=, DELIVERY=, SHARDS=)
	@$(BIN)/python -m chaos --minutes $(MINUTES) --seed $(SEED) --replicas $(REPLICAS) \
		--nodes $(NODES) --faults "$(FAULTS)" --delivery $(DELIVERY) --shards $(SHARDS)

.PHONY: chaos-series
chaos-series: setup kafka ## A long campaign in pieces that goes on where it was stopped; writes docs/lab (NAME=all-faults, MINUTES=60, SEED=, SHARDS=, DELIVERY=)
	@$(BIN)/python -m chaos.series $(NAME) --minutes $(MINUTES) --seed $(SEED) --delivery $(DELIVERY) --shards $(SHARDS)

.PHONY: fuzz
fuzz: setup kafka ## Send COUNT=1000000 broken requests and records, check that nothing else broke (SEED=)
	@$(BIN)/python -m chaos.fuzz --count $(COUNT) --seed $(SEED)

.PHONY: accept-alive
accept-alive: setup kafka ## Show point by point that the service stays alive (ONLY=1,2: these points; 25 minutes)
	@$(BIN)/python -m accept alive $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-traps
accept-traps: setup kafka ## Show point by point that the first week holds no silent traps (ONLY=1,2: these points; 25 minutes)
	@$(BIN)/python -m accept traps $(if $(ONLY),--only "$(ONLY)")

##@ Change

.PHONY: format
format: setup ## Rewrite code and protos in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

.PHONY: proto
proto: setup ## Generate the wire code from the protos
	@rm -f $(WIRE)/*_pb2*
	@$(call generate,src)

# resourcebase has no service, so no gRPC code.
define generate
$(PROTOC) --python_out=$(1) --mypy_out=quiet:$(1) $(PROTOS)/*.proto && \
$(PROTOC) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) \
	$(PROTOS)/job.proto $(PROTOS)/commandinterface.proto
endef

.PHONY: docs
docs: setup ## Write the generated parts of pages: settings, examples, figures, failpoints, metrics
	@$(BIN)/python -m tools.settings_table
	@$(BIN)/python -m tools.snippets
	@$(BIN)/python -m tools.readme_figures
	@$(BIN)/python -m tools.failpoints_page
	@$(BIN)/python -m tools.metrics_page

.PHONY: picture
picture: setup ## Draw what "make run" shows, from a real run
	@$(BIN)/python -m tools.picture

.PHONY: lock
lock: ## Resolve the dependencies anew, keeping what still fits (LOCK_ARGS=--upgrade renews all)
	@test -x $(BIN)/uv || PYTHON="$(PYTHON)" sh tools/setup
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --all-extras --group dev --group bench $(LOCK_ARGS) \
		--output-file requirements.lock pyproject.toml

##@ Servers for tests

.PHONY: java
java: ## See to it that Java 17 is there
	@sh tests/harness/java/install

.PHONY: kafka
kafka: ## See to it that Kafka can be started (nothing to do when KAFKA_BOOTSTRAP_SERVERS names one)
	@test -n "$$KAFKA_BOOTSTRAP_SERVERS" || sh tests/harness/java/fetch-kafka

##@ Other

.PHONY: clean
clean: ## Remove what was made here
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
