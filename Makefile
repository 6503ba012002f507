# Every target is one line of what it does. `make help` lists them. Recipe fields go in ARGS="…", data in DATA=….
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest -q -n 2 --dist loadfile  # two processes: two cores, and 1.5 GB each
COMPETITIONS := $(patsubst competitions/%/__init__.py,%,$(wildcard competitions/*/__init__.py))
VERBS := download prepare show-augment embed probe train predict blend ensemble ablate tune suspects submit kernel runs ledger report
STUDY_OPTIONS = $(if $(STUDY),--study "$(STUDY)") $(if $(STORAGE),--storage "$(STORAGE)")
LAUNCH = $(if $(GPUS),common.launch $(GPUS))
FORWARD = $(if $(DATA),--data "$(DATA)") $(STUDY_OPTIONS) $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow torture lint format practice dashboard new-competition report test-pages audit requirements bench bench-feed bench-train bench-weights bench-sweep bench-halving models notebooks study study-status study-tables study-figures transfer study-small

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo '  make <name>-<verb> [DATA=folder|sample] [GPUS=2] [ARGS="--field value …"]'
	@echo '       names: $(COMPETITIONS)'
	@echo '       verbs: $(VERBS)'

setup: $(VENV)/.synced  ## make .venv with everything in requirements.txt

$(VENV)/.synced: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is older than 3.11; set PYTHON=" >&2; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@test -x $(VENV)/bin/uv || $(PY) -m pip install -q --disable-pip-version-check --require-hashes -r <(awk '/^uv==/,!/\\$$/' requirements.txt)
	@$(VENV)/bin/uv pip sync -q --compile-bytecode --python $(PY) --require-hashes requirements.txt
	@touch $@

demo: aptos-submit-sample  ## the whole way for APTOS on sample data, to a practice score

.PHONY: aptos-submit-sample
aptos-submit-sample: setup
	@$(PY) -m competitions aptos submit --data sample $(ARGS)

test: setup lint  ## install, lint, and run the quick tests
	@$(PYTEST) -m "not slow and not torture"

test-slow: setup  ## run the slow tests
	@$(PYTEST) -m "slow and not torture" --ignore tests/pages

torture: setup  ## kill it, fill the disk, flip bits, feed it nonsense, storm the server: what promises.md says, with counts
	@$(PYTEST) -m torture --ignore tests/torture/test_load.py
	@$(PY) -m pytest -q -m torture tests/torture/test_load.py  # with both cores to itself, for it counts milliseconds

test-pages: setup  ## the pages of `report` in a real browser, which it installs where it may
	@$(PY) -m tests.pages

lint: setup  ## ruff: lint and format check
	@$(VENV)/bin/ruff check -q .
	@$(VENV)/bin/ruff format -q --check .

format: setup  ## ruff: fix and format
	@$(VENV)/bin/ruff check -q --fix .
	@$(VENV)/bin/ruff format -q .

practice: setup  ## serve the practice leaderboard on PORT (7777)
	@$(PY) -m competitions practice $(if $(PORT),--port $(PORT))

dashboard: setup  ## optuna-dashboard on the studies: STUDY=name or journal file, or STORAGE=postgresql://…
	@$(PY) -m competitions dashboard $(STUDY_OPTIONS) $(ARGS)

report: setup  ## pages to look at: every competition, its best run, the study; open runs/report/index.html
	@$(PY) -m competitions report $(ARGS)

new-competition: setup  ## a competition of your own: its folder from NAME=, filled in from DATA=folder
	@$(PY) -m competitions new-competition "$(NAME)" $(FORWARD)

notebooks: setup  ## build the lessons under notebooks/ and run them all, or those in ARGS="1 5", into notebooks/built/
	@$(PY) -m common.notebooks $(ARGS)

bench: setup  ## every benchmark that must hold, as one table, kept in benchmarks/results; ARGS=--quick for a first look
	@$(PY) -m benchmarks.bench $(ARGS)

bench-feed: setup  ## images/s of the feed beside timm's and torchvision's loaders
	@$(PY) -m benchmarks.bench_feed $(ARGS)

bench-weights: setup  ## accuracy from ImageNet weights, from random ones, and after a linear probe (an hour)
	@$(PY) -m benchmarks.bench_weights $(ARGS)

study: setup  ## the paper's runs, or another GRID=; ARGS="--plan" shows what there is to do and what it costs
	@$(PY) -m competitions study $(if $(GRID),--grid "$(GRID)") $(if $(DATA),--data "$(DATA)") $(ARGS)

study-status: setup  ## how far it is: done, running, failed, best of each data set and backbone, time left
	@$(PY) -m common.sweep status $(ARGS)

study-tables: setup  ## does ImageNet progress transfer? the paper's trend beside ours (VERB=f-test, spearman, leaderboard, …)
	@$(PY) -m common.study $(or $(VERB),trend) $(ARGS)

study-figures: setup  ## the paper's figures as PNG, SVG, PDF and an interactive page, into TO (figures)
	@$(PY) -m common.study figures $(if $(TO),--to "$(TO)") $(ARGS)

transfer: setup  ## fine-tune MODEL (a name of timm, or a file of weights) on what is in data/, and place it among the paper's
	@$(PY) -m competitions transfer "$(MODEL)" $(if $(DATA),--data "$(DATA)") $(ARGS)

study-small: setup  ## six networks on parts of three data sets, then the study's statistics and figures of them (an hour or two)
	@$(PY) -m benchmarks.study_small $(ARGS)

bench-sweep: setup  ## a sweep's wall time over the sum of its runs' own times
	@$(PY) -m benchmarks.bench_sweep $(ARGS)

bench-halving: setup  ## successive halving beside the whole grid: what it finds, for how many images
	@$(PY) -m benchmarks.bench_halving $(ARGS)

models: setup  ## the zoo: every backbone of the paper with its weights
	@$(PY) -m common.models list $(ARGS)

bench-train: setup  ## images/s of training beside the same step on one fixed batch
	@$(PY) -m benchmarks.bench_train $(ARGS)

audit: setup  ## pip-audit on requirements.txt: is a package that we pin known to be vulnerable? Asks osv.dev
	@$(PY) -m common.audit

requirements: setup  ## compile requirements.in to requirements.txt with hashes
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt

define competition_target
.PHONY: $(1)-$(2)
$(1)-$(2): setup
	@$$(PY) -m $$(LAUNCH) competitions $(1) $(2) $$($(if $(filter blend,$(2)),ARGS,FORWARD))
endef
$(foreach name,$(COMPETITIONS),$(foreach verb,$(VERBS),$(eval $(call competition_target,$(name),$(verb)))))
