# The commands of this repository; `make help` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

# The interpreter that makes .venv: Python 3.11 or newer. Empty: the first one that is found.
PYTHON ?=
PYTEST_ARGS ?=
# Number of processes of `make test`. Each has its own servers, and waits most of the time.
WORKERS ?= 5
BENCH_ARGS ?=
# Options of `make chaos`; FAULTS: only these, separated by commas.
MINUTES ?= 10
SEED ?= 1
REPLICAS ?= 2
SHARDS ?= 1
NODES ?= 1
FAULTS ?=
# Callers of scheduling.v1 in campaigns; 0: none.
V1 ?= 2
# A commit whose version one of the replicas is of.
BESIDE ?=
DELIVERY ?= exactly_once
NAME ?= all-faults
# Number of inputs of `make fuzz`.
COUNT ?= 1000000
# Options of `make bench`: docs/performance.md.
ONLY ?=
ROUNDS ?= 5
SIZE ?= 1
CONTENDERS ?=
# The commit that `make bench-compare` compares with, and the number of pairs.
BASE ?=
PAIRS ?= 10
PROFILE ?=
STEPS ?=
# Directory of the jobs of `make run`.
DATA ?= .data
# The runs of each test of `make accept-worker`.
WORKER_RUNS ?= 100000

BIN := .venv/bin
# Tests of one file share servers, so they stay in one process.
PARALLEL = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# A campaign uses a core for itself, but for its outages.
PARALLEL_CAMPAIGNS = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
STAMP := .venv/.setup-done
DEPLOY_TOOLS := build/deploy-tools
WIRE := client/src/scheduling_client/wire
# The protos as they were when changes that break clients were last accepted.
BASELINE := proto/baseline.binpb

##@ Start

.PHONY: setup
setup: $(STAMP) ## Install the locked dependencies into .venv (instant if nothing changed)

$(STAMP): requirements.lock pyproject.toml client/pyproject.toml server/pyproject.toml tools/setup
	@PYTHON="$(PYTHON)" sh tools/setup
	@touch $@

.PHONY: run
run: setup ## Start service, worker and servers, and watch jobs run until Ctrl-C (DATA=.data)
	@$(BIN)/python -m examples.demo --data "$(DATA)"

.PHONY: demo-check
demo-check: setup ## For CI: run the demo unattended; fails unless every step happened
	@$(BIN)/python -m examples.demo --check

##@ Check

.PHONY: test
test: setup lint types imports proto-check kafka ## Run all checks and all quick tests (WORKERS=5)
	$(PARALLEL) -m "not slow" $(PYTEST_ARGS)

.PHONY: test-all
test-all: test ## The same, then the slow tests: failpoints, outages, campaigns, fuzz, bench
	$(PARALLEL) -m slow --ignore tests/chaos --ignore tests/bench $(PYTEST_ARGS)
	$(PARALLEL_CAMPAIGNS) -m slow tests/chaos tests/bench $(PYTEST_ARGS)

.PHONY: unit
unit: setup ## Run the tests that need no server
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

.PHONY: e2e
e2e: setup kafka ## Run the tests that need Kafka and Valkey; starts both unless given
	$(BIN)/python -m pytest tests --ignore=tests/unit $(PYTEST_ARGS)

.PHONY: lint
lint: setup ## Check the style of code and protos
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf build --output - | $(BIN)/buf breaking - --config buf.yaml --against $(BASELINE)

.PHONY: types
types: setup ## Check the static types
	$(BIN)/mypy

.PHONY: imports
imports: setup ## Check the import rules
	$(BIN)/lint-imports

.PHONY: proto-check
proto-check: setup ## Check that the generated code matches the protos
	@rm -rf build/proto && mkdir -p build/proto
	@$(BIN)/python -m tools.wire build/proto
	@diff -r -x __init__.py -x __pycache__ build/proto/scheduling_client/wire $(WIRE) \
		|| { echo 'The generated code is stale: run "make proto".' >&2; exit 1; }

##@ Measure

.PHONY: bench-contenders
bench-contenders: setup ## Install the contenders that can be installed here into build/bench
	@$(BIN)/python -m bench.contenders.install

.PHONY: bench
bench: setup kafka bench-contenders ## Measure every workload and write the tables (ONLY=, ROUNDS=, SIZE=, CONTENDERS=, PROFILE=, STEPS=)
	@$(BIN)/python -m bench --only "$(ONLY)" --rounds $(ROUNDS) --size $(SIZE) \
		--contenders "$(CONTENDERS)" $(if $(PROFILE),--profile $(PROFILE)) \
		$(if $(STEPS),--steps) $(if $(PROFILE)$(STEPS),,--pages) $(BENCH_ARGS)

.PHONY: bench-compare
bench-compare: setup kafka ## Compare with BASE=commit in pairs; fails if a figure is worse (ONLY=, PAIRS=, SIZE=, BENCH_ARGS=--note)
	@test -n "$(BASE)" || { echo 'make bench-compare BASE=commit' >&2; exit 2; }
	@$(BIN)/python -m bench.compare --base "$(BASE)" --pairs $(PAIRS) --size $(SIZE) \
		$(if $(ONLY),--only "$(ONLY)") $(BENCH_ARGS)

.PHONY: bench-quick
bench-quick: setup kafka ## Measure submit, fire, lateness and memory; fails below a floor
	@$(BIN)/python -m bench --only submit,fire,steady,memory --contenders product --rounds 1 \
		--size 0.2 --floors $(BENCH_ARGS)

.PHONY: bench-worst
bench-worst: setup ## Measure each path with its worst legal input; fails over a budget
	@$(BIN)/python -m bench.worst $(BENCH_ARGS)

.PHONY: bench-lua
bench-lua: setup ## Measure Valkey's CPU in the scripts of the hot paths, without Kafka
	@$(BIN)/python -m bench.lua $(BENCH_ARGS)

.PHONY: chaos
chaos: setup kafka ## Inject faults for MINUTES=10 and check every promise (SEED=, REPLICAS=, NODES=, FAULTS=, DELIVERY=, SHARDS=, V1=, BESIDE=)
	@$(BIN)/python -m chaos --minutes $(MINUTES) --seed $(SEED) --replicas $(REPLICAS) \
		--nodes $(NODES) --faults "$(FAULTS)" --delivery $(DELIVERY) --shards $(SHARDS) \
		--v1 $(V1) --beside "$(BESIDE)"

.PHONY: chaos-series
chaos-series: setup kafka ## Run a long campaign that resumes where it stopped; writes docs/lab (NAME=, MINUTES=60, SEED=, SHARDS=, DELIVERY=, FAULTS=, V1=, BESIDE=)
	@$(BIN)/python -m chaos.series $(NAME) --minutes $(MINUTES) --seed $(SEED) --delivery $(DELIVERY) \
		--shards $(SHARDS) --faults "$(FAULTS)" --v1 $(V1) --beside "$(BESIDE)"

.PHONY: fuzz
fuzz: setup kafka ## Send COUNT=1000000 broken requests and records, and check the service (SEED=)
	@$(BIN)/python -m chaos.fuzz --count $(COUNT) --seed $(SEED)

.PHONY: accept-alive
accept-alive: setup kafka ## Prove that the service stays alive, point by point (ONLY=1,2; 25 minutes)
	@$(BIN)/python -m accept alive $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-traps
accept-traps: setup kafka ## Prove that the first week has no silent traps (ONLY=1,2; 25 minutes)
	@$(BIN)/python -m accept traps $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-house
accept-house: setup kafka ## Prove that the redesign is complete, point by point (ONLY=1,2; 25 minutes)
	@$(BIN)/python -m accept house $(if $(ONLY),--only "$(ONLY)")

.PHONY: deploy-tools
deploy-tools: $(DEPLOY_TOOLS)/kustomize $(DEPLOY_TOOLS)/promtool ## Build the tools that check deploy/ (needs Go 1.26)

$(DEPLOY_TOOLS)/kustomize: PACKAGE = sigs.k8s.io/kustomize/kustomize/v5
$(DEPLOY_TOOLS)/promtool: PACKAGE = github.com/prometheus/prometheus/cmd/promtool
$(DEPLOY_TOOLS)/%: tests/deploy/go/go.mod tests/deploy/go/go.sum
	@mkdir -p $(@D)
	cd tests/deploy/go && go build -o "$(CURDIR)/$@" $(PACKAGE)

.PHONY: accept-doors
accept-doors: setup kafka ## Prove that the doors are safe and that the service ships (ONLY=tls,who; 8 minutes)
	@$(BIN)/python -m accept doors $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-v1
accept-v1: setup kafka ## Prove scheduling.v1, its clients and its commands (ONLY=jobs,runs; 20 minutes)
	@$(BIN)/python -m accept v1 $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-worker
accept-worker: setup kafka ## Prove the worker kit with WORKER_RUNS=100000 (25 minutes)
	@WORKER_RUNS="$(WORKER_RUNS)" $(BIN)/python -m accept worker $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-web
accept-web: setup kafka ## Prove that the admin pages work and are safe, in a real Chromium (ONLY=read,act; 3 minutes)
	@$(BIN)/python -m accept web $(if $(ONLY),--only "$(ONLY)")

.PHONY: accept-speed
accept-speed: setup kafka bench-contenders ## Measure the goals of speed, a line each; fails if one is missed (25 minutes)
	@$(BIN)/python -m accept.speed

##@ Change

.PHONY: format
format: setup ## Format code and protos
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/buf format --write

.PHONY: proto
proto: setup ## Generate the wire code from the protos
	@rm -f $(WIRE)/*_pb2* $(WIRE)/v1/*_pb2*
	@$(BIN)/python -m tools.wire client/src

.PHONY: proto-baseline
proto-baseline: setup ## Accept changes of the protos that break clients: `make lint` compares with it
	@$(BIN)/buf build --exclude-source-info --output $(BASELINE)

.PHONY: docs
docs: setup ## Generate parts of pages: settings, examples, figures, failpoints, metrics, reference
	@$(BIN)/python -m tools.settings_table
	@$(BIN)/python -m tools.snippets
	@$(BIN)/python -m tools.readme_figures
	@$(BIN)/python -m tools.failpoints_page
	@$(BIN)/python -m tools.metrics_page
	@$(BIN)/python -m tools.redis_rights
	@$(BIN)/python -m tools.kafka_rights
	@$(BIN)/python -m tools.dashboard
	@$(BIN)/python -m tools.api_pages

.PHONY: picture
picture: setup ## Draw the picture of the demo from a real run
	@$(BIN)/python -m tools.picture

.PHONY: recordings
recordings: setup ## Draw pictures of five commands from a real run into docs/images
	@$(BIN)/python -m tools.recordings

.PHONY: screenshots
screenshots: setup ## Take pictures of the admin pages into build/screenshots and docs/images
	@$(BIN)/python -m tools.screenshots

.PHONY: lock
lock: ## Resolve the dependencies again; keeps versions that still fit (LOCK_ARGS=--upgrade)
	@test -x $(BIN)/uv || PYTHON="$(PYTHON)" sh tools/setup
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url \
		--custom-compile-command 'make lock' --all-extras --group dev --group bench \
		--no-emit-package scheduling-client $(LOCK_ARGS) \
		--output-file requirements.lock client/pyproject.toml server/pyproject.toml

.PHONY: sbom
sbom: setup ## Write the bill of materials of requirements.lock (CycloneDX) to build/sbom.json
	@mkdir -p build
	@$(BIN)/uvx --quiet --from cyclonedx-bom cyclonedx-py requirements requirements.lock -o build/sbom.json

##@ Servers for tests

.PHONY: java
java: ## Install Java 17 if it is missing
	@sh tests/harness/java/install

.PHONY: kafka
kafka: ## Fetch Kafka if it is missing (not if KAFKA_BOOTSTRAP_SERVERS names one)
	@test -n "$$KAFKA_BOOTSTRAP_SERVERS" || sh tests/harness/java/fetch-kafka

##@ Other

.PHONY: clean
clean: ## Remove all generated files
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find client server tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
